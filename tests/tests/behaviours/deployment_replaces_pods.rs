//! A Deployment has as many pods as it is to have, whatever becomes of them.

use crate::manifests::workload;
use crate::objects::{controller, is_ready, items, name, names, uid, uids};
use crate::{Cluster, get, until};

fn web() -> String {
    workload("Deployment", "web", &["replicas: 3"])
}

#[test]
fn a_pod_that_is_deleted_is_replaced() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-replaces-pods");
    kubectl.run_with_input("apply -f -", &web()).ok();
    kubectl.run("rollout status deployment/web").ok();
    let before = get(&kubectl, "pods");
    let [first, second, third] = items(&before) else {
        panic!("{before}");
    };
    kubectl.run(&format!("delete pod {}", name(first))).ok();
    kubectl
        .run(&format!(
            "delete pod {} --force --grace-period 0",
            name(second)
        ))
        .ok();
    let after = until(&kubectl, "pods", |pods| {
        items(pods).len() == 3 && items(pods).iter().all(is_ready)
    });
    let known = uids(&before);
    let kept = uids(&after).into_iter().filter(|uid| known.contains(uid));
    assert_eq!(kept.collect::<Vec<_>>(), [uid(third)]);
    until(&kubectl, "deployment web", |web| {
        web["status"]["availableReplicas"] == 3
    });
}

#[test]
fn a_pod_of_another_label_is_let_go_and_replaced() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-lets-pods-go");
    kubectl.run_with_input("apply -f -", &web()).ok();
    kubectl.run("rollout status deployment/web").ok();
    let pods = get(&kubectl, "pods");
    let suspect = names(&pods)[0].to_owned();

    // Taken out to be looked at: it runs on, and another one serves in its place.
    kubectl
        .run(&format!("label pod {suspect} app=suspect --overwrite"))
        .ok();
    let pods = until(&kubectl, "pods", |pods| {
        items(pods).len() == 4
            && items(pods).iter().all(is_ready)
            && items(pods)
                .iter()
                .all(|pod| controller(pod).is_some() == (name(pod) != suspect))
    });
    assert!(names(&pods).contains(&suspect));

    // Put back, it is one too many.
    kubectl
        .run(&format!("label pod {suspect} app=web --overwrite"))
        .ok();
    until(&kubectl, "pods", |pods| {
        items(pods).len() == 3 && items(pods).iter().all(|pod| controller(pod).is_some())
    });

    // Let go for good, it stays when the Deployment goes.
    let pods = get(&kubectl, "pods");
    let free = names(&pods)[0].to_owned();
    kubectl.run(&format!("label pod {free} app-")).ok();
    until(&kubectl, &format!("pod {free}"), |pod| {
        controller(pod).is_none()
    });
    kubectl.run("delete deployment web").ok();
    let rest = until(&kubectl, "pods", |pods| items(pods).len() == 1);
    assert_eq!(names(&rest), [free]);
}
