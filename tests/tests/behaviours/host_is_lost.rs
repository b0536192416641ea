//! A host that falls silent loses its pods to others; what may exist only once waits until it is known to be gone.

use serde_json::Value;

use crate::manifests::workload;
use crate::objects::{condition, is_ready, items, leaves, uid};
use crate::{Cluster, get, until};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: ScheduleAnyway
        labelSelector: {matchLabels: {app: web}}
      containers: [{name: web, image: "web:1"}]
"#;

/// A cluster that notices soon when hosts are silent.
fn cluster() -> Cluster {
    Cluster::start_with(
        &["--node-monitor-grace-period", "4s"],
        6,
        &["--lease-interval", "500ms"],
    )
}

fn is_on(pod: &Value, host: &str) -> bool {
    pod["spec"]["nodeName"] == host
}

/// How many pods are ready on other hosts.
fn ready_elsewhere(pods: &Value, host: &str) -> usize {
    items(pods)
        .iter()
        .filter(|pod| is_ready(pod) && !is_on(pod, host))
        .count()
}

fn has_taint(node: &Value, key: &str) -> bool {
    let taints = node["spec"]["taints"].as_array();
    taints.is_some_and(|all| all.iter().any(|taint| taint["key"] == key))
}

const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

#[test]
fn its_pods_are_replaced_and_end_when_it_is_back() {
    let cluster = cluster();
    let kubectl = cluster.namespace("host-is-lost");
    kubectl.run_with_input("apply -f -", WEB).ok();
    kubectl.run("rollout status deployment/web").ok();
    let pods = get(&kubectl, "pods");
    let host = items(&pods)[0]["spec"]["nodeName"].as_str();
    let host = host.expect("a host").to_owned();

    kubectl
        .run(&format!("annotate node {host} mosaic/sim=silent"))
        .ok();
    let node = until(&kubectl, &format!("node {host}"), |node| {
        condition(node, "Ready")["status"] == "Unknown" && has_taint(node, UNREACHABLE)
    });
    assert_eq!(condition(&node, "Ready")["reason"], "NodeStatusUnknown");
    let pods = until(&kubectl, "pods", |pods| ready_elsewhere(pods, &host) == 6);
    let stranded: Vec<_> = items(&pods)
        .iter()
        .filter(|pod| is_on(pod, &host))
        .collect();
    assert!(!stranded.is_empty(), "whether they have ended nobody knows");
    assert!(stranded.iter().all(|pod| leaves(pod)));

    kubectl
        .run(&format!("annotate node {host} mosaic/sim-"))
        .ok();
    until(&kubectl, &format!("node {host}"), |node| {
        condition(node, "Ready")["status"] == "True" && !has_taint(node, UNREACHABLE)
    });
    until(&kubectl, "pods", |pods| {
        items(pods).len() == 6 && items(pods).iter().all(is_ready)
    });
}

#[test]
fn a_stateful_sets_pod_is_not_doubled_until_it_is_declared_gone() {
    let cluster = cluster();
    let kubectl = cluster.namespace("host-is-lost-for-good");
    kubectl.run_with_input("apply -f -", WEB).ok();
    let db = workload("StatefulSet", "db", &["replicas: 1"]);
    kubectl.run_with_input("apply -f -", &db).ok();
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("rollout status statefulset/db").ok();
    let before = get(&kubectl, "pod db-0");
    let host = before["spec"]["nodeName"].as_str().expect("a host");

    kubectl
        .run(&format!("annotate node {host} mosaic/sim=down"))
        .ok();
    until(&kubectl, "pod db-0", leaves);
    // Others of that host have been replaced; this one may still be at work.
    until(&kubectl, "pods -l app=web", |pods| {
        ready_elsewhere(pods, host) == 6
    });
    let waiting = get(&kubectl, "pod db-0");
    assert_eq!(uid(&waiting), uid(&before));

    let gone = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";
    kubectl.run(&format!("taint node {host} {gone}")).ok();
    let after = until(&kubectl, "pod db-0", |pod| {
        uid(pod) != uid(&before) && is_ready(pod)
    });
    assert!(!is_on(&after, host));
}
