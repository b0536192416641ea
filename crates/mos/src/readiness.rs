//! Whether an object has become what it was asked to be. Pure: from the object alone.

use mosaic_api::meta;
use serde_json::Value;

/// How far an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It is what was asked for.
    Ready,
    /// Not yet, and what is missing.
    Waiting(String),
    /// It will not be, and why.
    Failed(String),
}

use Readiness::{Failed, Ready, Waiting};

fn waiting(text: impl Into<String>) -> Readiness {
    Waiting(text.into())
}

fn number(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

struct Condition<'a> {
    is_true: bool,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    fn explain(&self, name: &str) -> String {
        match (self.reason, self.message) {
            ("", "") => format!("not {name}"),
            (reason, "") => format!("not {name}: {reason}"),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions
        .iter()
        .find(|condition| text(condition, "/type") == kind)?;
    Some(Condition {
        is_true: text(found, "/status") == "True",
        reason: text(found, "/reason"),
        message: text(found, "/message"),
    })
}

/// Whether the controller has seen the object's latest generation.
fn is_observed(object: &Value) -> bool {
    let observed = object
        .pointer("/status/observedGeneration")
        .and_then(Value::as_i64);
    observed.is_some_and(|observed| observed >= meta::generation(object))
}

/// How far an object is, by its kind; kinds that are not known by their conditions, if they have any.
pub(crate) fn readiness(object: &Value) -> Readiness {
    if meta::is_being_deleted(object) {
        return Failed("it is being deleted".into());
    }
    let group = meta::group_of(meta::api_version(object));
    match (group, meta::kind(object)) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("apps", "ReplicaSet") => replica_set(object),
        ("", "Pod") => pod(object),
        ("", "Namespace") => phase(object, "Active"),
        ("", "PersistentVolumeClaim") => phase(object, "Bound"),
        ("batch", "Job") => job(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => by_condition(object, "Established"),
        _ => generic(object),
    }
}

fn phase(object: &Value, wanted: &str) -> Readiness {
    match text(object, "/status/phase") {
        phase if phase == wanted => Ready,
        "Lost" => Failed("its volume is lost".into()),
        "" => waiting(format!("not {wanted}")),
        phase => waiting(phase),
    }
}

fn by_condition(object: &Value, name: &str) -> Readiness {
    match condition(object, name) {
        Some(condition) if condition.is_true => Ready,
        Some(condition) => waiting(condition.explain(name)),
        None => waiting(format!("not {name}")),
    }
}

fn deployment(object: &Value) -> Readiness {
    if let Some(progress) = condition(object, "Progressing")
        && progress.reason == "ProgressDeadlineExceeded"
    {
        return Failed(progress.message.to_owned());
    }
    if !is_observed(object) {
        return waiting("not seen by its controller");
    }
    let wanted = object
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    let updated = number(object, "/status/updatedReplicas");
    let total = number(object, "/status/replicas");
    let available = number(object, "/status/availableReplicas");
    if updated < wanted {
        waiting(format!("{updated} of {wanted} updated"))
    } else if total > updated {
        waiting(format!("{} old ones still there", total - updated))
    } else if available < updated {
        waiting(format!("{available} of {updated} available"))
    } else {
        Ready
    }
}

fn stateful_set(object: &Value) -> Readiness {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Ready;
    }
    if !is_observed(object) {
        return waiting("not seen by its controller");
    }
    let wanted = object
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    let ready = number(object, "/status/readyReplicas");
    if ready < wanted {
        return waiting(format!("{ready} of {wanted} ready"));
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    let updated = number(object, "/status/updatedReplicas");
    if updated < wanted - partition {
        return waiting(format!("{updated} of {} updated", wanted - partition));
    }
    if partition == 0
        && text(object, "/status/updateRevision") != text(object, "/status/currentRevision")
    {
        return waiting("the new revision is not the current one");
    }
    Ready
}

fn daemon_set(object: &Value) -> Readiness {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Ready;
    }
    if !is_observed(object) {
        return waiting("not seen by its controller");
    }
    let wanted = number(object, "/status/desiredNumberScheduled");
    let updated = number(object, "/status/updatedNumberScheduled");
    let available = number(object, "/status/numberAvailable");
    if updated < wanted {
        waiting(format!("{updated} of {wanted} updated"))
    } else if available < wanted {
        waiting(format!("{available} of {wanted} available"))
    } else {
        Ready
    }
}

fn replica_set(object: &Value) -> Readiness {
    if !is_observed(object) {
        return waiting("not seen by its controller");
    }
    let wanted = object
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    let available = number(object, "/status/availableReplicas");
    if available < wanted {
        waiting(format!("{available} of {wanted} available"))
    } else {
        Ready
    }
}

fn pod(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Succeeded" => Ready,
        "Failed" => {
            let reason = text(object, "/status/reason");
            Failed(if reason.is_empty() {
                "the pod failed".into()
            } else {
                reason.to_owned()
            })
        }
        _ => match condition(object, "Ready") {
            Some(ready) if ready.is_true => Ready,
            _ => match condition(object, "PodScheduled") {
                Some(scheduled) if !scheduled.is_true => waiting(scheduled.explain("scheduled")),
                _ => waiting("not ready"),
            },
        },
    }
}

