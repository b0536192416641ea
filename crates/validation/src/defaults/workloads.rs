//! Defaults of `apps/v1`.

use serde_json::json;

use super::{Fields, core::claim, ensure, object, pod::template, set, set_text, text};

/// Defaults of a `Deployment`.
pub(crate) fn deployment(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
    if let Some(strategy) = ensure(spec, "strategy") {
        set_text(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = ensure(strategy, "rollingUpdate")
        {
            set(rolling, "maxUnavailable", "25%");
            set(rolling, "maxSurge", "25%");
        }
    }
    template(spec);
}

/// Defaults of a `ReplicaSet`.
pub(crate) fn replica_set(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    set(spec, "replicas", 1);
    template(spec);
}

/// Defaults of a `DaemonSet`.
pub(crate) fn daemon_set(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    set(spec, "revisionHistoryLimit", 10);
    if let Some(strategy) = ensure(spec, "updateStrategy") {
        set_text(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = ensure(strategy, "rollingUpdate")
        {
            set(rolling, "maxUnavailable", 1);
            set(rolling, "maxSurge", 0);
        }
    }
    template(spec);
}

/// Defaults of a `StatefulSet`.
pub(crate) fn stateful_set(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set_text(spec, "podManagementPolicy", "OrderedReady");
    if let Some(policy) = ensure(spec, "persistentVolumeClaimRetentionPolicy") {
        set_text(policy, "whenDeleted", "Retain");
        set_text(policy, "whenScaled", "Retain");
    }
    if let Some(strategy) = ensure(spec, "updateStrategy") {
        if text(strategy, "type").is_empty() {
            set_text(strategy, "type", "RollingUpdate");
            set(strategy, "rollingUpdate", Fields::new());
        }
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = object(strategy, "rollingUpdate")
        {
            set(rolling, "partition", 0);
            set(rolling, "maxUnavailable", 1);
        }
    }
    let templates = spec
        .get_mut("volumeClaimTemplates")
        .and_then(|t| t.as_array_mut());
    for template in templates.into_iter().flatten() {
        if let Some(fields) = template.as_object_mut() {
            set_text(fields, "apiVersion", "v1");
            set_text(fields, "kind", "PersistentVolumeClaim");
            set(fields, "status", json!({}));
            claim(fields);
        }
    }
    template(spec);
}

/// Defaults of a `ReplicationController`: its selector and labels are those of its template.
pub(crate) fn replication_controller(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    set(spec, "replicas", 1);
    template(spec);
    let labels = spec
        .get("template")
        .and_then(|t| t.pointer("/metadata/labels"))
        .filter(|l| l.is_object())
        .cloned();
    if let Some(labels) = labels {
        set(spec, "selector", labels.clone());
        if let Some(metadata) = object(fields, "metadata") {
            set(metadata, "labels", labels);
        }
    }
}
