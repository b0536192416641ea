//! What creates and updates of single kinds do besides the common rule.

use serde_json::{Value, json};

use crate::{
    defaults::{Fields, each, ensure, object, set, text},
    qos,
    strategy::restore,
};

/// A new pod waits to be scheduled, and its quality of service is decided for good.
pub(crate) fn pod(fields: &mut Fields) {
    let class = qos::class_of_spec(fields.get("spec"));
    let mut status = json!({"phase": "Pending", "qosClass": class});
    let gated = fields
        .get("spec")
        .and_then(|spec| spec.get("schedulingGates"))
        .and_then(Value::as_array)
        .is_some_and(|gates| !gates.is_empty());
    if gated && let Some(status) = status.as_object_mut() {
        let condition = json!([{
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
        status.insert("conditions".to_owned(), condition);
    }
    fields.insert("status".to_owned(), status);
}

/// A new namespace is active and held by the finalizer that empties it.
pub(crate) fn namespace(fields: &mut Fields) {
    fields.insert("status".to_owned(), json!({"phase": "Active"}));
    let Some(spec) = ensure(fields, "spec") else {
        return;
    };
    let Some(finalizers) = spec
        .entry("finalizers")
        .or_insert_with(|| json!([]))
        .as_array_mut()
    else {
        return;
    };
    if !finalizers.iter().any(|f| f == "kubernetes") {
        finalizers.push("kubernetes".into());
    }
}

/// Its finalizers go one by one, by way of `/finalize`.
pub(crate) fn namespace_update(fields: &mut Fields, old: &Fields) {
    restore(fields, old, "spec");
}

/// A new persistent volume is pending.
pub(crate) fn pending(fields: &mut Fields) {
    fields.insert("status".to_owned(), json!({"phase": "Pending"}));
}

/// What was asked for, and by whom, stays.
pub(crate) fn signing_request_update(fields: &mut Fields, old: &Fields) {
    restore(fields, old, "spec");
}

/// A new claim is pending; `dataSource` and `dataSourceRef` say the same.
pub(crate) fn claim(fields: &mut Fields) {
    fields.insert("status".to_owned(), json!({"phase": "Pending"}));
    claim_sources(fields);
}

/// As at creation, for claims that got a source by an update.
pub(crate) fn claim_update(fields: &mut Fields, _: &Fields) {
    claim_sources(fields);
}

fn claim_sources(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    let source = spec.get("dataSource").filter(|v| !v.is_null()).cloned();
    let reference = spec.get("dataSourceRef").filter(|v| !v.is_null()).cloned();
    match (source, reference) {
        (Some(source), None) => {
            spec.insert("dataSourceRef".to_owned(), source);
        }
        // A source in another namespace cannot be said in the older field.
        (None, Some(reference)) if reference.get("namespace").is_none_or(Value::is_null) => {
            spec.insert("dataSource".to_owned(), reference);
        }
        _ => {}
    }
}

/// A definition remembers in its status which versions were ever stored.
pub(crate) fn definition(fields: &mut Fields) {
    fields.insert("status".to_owned(), json!({"storedVersions": []}));
    remember_storage_version(fields);
}

/// As at creation: the storage version may have changed.
pub(crate) fn definition_update(fields: &mut Fields, _: &Fields) {
    remember_storage_version(fields);
}

fn remember_storage_version(fields: &mut Fields) {
    let storage = object(fields, "spec").and_then(|spec| {
        each(spec, "versions")
            .find(|v| v.get("storage").and_then(Value::as_bool) == Some(true))
            .map(|v| text(v, "name").to_owned())
    });
    let Some(storage) = storage.filter(|s| !s.is_empty()) else {
        return;
    };
    let Some(status) = ensure(fields, "status") else {
        return;
    };
    set(status, "storedVersions", json!([]));
    if let Some(stored) = status
        .get_mut("storedVersions")
        .and_then(Value::as_array_mut)
        && !stored.iter().any(|v| v == storage.as_str())
    {
        stored.push(storage.into());
    }
}

/// Gives a new job the labels and the selector by which it knows its pods, unless `manualSelector` says
/// that the client chose its own. The older label names stay in use by clients, so both are set.
pub fn job_selector(job: &mut Value, uid: &str) {
    let Some(fields) = job.as_object_mut() else {
        return;
    };
    let name = fields
        .get("metadata")
        .and_then(|m| m.get("name"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    if spec.get("manualSelector").and_then(Value::as_bool) == Some(true) {
        return;
    }
    if let Some(labels) = ensure(spec, "template")
        .and_then(|t| ensure(t, "metadata"))
        .and_then(|m| ensure(m, "labels"))
    {
        for (key, value) in [
            ("job-name", name.as_str()),
            ("batch.kubernetes.io/job-name", name.as_str()),
            ("controller-uid", uid),
            ("batch.kubernetes.io/controller-uid", uid),
        ] {
            set(labels, key, value);
        }
    }
    if let Some(labels) = ensure(spec, "selector").and_then(|s| ensure(s, "matchLabels")) {
        set(labels, "batch.kubernetes.io/controller-uid", uid);
    }
}
