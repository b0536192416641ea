//! A StatefulSet's pods start one after the other, and stop in reverse order.

use serde_json::Value;

use crate::changes::Changes;
use crate::objects::{is_ready, leaves, name, ordinal};
use crate::{Cluster, until};

const DB: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}, annotations: {mosaic/sim-stop: 200ms}}
    spec:
      terminationGracePeriodSeconds: 5
      containers: [{name: db, image: "db:1"}]
"#;

#[test]
fn each_pod_waits_for_the_ones_before_it() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-orders");
    let mut changes = Changes::follow(&kubectl, "pods");
    kubectl.run_with_input("apply -f -", DB).ok();
    let is_well = |pods: &[&Value], wanted: usize| {
        pods.iter()
            .any(|pod| ordinal(pod) == Some(wanted) && is_ready(pod))
    };
    changes.until(|pods| {
        for pod in pods {
            let own = ordinal(pod).expect("an ordinal");
            let others: Vec<_> = pods.iter().map(|pod| name(pod)).collect();
            assert!(
                (0..own).all(|lower| is_well(pods, lower)),
                "{own} came too early: {others:?}"
            );
        }
        (0..3).all(|ordinal| is_well(pods, ordinal))
    });

    kubectl.run("scale statefulset db --replicas 0").ok();
    changes.until(|pods| {
        for pod in pods.iter().filter(|pod| leaves(pod)) {
            let own = ordinal(pod);
            let higher = pods.iter().find(|other| ordinal(other) > own);
            assert!(higher.is_none(), "{own:?} went before {higher:?}");
        }
        pods.is_empty()
    });
}

#[test]
fn a_pod_that_is_not_ready_holds_up_the_rest() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-waits");
    let late = DB
        .replace("mosaic/sim-stop: 200ms", "mosaic/sim-readiness.db: fail")
        .replace(
            r#"image: "db:1""#,
            r#"image: "db:1", readinessProbe: {tcpSocket: {port: 80}}"#,
        );
    kubectl.run_with_input("apply -f -", &late).ok();
    kubectl
        .run("wait --for=jsonpath={.status.phase}=Running pod/db-0")
        .ok();
    // What changes in the set is worked on, but nothing is made.
    kubectl.run("scale statefulset db --replicas 5").ok();
    let set = until(&kubectl, "statefulset db", |set| {
        set["status"]["observedGeneration"] == 2
    });
    assert_eq!(set["status"]["replicas"], 1);
    kubectl.run("get pod db-1").complains("not found");
}
