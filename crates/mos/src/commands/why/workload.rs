//! Answers about what makes pods: which of them do not run, and what keeps it from making more. Pure.

use mosaic_api::meta;
use serde_json::Value;

use super::answers::{Answer, Known, because, list, text};

/// The kinds whose pods can be explained.
pub(super) const KINDS: [&str; 5] = [
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
];

/// How many pods are explained one by one.
pub(super) const EXPLAINED: usize = 3;

/// Conditions that are bad if they hold, and those that are if they do not.
const BAD: [&str; 4] = ["ReplicaFailure", "Failed", "FailureTarget", "Suspended"];
const GOOD: [&str; 2] = ["Progressing", "Available"];

/// The label selector of its pods, as a query has it; none if it has none.
pub(super) fn selector(workload: &Value) -> Option<String> {
    let mut parts = Vec::new();
    let labels = workload.pointer("/spec/selector/matchLabels");
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in list(workload, "/spec/selector/matchExpressions") {
        let key = text(expression, "/key");
        let values: Vec<&str> = list(expression, "/values")
            .filter_map(Value::as_str)
            .collect();
        let values = values.join(",");
        parts.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

/// Whether a pod does what it is there for, or did.
pub(super) fn is_well(pod: &Value) -> bool {
    let phase = text(pod, "/status/phase");
    let ready = list(pod, "/status/conditions").any(|condition| {
        text(condition, "/type") == "Ready" && text(condition, "/status") == "True"
    });
    phase == "Succeeded" || (phase == "Running" && ready && meta::deletion_timestamp(pod).is_none())
}

/// How many of its pods do well, and what keeps it from more.
pub(super) fn answer(workload: &Value, pods: &[Value], known: &Known) -> Answer {
    let well = pods.iter().filter(|pod| is_well(pod)).count();
    let wanted = ["/spec/replicas", "/status/desiredNumberScheduled"];
    let mut wanted = wanted
        .iter()
        .filter_map(|field| workload.pointer(field).and_then(Value::as_u64));
    let wanted = wanted
        .next()
        .and_then(|wanted| usize::try_from(wanted).ok());
    let of = wanted.unwrap_or(pods.len());
    let mut lines = Vec::new();
    for condition in list(workload, "/status/conditions") {
        let (kind, status) = (text(condition, "/type"), text(condition, "/status"));
        if BAD.contains(&kind) && status == "True" || GOOD.contains(&kind) && status == "False" {
            lines.extend(because(condition));
        }
    }
    if let Some(wanted) = wanted
        && pods.len() < wanted
    {
        lines.push(format!("{} of its {wanted} pods are there", pods.len()));
    }
    let reasons = [
        "FailedCreate",
        "FailedDelete",
        "FailedUpdate",
        "BackoffLimitExceeded",
    ];
    let event = known
        .event(&reasons)
        .map(|event| text(event, "/message").trim());
    // The condition may say it already.
    if event.is_some_and(|event| !lines.iter().any(|line| said_alike(line, event))) {
        lines.extend(known.told(&reasons));
    }
    if lines.is_empty() && well == pods.len() {
        lines.push("nothing keeps it from its pods".to_owned());
    }
    Answer {
        about: "pods",
        what: format!("has {well} of {of} pods that run and are ready"),
        because: lines,
    }
}

/// Whether a line tells what an event tells, for another pod maybe: both end with the same cause.
fn said_alike(line: &str, event: &str) -> bool {
    let cause = event
        .rsplit_once(" is forbidden: ")
        .map_or(event, |(_, cause)| cause);
    let start = cause.split(',').next().unwrap_or(cause);
    line.contains(start)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(phase: &str, ready: &str) -> Value {
        json!({ "metadata": { "name": "p" }, "status": { "phase": phase,
            "conditions": [{ "type": "Ready", "status": ready }] } })
    }

    #[test]
    fn a_set_says_what_keeps_it_from_its_pods() {
        let set = json!({
            "spec": { "replicas": 4 },
            "status": { "conditions": [
                { "type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
                    "message": "Deployment does not have minimum availability." },
                { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                    "message": "pods \"web-1\" is forbidden: exceeded quota: few, requested: pods=1" },
                { "type": "Progressing", "status": "True", "reason": "R", "message": "all is well" },
            ] },
        });
        let known = Known {
            events: vec![json!({ "reason": "FailedCreate", "message":
                "Error creating: pods \"web-2\" is forbidden: exceeded quota: few, requested: pods=2" })],
            ..Known::default()
        };
        let pods = [pod("Running", "True"), pod("Pending", "False")];
        let answer = answer(&set, &pods, &known);
        assert_eq!(answer.what, "has 1 of 4 pods that run and are ready");
        assert_eq!(
            answer.because,
            [
                "MinimumReplicasUnavailable: Deployment does not have minimum availability.",
                "FailedCreate: pods \"web-1\" is forbidden: exceeded quota: few, requested: pods=1",
                "2 of its 4 pods are there",
            ]
        );
    }

    #[test]
    fn pods_are_selected_as_the_workload_selects_them() {
        let set = json!({ "spec": { "selector": { "matchLabels": { "app": "web" }, "matchExpressions": [
            { "key": "tier", "operator": "In", "values": ["a", "b"] },
            { "key": "old", "operator": "DoesNotExist" },
        ] } } });
        assert_eq!(
            selector(&set).as_deref(),
            Some("app=web,tier in (a,b),!old")
        );
        assert_eq!(selector(&json!({})), None);
    }
}
