//! A Deployment keeps as many old sets as `revisionHistoryLimit` says: so far back `rollout undo` can go.

use crate::manifests::workload;
use crate::objects::{image, items};
use crate::{Cluster, until};

#[test]
fn older_sets_are_deleted() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-keeps-history");
    let web = workload(
        "Deployment",
        "web",
        &["replicas: 1", "revisionHistoryLimit: 2"],
    );
    kubectl.run_with_input("apply -f -", &web).ok();
    for number in 2..=5 {
        kubectl.run("rollout status deployment/web").ok();
        kubectl
            .run(&format!("set image deployment/web web=web:{number}"))
            .ok();
    }
    kubectl.run("rollout status deployment/web").ok();
    until(&kubectl, "replicasets", |sets| {
        let mut images: Vec<_> = items(sets).iter().map(image).collect();
        images.sort_unstable();
        images == ["web:3", "web:4", "web:5"]
    });
    let history = kubectl.run("rollout history deployment/web");
    let revisions: Vec<_> = history
        .ok()
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse::<i64>().ok())
        .collect();
    assert_eq!(revisions, [3, 4, 5]);
    kubectl
        .run("rollout undo deployment/web --to-revision 2")
        .complains("unable to find specified revision 2");

    // Without a history, only the present set stays.
    kubectl
        .run(r#"patch deployment web -p {"spec":{"revisionHistoryLimit":0}}"#)
        .ok();
    until(&kubectl, "replicasets", |sets| {
        items(sets).iter().map(image).eq(["web:5"])
    });
}
