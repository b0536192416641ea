//! Pods of one template are spread over zones as `topologySpreadConstraints` say, and kept apart by anti-affinity.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::objects::{condition, hosts, items, name, uid};
use crate::{Cluster, get, until};

fn deployment(replicas: usize, spec: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      {spec}
      containers: [{{name: web, image: "web:1"}}]
"#
    )
}

/// How many of the pods each zone has.
fn by_zone(nodes: &Value, pods: &Value) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for host in hosts(pods) {
        let node = items(nodes).iter().find(|node| name(node) == host);
        let labels = &node.expect("its host")["metadata"]["labels"];
        let zone = labels["topology.kubernetes.io/zone"]
            .as_str()
            .expect("a zone");
        *zones.entry(zone.to_owned()).or_default() += 1;
    }
    zones
}

fn unplaced(pods: &Value) -> Vec<&Value> {
    let has_host = |pod: &&Value| pod["spec"]["nodeName"].is_string();
    items(pods).iter().filter(|pod| !has_host(pod)).collect()
}

#[test]
fn evenly_over_zones() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("spreads-zones");
    let spread = "topologySpreadConstraints: [{topologyKey: topology.kubernetes.io/zone, maxSkew: 1, \
                  whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]";
    kubectl
        .run_with_input("apply -f -", &deployment(7, spread))
        .ok();
    kubectl.run("rollout status deployment/web").ok();
    let nodes = get(&kubectl, "nodes");
    let zones = by_zone(&nodes, &get(&kubectl, "pods"));
    let mut counts: Vec<usize> = zones.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [2, 2, 3]);

    // Where only one zone is open to them, the empty ones still count: one more than those have is all that may be.
    kubectl.run("delete deployment web").ok();
    until(&kubectl, "pods", |pods| items(pods).is_empty());
    let one_zone = spread.replace("maxSkew: 1", "maxSkew: 1, nodeAffinityPolicy: Ignore");
    let ignoring =
        format!("nodeSelector: {{topology.kubernetes.io/zone: zone-1}}\n      {one_zone}");
    kubectl
        .run_with_input("apply -f -", &deployment(3, &ignoring))
        .ok();
    let pods = until(&kubectl, "pods", |pods| {
        let waiting = unplaced(pods);
        waiting.len() == 2
            && waiting
                .iter()
                .all(|pod| !condition(pod, "PodScheduled").is_null())
    });
    for pod in unplaced(&pods) {
        let why = condition(pod, "PodScheduled")["message"].to_string();
        assert!(
            why.contains("didn't match pod topology spread constraints"),
            "{why}"
        );
    }
}

#[test]
fn one_on_each_host() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("spreads-hosts");
    let apart = "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: \
                 [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: web}}}]}}";
    kubectl
        .run_with_input("apply -f -", &deployment(13, apart))
        .ok();
    let pods = until(&kubectl, "pods", |pods| {
        let waiting = unplaced(pods);
        items(pods).len() == 13
            && waiting.len() == 1
            && !condition(waiting[0], "PodScheduled").is_null()
    });
    let on = hosts(&pods);
    assert!(on.windows(2).all(|pair| pair[0] != pair[1]), "{on:?}");
    let waiting = unplaced(&pods);
    let why = condition(waiting[0], "PodScheduled")["message"].to_string();
    assert!(
        why.contains("12 node(s) didn't match pod anti-affinity rules"),
        "{why}"
    );
    // The place of one that goes is free.
    let mut placed = items(&pods)
        .iter()
        .filter(|pod| pod["spec"]["nodeName"].is_string());
    let gone = placed.next().expect("twelve of them");
    kubectl.run(&format!("delete pod {}", name(gone))).ok();
    let pods = until(&kubectl, "pods", |pods| {
        items(pods).iter().all(|pod| uid(pod) != uid(gone)) && hosts(pods).len() == 12
    });
    let on = hosts(&pods);
    assert!(on.windows(2).all(|pair| pair[0] != pair[1]), "{on:?}");
}
