//! With the strategy `OnDelete`, a pod gets a new template when somebody deletes it, and not before.

use crate::manifests::workload;
use crate::objects::{image, is_observed, uid};
use crate::{Cluster, get, until};

#[test]
fn the_update_is_left_to_people() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-on-delete");
    let db = workload(
        "StatefulSet",
        "db",
        &["replicas: 2", "updateStrategy: {type: OnDelete}"],
    );
    kubectl.run_with_input("apply -f -", &db).ok();
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
