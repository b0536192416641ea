//! `rollout undo --to-revision` brings back a template of any revision that is kept, and the set that it had.

use crate::manifests::workload;
use crate::objects::{image, items, uid};
use crate::{Cluster, get, until};

#[test]
fn a_revision_comes_back_with_a_number_of_its_own() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-undoes");
    let web = workload("Deployment", "web", &["replicas: 2"]);
    kubectl.run_with_input("apply -f -", &web).ok();
    kubectl.run("rollout status deployment/web").ok();
    let sets = get(&kubectl, "replicasets");
    let first = uid(&items(&sets)[0]).to_owned();
    for number in 2..=3 {
        kubectl
            .run(&format!("set image deployment/web web=web:{number}"))
            .ok();
        kubectl.run("rollout status deployment/web").ok();
    }
    kubectl
        .run("rollout history deployment/web --revision 2")
        .says("web:2");

    kubectl
        .run("rollout undo deployment/web --to-revision 1")
        .ok();
    kubectl
        .run("rollout status deployment/web")
        .says("successfully rolled out");
    let pods = until(&kubectl, "pods", |pods| items(pods).len() == 2);
    assert!(items(&pods).iter().all(|pod| image(pod) == "web:1"));
    let sets = get(&kubectl, "replicasets");
    assert_eq!(items(&sets).len(), 3, "no set is made anew");
    let set = items(&sets).iter().find(|set| uid(set) == first);
    let annotations = &set.expect("the first set")["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "4");
    let history = &annotations["deployment.kubernetes.io/revision-history"];
    assert_eq!(history, "1");
    let history = kubectl.run("rollout history deployment/web");
    let revisions: Vec<_> = history
        .ok()
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse::<i64>().ok())
        .collect();
    assert_eq!(revisions, [2, 3, 4]);
}
