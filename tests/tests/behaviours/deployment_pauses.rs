//! A paused Deployment rolls nothing out, whatever happens to its template; resumed, it rolls out what it has come to.

use crate::manifests::workload;
use crate::objects::{condition, image, is_observed, items};
use crate::{Cluster, get, until};

#[test]
fn what_changes_during_a_pause_is_rolled_out_at_once_after_it() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-pauses");
    let web = workload("Deployment", "web", &["replicas: 2"]);
    kubectl.run_with_input("apply -f -", &web).ok();
    kubectl.run("rollout status deployment/web").ok();

    kubectl.run("rollout pause deployment/web").ok();
    kubectl.run("set image deployment/web web=web:2").ok();
    kubectl.run("set image deployment/web web=web:3").ok();
    let web = until(&kubectl, "deployment web", is_observed);
    let progressing = condition(&web, "Progressing");
    assert_eq!(progressing["status"], "Unknown");
    assert_eq!(progressing["reason"], "DeploymentPaused");
    let sets = get(&kubectl, "replicasets");
    assert_eq!(items(&sets).len(), 1, "a pause that rolls out: {sets}");
    kubectl
        .run("rollout undo deployment/web --to-revision 1")
        .complains("paused");

    // Its size may change all the same, with pods of the template before.
    kubectl.run("scale deployment/web --replicas 3").ok();
    until(&kubectl, "deployment web", |web| {
        is_observed(web) && web["status"]["availableReplicas"] == 3
    });
    let pods = get(&kubectl, "pods");
    assert!(items(&pods).iter().all(|pod| image(pod) == "web:1"));

    kubectl.run("rollout resume deployment/web").ok();
    kubectl
        .run("rollout status deployment/web")
        .says("successfully rolled out");
    let pods = until(&kubectl, "pods", |pods| items(pods).len() == 3);
    assert!(items(&pods).iter().all(|pod| image(pod) == "web:3"));
    let sets = get(&kubectl, "replicasets");
    let mut images: Vec<_> = items(&sets).iter().map(image).collect();
    images.sort_unstable();
    assert_eq!(images, ["web:1", "web:3"]);
}
