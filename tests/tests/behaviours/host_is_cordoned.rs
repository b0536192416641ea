//! A cordoned host gets no new pods; those that it has run on.

use crate::manifests::workload;
use crate::objects::{condition, is_ready, items, uids};
use crate::{Cluster, get, until};

#[test]
fn it_gets_no_new_pods_and_keeps_those_that_it_has() {
    let cluster = Cluster::start(2, &[]);
    let kubectl = cluster.namespace("host-is-cordoned");
    let web = workload("Deployment", "web", &["replicas: 4"]);
    kubectl.run_with_input("apply -f -", &web).ok();
    kubectl.run("rollout status deployment/web").ok();
    let on = |host: &str| format!("pods --field-selector spec.nodeName={host}");
    let before = get(&kubectl, &on("sim-1"));
    assert!(!items(&before).is_empty());

    kubectl.run("cordon sim-1").ok();
    let nodes = kubectl.run("get nodes");
    nodes.says("Ready,SchedulingDisabled");
    kubectl.run("scale deployment web --replicas 12").ok();
    kubectl.run("rollout status deployment/web").ok();
    let after = get(&kubectl, &on("sim-1"));
    assert_eq!(uids(&after), uids(&before));

    // Without any other host, pods wait and say why.
    kubectl.run("cordon sim-2").ok();
    kubectl.run("run late --image web:1").ok();
    let late = until(&kubectl, "pod late", |pod| {
        condition(pod, "PodScheduled")["reason"] == "Unschedulable"
    });
    let why = &condition(&late, "PodScheduled")["message"];
    let why = why.as_str().unwrap_or_default();
    assert!(why.contains("2 node(s) were unschedulable"), "{why}");

    kubectl.run("uncordon sim-1").ok();
    let late = until(&kubectl, "pod late", is_ready);
    assert_eq!(late["spec"]["nodeName"], "sim-1");
}
