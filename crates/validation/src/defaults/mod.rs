//! Kubernetes' defaults of the built-in kinds.
//!
//! Defaults fill what a client left out: an absent field, a `null`, or for plain values the zero value,
//! exactly where Kubernetes does. They are idempotent and run on every write, after decoding and before
//! admission.

mod api;
mod batch;
mod core;
mod pod;
mod quantities;
mod workloads;

use serde_json::{Map, Value};

pub(crate) use self::{
    api::{
        autoscaler, csi_driver, custom_resource_definition, endpoint_slice, network_policy,
        priority_class, role_binding, storage_class,
    },
    batch::{cron_job, job},
    core::{claim, endpoints, limit_range, namespace, node, persistent_volume, secret, service},
    pod::{pod, pod_template_object},
    quantities::{resource_quota, runtime_class},
    workloads::{daemon_set, deployment, replica_set, replication_controller, stateful_set},
};

/// An object's fields.
pub(crate) type Fields = Map<String, Value>;

/// Defaults of kinds that have none.
pub(crate) fn none(_: &mut Fields) {}

/// Sets a field that is absent.
pub(crate) fn set(fields: &mut Fields, key: &str, value: impl Into<Value>) {
    if fields.get(key).is_none_or(Value::is_null) {
        fields.insert(key.to_owned(), value.into());
    }
}

/// Sets a text that is absent or empty.
pub(crate) fn set_text(fields: &mut Fields, key: &str, text: &str) {
    if is_blank(fields, key) {
        fields.insert(key.to_owned(), Value::from(text));
    }
}

/// Sets a number that is absent or 0.
pub(crate) fn set_number(fields: &mut Fields, key: &str, number: i64) {
    let unset = fields
        .get(key)
        .is_none_or(|v| v.is_null() || v.as_i64() == Some(0));
    if unset {
        fields.insert(key.to_owned(), Value::from(number));
    }
}

/// Whether a text is absent or empty.
pub(crate) fn is_blank(fields: &Fields, key: &str) -> bool {
    fields
        .get(key)
        .is_none_or(|v| v.is_null() || v.as_str() == Some(""))
}

/// A text; empty if it is absent.
pub(crate) fn text<'a>(fields: &'a Fields, key: &str) -> &'a str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// An object that is there.
pub(crate) fn object<'a>(fields: &'a mut Fields, key: &str) -> Option<&'a mut Fields> {
    fields.get_mut(key).and_then(Value::as_object_mut)
}

/// An object, made empty if it is absent. None if the field is something else.
pub(crate) fn ensure<'a>(fields: &'a mut Fields, key: &str) -> Option<&'a mut Fields> {
    set(fields, key, Fields::new());
    object(fields, key)
}

/// The objects of a list.
pub(crate) fn each<'a>(
    fields: &'a mut Fields,
    key: &str,
) -> impl Iterator<Item = &'a mut Fields> + use<'a> {
    fields
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}
