//! Amounts are stored in one spelling: `0.5`, `500m` and the number 0.5 are all `500m`.
//!
//! Kubernetes does this when it decodes; clients rely on amounts being strings, and equal amounts being
//! equal strings. What cannot be read stays as it is, for validation to refuse.

use mosaic_api::quantity::canonical;
use serde_json::Value;

use super::{Fields, each, object};

/// Respells one amount.
pub(super) fn amount(fields: &mut Fields, key: &str) {
    if let Some(value) = fields.get_mut(key) {
        respell(value);
    }
}

/// Respells every amount of a resource list.
pub(super) fn list(fields: &mut Fields, key: &str) {
    for value in object(fields, key).into_iter().flat_map(|l| l.values_mut()) {
        respell(value);
    }
}

/// Respells what a container, a pod or a claim requests and is limited to.
pub(super) fn requirements(holder: &mut Fields) {
    if let Some(resources) = object(holder, "resources") {
        list(resources, "requests");
        list(resources, "limits");
    }
}

fn respell(value: &mut Value) {
    if !matches!(value, Value::String(_) | Value::Number(_)) {
        return;
    }
    if let Ok(text) = canonical(value)
        && value.as_str() != Some(&text)
    {
        *value = Value::String(text);
    }
}

/// Defaults of a `ResourceQuota`: none but the spelling.
pub(crate) fn resource_quota(fields: &mut Fields) {
    if let Some(spec) = object(fields, "spec") {
        list(spec, "hard");
    }
    if let Some(status) = object(fields, "status") {
        list(status, "hard");
        list(status, "used");
    }
}

/// Defaults of a `RuntimeClass`: none but the spelling.
pub(crate) fn runtime_class(fields: &mut Fields) {
    if let Some(overhead) = object(fields, "overhead") {
        list(overhead, "podFixed");
    }
}

/// The amounts of an autoscaler's metrics.
pub(super) fn metrics(spec: &mut Fields) {
    for metric in each(spec, "metrics") {
        for source in metric.values_mut().filter_map(Value::as_object_mut) {
            if let Some(target) = object(source, "target") {
                amount(target, "value");
                amount(target, "averageValue");
            }
        }
    }
}
