//! What a ReplicaSet no longer selects, or leaves behind on purpose, runs on without it.

use crate::manifests::workload;
use crate::objects::{controller, is_ready, items, names, uid};
use crate::{Cluster, get, until};

fn web() -> String {
    workload("ReplicaSet", "web", &["replicas: 2"])
}

#[test]
fn a_pod_of_another_label_is_free() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("replica-set-releases");
    kubectl.run_with_input("apply -f -", &web()).ok();
    let set = until(&kubectl, "replicaset web", |set| {
        set["status"]["readyReplicas"] == 2
    });
    let pods = get(&kubectl, "pods");
    let free = &names(&pods)[0];
    kubectl
        .run(&format!("label pod {free} app=debug --overwrite"))
        .ok();
    until(&kubectl, "pods -l app=web", |pods| {
        items(pods).len() == 2
            && items(pods)
                .iter()
                .all(|pod| is_ready(pod) && controller(pod) == Some(uid(&set)))
    });
    let pod = until(&kubectl, &format!("pod {free}"), |pod| {
        controller(pod).is_none()
    });
    assert!(is_ready(&pod), "{pod}");

    kubectl.run("delete replicaset web").ok();
    until(&kubectl, "pods", |pods| names(pods) == [free.as_str()]);
}

#[test]
fn a_set_that_is_deleted_alone_leaves_its_pods() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("replica-set-leaves-pods");
    kubectl.run_with_input("apply -f -", &web()).ok();
    until(&kubectl, "replicaset web", |set| {
        set["status"]["readyReplicas"] == 2
    });
    let before = get(&kubectl, "pods");
    kubectl.run("delete replicaset web --cascade=orphan").ok();
    let after = until(&kubectl, "pods", |pods| {
        items(pods).iter().all(|pod| controller(pod).is_none())
    });
    assert_eq!(names(&after), names(&before));
    assert!(items(&after).iter().all(is_ready));
}
