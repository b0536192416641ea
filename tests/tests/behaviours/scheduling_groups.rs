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
