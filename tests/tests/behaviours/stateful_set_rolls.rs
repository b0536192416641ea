//! A StatefulSet's new template takes over one pod at a time, from the highest ordinal down.

use serde_json::Value;

use crate::changes::Changes;
use crate::manifests::workload;
use crate::objects::{image, is_ready, ordinal};
use crate::{Cluster, get, until};

fn db() -> String {
    workload("StatefulSet", "db", &["replicas: 3"])
}

#[test]
fn the_highest_first_and_each_ready_before_the_next() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-rolls");
    kubectl.run_with_input("apply -f -", &db()).ok();
    kubectl.run("rollout status statefulset/db").ok();
    let before = get(&kubectl, "statefulset db");

    let mut changes = Changes::follow(&kubectl, "pods");
    let ready = |pods: &[&Value]| pods.iter().filter(|pod| is_ready(pod)).count();
    changes.until(|pods| ready(pods) == 3);
    kubectl.run("set image statefulset/db db=db:2").ok();
    changes.until(|pods| {
        assert!(ready(pods) >= 2, "more than one is away: {pods:?}");
        let is_new = |pod: &&&Value| image(pod) == "db:2";
        let lowest_new = pods.iter().filter(is_new).map(|pod| ordinal(pod)).min();
        let old = pods.iter().filter(|pod| !is_new(pod));
        let highest_old = old.map(|pod| ordinal(pod)).max();
        if let (Some(new), Some(old)) = (lowest_new, highest_old) {
            assert!(old < new, "{old:?} is still old, and {new:?} is new");
        }
        ready(pods) == 3 && pods.iter().all(|pod| image(pod) == "db:2")
    });
    kubectl.run("rollout status statefulset/db").ok();
    let after = until(&kubectl, "statefulset db", |set| {
        set["status"]["currentRevision"] == set["status"]["updateRevision"]
    });
    let revision = |set: &Value| set["status"]["currentRevision"].clone();
    assert_ne!(revision(&after), revision(&before));

    // And back again, to the revision that it was.
    kubectl.run("rollout undo statefulset/db").ok();
    kubectl.run("rollout status statefulset/db").ok();
    let undone = until(&kubectl, "statefulset db", |set| {
        set["status"]["currentRevision"] == set["status"]["updateRevision"]
            && set["status"]["updatedReplicas"] == 3
    });
    assert_eq!(revision(&undone), revision(&before));
    let pods = get(&kubectl, "pods");
    let mut pods = pods["items"].as_array().expect("pods").iter();
    assert!(pods.all(|pod| image(pod) == "db:1"));
}

#[test]
fn a_broken_template_stops_at_its_first_pod() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-is-stuck");
    kubectl.run_with_input("apply -f -", &db()).ok();
    kubectl.run("rollout status statefulset/db").ok();
    let broken =
        r#"{"spec":{"template":{"metadata":{"annotations":{"mosaic/sim-image":"fail"}}}}}"#;
    kubectl
        .run(&format!("patch statefulset db -p {broken}"))
        .ok();
    until(&kubectl, "pod db-2", |pod| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        waiting["reason"] == "ErrImagePull" || waiting["reason"] == "ImagePullBackOff"
    });
    let set = until(&kubectl, "statefulset db", |set| {
        set["status"]["updatedReplicas"] == 1
    });
    assert_eq!(set["status"]["readyReplicas"], 2);

    // As Kubernetes documents: taken back, the broken pod has to be deleted by hand.
    kubectl.run("rollout undo statefulset/db").ok();
    until(&kubectl, "statefulset db", |set| {
        set["status"]["observedGeneration"] == set["metadata"]["generation"]
    });
    kubectl.run("delete pod db-2").ok();
    kubectl.run("rollout status statefulset/db").ok();
    until(&kubectl, "statefulset db", |set| {
        set["status"]["readyReplicas"] == 3
    });
}
