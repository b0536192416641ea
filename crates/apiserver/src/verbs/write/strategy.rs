//! What a kind makes of its objects on their way in: defaults, what each door may change, and what is
//! valid. Built-in kinds have theirs in tables, custom kinds in their definition.

use std::sync::LazyLock;

use mosaic_api::names::NameRule;
use mosaic_patch::FieldSet;
use mosaic_schema::FieldError;
use serde_json::Value;

use super::Part;
use crate::kinds::Kind;

/// Whether an update of the kind may leave out the revision that it replaces.
pub fn overwrites(kind: &Kind) -> bool {
    kind.custom().is_none() && mosaic_validation::allows_unconditional_update(&kind.group_kind())
}

/// The fields that writes through this door cannot set.
pub fn reset_fields(kind: &Kind, part: Part) -> &'static FieldSet {
    static NOTHING: LazyLock<FieldSet> = LazyLock::new(FieldSet::default);
    static STATUS: LazyLock<FieldSet> =
        LazyLock::new(|| FieldSet::from_field_names(&[&["status"]]));
    static SPEC: LazyLock<FieldSet> = LazyLock::new(|| FieldSet::from_field_names(&[&["spec"]]));
    static SPEC_AND_METADATA: LazyLock<FieldSet> =
        LazyLock::new(|| FieldSet::from_field_names(&[&["spec"], &["metadata"]]));
    match part {
        Part::Status | Part::Approval if kind.custom().is_some() => &SPEC_AND_METADATA,
        Part::Status | Part::Approval => &SPEC,
        Part::Main if kind.status => &STATUS,
        _ => &NOTHING,
    }
}

pub fn defaults(kind: &Kind, object: &mut Value) {
    if kind.custom().is_none() {
        mosaic_validation::apply_defaults(&kind.group_kind(), object);
    }
}

pub fn prepare_create(kind: &Kind, object: &mut Value) {
    if kind.custom().is_some() {
        mosaic_validation::prepare_custom_for_create(kind.status, object);
    } else {
        mosaic_validation::prepare_for_create(&kind.group_kind(), object);
    }
}

pub fn prepare_update(kind: &Kind, part: Part, new: &mut Value, old: &Value) {
    let gk = kind.group_kind();
    match (kind.custom().is_some(), part) {
        // It changes what no update may, and nothing else.
        (false, Part::Finalize) => {}
        (true, Part::Status | Part::Approval) => {
            mosaic_validation::prepare_custom_for_status_update(new, old)
        }
        (true, _) => mosaic_validation::prepare_custom_for_update(kind.status, new, old),
        (false, Part::Status | Part::Approval) => {
            mosaic_validation::prepare_for_status_update(&gk, new, old)
        }
        (false, Part::Resize) => mosaic_validation::prepare_resize(new, old),
        (false, Part::EphemeralContainers) => {
            mosaic_validation::prepare_ephemeral_containers(new, old)
        }
        (false, _) => mosaic_validation::prepare_for_update(&gk, new, old),
    }
}

pub fn validate_create(kind: &Kind, object: &Value) -> Vec<FieldError> {
    match kind.custom() {
        None => mosaic_validation::validate_create(&kind.group_kind(), object),
        Some(custom) => {
            let mut errors =
                mosaic_validation::validate_meta(object, kind.namespaced, NameRule::DnsSubdomain);
            if let Some(structural) = &custom.structural {
                errors.extend(structural.validate(object, None));
            }
            errors
        }
    }
}

pub fn validate_update(kind: &Kind, part: Part, new: &Value, old: &Value) -> Vec<FieldError> {
    let gk = kind.group_kind();
    match kind.custom() {
        None => match part {
            Part::Status | Part::Approval => {
                mosaic_validation::validate_status_update(&gk, new, old)
            }
            Part::Finalize => Vec::new(),
            Part::Resize => mosaic_validation::validate_resize(new, old),
            Part::EphemeralContainers => mosaic_validation::validate_ephemeral_containers(new, old),
            _ => mosaic_validation::validate_update(&gk, new, old),
        },
        Some(custom) => {
            let mut errors = mosaic_validation::validate_meta_update(new, old);
            if let Some(structural) = &custom.structural {
                errors.extend(structural.validate(new, Some(old)));
            }
            errors
        }
    }
}
