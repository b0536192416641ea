use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::plan::{Plan, Snapshot, plan};

/// Claims, volumes and what is written of them, as an API would hold them.
#[derive(Default)]
struct World {
    claims: Vec<Value>,
    volumes: Vec<Value>,
    classes: Vec<Value>,
    hosts: HashMap<String, mosaic_scheduler::model::Node>,
    used: BTreeSet<(String, String)>,
}

fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

impl World {
    fn plan(&self) -> Plan {
        fn read<K: DeserializeOwned>(list: &[Value]) -> Vec<Arc<K>> {
            list.iter()
                .map(|object| Arc::new(serde_json::from_str(&object.to_string()).unwrap()))
                .collect()
        }
        let (claims, volumes) = (read(&self.claims), read(&self.volumes));
        let classes = read(&self.classes);
        plan(&Snapshot {
            claims: &claims,
            volumes: &volumes,
            classes: &classes,
            hosts: &self.hosts,
            used: &self.used,
        })
    }

    /// Carries plans out until nothing is left to do, and returns what was told.
    fn settle(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..10 {
            let plan = self.plan();
            for tell in &plan.tells {
                let text = format!("{}: {}", tell.reason, tell.note);
                if !told.contains(&text) {
                    told.push(text);
                }
            }
            if plan.writes.is_empty() {
                return told;
            }
            for write in plan.writes.iter().flatten() {
                let name = write.about.metadata().name.clone().unwrap();
                let all = self.claims.iter_mut().chain(&mut self.volumes);
                let object = all
                    .into_iter()
                    .find(|object| object["metadata"]["name"] == name.as_str())
                    .unwrap();
                merge(object, &write.patch);
            }
        }
        panic!("the plans come to no end: {:?}", self.plan().writes);
    }

    fn claim(&self, name: &str) -> &Value {
        self.claims
            .iter()
            .find(|c| c["metadata"]["name"] == name)
            .unwrap()
    }

    fn volume(&self, name: &str) -> &Value {
        self.volumes
            .iter()
            .find(|v| v["metadata"]["name"] == name)
            .unwrap()
    }

    fn class(&mut self, name: &str, provisioner: &str, mode: &str) {
        self.classes.push(
            json!({ "metadata": { "name": name }, "provisioner": provisioner,
            "volumeBindingMode": mode }),
        );
    }
}

fn claim(name: &str, class: &str, size: &str) -> Value {
    json!({ "metadata": { "name": name, "namespace": "ns", "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "storageClassName": class, "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": size } } },
        "status": { "phase": "Pending" } })
}

fn volume(name: &str, class: &str, size: &str) -> Value {
    json!({ "metadata": { "name": name, "uid": format!("uid-{name}") },
        "spec": { "storageClassName": class, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
            "capacity": { "storage": size }, "persistentVolumeReclaimPolicy": "Retain" },
        "status": { "phase": "Pending" } })
}

#[test]
fn a_claim_gets_the_smallest_volume_that_would_do() {
    let mut world = World::default();
    world.claims.push(claim("data", "fast", "5Gi"));
    let mut block = volume("block", "fast", "5Gi");
    block["spec"]["volumeMode"] = json!("Block");
    let mut reads = volume("reads", "fast", "5Gi");
    reads["spec"]["accessModes"] = json!(["ReadOnlyMany"]);
    world.volumes = vec![
        volume("large", "fast", "50Gi"),
        volume("fits", "fast", "6Gi"),
        volume("small", "fast", "4Gi"),
        volume("other", "slow", "5Gi"),
        block,
        reads,
    ];
    world.settle();
    let data = world.claim("data");
    assert_eq!(data["spec"]["volumeName"], "fits");
    assert_eq!(
        data["status"],
        json!({ "phase": "Bound",
        "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": { "storage": "6Gi" } })
    );
    assert_eq!(
        data["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"],
        "yes"
    );
    assert_eq!(
        data["metadata"]["finalizers"],
        json!(["kubernetes.io/pvc-protection"])
    );
    let fits = world.volume("fits");
    assert_eq!(
        (&fits["status"]["phase"], &fits["spec"]["claimRef"]["uid"]),
        (&json!("Bound"), &json!("uid-data"))
    );
    assert_eq!(
        fits["metadata"]["finalizers"],
        json!(["kubernetes.io/pv-protection"])
    );
    assert_eq!(world.volume("large")["status"]["phase"], "Available");
}

#[test]
fn two_claims_never_get_one_volume() {
    let mut world = World {
        claims: vec![claim("a", "", "1Gi"), claim("b", "", "1Gi")],
        ..World::default()
    };
    world.volumes.push(volume("only", "", "1Gi"));
    let told = world.settle();
    assert_eq!(world.claim("a")["spec"]["volumeName"], "only");
    assert_eq!(world.claim("b")["status"]["phase"], "Pending");
    assert!(
        told.iter()
            .any(|text| text.starts_with("FailedBinding: no persistent volumes available")),
        "{told:?}"
    );
}

#[test]
fn what_one_side_names_becomes_its_own() {
    let mut world = World::default();
    let mut names = claim("names", "", "1Gi");
    names["spec"]["volumeName"] = json!("named");
    world.claims = vec![
        names,
        claim("kept-for", "", "1Gi"),
        claim("other", "", "1Gi"),
    ];
    let mut kept = volume("kept", "", "9Gi");
    kept["spec"]["claimRef"] = json!({ "namespace": "ns", "name": "kept-for" });
    world.volumes = vec![volume("named", "", "2Gi"), kept];
    world.settle();
    assert_eq!(world.claim("names")["status"]["phase"], "Bound");
    assert_eq!(world.claim("kept-for")["spec"]["volumeName"], "kept");
    assert_eq!(world.claim("other")["status"]["phase"], "Pending");
}

#[test]
fn a_claim_of_a_host_gets_a_volume_that_the_host_reaches() {
    let mut world = World::default();
    world.class(
        "local",
        "kubernetes.io/no-provisioner",
        "WaitForFirstConsumer",
    );
    let on = |host: &str| {
        let mut volume = volume(&format!("of-{host}"), "local", "1Gi");
        volume["spec"]["nodeAffinity"] = json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [
            { "key": "kubernetes.io/hostname", "operator": "In", "values": [host] }] }] } });
        volume
    };
    world.volumes = vec![on("one"), on("two")];
    world.claims.push(claim("data", "local", "1Gi"));
    let told = world.settle();
    assert_eq!(
        told,
        ["WaitForFirstConsumer: waiting for first consumer to be created before binding"]
    );
    let node =
        json!({ "metadata": { "name": "two", "labels": { "kubernetes.io/hostname": "two" } } });
    let node = mosaic_scheduler::model::Node::from_json(node.to_string().as_bytes()).unwrap();
    world.hosts.insert("two".into(), node);
    world.claims[0]["metadata"]["annotations"] =
        json!({ "volume.kubernetes.io/selected-node": "two" });
    world.settle();
    assert_eq!(world.claim("data")["spec"]["volumeName"], "of-two");
}

