//! A Deployment's new template takes over within `maxSurge` and `maxUnavailable`, and an old one comes back by undo.

use mosaic_tests::wait_until;
use serde_json::Value;

use crate::manifests::workload;
use crate::{Cluster, get, until};

/// How many pods stay, and how many of them are ready. Those that were asked to go count no more, as on Kubernetes,
/// however long they take.
fn counts(pods: &Value) -> (usize, usize) {
    let items = pods["items"].as_array().expect("items");
    let is_ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.is_some_and(|all| {
            all.iter()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
        })
    };
    let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    let ready = items
        .iter()
        .filter(stays)
        .filter(|pod| is_ready(pod))
        .count();
    (items.iter().filter(stays).count(), ready)
}

#[test]
fn a_new_template_takes_over_within_its_bounds() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-rolls-out");
    let web = workload(
        "Deployment",
        "web",
        &[
            "replicas: 8",
            "strategy: {rollingUpdate: {maxSurge: 2, maxUnavailable: 1}}",
        ],
    );
    kubectl.run_with_input("apply -f -", &web).ok();
    kubectl
        .run("rollout status deployment/web")
        .says("successfully rolled out");
    kubectl.run("set image deployment/web web=web:2").ok();
    let mut worst = (0, 8);
    wait_until("the new template", || {
        let (all, ready) = counts(&get(&kubectl, "pods"));
        worst = (worst.0.max(all), worst.1.min(ready));
        let deployment = get(&kubectl, "deployment web");
        let status = &deployment["status"];
        status["observedGeneration"] == deployment["metadata"]["generation"]
            && status["updatedReplicas"] == 8
            && status["availableReplicas"] == 8
            && status["replicas"] == 8
    });
    assert!(
        worst.0 <= 10,
        "{} pods at a time, with a surge of two",
        worst.0
    );
    assert!(worst.1 >= 7, "only {} were ready", worst.1);
    kubectl.run("rollout history deployment/web").says("2");

    kubectl.run("rollout undo deployment/web").ok();
    kubectl.run("rollout status deployment/web").ok();
    let deployment = get(&kubectl, "deployment web");
    let annotations = &deployment["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "web:1");
    until(&kubectl, "pods", |pods| counts(pods) == (8, 8));
}
