//! Workloads of `apps/v1`, and replication controllers.

use serde_json::Value;

use crate::{
    node::{Errors, Node},
    pods, rules,
};

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/// A number or percentage that is not below zero.
pub(crate) fn int_or_percent(node: &Node, e: &mut Errors) {
    match node.value() {
        Some(Value::String(text)) if rules::percent(text).is_none() => {
            e.invalid(node, PERCENT);
        }
        Some(Value::Number(_)) => e.not_negative(node),
        Some(Value::String(_)) | None => {}
        Some(_) => e.invalid(node, "must be an integer or percentage (e.g '5%')"),
    }
}

/// A percentage of at most 100.
fn at_most_all(node: &Node, e: &mut Errors) {
    if rules::percent(node.str()).is_some_and(|p| p > 100) {
        e.invalid(node, "must not be greater than 100%");
    }
}

fn is_zero(node: &Node) -> bool {
    match node.value() {
        Some(Value::String(text)) => rules::percent(text) == Some(0),
        Some(number) => number.as_i64() == Some(0),
        None => true,
    }
}

/// What all workloads share: counts, the selector, and the template that it must select.
fn workload(spec: &Node, kind: &str, noun: &str, e: &mut Errors) {
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        e.not_negative(&spec.get(field));
    }
    let selector = spec.get("selector");
    let template = spec.get("template");
    if !selector.is_set() {
        e.required(&selector, "");
    } else {
        let before = e.count();
        pods::label_selector(&selector, e);
        let empty =
            selector.get("matchLabels").is_empty() && selector.get("matchExpressions").is_empty();
        if empty {
            e.invalid(&selector, format!("empty selector is invalid for {noun}"));
        }
        if e.count() == before {
            pods::selected_template(&selector, &template, e);
        }
    }
    // Only stateful sets have claims: each of their pods gets a volume of the name of each.
    let claims = spec.get("volumeClaimTemplates");
    let names = claims
        .items()
        .map(|claim| claim.get("metadata").get("name").str());
    let names: Vec<&str> = names.collect();
    pods::template_with_claims(&template, &names, e);
    always_running(&template, kind, e);
}

fn always_running(template: &Node, kind: &str, e: &mut Errors) {
    let spec = template.get("spec");
    let policy = spec.get("restartPolicy");
    if !policy.is_empty() && policy.str() != "Always" {
        e.not_supported(&policy, &["Always"]);
    }
    let deadline = spec.get("activeDeadlineSeconds");
    if deadline.is_set() {
        e.forbidden(
            &deadline,
            format!("activeDeadlineSeconds in {kind} is not Supported"),
        );
    }
}

/// A deployment.
pub(crate) fn deployment(deployment: &Node, e: &mut Errors) {
    let spec = deployment.get("spec");
    workload(&spec, "ReplicaSet", "deployment", e);
    let strategy = spec.get("strategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").str() {
        "Recreate" => {
            if rolling.is_set() {
                e.forbidden(
                    &rolling,
                    "may not be specified when strategy `type` is 'Recreate'",
                );
            }
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            int_or_percent(&unavailable, e);
            int_or_percent(&surge, e);
            if is_zero(&unavailable) && is_zero(&surge) {
                e.invalid(&unavailable, "may not be 0 when `maxSurge` is 0");
            }
            at_most_all(&unavailable, e);
        }
        _ => e.not_supported(&strategy.get("type"), &["Recreate", "RollingUpdate"]),
    }
    let deadline = spec.get("progressDeadlineSeconds");
    e.not_negative(&deadline);
    if let Some(seconds) = deadline.int()
        && seconds <= spec.get("minReadySeconds").int_or_zero()
    {
        e.invalid(&deadline, "must be greater than minReadySeconds");
    }
}

/// A replica set.
pub(crate) fn replica_set(set: &Node, e: &mut Errors) {
    workload(&set.get("spec"), "ReplicaSet", "deployment", e);
}

/// A daemon set.
pub(crate) fn daemon_set(set: &Node, e: &mut Errors) {
    let spec = set.get("spec");
    workload(&spec, "DaemonSet", "daemonset", e);
    let strategy = spec.get("updateStrategy");
    match strategy.get("type").str() {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = strategy.get("rollingUpdate");
            let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            for field in [&unavailable, &surge] {
                int_or_percent(field, e);
                at_most_all(field, e);
            }
            match (is_zero(&unavailable), is_zero(&surge)) {
                (true, true) => e.required(&unavailable, "cannot be 0 when maxSurge is 0"),
                (false, false) => {
                    e.invalid(&surge, "may not be set when maxUnavailable is non-zero");
                }
                _ => {}
            }
        }
        _ => e.not_supported(&strategy.get("type"), &["OnDelete", "RollingUpdate"]),
    }
}

