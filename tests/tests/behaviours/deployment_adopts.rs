//! What an owner leaves behind when it is deleted with `--cascade=orphan` is taken over by the next one that selects it.

use serde_json::Value;

use crate::manifests::workload;
use crate::objects::{controller, items, uid, uids};
use crate::{Cluster, get, until};

fn web() -> String {
    workload("Deployment", "web", &["replicas: 2"])
}

fn controlled_by(list: &Value, owner: Option<&str>) -> bool {
    !items(list).is_empty() && items(list).iter().all(|o| controller(o) == owner)
}

#[test]
fn a_new_deployment_takes_over_the_set_of_one_that_is_gone() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-adopts");
    kubectl.run_with_input("apply -f -", &web()).ok();
    kubectl.run("rollout status deployment/web").ok();
    let sets = get(&kubectl, "replicasets");
    let pods = get(&kubectl, "pods");

    kubectl.run("delete deployment web --cascade=orphan").ok();
    let orphans = until(&kubectl, "replicasets", |sets| controlled_by(sets, None));
    assert_eq!(uids(&orphans), uids(&sets));
    // The set is at work all the same.
    kubectl.run("scale replicaset --all --replicas 3").ok();
    until(&kubectl, "pods", |pods| items(pods).len() == 3);

    kubectl.run_with_input("apply -f -", &web()).ok();
    kubectl.run("rollout status deployment/web").ok();
    let web = get(&kubectl, "deployment web");
    let adopted = until(&kubectl, "replicasets", |sets| {
        controlled_by(sets, Some(uid(&web)))
    });
    assert_eq!(uids(&adopted), uids(&sets), "no set is made anew");
    let now = until(&kubectl, "pods", |pods| items(pods).len() == 2);
    let known = uids(&pods);
    let kept = uids(&now).into_iter().filter(|uid| known.contains(uid));
    assert!(kept.count() > 0, "no pod was kept");
}

#[test]
fn a_new_set_takes_over_the_pods_of_one_that_is_gone() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-set-adopts");
    kubectl.run_with_input("apply -f -", &web()).ok();
    kubectl.run("rollout status deployment/web").ok();
    let before = get(&kubectl, "replicasets");
    let pods = get(&kubectl, "pods");

    kubectl
        .run("delete replicasets --all --cascade=orphan")
        .ok();
    let sets = until(&kubectl, "replicasets", |sets| {
        items(sets).len() == 1 && uids(sets) != uids(&before)
    });
    let owner = uid(&items(&sets)[0]);
    let adopted = until(&kubectl, "pods", |pods| controlled_by(pods, Some(owner)));
    assert_eq!(uids(&adopted), uids(&pods), "pods were replaced");
    kubectl.run("rollout status deployment/web").ok();
}
