//! With a partition, only pods from that ordinal on get a new template: a canary, or an update in stages.

use mosaic_tests::Kubectl;

use crate::manifests::workload;
use crate::objects::{image, items, uid};
use crate::{Cluster, get, until};

fn images(kubectl: &Kubectl) -> Vec<String> {
    let pods = get(kubectl, "pods --sort-by=metadata.name");
    items(&pods)
        .iter()
        .map(|pod| image(pod).to_owned())
        .collect()
}

#[test]
fn pods_below_it_keep_their_template() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-partition");
    let db = workload(
        "StatefulSet",
        "db",
        &[
            "replicas: 3",
            "updateStrategy: {rollingUpdate: {partition: 2}}",
        ],
    );
    kubectl.run_with_input("apply -f -", &db).ok();
    until(&kubectl, "statefulset db", |set| {
        set["status"]["readyReplicas"] == 3
    });
    kubectl.run("set image statefulset/db db=db:2").ok();
    kubectl
        .run("rollout status statefulset/db")
        .says("partitioned roll out complete");
    until(&kubectl, "statefulset db", |set| {
        set["status"]["readyReplicas"] == 3 && set["status"]["updatedReplicas"] == 1
    });
    assert_eq!(images(&kubectl), ["db:1", "db:1", "db:2"]);

    // One that has to be made anew is made as it was.
    let before = get(&kubectl, "pod db-0");
    kubectl.run("delete pod db-0").ok();
    until(&kubectl, "pod db-0", |pod| uid(pod) != uid(&before));
    until(&kubectl, "statefulset db", |set| {
        set["status"]["readyReplicas"] == 3
    });
    assert_eq!(images(&kubectl), ["db:1", "db:1", "db:2"]);

    let lower = r#"{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}"#;
    kubectl
        .run(&format!("patch statefulset db -p {lower}"))
        .ok();
    kubectl.run("rollout status statefulset/db").ok();
    assert_eq!(images(&kubectl), ["db:2", "db:2", "db:2"]);
}
