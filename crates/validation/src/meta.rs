//! Validation of `ObjectMeta`, which all kinds have in common.

use mosaic_api::names::{ANNOTATIONS_MAX_BYTES, NameRule};
use mosaic_schema::FieldError;
use serde_json::Value;

use crate::{
    node::{Errors, Node},
    rules,
};

/// Validates `metadata` of an object that is about to be created. The name must have been generated
/// already.
pub fn validate_meta(object: &Value, namespaced: bool, rule: NameRule) -> Vec<FieldError> {
    let mut errors = Errors::default();
    meta(
        &Node::root(object).get("metadata"),
        namespaced,
        rule,
        &mut errors,
    );
    errors.into_vec()
}

/// Validates `metadata` of an object that is about to replace `old`.
pub fn validate_meta_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::default();
    meta_update(
        &Node::root(new).get("metadata"),
        &Node::root(old).get("metadata"),
        &mut errors,
    );
    errors.into_vec()
}

pub(crate) fn meta(meta: &Node, namespaced: bool, rule: NameRule, e: &mut Errors) {
    let generate = meta.get("generateName");
    if !generate.is_empty() {
        e.invalid_text(&generate, generate.str(), rule.check(generate.str(), true));
    }
    let name = meta.get("name");
    if e.require(&name, "name or generateName is required") {
        e.invalid_text(&name, name.str(), rule.check(name.str(), false));
    }
    let namespace = meta.get("namespace");
    if namespaced {
        e.require_and_check(&namespace, rules::label);
    } else if !namespace.is_empty() {
        e.forbidden(&namespace, "not allowed on this type");
    }
    e.not_negative(&meta.get("generation"));
    common(meta, e);
}

fn common(meta: &Node, e: &mut Errors) {
    labels(&meta.get("labels"), e);
    annotations(&meta.get("annotations"), e);
    owners(&meta.get("ownerReferences"), e);
    finalizers(&meta.get("finalizers"), e);
}

pub(crate) fn meta_update(new: &Node, old: &Node, e: &mut Errors) {
    if old.get("deletionTimestamp").is_set() {
        no_new_finalizers(&new.get("finalizers"), &old.get("finalizers"), e);
    }
    let generation = new.get("generation");
    if generation.int_or_zero() < old.get("generation").int_or_zero() {
        e.invalid(&generation, "must not be decremented");
    }
    for key in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        e.immutable(&new.get(key), &old.get(key));
    }
    // What is unchanged was valid when it was stored.
    for (key, check) in [
        ("labels", labels as fn(&Node, &mut Errors)),
        ("annotations", annotations),
        ("ownerReferences", owners),
        ("finalizers", finalizers),
    ] {
        let field = new.get(key);
        if !field.same(&old.get(key)) {
            check(&field, e);
        }
    }
}

fn no_new_finalizers(new: &Node, old: &Node, e: &mut Errors) {
    let extra: Vec<String> = new
        .items()
        .filter(|f| old.items().all(|o| o.str() != f.str()))
        .map(|f| format!("{:?}", f.str()))
        .collect();
    if !extra.is_empty() {
        let list = extra.join(", ");
        e.forbidden(
            new,
            format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
            ),
        );
    }
}

/// Labels of an object, of a pod template, or of a selector.
pub(crate) fn labels(labels: &Node, e: &mut Errors) {
    for (key, value) in labels.entries() {
        e.invalid_text(labels, key, rules::qualified_name(key));
        e.invalid_text(labels, value.str(), rules::label_value(value.str()));
    }
}

/// Annotations of an object or of a pod template.
pub(crate) fn annotations(annotations: &Node, e: &mut Errors) {
    let mut size = 0usize;
    for (key, value) in annotations.entries() {
        let problems = if key.bytes().any(|b| b.is_ascii_uppercase()) {
            rules::qualified_name(&key.to_lowercase())
        } else {
            rules::qualified_name(key)
        };
        e.invalid_text(annotations, key, problems);
        size = size
            .saturating_add(key.len())
            .saturating_add(value.str().len());
    }
    if size > ANNOTATIONS_MAX_BYTES {
        e.too_long(annotations, ANNOTATIONS_MAX_BYTES);
    }
}

fn owners(owners: &Node, e: &mut Errors) {
    let mut controller: Option<String> = None;
    for owner in owners.items() {
        // The path names the list, not the item: so do Kubernetes' messages.
        let api_version = owner.get("apiVersion").str();
        let version = api_version.rsplit('/').next().unwrap_or_default();
        if version.is_empty() {
            e.invalid_as(
                &owners.get("apiVersion"),
                api_version,
                "version must not be empty",
            );
        }
        for key in ["kind", "name", "uid"] {
            if owner.get(key).is_empty() {
                e.invalid_as(&owners.get(key), "", "must not be empty");
            }
        }
        let kind = owner.get("kind").str();
        if api_version == "v1" && kind == "Event" {
            e.invalid_as(
                owners,
                owner.value().cloned().unwrap_or_default(),
                "/v1, Kind=Event is disallowed from being an owner",
            );
        }
        if owner.get("controller").is_true() {
            let this = format!("{kind}/{}", owner.get("name").str());
            match &controller {
                Some(first) => e.invalid(
                    owners,
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    ),
                ),
                None => controller = Some(this),
            }
        }
    }
}

/// Kubernetes' own kinds, but for definitions of custom ones, take only finalizers that Kubernetes knows
/// or that have a domain.
pub(crate) fn known_finalizers(meta: &Node, e: &mut Errors) {
    for finalizer in meta.get("finalizers").items() {
        let name = finalizer.str();
        if !name.contains('/') && !matches!(name, "orphan" | "foregroundDeletion" | "kubernetes") {
            e.invalid(
                &finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            );
        }
    }
}

fn finalizers(finalizers: &Node, e: &mut Errors) {
    let mut orphan = false;
    let mut foreground = false;
    for finalizer in finalizers.items() {
        let name = finalizer.str();
        e.invalid_text(finalizers, name, rules::qualified_name(name));
        orphan |= name == "orphan";
        foreground |= name == "foregroundDeletion";
    }
    if orphan && foreground {
        e.invalid(
            finalizers,
            "finalizer orphan and foregroundDeletion cannot be both set",
        );
    }
}
