//! Defaults and validation of the built-in kinds, as Kubernetes does them.
//!
//! A write of an object goes through here in this order:
//!
//! ```text
//! decoded object ─ apply_defaults ─ (admission) ─ prepare_for_create ─ validate_create ─ store
//!                                                 prepare_for_update   validate_update
//! ```
//!
//! Everything is a pure function on `serde_json::Value`; nothing here knows a clock, a store or a
//! socket. How each kind is treated is a row of the table in `kinds`. Kinds that are not in the table
//! (custom kinds) get only what all objects have in common: their metadata.

mod apps;
mod autoscaling;
mod batch;
mod core;
mod defaults;
mod extensions;
mod kinds;
mod meta;
mod networking;
mod node;
pub mod pod_admission;
mod pods;
mod policy;
mod qos;
pub mod quota;
mod rbac;
mod rules;
mod storage;
mod strategy;
mod time_zone;

use mosaic_api::GroupKind;
use mosaic_schema::FieldError;
use serde_json::Value;

use crate::{
    kinds::{Rules, rules},
    node::{Errors, Node},
};
pub use crate::{
    meta::{validate_meta, validate_meta_update},
    pods::{
        prepare_ephemeral_containers, prepare_resize, validate_ephemeral_containers,
        validate_resize,
    },
    qos::qos_class,
    strategy::{
        job_selector, prepare_custom_for_create, prepare_custom_for_status_update,
        prepare_custom_for_update,
    },
};

/// The group of the definitions of custom kinds.
const DEFINITIONS: &str = "apiextensions.k8s.io";

/// Fills in what a client left out of a built-in object. Idempotent; does nothing for other kinds.
///
/// No built-in kind is served in two versions whose defaults differ, so that the version is not asked for.
pub fn apply_defaults(kind: &GroupKind, object: &mut Value) {
    if let (Some(rules), Some(fields)) = (rules(kind), object.as_object_mut()) {
        (rules.defaults)(fields);
    }
}

/// Prepares a built-in object for being stored for the first time: drops the status it may not bring
/// along, and starts its generation. Does nothing for other kinds, see [`prepare_custom_for_create`].
pub fn prepare_for_create(kind: &GroupKind, object: &mut Value) {
    if let Some(rules) = rules(kind) {
        strategy::create(rules, object);
    }
}

/// Prepares a built-in object to replace `old`: the stored status stays, what the server gave out
/// stays, and the generation counts if the object means something else now.
pub fn prepare_for_update(kind: &GroupKind, new: &mut Value, old: &Value) {
    if let Some(rules) = rules(kind) {
        strategy::update(rules, new, old);
    }
}

/// Prepares a built-in object whose `status` alone replaces that of `old`.
pub fn prepare_for_status_update(kind: &GroupKind, new: &mut Value, old: &Value) {
    if let Some(rules) = rules(kind) {
        strategy::status_update(rules, new, old);
    }
}

/// What is wrong with a built-in object that is about to be created, its metadata included. Nothing
/// for other kinds, see [`validate_meta`].
pub fn validate_create(kind: &GroupKind, object: &Value) -> Vec<FieldError> {
    let mut errors = Errors::default();
    if let Some(rules) = rules(kind) {
        let root = Node::root(object);
        let metadata = root.get("metadata");
        meta::meta(&metadata, rules.namespaced, rules.name, &mut errors);
        if &*kind.group != DEFINITIONS {
            meta::known_finalizers(&metadata, &mut errors);
        }
        (rules.validate)(&root, &mut errors);
    }
    errors.into_vec()
}

/// What is wrong with a built-in object that is about to replace `old`, its metadata included.
pub fn validate_update(kind: &GroupKind, new: &Value, old: &Value) -> Vec<FieldError> {
    validate_change(kind, new, old, |rules, new, old, errors| {
        (rules.update)(new, old, errors);
        if rules.validate_on_update {
            (rules.validate)(new, errors);
        }
    })
}

/// What is wrong with a built-in object whose status is about to replace that of `old`.
pub fn validate_status_update(kind: &GroupKind, new: &Value, old: &Value) -> Vec<FieldError> {
    validate_change(kind, new, old, |rules, new, old, errors| {
        (rules.status)(new, old, errors);
    })
}

fn validate_change(
    kind: &GroupKind,
    new: &Value,
    old: &Value,
    check: impl FnOnce(&Rules, &Node, &Node, &mut Errors),
) -> Vec<FieldError> {
    let mut errors = Errors::default();
    if let Some(rules) = rules(kind) {
        let (new, old) = (Node::root(new), Node::root(old));
        meta::meta_update(&new.get("metadata"), &old.get("metadata"), &mut errors);
        if &*kind.group != DEFINITIONS {
            meta::known_finalizers(&new.get("metadata"), &mut errors);
        }
        check(rules, &new, &old, &mut errors);
    }
    errors.into_vec()
}

/// Whether an update of a built-in kind creates an object that is not there.
pub fn allows_create_on_update(kind: &GroupKind) -> bool {
    matches!(
        (kind.group.as_ref(), kind.kind.as_ref()),
        ("", "Endpoints" | "Event" | "LimitRange")
            | ("coordination.k8s.io", "Lease")
            | ("events.k8s.io", "Event")
    )
}

/// Whether an update of a built-in kind may leave out `metadata.resourceVersion` and so overwrite
/// whatever is stored.
pub fn allows_unconditional_update(kind: &GroupKind) -> bool {
    !matches!(
        (kind.group.as_ref(), kind.kind.as_ref()),
        ("coordination.k8s.io", "Lease")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("policy", "PodDisruptionBudget")
            | (
                "storage.k8s.io",
                "VolumeAttachment" | "CSIDriver" | "CSINode"
            )
            | ("node.k8s.io", "RuntimeClass")
    )
}
