//! Each pod of a StatefulSet has claims of its own, which outlive it: `persistentVolumeClaimRetentionPolicy` says for how
//! long.
//!
//! Nobody makes volumes here: pods wait until an administrator has made theirs.

use serde_json::{Value, json};

use crate::objects::{condition, is_ready, items, names, uid, uids};
use crate::{Cluster, get, until};

const DB: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 3
  serviceName: db
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: db, image: "db:1", volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data, labels: {tier: back}}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"#;

fn set(policy: &str) -> String {
    DB.replace(
        "spec:\n  replicas",
        &format!("spec:\n  persistentVolumeClaimRetentionPolicy: {policy}\n  replicas"),
    )
}

const ALL: [&str; 3] = ["data-db-0", "data-db-1", "data-db-2"];

#[test]
fn a_pod_starts_when_its_claim_has_a_volume() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-claims");
    kubectl.run_with_input("apply -f -", DB).ok();
    let claims = until(&kubectl, "persistentvolumeclaims", |claims| {
        names(claims) == ALL
    });
    let labels = &items(&claims)[0]["metadata"]["labels"];
    assert_eq!(labels, &json!({"app": "db", "tier": "back"}));
    let pod = until(&kubectl, "pod db-1", |pod| {
        condition(pod, "PodScheduled")["status"] == "False"
    });
    let why = &condition(&pod, "PodScheduled")["message"];
    let why = why.as_str().unwrap_or_default();
    assert!(
        why.contains(
            "unbound immediate PersistentVolumeClaims: stateful-set-claims/data-db-1 (no class)"
        ),
        "{why}"
    );
    let volume = pod["spec"]["volumes"]
        .as_array()
        .and_then(|all| all.iter().find(|v| v["name"] == "data"));
    assert_eq!(
        volume.map(|volume| &volume["persistentVolumeClaim"]["claimName"]),
        Some(&Value::from("data-db-1"))
    );

    let disk = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk-of-db-1"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "storageClassName": "", "hostPath": {"path": "/disk"},
            "claimRef": {"namespace": "stateful-set-claims", "name": "data-db-1"},
        },
    });
    kubectl
        .run_with_input("create -f -", &disk.to_string())
        .ok();
    until(&kubectl, "pod db-1", is_ready);
    let others = get(&kubectl, "pod db-0");
    assert_eq!(others["status"]["phase"], "Pending");
}

#[test]
fn claims_are_kept_unless_told_otherwise() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-keeps-claims");
    kubectl.run_with_input("apply -f -", DB).ok();
    let before = until(&kubectl, "persistentvolumeclaims", |claims| {
        names(claims) == ALL
    });
    kubectl.run("scale statefulset db --replicas 1").ok();
    until(&kubectl, "pods", |pods| names(pods) == ["db-0"]);
    // Grown again, pods find what they had.
    kubectl.run("scale statefulset db --replicas 3").ok();
    until(&kubectl, "pods", |pods| {
        names(pods) == ["db-0", "db-1", "db-2"]
    });
    kubectl.run("delete statefulset db").ok();
    until(&kubectl, "pods", |pods| items(pods).is_empty());
    let after = get(&kubectl, "persistentvolumeclaims");
    assert_eq!(uids(&after), uids(&before));
}

#[test]
fn claims_go_with_their_pod_or_with_the_set() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stateful-set-deletes-claims");
    kubectl
        .run_with_input(
            "apply -f -",
            &set("{whenDeleted: Retain, whenScaled: Delete}"),
        )
        .ok();
    let before = until(&kubectl, "persistentvolumeclaims", |claims| {
        names(claims) == ALL
    });
    let first = uid(&items(&before)[0]).to_owned();
    // A pod that is replaced keeps its claim; one that is too many takes it along.
    kubectl.run("delete pod db-0").ok();
    kubectl.run("scale statefulset db --replicas 1").ok();
    let after = until(&kubectl, "persistentvolumeclaims", |claims| {
        names(claims) == ["data-db-0"]
    });
    assert_eq!(uids(&after), [first.as_str()]);

    // The policy may change at any time: now all of it goes with the set.
    kubectl
        .run_with_input(
            "apply -f -",
            &set("{whenDeleted: Delete, whenScaled: Retain}"),
        )
        .ok();
    until(&kubectl, "persistentvolumeclaims", |claims| {
        names(claims) == ALL
            && items(claims)
                .iter()
                .all(|claim| claim["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet")
    });
    kubectl.run("scale statefulset db --replicas 2").ok();
    until(&kubectl, "pods", |pods| names(pods) == ["db-0", "db-1"]);
    let kept = get(&kubectl, "persistentvolumeclaims");
    assert_eq!(names(&kept), ALL);
    kubectl.run("delete statefulset db").ok();
    until(&kubectl, "persistentvolumeclaims", |claims| {
        items(claims).is_empty()
    });
}
