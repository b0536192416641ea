//! The pods of a group (`mosaic/pod-group`) are placed all at once, or none of them.

use crate::objects::{condition, event, hosts, is, items};
use crate::{Cluster, get, mos_with, until};

fn pod(name: &str, group: &str, size: usize) -> String {
    format!(
        r#"
---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{group: {group}}}
  annotations: {{mosaic/pod-group: {group}, mosaic/pod-group-size: '{size}'}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: worker
    image: "worker:1"
    resources: {{requests: {{cpu: "2"}}}}
"#
    )
}

#[test]
fn all_or_none() {
    // Room for four pods.
    let cluster = Cluster::start(2, &["--cpu", "4"]);
    let kubectl = cluster.namespace("pod-groups");
    let apply = |manifest: &str| kubectl.run_with_input("apply -f -", manifest).ok().len();
    apply(&(pod("a-0", "a", 3) + &pod("a-1", "a", 3)));
    for name in ["a-0", "a-1"] {
        event(&kubectl, name, "FailedScheduling");
    }
    let waiting = get(&kubectl, "pods");
    assert!(hosts(&waiting).is_empty(), "the third is missing");
    for pod in items(&waiting) {
        let why = condition(pod, "PodScheduled");
        assert_eq!(why["status"], "False");
    }
    mos_with(&cluster.server, "why a-0 -n pod-groups").says("group");
    apply(&pod("a-2", "a", 3));
    until(&kubectl, "pods", |pods| {
        items(pods).iter().all(|pod| is(pod, "Ready"))
    });

    // One of these would fit.
    apply(&(pod("b-0", "b", 2) + &pod("b-1", "b", 2)));
    event(&kubectl, "b-0", "FailedScheduling");
    event(&kubectl, "b-1", "FailedScheduling");
    assert!(hosts(&get(&kubectl, "pods -l group=b")).is_empty());
    kubectl.run("delete pod a-0").ok();
    until(&kubectl, "pods -l group=b", |pods| {
        items(pods).iter().all(|pod| is(pod, "Ready"))
    });
}

#[test]
fn one_of_a_group_makes_no_room_for_itself_alone() {
    let cluster = Cluster::start(1, &["--cpu", "4"]);
    let kubectl = cluster.namespace("pod-groups-room");
    let class = r#"
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 1000
---
apiVersion: v1
kind: Pod
metadata: {name: low}
spec:
  containers: [{name: a, image: "a:1", resources: {requests: {cpu: "3"}}}]
"#;
    kubectl.run_with_input("apply -f -", class).ok();
    kubectl.run("wait --for=condition=Ready pod/low").ok();
    let important = |name: &str, size| {
        pod(name, name, size).replace("spec:\n", "spec:\n  priorityClassName: high\n")
    };
    let lone = important("lone", 2);
    kubectl.run_with_input("apply -f -", &lone).ok();
    event(&kubectl, "lone", "FailedScheduling");
    // One that needs no others does make room, later than the one that must not.
    let single = important("single", 1).replace("mosaic/pod-group: single, ", "");
    kubectl.run_with_input("apply -f -", &single).ok();
    until(&kubectl, "pod single", |pod| is(pod, "Ready"));
    let lone = get(&kubectl, "pod lone");
    assert!(lone["spec"]["nodeName"].is_null());
    assert!(lone["status"]["nominatedNodeName"].is_null(), "{lone}");
}
