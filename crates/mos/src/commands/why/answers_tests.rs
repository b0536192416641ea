use serde_json::json;

use super::*;

fn known() -> Known {
    Known {
        now: "2026-01-01T01:00:00Z".parse().unwrap(),
        ..Known::default()
    }
}

fn told(about: &str, pod: &Value, known: &Known) -> Vec<String> {
    let answers = answers(pod, known);
    let found = answers.into_iter().find(|answer| answer.about == about);
    found.map(|answer| answer.because).unwrap_or_default()
}

fn abouts(pod: &Value, known: &Known) -> Vec<&'static str> {
    answers(pod, known)
        .iter()
        .map(|answer| answer.about)
        .collect()
}

fn event(reason: &str, message: &str) -> Value {
    json!({ "reason": reason, "message": message, "lastTimestamp": "2026-01-01T00:58:00Z" })
}

/// A pod on a host with one container in this state.
fn pod(state: Value) -> Value {
    let mut status = json!({ "name": "main", "restartCount": 0 });
    for (key, value) in state.as_object().unwrap() {
        status[key] = value.clone();
    }
    json!({
        "spec": { "nodeName": "h1", "containers": [{ "name": "main", "resources": { "limits": { "memory": "64Mi" } } }] },
        "status": { "phase": "Running", "containerStatuses": [status],
            "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

#[test]
fn a_pod_without_a_host_says_what_it_waits_for() {
    let mut known = known();
    known.placement.words = Some("none of 3 hosts will do: 3 have too little free.".into());
    known.events = vec![event(
        "FailedScheduling",
        "0/3 nodes are available: 3 Insufficient cpu.",
    )];
    let scheduled = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room" });
    let waiting = json!({ "spec": {}, "status": { "phase": "Pending", "conditions": [scheduled], "nominatedNodeName": "h2" } });
    assert_eq!(abouts(&waiting, &known), ["place"]);
    assert_eq!(
        told("place", &waiting, &known),
        [
            "Unschedulable: no room",
            "none of 3 hosts will do: 3 have too little free.",
            "room is being made for it on h2",
            "event FailedScheduling (2m ago): 0/3 nodes are available: 3 Insufficient cpu.",
        ]
    );
    let gated = json!({ "spec": { "schedulingGates": [{ "name": "quota" }] } });
    assert_eq!(
        told("place", &gated, &known),
        ["nobody decides about it before these gates are taken away: quota"]
    );
    let others = json!({ "spec": { "schedulerName": "mine" } });
    let why = told("place", &others, &self::known());
    assert_eq!(
        why,
        ["scheduler `mine` has not decided about it: does it run?"]
    );
}

#[test]
fn a_pod_that_is_well_says_only_where_it_is_and_why() {
    let mut known = known();
    known.placement.words = Some("2 of 3 hosts would do.".into());
    known.events = vec![event("Scheduled", "assigned to h1")];
    let pod = pod(json!({ "ready": true, "started": true, "state": { "running": {} } }));
    assert_eq!(abouts(&pod, &known), ["place"]);
    assert_eq!(
        told("place", &pod, &known),
        [
            "event Scheduled (2m ago): assigned to h1",
            "2 of 3 hosts would do."
        ]
    );
}

#[test]
fn restarts_have_their_causes() {
    let ended = |reason: &str, code: i64| {
        pod(json!({
            "restartCount": 3, "ready": true, "state": { "running": {} },
            "lastState": { "terminated": { "exitCode": code, "reason": reason, "finishedAt": "2026-01-01T00:55:00Z" } },
        }))
    };
    let why = |reason, code| told("restarts", &ended(reason, code), &known())[0].clone();
    let start = "container main restarted 3 times; 5m ago it ended with exit code";
    assert_eq!(
        why("OOMKilled", 137),
        format!("{start} 137: it used more memory than its limit of 64Mi (OOMKilled)")
    );
    assert_eq!(
        why("Error", 137),
        format!("{start} 137: signal 9, killed (Error)")
    );
    assert_eq!(
        why("Error", 127),
        format!("{start} 127: its program was not found (Error)")
    );
    assert_eq!(
        why("Completed", 0),
        format!("{start} 0: its program ended by itself (Completed)")
    );
    assert_eq!(why("", 3), format!("{start} 3: its program failed"));

    let mut known = known();
    known.events = vec![
        event(
            "Killing",
            "Container main failed liveness probe, will be restarted",
        ),
        event("Unhealthy", "Liveness probe failed: HTTP 500"),
    ];
    assert_eq!(
        told("restarts", &ended("Error", 143), &known),
        [
            "container main restarted 3 times; 5m ago its host stopped it, as its liveness probe failed (exit code 143)",
            "event Unhealthy (2m ago): Liveness probe failed: HTTP 500",
        ]
    );
    let by_itself = &told("restarts", &ended("Error", 3), &known)[0];
    assert!(
        by_itself.ends_with("3: its program failed (Error)"),
        "{by_itself}"
    );
}

#[test]
fn nothing_is_said_twice() {
    let mut known = known();
    known.placement.words = Some(
        "none of 3 hosts will do: 3 have too little free. The nearest: h2 has 1 CPU free.".into(),
    );
    let message = "0/3 nodes are available: 3 Insufficient cpu. The nearest: h2 has 1 CPU free.";
    known.events = vec![event("FailedScheduling", message)];
    let waiting = |message: &str| {
        let scheduled = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message });
        json!({ "spec": {}, "status": { "phase": "Pending", "conditions": [scheduled] } })
    };
    assert_eq!(
        told("place", &waiting(message), &known),
        [
            "Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.",
            "none of 3 hosts will do: 3 have too little free. The nearest: h2 has 1 CPU free.",
        ]
    );
    known.placement.words = Some("there is no volume.".into());
    let message = "0/3 nodes are available: there is no volume.";
    known.events = vec![event("FailedScheduling", message)];
    assert_eq!(
        told("place", &waiting(message), &known),
        ["Unschedulable: 0/3 nodes are available: there is no volume."]
    );
}

#[test]
fn a_pod_that_waits_for_volumes_says_so_and_promises_nothing() {
    let message = "waiting for claim shop/data to be provisioned on host h1";
    let scheduled = json!({ "type": "PodScheduled", "status": "False", "reason": "WaitingForVolumes", "message": message });
    let waiting =
        json!({ "spec": {}, "status": { "phase": "Pending", "conditions": [scheduled] } });
    assert_eq!(
        told("place", &waiting, &known()),
        [format!("WaitingForVolumes: {message}")]
    );
}

#[test]
fn a_resize_that_cannot_be_is_told() {
    let mut pod = pod(json!({ "ready": true, "state": { "running": {} } }));
    pod["status"]["conditions"] = json!([
        { "type": "Ready", "status": "True" },
        { "type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": "not enough cpu" },
    ]);
    assert_eq!(
        told("resize", &pod, &known()),
        ["Infeasible: not enough cpu"]
    );
}

#[test]
fn a_host_that_never_was_is_not_there() {
    let mut known = known();
    known.placement.host_exists = Some(false);
    let why = told("place", &pod(json!({ "state": { "running": {} } })), &known);
    assert_eq!(why, ["there is no host h1"]);
}

#[test]
fn what_is_not_ready_says_which_probe_or_gate() {
    let mut known = known();
    known.events = vec![event("Unhealthy", "Readiness probe failed: HTTP 500")];
    let mut pod = pod(json!({ "ready": false, "started": true, "state": { "running": {} } }));
    pod["status"]["conditions"] =
        json!([{ "type": "Ready", "status": "False", "reason": "ContainersNotReady" }]);
    pod["spec"]["containers"][0]["readinessProbe"] = json!({});
    pod["spec"]["readinessGates"] = json!([{ "conditionType": "lb" }]);
    assert_eq!(
        told("readiness", &pod, &known),
        [
            "container main runs, but its readiness probe fails",
            "nobody has opened its readiness gate lb",
            "event Unhealthy (2m ago): Readiness probe failed: HTTP 500",
        ]
    );
}

#[test]
fn what_has_not_started_says_what_it_waits_for() {
    let waiting = json!({ "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } });
    let mut pod = pod(waiting);
    pod["status"]["phase"] = json!("Pending");
    let why = told("start", &pod, &known());
    assert_eq!(
        why,
        ["container main waits: ImagePullBackOff: no such image"]
    );
}

#[test]
fn what_is_terminating_says_what_holds_it() {
    let mut pod = pod(json!({ "ready": true, "state": { "running": {} } }));
    pod["metadata"] = json!({ "name": "db-0", "deletionTimestamp": "2026-01-01T00:50:00Z", "deletionGracePeriodSeconds": 30 });
    let mut known = known();
    known.placement.host_is_ready = Some(false);
    known.placement.host_exists = Some(true);
    assert_eq!(
        told("deletion", &pod, &known),
        [
            "somebody deleted it; its containers have 30 s to end",
            "its time was up 10m ago, but its host h1 does not answer",
            "only its host can tell that it ended; if h1 does not come back, `mos delete node/h1` lets go of all its pods, \
             and `kubectl delete pod db-0 --force --grace-period=0` of this one",
        ]
    );
    pod["metadata"]["finalizers"] = json!(["example.com/held"]);
    let why = told("deletion", &pod, &known);
    assert!(
        why[1].contains("example.com/held") && why[2] == "its time was up 10m ago",
        "{why:?}"
    );
}

#[test]
fn what_failed_says_why() {
    let mut pod = pod(
        json!({ "state": { "terminated": { "exitCode": 1, "reason": "Error", "message": "no database" } } }),
    );
    pod["status"]["phase"] = json!("Failed");
    pod["status"]["reason"] = json!("Evicted");
    let why = told("end", &pod, &known());
    assert_eq!(
        why,
        [
            "Evicted",
            "container main ended with exit code 1: its program failed (Error)\nno database"
        ]
    );
}
