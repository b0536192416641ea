//! A zone that falls silent as a whole is most likely cut off: its pods aren't moved at once, and then host by host.

use mosaic_tests::Kubectl;
use serde_json::Value;

use crate::objects::{condition, is_ready, items, leaves, uids};
use crate::{Cluster, get, until};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 9
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

const ZONE: &str = "nodes -l topology.kubernetes.io/zone=zone-1";

/// A cluster that notices soon when hosts are silent, three in each of three zones, and a pod on each.
fn cluster(namespace: &str, arguments: &[&str]) -> (Cluster, Kubectl) {
    let grace = ["--node-monitor-grace-period", "4s"];
    let cluster = Cluster::start_with(
        &[&grace, arguments].concat(),
        9,
        &["--lease-interval", "500ms"],
    );
    let kubectl = cluster.namespace(namespace);
    kubectl.run_with_input("apply -f -", WEB).ok();
    kubectl.run("rollout status deployment/web").ok();
    (cluster, kubectl)
}

/// Cuts the zone off, and waits until that is known.
fn cut_off(kubectl: &Kubectl) {
    kubectl
        .run(&format!("annotate {ZONE} mosaic/sim=silent"))
        .ok();
    until(kubectl, ZONE, |nodes| {
        items(nodes).len() == 3
            && items(nodes)
                .iter()
                .all(|node| condition(node, "Ready")["status"] == "Unknown")
    });
}

/// The pods on these hosts.
fn on<'p>(pods: &'p Value, hosts: &[&str]) -> Vec<&'p Value> {
    let host = |pod: &Value| pod["spec"]["nodeName"].as_str().map(str::to_owned);
    items(pods)
        .iter()
        .filter(|pod| host(pod).is_some_and(|host| hosts.contains(&host.as_str())))
        .collect()
}

/// The taint by which pods leave a host, and since when it has it.
fn evicts(node: &Value) -> Option<&Value> {
    let taints = node["spec"]["taints"].as_array()?;
    taints.iter().find(|taint| {
        taint["key"] == "node.kubernetes.io/unreachable" && taint["effect"] == "NoExecute"
    })
}

#[test]
fn its_pods_stay_and_are_the_same_when_it_is_back() {
    let (_cluster, kubectl) = cluster("zone-is-lost", &[]);
    let before = get(&kubectl, "pods");
    assert_eq!(on(&before, &["sim-1", "sim-4", "sim-7"]).len(), 3);
    cut_off(&kubectl);

    // A host of another zone, which is well otherwise, is silent for less time, and loses its pods.
    kubectl.run("annotate node sim-2 mosaic/sim=silent").ok();
    until(&kubectl, "pods", |pods| {
        on(pods, &["sim-2"]).iter().all(|pod| leaves(pod))
    });
    let pods = get(&kubectl, "pods");
    let stranded = on(&pods, &["sim-1", "sim-4", "sim-7"]);
    assert_eq!(stranded.len(), 3);
    assert!(!stranded.iter().any(|pod| leaves(pod)), "{stranded:?}");
    let nodes = get(&kubectl, ZONE);
    assert!(items(&nodes).iter().all(|node| evicts(node).is_none()));

    kubectl.run(&format!("annotate {ZONE} mosaic/sim-")).ok();
    kubectl.run("annotate node sim-2 mosaic/sim-").ok();
    let after = until(&kubectl, "pods", |pods| {
        items(pods).len() == 9 && items(pods).iter().all(is_ready)
    });
    let known = uids(&before);
    let kept = uids(&after).into_iter().filter(|uid| known.contains(uid));
    assert_eq!(kept.count(), 8);
}

#[test]
fn if_it_stays_away_its_hosts_lose_their_pods_one_after_the_other() {
    let times = [
        "--zone-eviction-delay",
        "1s",
        "--zone-eviction-interval",
        "2s",
    ];
    let (_cluster, kubectl) = cluster("zone-is-lost-for-long", &times);
    cut_off(&kubectl);
    let nodes = until(&kubectl, ZONE, |nodes| {
        items(nodes).iter().all(|node| evicts(node).is_some())
    });
    let since = |node| evicts(node).map(|taint| taint["timeAdded"].to_string());
    let mut times: Vec<_> = items(&nodes).iter().map(since).collect();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 3, "hosts were evicted together: {times:?}");
    until(&kubectl, "pods", |pods| {
        let stranded = on(pods, &["sim-1", "sim-4", "sim-7"]);
        let ready = items(pods).iter().filter(|pod| is_ready(pod)).count();
        ready == 9 && stranded.iter().all(|pod| leaves(pod))
    });
}
