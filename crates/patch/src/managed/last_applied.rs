//! The annotation of client-side apply, and the way from there to server-side apply.
//!
//! `kubectl apply` leaves what it applied in an annotation and owns its fields by updates. When kubectl
//! goes over to server-side apply, those fields would all be conflicts with itself; and when it goes
//! back, the annotation must be right. So kubectl, under its own name, does not conflict over fields
//! that it last applied and that still have that value, and keeps the annotation up to date.

use mosaic_schema::Type;
use serde_json::{Map, Value};

use crate::fields::{FieldSet, compare};

/// The manager that kubectl applies as, unless told otherwise.
pub(super) const KUBECTL: &str = "kubectl";

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The most bytes that all annotations of an object may have together.
const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

/// The fields that client-side apply set and that still have that value.
pub(super) fn fields_still_as_applied(live: &Value, ty: &Type) -> Option<FieldSet> {
    let text = live
        .get("metadata")?
        .get("annotations")?
        .get(ANNOTATION)?
        .as_str()?;
    let applied: Value = serde_json::from_str(text).ok()?;
    let fields = FieldSet::of(&applied, ty).ok()?;
    let delta = compare(&applied, live, ty);
    Some(fields.difference(&delta.changed).difference(&delta.removed))
}

/// Brings the annotation up to date, where there is one.
pub(super) fn update_annotation(object: &mut Value, config: &Value) {
    let annotations = object
        .get_mut("metadata")
        .and_then(|m| m.get_mut("annotations"))
        .and_then(Value::as_object_mut);
    let Some(annotations) = annotations.filter(|annotations| annotations.contains_key(ANNOTATION))
    else {
        return;
    };
    annotations.insert(ANNOTATION.to_owned(), Value::String(applied_text(config)));
    if bytes(annotations) > MAX_ANNOTATIONS_BYTES {
        annotations.remove(ANNOTATION);
    }
}

fn applied_text(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove(ANNOTATION);
        }
    }
    format!("{config}\n")
}

fn bytes(annotations: &Map<String, Value>) -> usize {
    annotations
        .iter()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum()
}
