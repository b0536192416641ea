//! What the tests of decisions share: random clusters, and a checker that knows nothing of how they are made.
#![allow(dead_code)]

pub mod naive;
pub mod world;

use mosaic_scheduler::{
    Cluster, Decision, Explanation, Pod, PodKey, Profile, decide,
    model::{Budget, Claim, Namespace, Node, StorageClass, Volume},
};
use serde_json::{Value, json};

pub fn bytes(object: &Value) -> Vec<u8> {
    serde_json::to_vec(object).unwrap()
}

pub fn node(object: &Value) -> Node {
    Node::from_json(&bytes(object)).unwrap()
}

pub fn pod(object: &Value) -> Pod {
    Pod::from_json(&bytes(object)).unwrap()
}

pub fn claim(object: &Value) -> Claim {
    Claim::from_json(&bytes(object)).unwrap()
}

pub fn volume(object: &Value) -> Volume {
    Volume::from_json(&bytes(object)).unwrap()
}

pub fn class(object: &Value) -> StorageClass {
    StorageClass::from_json(&bytes(object)).unwrap()
}

pub fn budget(object: &Value) -> Budget {
    Budget::from_json(&bytes(object)).unwrap()
}

pub fn namespace(object: &Value) -> Namespace {
    Namespace::from_json(&bytes(object)).unwrap()
}

/// A host with so much of everything.
pub fn host(name: &str, zone: &str, cpu: &str, memory: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": {
            "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone,
        } },
        "status": { "allocatable": { "cpu": cpu, "memory": memory, "pods": "110" } },
    })
}

/// A pod that asks for so much.
pub fn plain(name: &str, cpu: &str, memory: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "default", "uid": name, "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu, "memory": memory } } }] },
    })
}

/// Sets what a JSON pointer with existing or missing parents names.
pub fn set(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for part in path.split('/').skip(1) {
        if place.is_null() {
            *place = json!({});
        }
        place = &mut place[part.replace("~1", "/")];
    }
    *place = value;
}

pub fn cluster(hosts: &[Value]) -> Cluster {
    let mut cluster = Cluster::new();
    for object in hosts {
        cluster.upsert_node(node(object));
    }
    cluster
}

pub fn decided(cluster: &Cluster, object: &Value) -> Decision {
    let pod = pod(object);
    decide(cluster, &pod, Profile::of(&pod))
}

pub fn host_for(cluster: &Cluster, object: &Value) -> String {
    match decided(cluster, object) {
        Decision::Place(placement) => placement.host.to_string(),
        other => panic!("{other:?}"),
    }
}

pub fn why_not(cluster: &Cluster, object: &Value) -> Explanation {
    match decided(cluster, object) {
        Decision::Unschedulable(explanation) => Explanation::clone(&explanation),
        other => panic!("{other:?}"),
    }
}

/// Puts a pod onto a host, as one that is bound.
pub fn placed(cluster: &mut Cluster, mut object: Value, host: &str) -> PodKey {
    object["spec"]["nodeName"] = json!(host);
    let pod = pod(&object);
    let key = pod.key.clone();
    cluster.upsert_pod(pod);
    key
}

pub fn owned(mut object: Value, kind: &str, uid: &str) -> Value {
    object["metadata"]["ownerReferences"] =
        json!([{ "kind": kind, "name": uid, "uid": uid, "controller": true }]);
    object
}

pub fn key(name: &str) -> PodKey {
    PodKey::new("default", name)
}
