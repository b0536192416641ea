//! A pod of higher priority makes room for itself where there is none, with as few other pods as will do.

use serde_json::Value;

use crate::objects::{condition, event, events, is, items, leaves, name};
use crate::{Cluster, get, until};

const CLASSES: &str = r#"
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: low}
value: 10
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 1000
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: patient}
value: 500
preemptionPolicy: Never
"#;

fn pod(name: &str, class: &str, cpu: u32) -> String {
    format!(
        r#"
---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  annotations: {{mosaic/sim-stop: 1s}}
spec:
  priorityClassName: {class}
  terminationGracePeriodSeconds: 5
  containers:
  - name: {name}
    image: "{name}:1"
    resources: {{requests: {{cpu: "{cpu}"}}}}
"#
    )
}

#[test]
fn by_priority_and_only_as_many_as_needed() {
    let cluster = Cluster::start(2, &["--cpu", "4"]);
    let kubectl = cluster.namespace("preempts");
    kubectl.run_with_input("apply -f -", CLASSES).ok();
    let full: String = (0..4).map(|i| pod(&format!("low-{i}"), "low", 2)).collect();
    kubectl.run_with_input("apply -f -", &full).ok();
    kubectl
        .run("wait --for=condition=ready pod --all --timeout=60s")
        .ok();

    // One that may not preempt waits, though it comes first and is worth more than those that run.
    kubectl
        .run_with_input("apply -f -", &pod("patient", "patient", 2))
        .ok();
    event(&kubectl, "patient", "FailedScheduling");
    kubectl
        .run_with_input("apply -f -", &pod("high", "high", 1))
        .ok();
    let waiting = until(&kubectl, "pod high", |pod| {
        pod["status"]["nominatedNodeName"].is_string()
    });
    let host = waiting["status"]["nominatedNodeName"].clone();
    let lows: Value = get(&kubectl, "pods");
    let victims: Vec<&Value> = items(&lows).iter().filter(|pod| leaves(pod)).collect();
    assert!(victims.len() <= 1, "{victims:?}");
    let high = until(&kubectl, "pod high", |pod| is(pod, "Ready"));
    assert_eq!(high["spec"]["nodeName"], host);
    let left = until(&kubectl, "pods", |pods| items(pods).len() == 5);
    let left: Vec<_> = items(&left)
        .iter()
        .map(name)
        .filter(|n| n.starts_with("low"))
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
    let gone = (0..4)
        .map(|i| format!("low-{i}"))
        .find(|low| !left.contains(&low.as_str()));
    let gone = gone.expect("one that went");
    event(&kubectl, &gone, "Preempted");
    let spared = left
        .iter()
        .map(|low| events(&kubectl, low, "Preempted").len());
    assert_eq!(spared.sum::<usize>(), 0);

    let patient = get(&kubectl, "pod patient");
    let why = condition(&patient, "PodScheduled");
    assert_eq!(why["reason"], "Unschedulable");
    assert!(patient["status"]["nominatedNodeName"].is_null());
    // A pod of the same priority is nobody's victim.
    kubectl
        .run_with_input("apply -f -", &pod("low-4", "low", 2))
        .ok();
    event(&kubectl, "low-4", "FailedScheduling");
    assert_eq!(items(&get(&kubectl, "pods")).len(), 6);
}
