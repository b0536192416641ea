//! What a write does to an object before it is validated: which parts a request may set, and when the
//! generation counts.
//!
//! A client that writes the object itself cannot set its status, and one that writes `/status` can set
//! nothing else; what it sent of the other half is replaced by what is stored, without an error. These
//! are the pure parts of what Kubernetes calls a kind's strategy.

mod kinds;
mod service;

use serde_json::{Map, Value};

pub use self::kinds::job_selector;
pub(crate) use self::{
    kinds::{
        claim, claim_update, definition, definition_update, namespace, namespace_update, pending,
        pod, signing_request_update,
    },
    service::{service, service_update},
};
use crate::{defaults::Fields, kinds::Rules};

/// When `metadata.generation` counts up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// The kind has none.
    None,
    /// It is 1 and stays so, as the object cannot change.
    Once,
    /// With `spec`.
    Spec,
    /// With anything but metadata and status.
    Content,
}

/// Which metadata a write to `/status` leaves as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusMetadata {
    /// Nothing but what no write may change.
    Writable,
    /// The labels.
    KeepLabels,
    /// The owners.
    KeepOwners,
    /// Everything but the managed fields.
    KeepAll,
}

/// How writes treat the halves of an object.
pub(crate) struct Strategy {
    /// Whether `status` is written by itself.
    pub(crate) status: bool,
    /// Whether a create may bring a status along all the same.
    pub(crate) status_on_create: bool,
    /// When the generation counts.
    pub(crate) generation: Generation,
    /// What writes to `/status` leave alone.
    pub(crate) status_metadata: StatusMetadata,
    /// What else a create does.
    pub(crate) on_create: fn(&mut Fields),
    /// What else an update does: the new object, then the stored one.
    pub(crate) on_update: fn(&mut Fields, &Fields),
}

/// A kind without status or generation.
pub(crate) const PLAIN: Strategy = Strategy {
    status: false,
    status_on_create: false,
    generation: Generation::None,
    status_metadata: StatusMetadata::Writable,
    on_create: |_| {},
    on_update: |_, _| {},
};

/// A kind with a status of its own.
pub(crate) const STATUS: Strategy = Strategy {
    status: true,
    ..PLAIN
};

/// A kind with a status of its own whose generation counts changes of its spec.
pub(crate) const SPEC_AND_STATUS: Strategy = Strategy {
    generation: Generation::Spec,
    ..STATUS
};

/// Custom kinds with the status subresource.
const CUSTOM_WITH_STATUS: Strategy = Strategy {
    generation: Generation::Content,
    status_metadata: StatusMetadata::KeepAll,
    ..STATUS
};

/// Custom kinds without it: `status` is a field like any other.
const CUSTOM: Strategy = Strategy {
    generation: Generation::Content,
    ..PLAIN
};

/// The strategy of custom kinds, which depends on their definition alone.
fn custom(status_subresource: bool) -> &'static Strategy {
    if status_subresource {
        &CUSTOM_WITH_STATUS
    } else {
        &CUSTOM
    }
}

pub(crate) fn create(rules: &Rules, object: &mut Value) {
    apply_create(&rules.strategy, object);
}

pub(crate) fn update(rules: &Rules, new: &mut Value, old: &Value) {
    apply_update(&rules.strategy, new, old);
}

pub(crate) fn status_update(rules: &Rules, new: &mut Value, old: &Value) {
    apply_status_update(&rules.strategy, new, old);
}

/// Prepares a custom object for being stored for the first time.
pub fn prepare_custom_for_create(status_subresource: bool, object: &mut Value) {
    apply_create(custom(status_subresource), object);
}

/// Prepares a custom object to replace `old`.
pub fn prepare_custom_for_update(status_subresource: bool, new: &mut Value, old: &Value) {
    apply_update(custom(status_subresource), new, old);
}

/// Prepares a custom object whose `status` alone replaces that of `old`.
pub fn prepare_custom_for_status_update(new: &mut Value, old: &Value) {
    apply_status_update(&CUSTOM_WITH_STATUS, new, old);
}

fn apply_create(strategy: &Strategy, object: &mut Value) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    if strategy.status && !strategy.status_on_create {
        fields.remove("status");
    }
    (strategy.on_create)(fields);
    if strategy.generation != Generation::None {
        set_generation(fields, 1);
    } else if let Some(metadata) = metadata(fields) {
        metadata.remove("generation");
    }
}

fn apply_update(strategy: &Strategy, new: &mut Value, old: &Value) {
    let (Some(fields), Some(old)) = (new.as_object_mut(), old.as_object()) else {
        return;
    };
    if strategy.status {
        restore(fields, old, "status");
    }
    (strategy.on_update)(fields, old);
    let changed = match strategy.generation {
        Generation::None | Generation::Once => false,
        Generation::Spec => fields.get("spec") != old.get("spec"),
        Generation::Content => content_differs(fields, old, strategy.status),
    };
    let stored = generation(old);
    match stored {
        None if strategy.generation == Generation::None => {
            if let Some(metadata) = metadata(fields) {
                metadata.remove("generation");
            }
        }
        stored => {
            set_generation(
                fields,
                stored
                    .unwrap_or_default()
                    .saturating_add(i64::from(changed)),
            );
        }
    }
}

fn apply_status_update(strategy: &Strategy, new: &mut Value, old: &Value) {
    let (Some(fields), Some(old)) = (new.as_object_mut(), old.as_object()) else {
        return;
    };
    fields.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
    for (key, value) in old {
        if !matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
            fields.insert(key.clone(), value.clone());
        }
    }
    let Some(stored) = old.get("metadata").and_then(Value::as_object) else {
        return;
    };
    let Some(written) = metadata(fields) else {
        return;
    };
    restore(written, stored, "generation");
    match strategy.status_metadata {
        StatusMetadata::Writable => {}
        StatusMetadata::KeepLabels => restore(written, stored, "labels"),
        StatusMetadata::KeepOwners => restore(written, stored, "ownerReferences"),
        StatusMetadata::KeepAll => {
            let managed = written.remove("managedFields");
            let version = written.remove("resourceVersion");
            written.clone_from(stored);
            for (key, value) in [("managedFields", managed), ("resourceVersion", version)] {
                written.remove(key);
                if let Some(value) = value {
                    written.insert(key.to_owned(), value);
                }
            }
        }
    }
}

/// Makes a field what it is in the stored object, absent if it is absent there.
pub(crate) fn restore(fields: &mut Fields, old: &Fields, key: &str) {
    if fields.get(key) == old.get(key) {
        return;
    }
    match old.get(key) {
        Some(value) => {
            fields.insert(key.to_owned(), value.clone());
        }
        None => {
            fields.remove(key);
        }
    }
}

fn content_differs(new: &Fields, old: &Fields, status_apart: bool) -> bool {
    let counts = |key: &str| match key {
        "metadata" | "apiVersion" | "kind" => false,
        "status" => !status_apart,
        _ => true,
    };
    let differs = |a: &Fields, b: &Fields| {
        a.iter()
            .filter(|(key, _)| counts(key))
            .any(|(key, value)| b.get(key) != Some(value))
    };
    differs(new, old) || differs(old, new)
}

fn metadata(fields: &mut Fields) -> Option<&mut Map<String, Value>> {
    fields.get_mut("metadata").and_then(Value::as_object_mut)
}

fn generation(fields: &Fields) -> Option<i64> {
    fields.get("metadata")?.get("generation")?.as_i64()
}

fn set_generation(fields: &mut Fields, generation: i64) {
    if let Some(metadata) = metadata(fields) {
        metadata.insert("generation".to_owned(), generation.into());
    }
}
