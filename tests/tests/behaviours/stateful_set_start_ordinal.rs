//! `ordinals.start` says with which number a StatefulSet's pods begin.

use crate::manifests::workload;
use crate::objects::names;
use crate::{Cluster, get, until};

#[test]
fn pods_are_counted_from_it() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-start-ordinal");
    let db = workload(
        "StatefulSet",
        "db",
        &["replicas: 2", "ordinals: {start: 5}"],
    );
    kubectl.run_with_input("apply -f -", &db).ok();
    kubectl.run("rollout status statefulset/db").ok();
    let pods = get(&kubectl, "pods");
    assert_eq!(names(&pods), ["db-5", "db-6"]);

    // Moved up by one: another one at the end, and the first one goes.
    kubectl
        .run(r#"patch statefulset db -p {"spec":{"ordinals":{"start":6}}}"#)
        .ok();
    until(&kubectl, "pods", |pods| names(pods) == ["db-6", "db-7"]);
}
