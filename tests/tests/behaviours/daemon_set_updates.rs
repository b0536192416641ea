//! A DaemonSet's new template reaches host after host: within `maxUnavailable`, beside the old pod with `maxSurge`, or
//! when somebody deletes the old one.

use mosaic_tests::{Kubectl, wait_until};
use serde_json::Value;

use crate::objects::{hosts, is, items, leaves, name, uid};
use crate::{Cluster, get, until};

fn agent(strategy: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent}}
spec:
  updateStrategy: {strategy}
  selector: {{matchLabels: {{app: agent}}}}
  template:
    metadata:
      labels: {{app: agent}}
      annotations: {{mosaic/sim-start: 300ms}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: agent, image: "agent:1"}}]
"#
    )
}

/// Each pod's image.
fn images(pods: &Value) -> Vec<&str> {
    let mut images: Vec<_> = items(pods)
        .iter()
        .filter_map(|pod| pod["spec"]["containers"][0]["image"].as_str())
        .collect();
    images.sort_unstable();
    images
}

fn started(namespace: &str, strategy: &str) -> (std::sync::Arc<Cluster>, Kubectl) {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace(namespace);
    kubectl.run_with_input("apply -f -", &agent(strategy)).ok();
    until(&kubectl, "daemonset agent", |set| {
        set["status"]["numberAvailable"] == 12
    });
    assert_eq!(items(&get(&kubectl, "pods")).len(), 12);
    (cluster, kubectl)
}

/// Follows the rollout of an image; the fewest ready pods and the most pods on one host at a time.
fn roll(kubectl: &Kubectl, image: &str) -> (usize, usize) {
    let (mut fewest, mut most) = (usize::MAX, 0);
    wait_until(&format!("{image} everywhere"), || {
        let pods = get(kubectl, "pods");
        let ready = items(&pods)
            .iter()
            .filter(|pod| is(pod, "Ready") && !leaves(pod));
        fewest = fewest.min(ready.count());
        let on = hosts(&pods);
        let crowd = on.chunk_by(|a, b| a == b).map(<[_]>::len).max();
        most = most.max(crowd.unwrap_or(0));
        let set = get(kubectl, "daemonset agent");
        images(&pods) == [image; 12]
            && set["status"]["observedGeneration"] == set["metadata"]["generation"]
            && set["status"]["updatedNumberScheduled"] == 12
            && set["status"]["numberAvailable"] == 12
    });
    (fewest, most)
}

#[test]
fn within_max_unavailable_and_back_again() {
    let (_cluster, kubectl) = started("daemon-set-rolls", "{rollingUpdate: {maxUnavailable: 4}}");
    kubectl.run("set image daemonset/agent agent=agent:2").ok();
    let (fewest, most) = roll(&kubectl, "agent:2");
    assert!(fewest >= 8, "only {fewest} of 12 were ready");
    assert_eq!(most, 1, "no host has two at a time");
    let history = kubectl.run("rollout history daemonset/agent");
    history.says("1").says("2");

    kubectl.run("rollout undo daemonset/agent").ok();
    roll(&kubectl, "agent:1");
    kubectl.run("rollout history daemonset/agent").says("3");

    let before = get(&kubectl, "pods");
    kubectl.run("rollout restart daemonset/agent").ok();
    kubectl.run("rollout status daemonset/agent").ok();
    until(&kubectl, "pods", |after| {
        let old = |pod| items(&before).iter().any(|known| uid(known) == uid(pod));
        items(after).len() == 12 && !items(after).iter().any(old)
    });
}

#[test]
fn beside_the_old_pod_with_a_surge() {
    let (_cluster, kubectl) = started(
        "daemon-set-surges",
        "{rollingUpdate: {maxSurge: 4, maxUnavailable: 0}}",
    );
    kubectl.run("set image daemonset/agent agent=agent:2").ok();
    let (fewest, most) = roll(&kubectl, "agent:2");
    assert!(fewest >= 12, "only {fewest} of 12 were ready");
    assert_eq!(most, 2, "the new one comes before the old one goes");
}

#[test]
fn a_broken_template_stops_at_max_unavailable() {
    let (_cluster, kubectl) = started("daemon-set-breaks", "{rollingUpdate: {maxUnavailable: 2}}");
    let broken = r#"{"spec":{"template":{"metadata":{"annotations":{"mosaic/sim-image":"fail"}},"spec":{"containers":[{"name":"agent","image":"agent:2"}]}}}}"#;
    kubectl
        .run(&format!("patch daemonset agent -p '{broken}'"))
        .ok();
    until(&kubectl, "daemonset agent", |set| {
        set["status"]["updatedNumberScheduled"] == 2 && set["status"]["numberAvailable"] == 10
    });
    kubectl
        .run("rollout status daemonset/agent --watch=false")
        .says("2 out of 12");
    kubectl.run("rollout undo daemonset/agent").ok();
    roll(&kubectl, "agent:1");
}

#[test]
fn when_the_old_pod_is_deleted() {
    let (_cluster, kubectl) = started("daemon-set-on-delete", "{type: OnDelete}");
    kubectl.run("set image daemonset/agent agent=agent:2").ok();
    until(&kubectl, "daemonset agent", |set| {
        set["status"]["observedGeneration"] == set["metadata"]["generation"]
    });
    let before = get(&kubectl, "pods");
    assert_eq!(images(&before), ["agent:1"; 12]);
    let first = &items(&before)[0];
    kubectl.run(&format!("delete pod {}", name(first))).ok();
    until(&kubectl, "daemonset agent", |set| {
        set["status"]["updatedNumberScheduled"] == 1 && set["status"]["numberReady"] == 12
    });
    let after = get(&kubectl, "pods");
    let new = items(&after)
        .iter()
        .find(|pod| pod["spec"]["containers"][0]["image"] == "agent:2");
    let new = new.expect("one of the new template");
    assert_eq!(new["spec"]["nodeName"], first["spec"]["nodeName"]);
    let kept = items(&after)
        .iter()
        .filter(|pod| items(&before).iter().any(|known| uid(known) == uid(pod)));
    assert_eq!(kept.count(), 11);
}