#[test]
fn what_has_to_be_provisioned_says_by_whom() {
    let mut world = World::default();
    world.class("fast", "example.com/disks", "Immediate");
    world.claims.push(claim("data", "fast", "1Gi"));
    let told = world.settle();
    assert!(
        told[0].starts_with("ExternalProvisioning:") && told[0].contains("example.com/disks"),
        "{told:?}"
    );
}

#[test]
fn a_volume_whose_claim_is_gone_is_released_or_has_failed() {
    for (policy, phase) in [("Retain", "Released"), ("Delete", "Failed")] {
        let mut world = World::default();
        world.claims.push(claim("data", "", "1Gi"));
        world.volumes.push(volume("disk", "", "1Gi"));
        world.volumes[0]["spec"]["persistentVolumeReclaimPolicy"] = json!(policy);
        world.settle();
        world.claims[0] = claim("data", "", "1Gi");
        world.claims[0]["metadata"]["uid"] = json!("another");
        world.settle();
        assert_eq!(world.volume("disk")["status"]["phase"], phase);
        assert_eq!(
            world.claim("data")["status"]["phase"],
            "Pending",
            "a new claim of that name gets nothing of it"
        );
    }
}

#[test]
fn a_claim_whose_volume_is_gone_is_lost() {
    let mut world = World::default();
    world.claims.push(claim("data", "", "1Gi"));
    world.volumes.push(volume("disk", "", "1Gi"));
    world.settle();
    world.volumes.clear();
    let told = world.settle();
    assert_eq!(world.claim("data")["status"]["phase"], "Lost");
    assert!(told[0].starts_with("ClaimLost"), "{told:?}");
}

#[test]
fn what_is_used_stays_until_it_is_not() {
    let mut world = World::default();
    world.claims.push(claim("data", "", "1Gi"));
    world.volumes.push(volume("disk", "", "1Gi"));
    world.settle();
    for object in world.claims.iter_mut().chain(&mut world.volumes) {
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    world.used.insert(("ns".into(), "data".into()));
    world.settle();
    assert_eq!(
        world.claim("data")["metadata"]["finalizers"],
        json!(["kubernetes.io/pvc-protection"])
    );
    world.used.clear();
    world.settle();
    assert_eq!(world.claim("data")["metadata"]["finalizers"], json!([]));
    assert_eq!(
        world.volume("disk")["metadata"]["finalizers"],
        json!(["kubernetes.io/pv-protection"])
    );
    world.claims.clear();
    world.settle();
    assert_eq!(world.volume("disk")["metadata"]["finalizers"], json!([]));
}
