//! `ordinals.start` says with which number a StatefulSet's pods begin.

use crate::objects::names;
use crate::{Cluster, get, until};

const DB: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  ordinals: {start: 5}
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: db, image: "db:1"}]
"#;

#[test]
fn pods_are_counted_from_it() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-start-ordinal");
    kubectl.run_with_input("apply -f -", DB).ok();
    kubectl.run("rollout status statefulset/db").ok();
    let pods = get(&kubectl, "pods");
    assert_eq!(names(&pods), ["db-5", "db-6"]);

    // Moved up by one: another one at the end, and the first one goes.
    kubectl
        .run(r#"patch statefulset db -p {"spec":{"ordinals":{"start":6}}}"#)
        .ok();
    until(&kubectl, "pods", |pods| names(pods) == ["db-6", "db-7"]);
}
