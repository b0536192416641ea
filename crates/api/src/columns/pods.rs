//! The columns of pods: what their containers are up to, in one word.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::read::{
    AGE, NAME, NONE, Spec, age, condition, flag, has, int, list, name, text, text_or,
};
use crate::{meta, time};

pub(super) const POD: &[Spec] = &[
    NAME,
    (
        "Ready",
        "string",
        0,
        "The aggregate readiness state of this pod for accepting traffic.",
    ),
    (
        "Status",
        "string",
        0,
        "The aggregate status of the containers in this pod.",
    ),
    (
        "Restarts",
        "string",
        0,
        "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
    ),
    AGE,
    ("IP", "string", 1, "The address of the pod."),
    ("Node", "string", 1, "The node that the pod is bound to."),
    (
        "Nominated Node",
        "string",
        1,
        "The node that others make room on for the pod.",
    ),
    (
        "Readiness Gates",
        "string",
        1,
        "How many of the pod's readiness gates are passed.",
    ),
];

pub(super) fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let restarts = match summary.last_restart {
        Some(then) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, time::since(then, now))
        }
        _ => summary.restarts.to_string(),
    };
    let address = match text(pod, "/status/podIPs/0/ip") {
        "" => text_or(pod, "/status/podIP", NONE),
        address => address,
    };
    vec![
        name(pod),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        address.into(),
        text_or(pod, "/spec/nodeName", NONE).into(),
        text_or(pod, "/status/nominatedNodeName", NONE).into(),
        readiness_gates(pod).into(),
    ]
}

/// The conditions of a pod's row: whether it has come to its end.
pub(super) fn row_conditions(pod: &Value) -> Option<Value> {
    let message = match text(pod, "/status/phase") {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!([{
        "type": "Completed",
        "status": "True",
        "reason": text(pod, "/status/phase"),
        "message": message,
    }]))
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let passed = gates
        .iter()
        .filter(|gate| condition(pod, text(gate, "/conditionType")) == Some("True"))
        .count();
    format!("{passed}/{}", gates.len())
}

/// A pod in short.
struct Summary {
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
    reason: String,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let phase = text(pod, "/status/phase");
        let gated = list(pod, "/status/conditions").iter().any(|condition| {
            text(condition, "/type") == "PodScheduled"
                && text(condition, "/reason") == "SchedulingGated"
        });
        let mut summary = Self {
            ready: 0,
            total: list(pod, "/spec/containers").len() + sidecars(pod).count(),
            restarts: 0,
            last_restart: None,
            reason: if gated {
                "SchedulingGated".to_owned()
            } else {
                text_or(pod, "/status/reason", phase).to_owned()
            },
        };
        let initializing = summary.add_init_containers(pod);
        if !initializing || condition(pod, "Initialized") == Some("True") {
            summary.add_containers(pod);
        }
        if meta::is_being_deleted(pod) {
            if text(pod, "/status/reason") == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Counts the init containers up to the first that is not done, and says whether there is one.
    fn add_init_containers(&mut self, pod: &Value) -> bool {
        for (index, status) in list(pod, "/status/initContainerStatuses")
            .iter()
            .enumerate()
        {
            self.count_restarts(status);
            let sidecar = sidecars(pod).any(|c| text(c, "/name") == text(status, "/name"));
            let terminated = has(status, "/state/terminated");
            if terminated && int(status, "/state/terminated/exitCode") == 0 {
                continue;
            }
            if sidecar && flag(status, "/started") == Some(true) {
                if flag(status, "/ready") == Some(true) {
                    self.ready += 1;
                }
                continue;
            }
            let waiting = text(status, "/state/waiting/reason");
            self.reason = if terminated {
                format!("Init:{}", ending(status))
            } else if !matches!(waiting, "" | "PodInitializing") {
                format!("Init:{waiting}")
            } else {
                format!("Init:{index}/{}", list(pod, "/spec/initContainers").len())
            };
            return true;
        }
        false
    }

    /// Counts the containers. Once they run, only the restarts of sidecars count beside theirs.
    fn add_containers(&mut self, pod: &Value) {
        self.restarts = 0;
        self.last_restart = None;
        for status in list(pod, "/status/initContainerStatuses") {
            if sidecars(pod).any(|c| text(c, "/name") == text(status, "/name")) {
                self.count_restarts(status);
            }
        }
        let mut running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            self.count_restarts(status);
            let waiting = text(status, "/state/waiting/reason");
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if has(status, "/state/terminated") {
                self.reason = ending(status);
            } else if flag(status, "/ready") == Some(true) && has(status, "/state/running") {
                running = true;
                self.ready += 1;
            }
        }
        // One container that is done does not make the pod so while others run.
        if self.reason == "Completed" && running {
            self.reason = if condition(pod, "Ready") == Some("True") {
                "Running"
            } else {
                "NotReady"
            }
            .to_owned();
        }
    }

