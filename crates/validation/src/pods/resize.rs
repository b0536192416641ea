//! The subresources by which a running pod changes: `resize` and `ephemeralcontainers`.

use mosaic_schema::FieldError;
use serde_json::Value;

use super::{container, resources, volumes};
use crate::{
    defaults::{Fields, object},
    node::{Errors, Node},
    qos,
    strategy::restore,
};

/// Prepares a pod sent to `/resize`: everything but the resources and resize policies of its containers
/// stays as it is stored.
pub fn prepare_resize(new: &mut Value, old: &Value) {
    let Some(stored) = old.as_object() else {
        return;
    };
    let Some(fields) = new.as_object_mut() else {
        return;
    };
    restore(fields, stored, "status");
    if let (Some(metadata), Some(old)) = (
        object(fields, "metadata"),
        stored.get("metadata").and_then(Value::as_object),
    ) {
        for key in [
            "labels",
            "annotations",
            "ownerReferences",
            "finalizers",
            "generation",
        ] {
            restore(metadata, old, key);
        }
    }
    count_generation(fields, stored);
}

/// Prepares a pod sent to `/ephemeralcontainers`: nothing but those containers changes.
pub fn prepare_ephemeral_containers(new: &mut Value, old: &Value) {
    let sent = new
        .get("spec")
        .and_then(|spec| spec.get("ephemeralContainers"))
        .cloned();
    let version = new.pointer("/metadata/resourceVersion").cloned();
    let Some(stored) = old.as_object() else {
        return;
    };
    new.clone_from(old);
    let Some(fields) = new.as_object_mut() else {
        return;
    };
    if let (Some(metadata), Some(version)) = (object(fields, "metadata"), version) {
        metadata.insert("resourceVersion".to_owned(), version);
    }
    if let Some(spec) = object(fields, "spec") {
        match sent {
            Some(list) => spec.insert("ephemeralContainers".to_owned(), list),
            None => spec.remove("ephemeralContainers"),
        };
    }
    count_generation(fields, stored);
}

fn count_generation(fields: &mut Fields, old: &Fields) {
    let stored = old
        .get("metadata")
        .and_then(|m| m.get("generation"))
        .and_then(Value::as_i64)
        .unwrap_or_default();
    let changed = fields.get("spec") != old.get("spec");
    if let Some(metadata) = object(fields, "metadata") {
        let generation = stored.saturating_add(i64::from(changed));
        metadata.insert("generation".to_owned(), generation.into());
    }
}

/// Validates a pod sent to `/resize`: only cpu and memory of its containers may differ, and its quality
/// of service may not.
pub fn validate_resize(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::default();
    let (root, old_root) = (Node::root(new), Node::root(old));
    let (spec, old_spec) = (root.get("spec"), old_root.get("spec"));
    if qos::class_of_spec(spec.value()) != qos::class_of_spec(old_spec.value()) {
        e.invalid_as(
            &root.get("metadata"),
            root.get("metadata").get("name").str(),
            "Pod QOS Class may not change as a result of resizing",
        );
    }
    for list in ["containers", "initContainers"] {
        let (new_list, old_list) = (spec.get(list), old_spec.get(list));
        if new_list.len() != old_list.len() {
            e.forbidden(
                &new_list,
                "containers may not be added or removed on resize",
            );
            continue;
        }
        for (new, old) in new_list.items().zip(old_list.items()) {
            let requirements = new.get("resources");
            resources::requirements(&requirements, &mut e);
            resized(&requirements, &old.get("resources"), &mut e);
            let same = new
                .fields()
                .chain(old.fields())
                .filter(|(key, _)| !matches!(*key, "resources" | "resizePolicy"))
                .all(|(key, _)| new.get(key).same(&old.get(key)));
            if !same {
                e.forbidden(&spec, "only cpu and memory resources are mutable");
            }
        }
    }
    let same = spec
        .fields()
        .chain(old_spec.fields())
        .filter(|(key, _)| !matches!(*key, "containers" | "initContainers" | "resources"))
        .all(|(key, _)| spec.get(key).same(&old_spec.get(key)));
    if !same {
        e.forbidden(&spec, "only cpu and memory resources are mutable");
    }
    e.into_vec()
}

fn resized(new: &Node, old: &Node, e: &mut Errors) {
    for list in ["limits", "requests"] {
        let (new_list, old_list) = (new.get(list), old.get(list));
        for (name, _) in old_list.entries() {
            if !new_list.get(name).is_set() {
                e.forbidden(new, format!("resource {list} cannot be removed"));
            }
        }
        let other_changed = new_list
            .entries()
            .chain(old_list.entries())
            .filter(|(name, _)| !matches!(*name, "cpu" | "memory"))
            .any(|(name, _)| !new_list.get(name).same(&old_list.get(name)));
        if other_changed {
            e.forbidden(new, "only cpu and memory resources are mutable");
        }
    }
}

/// Validates a pod sent to `/ephemeralcontainers`: containers are only ever added.
pub fn validate_ephemeral_containers(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::default();
    let (root, old_root) = (Node::root(new), Node::root(old));
    let (spec, old_spec) = (root.get("spec"), old_root.get("spec"));
    let mountable = volumes::volumes(&spec.get("volumes"), &mut e);
    container::containers(&spec, &mountable, &mut e);
    let (list, old_list) = (
        spec.get("ephemeralContainers"),
        old_spec.get("ephemeralContainers"),
    );
    for old in old_list.items() {
        let name = old.get("name").str();
        match list.items().find(|n| n.get("name").str() == name) {
            None => e.forbidden(
                &list,
                format!("existing ephemeral containers {name:?} may not be removed\n"),
            ),
            Some(new) if !new.same(&old) => e.forbidden(
                &list,
                format!("existing ephemeral containers {name:?} may not be changed\n"),
            ),
            Some(_) => {}
        }
    }
    e.into_vec()
}
