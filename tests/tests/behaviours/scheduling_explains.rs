//! A pod that no host will do for says why, in its condition, in an event and by `mos why`, and runs once one will do.

use crate::objects::{condition, event, is};
use crate::{Cluster, mos_with, until};

fn pod(name: &str, spec: &str, container: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  {spec}
  containers: [{{name: {name}, image: "{name}:1"{container}}}]
"#
    )
}

#[test]
fn too_large_for_every_host() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("scheduling-too-large");
    let huge = pod("huge", "", r#", resources: {requests: {cpu: "100"}}"#);
    kubectl.run_with_input("apply -f -", &huge).ok();
    let message = event(&kubectl, "huge", "FailedScheduling");
    assert!(
        message.contains("0/12 nodes are available: 12 Insufficient cpu"),
        "{message}"
    );
    let pod = until(&kubectl, "pod huge", |pod| {
        !condition(pod, "PodScheduled").is_null()
    });
    let scheduled = condition(&pod, "PodScheduled");
    assert_eq!(scheduled["status"], "False");
    assert_eq!(scheduled["reason"], "Unschedulable");
    assert!(
        scheduled["message"]
            .as_str()
            .is_some_and(|text| text.contains("Insufficient cpu"))
    );
    kubectl.run("get pod huge").says("Pending");
    kubectl.run("describe pod huge").says("FailedScheduling");
    let why = mos_with(&cluster.server, "why huge -n scheduling-too-large");
    why.says("waits for a host").says("100");
}

#[test]
fn placed_as_soon_as_a_host_will_do() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("scheduling-waits");
    let picky = pod("picky", "nodeSelector: {behaviours/picky: 'yes'}", "");
    kubectl.run_with_input("apply -f -", &picky).ok();
    let message = event(&kubectl, "picky", "FailedScheduling");
    assert!(
        message.contains("12 node(s) didn't match Pod's node affinity/selector"),
        "{message}"
    );
    mos_with(&cluster.server, "why picky -n scheduling-waits").says("node selector");
    kubectl.run("label node sim-5 behaviours/picky=yes").ok();
    let pod = until(&kubectl, "pod picky", |pod| is(pod, "Ready"));
    assert_eq!(pod["spec"]["nodeName"], "sim-5");
    assert!(is(&pod, "PodScheduled"));
    event(&kubectl, "picky", "Scheduled");
    mos_with(&cluster.server, "why picky -n scheduling-waits").says("is on sim-5");
}

#[test]
fn held_back_by_a_gate() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("scheduling-gates");
    let gated = pod("gated", "schedulingGates: [{name: paid}]", "");
    kubectl.run_with_input("apply -f -", &gated).ok();
    let pod = until(&kubectl, "pod gated", |pod| {
        !condition(pod, "PodScheduled").is_null()
    });
    let scheduled = condition(&pod, "PodScheduled");
    assert_eq!(scheduled["reason"], "SchedulingGated");
    kubectl.run("get pod gated").says("SchedulingGated");
    mos_with(&cluster.server, "why gated -n scheduling-gates").says("paid");
    let open = r#"[{"op":"remove","path":"/spec/schedulingGates"}]"#;
    kubectl
        .run(&format!("patch pod gated --type=json -p '{open}'"))
        .ok();
    until(&kubectl, "pod gated", |pod| is(pod, "Ready"));
}
