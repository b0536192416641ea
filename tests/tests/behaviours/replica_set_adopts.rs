//! A ReplicaSet takes over pods that nobody controls and its selector matches.

use crate::manifests::workload;
use crate::objects::{controller, items, names, uid};
use crate::{Cluster, get, until};

fn web() -> String {
    workload("ReplicaSet", "web", &["replicas: 3"])
}

#[test]
fn pods_that_are_there_count() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("replica-set-adopts");
    kubectl.run("run first --image web:0 --labels app=web").ok();
    kubectl
        .run("run second --image web:0 --labels app=web")
        .ok();
    kubectl
        .run("run other --image web:0 --labels app=other")
        .ok();
    kubectl.run_with_input("apply -f -", &web()).ok();
    let set = until(&kubectl, "replicaset web", |set| {
        set["status"]["readyReplicas"] == 3
    });
    let pods = get(&kubectl, "pods");
    let owned: Vec<_> = items(&pods)
        .iter()
        .filter(|pod| controller(pod) == Some(uid(&set)))
        .collect();
    assert_eq!(owned.len(), 3);
    assert_eq!(items(&pods).len(), 4, "one was made, and none too many");
    let names = names(&pods);
    assert!(names.contains(&"first".to_owned()) && names.contains(&"second".to_owned()));
    let other = get(&kubectl, "pod other");
    assert_eq!(controller(&other), None);
}

#[test]
fn a_pod_too_many_goes_at_once() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("replica-set-adopts-too-many");
    kubectl.run_with_input("apply -f -", &web()).ok();
    until(&kubectl, "replicaset web", |set| {
        set["status"]["readyReplicas"] == 3
    });
    let before = get(&kubectl, "pods");
    kubectl.run("run extra --image web:0 --labels app=web").ok();
    kubectl.run("wait --for=delete pod/extra").ok();
    let after = get(&kubectl, "pods");
    assert_eq!(names(&after), names(&before));
}
