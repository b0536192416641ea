//! With `podManagementPolicy: Parallel`, pods neither wait for each other when they start nor when they stop.

use crate::objects::{is_observed, names};
use crate::{Cluster, until};

// None of them ever gets ready: whoever waited would wait for ever.
const DB: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 4
  serviceName: db
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}, annotations: {mosaic/sim-readiness: fail}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: db, image: "db:1", readinessProbe: {tcpSocket: {port: 80}}}]
"#;

#[test]
fn pods_start_and_stop_at_the_same_time() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-parallel");
    kubectl.run_with_input("apply -f -", DB).ok();
    until(&kubectl, "pods", |pods| {
        names(pods) == ["db-0", "db-1", "db-2", "db-3"]
            && pods["items"]
                .as_array()
                .is_some_and(|all| all.iter().all(|pod| pod["status"]["phase"] == "Running"))
    });
    kubectl.run("scale statefulset db --replicas 1").ok();
    until(&kubectl, "pods", |pods| names(pods) == ["db-0"]);
    until(&kubectl, "statefulset db", |set| {
        is_observed(set) && set["status"]["replicas"] == 1
    });
}