/// A stateful set.
pub(crate) fn stateful_set(set: &Node, e: &mut Errors) {
    let spec = set.get("spec");
    workload(&spec, "StatefulSet", "statefulset", e);
    let management = spec.get("podManagementPolicy");
    match management.str() {
        "" => e.required(&management, ""),
        "OrderedReady" | "Parallel" => {}
        _ => e.invalid(&management, "must be 'OrderedReady' or 'Parallel'"),
    }
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").str() {
        "" => e.required(&strategy, ""),
        "OnDelete" => {
            if rolling.is_set() {
                e.invalid(&rolling, "only allowed for updateStrategy 'RollingUpdate'");
            }
        }
        "RollingUpdate" => {
            e.not_negative(&rolling.get("partition"));
            let unavailable = rolling.get("maxUnavailable");
            if unavailable.is_set() {
                int_or_percent(&unavailable, e);
                at_most_all(&unavailable, e);
                if is_zero(&unavailable) {
                    e.invalid(&unavailable, "cannot be 0");
                }
            }
        }
        _ => e.invalid(&strategy, "must be 'RollingUpdate' or 'OnDelete'"),
    }
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        e.one_of_if_set(&retention.get(field), &["Delete", "Retain"]);
    }
    let ordinals = spec.get("ordinals");
    e.not_negative(&ordinals.get("start"));
    let service = spec.get("serviceName");
    if !service.is_empty() {
        e.check(&service, rules::label);
    }
}

const STATEFUL_SET_ALLOWED: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// An update of a stateful set.
pub(crate) fn stateful_set_update(new: &Node, old: &Node, e: &mut Errors) {
    let (new, old) = (new.get("spec"), old.get("spec"));
    let changed = new
        .fields()
        .chain(old.fields())
        .any(|(key, _)| !STATEFUL_SET_ALLOWED.contains(&key) && !new.get(key).same(&old.get(key)));
    if changed {
        e.forbidden(
            &new,
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
    }
}

/// An update of a deployment, replica set or daemon set: the selector stays.
pub(crate) fn selector_update(new: &Node, old: &Node, e: &mut Errors) {
    let (new, old) = (new.get("spec"), old.get("spec"));
    e.immutable(&new.get("selector"), &old.get("selector"));
}

/// The counts in the status of a workload.
pub(crate) fn status(new: &Node, _: &Node, e: &mut Errors) {
    let status = new.get("status");
    let replicas = status.get("replicas").int_or_zero();
    for field in [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "fullyLabeledReplicas",
        "currentNumberScheduled",
        "desiredNumberScheduled",
        "numberMisscheduled",
        "numberReady",
        "numberAvailable",
        "numberUnavailable",
        "updatedNumberScheduled",
        "collisionCount",
    ] {
        e.not_negative(&status.get(field));
    }
    if !status.get("replicas").is_set() {
        return;
    }
    for field in [
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "fullyLabeledReplicas",
    ] {
        let field = status.get(field);
        if field.int_or_zero() > replicas {
            e.invalid(&field, "cannot be greater than status.replicas");
        }
    }
    let available = status.get("availableReplicas");
    if available.int_or_zero() > status.get("readyReplicas").int_or_zero() {
        e.invalid(&available, "cannot be greater than readyReplicas");
    }
}

/// A revision of a workload's template.
pub(crate) fn revision(revision: &Node, e: &mut Errors) {
    if !revision.get("data").is_set() {
        e.required(&revision.get("data"), "data is mandatory");
    }
    e.not_negative(&revision.get("revision"));
}

/// A revision's data stays.
pub(crate) fn revision_update(new: &Node, old: &Node, e: &mut Errors) {
    e.immutable(&new.get("data"), &old.get("data"));
}

/// A replication controller, whose selector is a plain map.
pub(crate) fn replication_controller(controller: &Node, e: &mut Errors) {
    let spec = controller.get("spec");
    e.not_negative(&spec.get("replicas"));
    e.not_negative(&spec.get("minReadySeconds"));
    let selector = spec.get("selector");
    e.require(&selector, "");
    let template = spec.get("template");
    if !template.is_set() {
        e.required(&template, "");
        return;
    }
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    let matches = selector
        .entries()
        .all(|(key, value)| labels.get(key).str() == value.str());
    if !matches {
        e.invalid_as(
            &labels,
            labels.value().cloned().unwrap_or_default(),
            "`selector` does not match template `labels`",
        );
    }
    pods::template(&template, e);
    always_running(&template, "ReplicationController", e);
}
