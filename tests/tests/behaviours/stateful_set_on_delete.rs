//! With the strategy `OnDelete`, a pod gets a new template when somebody deletes it, and not before.

use crate::objects::{image, is_observed, uid};
use crate::{Cluster, get, until};

const DB: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  updateStrategy: {type: OnDelete}
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: db, image: "db:1"}]
"#;

#[test]
fn the_update_is_left_to_people() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-on-delete");
    kubectl.run_with_input("apply -f -", DB).ok();
    until(&kubectl, "statefulset db", |set| {
        set["status"]["readyReplicas"] == 2
    });
    let other = get(&kubectl, "pod db-1");
    kubectl.run("set image statefulset/db db=db:2").ok();
    let set = until(&kubectl, "statefulset db", is_observed);
    assert_ne!(
        set["status"]["currentRevision"],
        set["status"]["updateRevision"]
    );
    assert_eq!(image(&get(&kubectl, "pod db-0")), "db:1");

    kubectl.run("delete pod db-0").ok();
    until(&kubectl, "pod db-0", |pod| image(pod) == "db:2");
    until(&kubectl, "statefulset db", |set| {
        set["status"]["readyReplicas"] == 2 && set["status"]["updatedReplicas"] == 1
    });
    let same = get(&kubectl, "pod db-1");
    assert_eq!((image(&same), uid(&same)), ("db:1", uid(&other)));
}
