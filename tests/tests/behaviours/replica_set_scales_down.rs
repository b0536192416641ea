//! Which pods of a ReplicaSet go first: those that are missed least.

use mosaic_tests::{Kubectl, wait_until};
use serde_json::Value;

use crate::manifests::workload;
use crate::objects::{condition, items, name};
use crate::{Cluster, until};

fn web() -> String {
    workload("ReplicaSet", "web", &["replicas: 1"])
}

const BROKEN: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: broken
  labels: {app: web}
  annotations: {mosaic/sim-readiness: fail, controller.kubernetes.io/pod-deletion-cost: "1000"}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: web, image: "web:1", readinessProbe: {tcpSocket: {port: 80}}}]
"#;

/// The pods, once there are so many and as many of them are ready.
fn pods(kubectl: &Kubectl, count: usize, ready: usize) -> Value {
    let size = format!("scale replicaset web --replicas {count}");
    kubectl.run(&size).ok();
    until(kubectl, "pods", |pods| {
        let is_ready = |pod: &&Value| condition(pod, "Ready")["status"] == "True";
        items(pods).len() == count && items(pods).iter().filter(is_ready).count() == ready
    })
}

fn has(pods: &Value, wanted: &str) -> bool {
    items(pods).iter().any(|pod| name(pod) == wanted)
}

#[test]
fn not_ready_then_cheap() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("replica-set-scales-down");
    // One that is not ready goes first, though it is the oldest and dearest.
    kubectl.run_with_input("create -f -", BROKEN).ok();
    kubectl.run_with_input("create -f -", &web()).ok();
    let four = pods(&kubectl, 4, 3);
    assert!(has(&four, "broken"), "the set has taken it over");
    let three = pods(&kubectl, 3, 3);
    assert!(!has(&three, "broken"));

    // Then the cheapest.
    let cheap = name(&items(&three)[1]).to_owned();
    let cost = "controller.kubernetes.io/pod-deletion-cost=-5";
    kubectl.run(&format!("annotate pod {cheap} {cost}")).ok();
    let two = pods(&kubectl, 2, 2);
    assert!(!has(&two, &cheap));
}

#[test]
fn the_dearest_stays() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("replica-set-keeps-the-dearest");
    kubectl.run_with_input("apply -f -", &web()).ok();
    let four = pods(&kubectl, 4, 4);
    let dear = name(&items(&four)[3]).to_owned();
    let cost = "controller.kubernetes.io/pod-deletion-cost=100";
    kubectl.run(&format!("annotate pod {dear} {cost}")).ok();
    let one = pods(&kubectl, 1, 1);
    assert_eq!(name(&items(&one)[0]), dear);
}

#[test]
fn the_oldest_stays() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("replica-set-keeps-the-oldest");
    kubectl.run_with_input("apply -f -", &web()).ok();
    let first = pods(&kubectl, 1, 1);
    let oldest = name(&items(&first)[0]).to_owned();
    // Ages are told apart by powers of two of their seconds.
    wait_until("an age that can be told from others", || {
        let pod = kubectl.run(&format!("get pod {oldest} --no-headers"));
        let age = pod.ok().split_whitespace().last().map(str::to_owned);
        let seconds = age.and_then(|age| age.strip_suffix('s')?.parse::<u32>().ok());
        seconds.is_none_or(|seconds| seconds >= 8)
    });
    pods(&kubectl, 3, 3);
    let one = pods(&kubectl, 1, 1);
    assert_eq!(name(&items(&one)[0]), oldest);
}
