//! `maxUnavailable` lets a StatefulSet's rollout take several pods at a time.

use serde_json::Value;

use crate::Cluster;
use crate::changes::Changes;
use crate::objects::{image, is_ready};

const DB: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 4
  serviceName: db
  podManagementPolicy: Parallel
  updateStrategy: {rollingUpdate: {maxUnavailable: 2}}
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}, annotations: {mosaic/sim-stop: 500ms}}
    spec:
      terminationGracePeriodSeconds: 5
      containers: [{name: db, image: "db:1"}]
"#;

#[test]
fn so_many_are_away_and_no_more() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-max-unavailable");
    kubectl.run_with_input("apply -f -", DB).ok();
    let mut changes = Changes::follow(&kubectl, "pods");
    let ready = |pods: &[&Value]| pods.iter().filter(|pod| is_ready(pod)).count();
    changes.until(|pods| ready(pods) == 4);
    kubectl.run("set image statefulset/db db=db:2").ok();
    let mut fewest = 4;
    changes.until(|pods| {
        fewest = fewest.min(ready(pods));
        ready(pods) == 4 && pods.iter().all(|pod| image(pod) == "db:2")
    });
    assert_eq!(fewest, 2);
}
