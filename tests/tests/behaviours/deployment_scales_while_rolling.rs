//! A Deployment that is scaled in the middle of a rollout shares the change among its sets.

use serde_json::Value;

use crate::manifests::workload;
use crate::objects::{image, items};
use crate::{Cluster, until};

/// How many pods the sets of two images are to have.
fn sizes(sets: &Value, old: &str, new: &str) -> (i64, i64) {
    let size = |wanted: &str| {
        let set = items(sets).iter().find(|set| image(set) == wanted);
        set.and_then(|set| set["spec"]["replicas"].as_i64())
            .unwrap_or(0)
    };
    (size(old), size(new))
}

#[test]
fn a_stuck_rollout_grows_and_shrinks_in_proportion() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-scales-while-rolling");
    let web = workload(
        "Deployment",
        "web",
        &[
            "replicas: 10",
            "strategy: {rollingUpdate: {maxSurge: 3, maxUnavailable: 2}}",
        ],
    );
    kubectl.run_with_input("apply -f -", &web).ok();
    kubectl.run("rollout status deployment/web").ok();

    // An image that cannot be pulled: as far as it comes, eight old pods and five new ones.
    let broken = r#"{"spec":{"template":{"metadata":{"annotations":{"mosaic/sim-image":"fail"}},
        "spec":{"containers":[{"name":"web","image":"web:2"}]}}}}"#
        .replace(char::is_whitespace, "");
    kubectl
        .run(&format!("patch deployment web -p {broken}"))
        .ok();
    until(&kubectl, "replicasets", |sets| {
        sizes(sets, "web:1", "web:2") == (8, 5)
    });

    // Five more: three for the larger set, two for the smaller one.
    kubectl.run("scale deployment/web --replicas 15").ok();
    until(&kubectl, "replicasets", |sets| {
        sizes(sets, "web:1", "web:2") == (11, 7)
    });
    until(&kubectl, "deployment web", |web| {
        web["status"]["availableReplicas"] == 11 && web["status"]["replicas"] == 18
    });

    // Ten fewer again, of the 18 that there are: 13 remain.
    kubectl.run("scale deployment/web --replicas 10").ok();
    until(&kubectl, "replicasets", |sets| {
        let (old, new) = sizes(sets, "web:1", "web:2");
        (old, new) == (8, 5)
    });

    let repaired =
        r#"{"spec":{"template":{"metadata":{"annotations":{"mosaic/sim-image":null}}}}}"#;
    kubectl
        .run(&format!("patch deployment web -p {repaired}"))
        .ok();
    kubectl
        .run("rollout status deployment/web")
        .says("successfully rolled out");
    until(&kubectl, "deployment web", |web| {
        web["status"]["availableReplicas"] == 10 && web["status"]["replicas"] == 10
    });
}
