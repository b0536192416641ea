//! Hosts that run pods: each call is one step of one pod.

use serde_json::{Value, json};

use crate::api::Api;

/// What becomes of a pod next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The next good thing: bound, started, ready; or, if it is to go, stopped.
    On,
    /// Its containers end well.
    Succeed,
    /// Its containers end badly.
    Fail,
    /// Somebody deletes it.
    Delete,
    /// It is not ready any more.
    Unready,
}

/// The names of all pods.
pub fn names(api: &Api) -> Vec<String> {
    api.all("Pod")
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

fn ready(api: &Api, status: &str) -> Value {
    json!([{"type": "Ready", "status": status, "lastTransitionTime": api.time()}])
}

pub fn step(api: &mut Api, name: &str, step: Step) {
    let Some(pod) = api.get("Pod", name).cloned() else {
        return;
    };
    let phase = pod["status"]["phase"].as_str().unwrap().to_owned();
    let (ended, leaves) = (
        phase == "Succeeded" || phase == "Failed",
        !pod["metadata"]["deletionTimestamp"].is_null(),
    );
    let bound = pod["spec"]["nodeName"].is_string();
    match step {
        Step::On if leaves => {
            api.update("Pod", name, |pod| {
                if !ended {
                    pod["status"]["phase"] = json!("Failed");
                    pod["status"]["conditions"] = json!([]);
                }
                pod["status"]["stopped"] = json!(true);
            });
        }
        Step::On if ended => {}
        Step::On if !bound => {
            let pinned = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                          /nodeSelectorTerms/0/matchFields/0/values/0";
            let host = pod.pointer(pinned).cloned().unwrap_or(json!("host"));
            api.update("Pod", name, |pod| pod["spec"]["nodeName"] = host);
        }
        Step::On if phase == "Pending" => {
            let conditions = ready(api, "False");
            api.update("Pod", name, |pod| {
                pod["status"]["phase"] = json!("Running");
                pod["status"]["conditions"] = conditions;
            });
        }
        Step::On if pod["status"]["conditions"][0]["status"] != "True" => {
            let conditions = ready(api, "True");
            api.update("Pod", name, |pod| pod["status"]["conditions"] = conditions);
        }
        Step::On => {}
        Step::Succeed | Step::Fail if bound && !ended => {
            let phase = if step == Step::Fail {
                "Failed"
            } else {
                "Succeeded"
            };
            let at = json!(api.time());
            api.update("Pod", name, |pod| {
                pod["status"]["phase"] = json!(phase);
                pod["status"]["conditions"] = json!([]);
                pod["status"]["containerStatuses"] =
                    json!([{"name": "c", "state": {"terminated": {"exitCode": 1, "finishedAt": at}}}]);
            });
        }
        Step::Delete => {
            let target = mosaic_workloads::Target {
                kind: mosaic_workloads::Kind::Pod,
                name: name.to_owned(),
                uid: pod["metadata"]["uid"].as_str().unwrap().to_owned(),
                resource_version: None,
            };
            api.delete("Pod", &target).unwrap();
        }
        Step::Unready if phase == "Running" => {
            let conditions = ready(api, "False");
            api.update("Pod", name, |pod| pod["status"]["conditions"] = conditions);
        }
        _ => {}
    }
}

/// Every pod makes its next good step.
pub fn all_on(api: &mut Api) {
    for name in names(api) {
        step(api, &name, Step::On);
    }
}

/// Whether a pod is neither ended nor on its way out.
pub fn is_active(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && !matches!(
            pod["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        )
}

/// Whether a pod works.
pub fn is_available(pod: &Value) -> bool {
    is_active(pod) && pod["status"]["conditions"][0]["status"] == "True"
}
