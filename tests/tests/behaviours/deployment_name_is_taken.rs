//! A Deployment whose ReplicaSet's name somebody else has takes another one, and says so in `collisionCount`.

use serde_json::json;

use crate::manifests::workload;
use crate::{Cluster, get};

fn web() -> String {
    workload("Deployment", "web", &["replicas: 1"])
}

#[test]
fn a_set_of_somebody_else_is_left_alone() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-name-is-taken");
    kubectl.run_with_input("apply -f -", &web()).ok();
    kubectl.run("rollout status deployment/web").ok();
    let set = &get(&kubectl, "replicasets")["items"][0];
    let name = set["metadata"]["name"].as_str().expect("a name").to_owned();
    kubectl
        .run("delete deployment web --cascade=foreground --wait")
        .ok();

    kubectl.run("create configmap owner").ok();
    let owner = get(&kubectl, "configmap owner");
    let labels = json!({ "app": "other" });
    let other = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": { "name": name, "ownerReferences": [{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
            "uid": owner["metadata"]["uid"], "controller": true,
        }] },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "other", "image": "other:1" }] },
            },
        },
    });
    kubectl
        .run_with_input("create -f -", &other.to_string())
        .ok();
    kubectl.run_with_input("apply -f -", &web()).ok();
    kubectl.run("rollout status deployment/web").ok();
    let deployment = get(&kubectl, "deployment web");
    assert_eq!(deployment["status"]["collisionCount"], 1);
    let taken = get(&kubectl, &format!("replicaset {name}"));
    assert_eq!(taken["spec"]["replicas"], 0);
}
