//! A StatefulSet's pod has a name that stays, and there is never a second one of that name.

use serde_json::Value;

use crate::changes::Changes;
use crate::objects::{is_ready, name, uid};
use crate::{Cluster, get, until};

const DB: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: peers
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}, annotations: {mosaic/sim-stop: ignore-term}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: db, image: "db:1"}]
"#;

#[test]
fn a_pod_comes_back_as_who_it_was() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-keeps-names");
    kubectl.run_with_input("apply -f -", DB).ok();
    kubectl.run("rollout status statefulset/db").ok();
    let before = get(&kubectl, "pod db-1");
    let labels = &before["metadata"]["labels"];
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-1");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "1");
    assert_eq!(before["spec"]["hostname"], "db-1");
    assert_eq!(before["spec"]["subdomain"], "peers");

    // It takes its grace period to stop: until it has, there is no other.
    let mut changes = Changes::follow(&kubectl, "pods");
    changes.until(|pods| pods.len() == 2);
    kubectl.run("delete pod db-1 --wait=false").ok();
    changes.until(|pods| {
        let of = |wanted: &str| pods.iter().filter(|pod| name(pod) == wanted).count();
        assert!(of("db-1") <= 1, "two of one name: {pods:?}");
        assert_eq!(of("db-0"), 1, "another pod was touched");
        let is_new = |pod: &&&Value| name(pod) == "db-1" && uid(pod) != uid(&before);
        pods.iter().find(is_new).is_some_and(|new| is_ready(new))
    });
    let after = get(&kubectl, "pod db-1");
    assert_eq!(after["spec"]["hostname"], "db-1");
    until(&kubectl, "statefulset db", |set| {
        set["status"]["readyReplicas"] == 2
    });
}

#[test]
fn a_name_that_somebody_else_has_is_waited_for() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-name-is-taken");
    kubectl.run("run db-1 --image other:1").ok();
    kubectl.run_with_input("apply -f -", DB).ok();
    until(&kubectl, "events", |events| {
        events["items"].as_array().is_some_and(|all| {
            all.iter().any(|event| {
                event["reason"] == "FailedCreate"
                    && event["involvedObject"]["kind"] == "StatefulSet"
            })
        })
    });
    let stranger = get(&kubectl, "pod db-1");
    assert_eq!(stranger["metadata"]["ownerReferences"], Value::Null);
    kubectl.run("delete pod db-1 --grace-period 1").ok();
    kubectl.run("rollout status statefulset/db").ok();
}