fn job(object: &Value) -> Readiness {
    if let Some(failed) = condition(object, "Failed").filter(|condition| condition.is_true) {
        return Failed(failed.explain("complete"));
    }
    match condition(object, "Complete") {
        Some(complete) if complete.is_true => Ready,
        _ => {
            let wanted = object
                .pointer("/spec/completions")
                .and_then(Value::as_i64)
                .unwrap_or(1);
            waiting(format!(
                "{} of {wanted} completed",
                number(object, "/status/succeeded")
            ))
        }
    }
}

fn generic(object: &Value) -> Readiness {
    if object.pointer("/status/observedGeneration").is_some() && !is_observed(object) {
        return waiting("not seen by its controller");
    }
    for name in ["Ready", "Available"] {
        if condition(object, name).is_some() {
            return by_condition(object, name);
        }
    }
    Ready
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn deployment_with(status: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": status})
    }

    #[test]
    fn a_deployment_is_followed_to_its_end() {
        let cases = [
            (json!({}), waiting("not seen by its controller")),
            (
                json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}),
                waiting("not seen by its controller"),
            ),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1}),
                waiting("1 of 3 updated"),
            ),
            (
                json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 3, "availableReplicas": 3}),
                waiting("1 old ones still there"),
            ),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 2}),
                waiting("2 of 3 available"),
            ),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}),
                Ready,
            ),
            (
                json!({"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "too slow"}]}),
                Failed("too slow".into()),
            ),
        ];
        for (status, wanted) in cases {
            assert_eq!(
                readiness(&deployment_with(status.clone())),
                wanted,
                "{status}"
            );
        }
    }

    #[test]
    fn other_kinds_have_their_own_idea_of_ready() {
        let pod = |status: Value| json!({"apiVersion": "v1", "kind": "Pod", "status": status});
        assert_eq!(readiness(&pod(json!({"phase": "Succeeded"}))), Ready);
        assert!(matches!(
            readiness(&pod(json!({"phase": "Failed"}))),
            Failed(_)
        ));
        let unscheduled = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no nodes"}]});
        assert_eq!(
            readiness(&pod(unscheduled)),
            waiting("Unschedulable: no nodes")
        );
        let crd =
            json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"});
        assert_eq!(readiness(&crd), waiting("not Established"));
        assert_eq!(
            readiness(&json!({"apiVersion": "v1", "kind": "ConfigMap"})),
            Ready
        );
        let custom = json!({"apiVersion": "x/v1", "kind": "Car", "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Cold"}]}});
        assert_eq!(readiness(&custom), waiting("not Ready: Cold"));
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}});
        assert!(matches!(readiness(&job), Failed(_)));
        assert!(matches!(
            readiness(&json!({"metadata": {"deletionTimestamp": "x"}})),
            Failed(_)
        ));
    }

    proptest! {
        #[test]
        fn a_deployment_is_ready_only_when_every_replica_is_new_and_available(
            wanted in 0i64..5, total in 0i64..8, updated in 0i64..8, available in 0i64..8,
        ) {
            let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": 1}, "spec": {"replicas": wanted},
                "status": {"observedGeneration": 1, "replicas": total, "updatedReplicas": updated, "availableReplicas": available}});
            let ready = readiness(&object) == Ready;
            prop_assert_eq!(ready, updated >= wanted && total <= updated && available >= updated);
        }
    }
}
