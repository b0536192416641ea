//! A ReplicaSet counts the pods of its own namespace, whatever pods of others say who controls them.

use crate::manifests::workload;
use crate::objects::{items, names, uid};
use crate::{Cluster, get, until};

/// A pod that says that it is controlled by that set. Nobody can tell whether a kind that is not served has it.
fn pretender(name: &str, set: &str) -> String {
    format!(
        r#"
---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{app: web}}
  annotations: {{controller.kubernetes.io/pod-deletion-cost: "2147483647"}}
  ownerReferences:
  - {{apiVersion: example.com/v1, kind: Unserved, name: x, uid: {set}, controller: true}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: web, image: "web:1"}}]
"#
    )
}

#[test]
fn pods_of_another_namespace_do_not_count() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("replica-set-own");
    let other = cluster.namespace("replica-set-other");
    let web = workload("ReplicaSet", "web", &["replicas: 3"]);
    kubectl.run_with_input("apply -f -", &web).ok();
    let is_ready = |replicas: u64| {
        until(&kubectl, "replicaset web", move |set| {
            set["status"]["readyReplicas"] == replicas
        })
    };
    let set = is_ready(3);
    let before = names(&get(&kubectl, "pods"));
    let pretenders: String = (0..3)
        .map(|index| pretender(&format!("p{index}"), uid(&set)))
        .collect();
    other.run_with_input("apply -f -", &pretenders).ok();
    other.run("wait --for=condition=Ready pod --all").ok();
    // Whoever counted them would have too many, and delete its own.
    kubectl.run("scale replicaset web --replicas 4").ok();
    is_ready(4);
    let after = get(&kubectl, "pods");
    assert_eq!(items(&after).len(), 4);
    let after = names(&after);
    assert!(before.iter().all(|name| after.contains(name)), "{after:?}");
    assert_eq!(items(&get(&other, "pods")).len(), 3);
}
