//! `kubectl drain` empties a host, no faster than disruption budgets allow.

use std::thread;

use serde_json::Value;

use crate::changes::Changes;
use crate::objects::{is_ready, items, uids};
use crate::{Cluster, get, until};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {mosaic/sim-start: 1s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: "web:1"}]
"#;

const ON_SIM_1: &str = "pods --field-selector spec.nodeName=sim-1";

#[test]
fn it_waits_for_the_budget_and_goes_on() {
    let cluster = Cluster::start(2, &[]);
    let kubectl = cluster.namespace("host-is-drained");
    kubectl.run("cordon sim-2").ok();
    kubectl.run_with_input("apply -f -", WEB).ok();
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("uncordon sim-2").ok();
    kubectl
        .run("create poddisruptionbudget web --selector app=web --min-available 2")
        .ok();
    until(&kubectl, "poddisruptionbudget web", |budget| {
        budget["status"]["disruptionsAllowed"] == 1
    });

    let mut changes = Changes::follow(&kubectl, "pods");
    let ready = |pods: &[&Value]| pods.iter().filter(|pod| is_ready(pod)).count();
    changes.until(|pods| ready(pods) == 3);
    let draining = {
        let kubectl = kubectl.clone();
        thread::spawn(move || kubectl.run("drain sim-1"))
    };
    changes.until(|pods| {
        assert!(ready(pods) >= 2, "fewer than the budget wants: {pods:?}");
        let moved = |pod: &&&Value| is_ready(pod) && pod["spec"]["nodeName"] == "sim-2";
        pods.len() == 3 && pods.iter().filter(moved).count() == 3
    });
    let drained = draining.join().expect("kubectl");
    drained.says("node/sim-1 drained");
    assert!(
        drained
            .stderr
            .contains("would violate the pod's disruption budget"),
        "it never had to wait: {drained}"
    );
    let node = get(&kubectl, "node sim-1");
    assert_eq!(node["spec"]["unschedulable"], true);
    assert!(items(&get(&kubectl, ON_SIM_1)).is_empty());
}

#[test]
fn it_leaves_what_it_must_not_touch() {
    let cluster = Cluster::start(1, &[]);
    let kubectl = cluster.namespace("host-is-not-drained");
    kubectl.run_with_input("apply -f -", WEB).ok();
    kubectl.run("rollout status deployment/web").ok();
    kubectl
        .run("create poddisruptionbudget web --selector app=web --max-unavailable 0")
        .ok();
    until(&kubectl, "poddisruptionbudget web", |budget| {
        budget["status"]["observedGeneration"] == 1
    });
    let before = get(&kubectl, ON_SIM_1);
    kubectl
        .run("drain sim-1 --timeout 1s")
        .complains("would violate the pod's disruption budget");
    let after = get(&kubectl, ON_SIM_1);
    assert_eq!(uids(&after), uids(&before));
    assert!(items(&after).iter().all(is_ready));

    // Nobody would make a bare pod anew.
    kubectl.run("uncordon sim-1").ok();
    kubectl.run("run bare --image web:1").ok();
    until(&kubectl, "pod bare", is_ready);
    kubectl
        .run("drain sim-1")
        .complains("declare no controller (use --force to override)");
    let bare = get(&kubectl, "pod bare");
    assert!(is_ready(&bare));
}
