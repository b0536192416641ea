//! What holds at all times, whatever goes wrong. Looks at each write at the moment at which it is stored.

use std::collections::HashMap;

use serde_json::Value;

use crate::{actors::HOST_CPU, process, rollouts::Rollouts};

/// What is known of a pod.
#[derive(Debug, Clone, Default)]
struct Pod {
    uid: String,
    node: Option<String>,
    ended: bool,
    /// Whether a container of it runs, as far as its host said.
    runs: bool,
    cpu: i64,
}

/// What was seen, and which promises were broken.
#[derive(Default)]
pub struct Promises {
    pods: HashMap<String, Pod>,
    nodes: HashMap<String, ()>,
    counts: HashMap<String, (i64, i64)>,
    /// Those about rollouts.
    pub rollouts: Rollouts,
    broken: Vec<String>,
}

/// A text of an object.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A number of an object; 0 if there is none.
pub fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// Whether its condition of a type is true.
pub fn is(object: &Value, condition: &str) -> bool {
    let conditions = object.pointer("/status/conditions");
    let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    conditions.any(|known| known["type"] == condition && known["status"] == "True")
}

/// What a list of an object holds.
pub fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// Whether a pod has ended.
pub fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn runs(pod: &Value) -> bool {
    list(pod, "/status/containerStatuses").any(|status| status["state"].get("running").is_some())
}

fn cpu(pod: &Value) -> i64 {
    list(pod, "/spec/containers")
        .map(|container| {
            let cpu = text(container, "/resources/requests/cpu");
            cpu.parse::<mosaic_api::Quantity>()
                .map_or(0, mosaic_api::Quantity::milli_value)
        })
        .sum()
}

impl Promises {
    /// A promise was broken.
    pub fn broken(&mut self, how: String) {
        self.broken.push(how);
    }

    /// The promises that were broken.
    pub fn all_broken(&self) -> &[String] {
        &self.broken
    }

    /// Looks at what was written; none for a deletion.
    pub fn saw(&mut self, key: &str, value: Option<&[u8]>) {
        let object: Option<Value> = value.map(|value| serde_json::from_slice(value).unwrap());
        let now = process::elapsed().unwrap_or_default();
        let broken = self.rollouts.saw(key, object.as_ref(), now);
        self.broken.extend(broken);
        if key.starts_with("/core/pods/") {
            self.saw_pod(key, object.as_ref());
        } else if let Some(name) = key.strip_prefix("/core/nodes/") {
            match object {
                Some(_) => self.nodes.insert(name.to_owned(), ()),
                None => self.nodes.remove(name),
            };
        } else if key.starts_with("/batch/jobs/") {
            self.saw_job(key, object.as_ref());
        }
    }

    fn saw_pod(&mut self, key: &str, object: Option<&Value>) {
        let before = self.pods.remove(key);
        let Some(object) = object else {
            if let Some(pod) = before {
                self.pod_is_gone(key, &pod);
            }
            return;
        };
        let node = text(object, "/spec/nodeName");
        let pod = Pod {
            uid: text(object, "/metadata/uid").to_owned(),
            node: (!node.is_empty()).then(|| node.to_owned()),
            ended: has_ended(object),
            runs: runs(object),
            cpu: cpu(object),
        };
        if let Some(before) = before.filter(|before| before.uid == pod.uid) {
            if before.node.is_some() && before.node != pod.node {
                let (from, to) = (&before.node, &pod.node);
                self.broken(format!("{key} moved from {from:?} to {to:?}"));
            }
            if before.ended && !pod.ended {
                self.broken(format!("{key} had ended and goes on"));
            }
        }
        let node = pod.node.clone().filter(|_| pod.runs && !pod.ended);
        self.pods.insert(key.to_owned(), pod);
        if let Some(node) = node {
            self.host_has_room(&node);
        }
    }

    /// The object of a pod goes when its host says so, and not while containers of it run, unless its host is gone:
    /// so no name is given to a second pod while the first one runs.
    fn pod_is_gone(&mut self, key: &str, pod: &Pod) {
        let Some(node) = &pod.node else {
            return;
        };
        if pod.runs && !pod.ended && self.nodes.contains_key(node) {
            self.broken(format!("{key} was removed while it ran on {node}"));
        }
    }

    fn host_has_room(&mut self, node: &str) {
        let here = self.pods.values();
        let here = here.filter(|pod| pod.node.as_deref() == Some(node) && pod.runs && !pod.ended);
        let used: i64 = here.map(|pod| pod.cpu).sum();
        if used > HOST_CPU {
            self.broken(format!(
                "{node} runs pods that ask for {used} m of {HOST_CPU} m"
            ));
        }
    }

    fn saw_job(&mut self, key: &str, object: Option<&Value>) {
        let Some(job) = object else {
            self.counts.remove(key);
            return;
        };
        let key = format!("{key} {}", text(job, "/metadata/uid"));
        let succeeded = number(job, "/status/succeeded");
        let failed = number(job, "/status/failed");
        if let Some(most) = job.pointer("/spec/completions").and_then(Value::as_i64)
            && succeeded > most
        {
            self.broken(format!("{key} counts {succeeded} of {most} completions"));
        }
        let before = self.counts.insert(key.clone(), (succeeded, failed));
        if let Some(before) = before
            && (succeeded < before.0 || failed < before.1)
        {
            self.broken(format!(
                "{key} forgot ends: {before:?} became {:?}",
                (succeeded, failed)
            ));
        }
    }
}
