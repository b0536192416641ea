//! A port of a host belongs to one pod at a time.

use crate::objects::{condition, hosts, is, items};
use crate::{Cluster, get, until};

fn deployment(name: &str, port: &str, replicas: usize) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {{topology.kubernetes.io/zone: zone-1}}
      containers:
      - name: edge
        image: "edge:1"
        ports: [{{containerPort: 80, {port}}}]
"#
    )
}

#[test]
fn one_pod_a_host_on_a_host_port() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("host-ports");
    let edge = deployment("edge", "hostPort: 18080", 5);
    kubectl.run_with_input("apply -f -", &edge).ok();
    // Four hosts are in the zone.
    let pods = until(&kubectl, "pods", |pods| {
        let mut waiting = items(pods)
            .iter()
            .filter(|pod| pod["spec"]["nodeName"].is_null());
        hosts(pods).len() == 4 && waiting.any(|pod| !condition(pod, "PodScheduled").is_null())
    });
    let on = hosts(&pods);
    assert!(on.windows(2).all(|pair| pair[0] != pair[1]), "{on:?}");
    let waiting = items(&pods)
        .iter()
        .find(|pod| pod["spec"]["nodeName"].is_null());
    let why = condition(waiting.expect("the fifth"), "PodScheduled");
    let why = why["message"].to_string();
    assert!(
        why.contains("4 node(s) didn't have free ports for the requested pod ports"),
        "{why}"
    );
    // The same number of another protocol is another port.
    let other = deployment("other", "hostPort: 18080, protocol: UDP", 4);
    kubectl.run_with_input("apply -f -", &other).ok();
    kubectl.run("rollout status deployment/other").ok();
    assert_eq!(hosts(&get(&kubectl, "pods -l app=other")).len(), 4);
    // The port of a pod that is gone is free.
    kubectl.run("scale deployment/edge --replicas=4").ok();
    kubectl.run("scale deployment/edge --replicas=3").ok();
    until(&kubectl, "pods -l app=edge", |pods| items(pods).len() == 3);
    kubectl.run("scale deployment/edge --replicas=4").ok();
    until(&kubectl, "pods -l app=edge", |pods| {
        items(pods).len() == 4 && items(pods).iter().all(|pod| is(pod, "Ready"))
    });
}
