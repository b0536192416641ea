//! A Deployment keeps as many old sets as `revisionHistoryLimit` says: so far back `rollout undo` can go.

use crate::objects::{image, items};
use crate::{Cluster, until};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  revisionHistoryLimit: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: "web:1"}]
"#;

#[test]
fn older_sets_are_deleted() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-keeps-history");
    kubectl.run_with_input("apply -f -", WEB).ok();
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