    fn count_restarts(&mut self, status: &Value) {
        self.restarts = self.restarts.saturating_add(int(status, "/restartCount"));
        let finished = time::parse(text(status, "/lastState/terminated/finishedAt"));
        self.last_restart = self.last_restart.max(finished);
    }
}

/// Init containers that run beside the others.
fn sidecars(pod: &Value) -> impl Iterator<Item = &Value> {
    list(pod, "/spec/initContainers")
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always")
}

/// Why a container ended.
fn ending(status: &Value) -> String {
    match text(status, "/state/terminated/reason") {
        "" => match int(status, "/state/terminated/signal") {
            0 => format!("ExitCode:{}", int(status, "/state/terminated/exitCode")),
            signal => format!("Signal:{signal}"),
        },
        reason => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(pod_object: Value) -> Vec<String> {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let cells = pod(&pod_object, now);
        cells
            .iter()
            .map(|cell| cell.as_str().unwrap().to_owned())
            .collect()
    }

    fn status_of(status: Value) -> String {
        let spec = json!({
            "containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
        });
        cells(json!({"metadata": {"name": "p"}, "spec": spec, "status": status}))[2].clone()
    }

    #[test]
    fn a_running_pod() {
        let pod = json!({
            "metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:57:00Z"},
            "spec": {"containers": [{"name": "a"}], "nodeName": "n1",
                "readinessGates": [{"conditionType": "x"}, {"conditionType": "y"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}],
                "conditions": [{"type": "x", "status": "True"}],
                "containerStatuses": [{"name": "a", "ready": true, "restartCount": 2,
                    "state": {"running": {}},
                    "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}}]},
        });
        assert_eq!(
            cells(pod),
            [
                "web",
                "1/1",
                "Running",
                "2 (5m ago)",
                "3m",
                "10.0.0.1",
                "n1",
                "<none>",
                "1/2"
            ]
        );
    }

    #[test]
    fn what_containers_are_up_to() {
        let waiting = json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        let done = json!({"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
        let running = json!({"ready": true, "state": {"running": {}}});
        let killed = json!({"state": {"terminated": {"exitCode": 137, "signal": 9}}});
        let failed = json!({"state": {"terminated": {"exitCode": 3}}});
        let cases = [
            (json!({"phase": "Pending"}), "Pending"),
            (json!({"phase": "Failed", "reason": "Evicted"}), "Evicted"),
            (
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}),
                "SchedulingGated",
            ),
            (
                json!({"containerStatuses": [running, waiting]}),
                "CrashLoopBackOff",
            ),
            (json!({"containerStatuses": [done, done]}), "Completed"),
            (json!({"containerStatuses": [running, done]}), "NotReady"),
            (
                json!({"containerStatuses": [running, done], "conditions": [{"type": "Ready", "status": "True"}]}),
                "Running",
            ),
            (json!({"containerStatuses": [killed]}), "Signal:9"),
            (json!({"containerStatuses": [failed]}), "ExitCode:3"),
            (
                json!({"initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
                "Init:0/2",
            ),
            (
                json!({"initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "PodInitializing"}}}]}),
                "Init:0/2",
            ),
            (
                json!({"initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "ErrImagePull"}}}]}),
                "Init:ErrImagePull",
            ),
            (
                json!({"initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
                "Init:Error",
            ),
            (
                json!({"initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 2}}}]}),
                "Init:ExitCode:2",
            ),
            (
                json!({"phase": "Pending", "initContainerStatuses": [
                    {"name": "i", "state": {"terminated": {"exitCode": 0}}},
                    {"name": "s", "started": true, "ready": true, "state": {"running": {}}}],
                    "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}),
                "PodInitializing",
            ),
        ];
        for (status, word) in cases {
            assert_eq!(status_of(status.clone()), word, "{status}");
        }
    }

    #[test]
    fn pods_on_their_way_out() {
        let pod = |status: Value| {
            let metadata = json!({"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"});
            cells(json!({"metadata": metadata, "status": status}))[2].clone()
        };
        assert_eq!(pod(json!({"phase": "Running"})), "Terminating");
        assert_eq!(
            pod(json!({"phase": "Running", "reason": "NodeLost"})),
            "Unknown"
        );
        assert_eq!(pod(json!({"phase": "Succeeded"})), "Succeeded");
    }

    #[test]
    fn a_pod_of_nonsense_has_cells_too() {
        let nonsense = json!({"metadata": [], "spec": {"containers": {"a": 1}}, "status": 7});
        assert_eq!(pod(&nonsense, Timestamp::UNIX_EPOCH).len(), POD.len());
    }
}
