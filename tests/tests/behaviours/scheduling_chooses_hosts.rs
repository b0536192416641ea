//! Which hosts a pod is for: node affinity by the pod's wish, taints by the host's.

use crate::objects::{event, hosts, is, items, pods};
use crate::{Cluster, get, until};

fn deployment(name: &str, replicas: usize, spec: &str) -> String {
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
      {spec}
      containers: [{{name: {name}, image: "{name}:1"}}]
"#
    )
}

#[test]
fn a_pool_of_hosts_is_for_those_that_tolerate_its_taint() {
    let cluster = Cluster::start(4, &[]);
    let kubectl = cluster.namespace("node-pool");
    kubectl
        .run_with_input("apply -f -", &deployment("old", 4, ""))
        .ok();
    kubectl.run("rollout status deployment/old").ok();
    assert_eq!(
        hosts(&get(&kubectl, "pods")),
        ["sim-1", "sim-2", "sim-3", "sim-4"]
    );
    kubectl.run("label node sim-3 sim-4 pool=db").ok();
    kubectl
        .run("taint node sim-3 sim-4 pool=db:NoSchedule")
        .ok();

    let web = deployment("web", 6, "");
    let tolerates = "nodeSelector: {pool: db}\n      \
                     tolerations: [{key: pool, value: db, effect: NoSchedule}]";
    let db = deployment("db", 2, tolerates);
    let lost = deployment("lost", 1, "nodeSelector: {pool: db}");
    for manifest in [&web, &db, &lost] {
        kubectl.run_with_input("apply -f -", manifest).ok();
    }
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("rollout status deployment/db").ok();
    let mut on = hosts(&get(&kubectl, "pods -l app=web"));
    on.dedup();
    assert_eq!(on, ["sim-1", "sim-2"]);
    assert_eq!(hosts(&get(&kubectl, "pods -l app=db")), ["sim-3", "sim-4"]);
    let lost = pods(&kubectl, "app=lost", 1);
    let lost = items(&lost)[0]["metadata"]["name"]
        .as_str()
        .unwrap_or_default();
    let message = event(&kubectl, lost, "FailedScheduling");
    assert!(
        message.contains("2 node(s) had untolerated taint"),
        "{message}"
    );
    // What was there before stays, unless the taint says that it must not.
    assert_eq!(hosts(&get(&kubectl, "pods -l app=old")).len(), 4);
    kubectl.run("taint node sim-3 sim-4 pool=db:NoExecute").ok();
    until(&kubectl, "pods -l app=old", |pods| {
        let on = hosts(pods);
        items(pods).len() == 4
            && items(pods).iter().all(|pod| is(pod, "Ready"))
            && on.iter().all(|host| host == "sim-1" || host == "sim-2")
    });
    until(&kubectl, "pods -l app=db", |pods| hosts(pods).is_empty());
}

#[test]
fn node_affinity_decides_and_prefers() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("node-affinity");
    let zones = "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: \
                 [{matchExpressions: [{key: topology.kubernetes.io/zone, operator: NotIn, values: [zone-1, zone-3]}]}]}}}";
    let prefers = "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: \
                   [{weight: 100, preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [sim-7]}]}}]}}";
    kubectl
        .run_with_input("apply -f -", &deployment("needs", 4, zones))
        .ok();
    kubectl
        .run_with_input("apply -f -", &deployment("likes", 1, prefers))
        .ok();
    kubectl.run("rollout status deployment/needs").ok();
    kubectl.run("rollout status deployment/likes").ok();
    let in_zone = get(&kubectl, "nodes -l topology.kubernetes.io/zone=zone-2");
    let in_zone = crate::objects::names(&in_zone);
    let on = hosts(&get(&kubectl, "pods -l app=needs"));
    assert!(
        on.iter().all(|host| in_zone.contains(host)),
        "{on:?}, not {in_zone:?}"
    );
    assert_eq!(hosts(&get(&kubectl, "pods -l app=likes")), ["sim-7"]);
}
