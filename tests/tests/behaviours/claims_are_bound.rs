//! Claims get volumes that an administrator has made, and what waits for one says so.

use serde_json::{Value, json};

use crate::objects::{condition, event, is_ready};
use crate::{Cluster, get, mos_with, until};

fn class(name: &str, provisioner: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": provisioner, "volumeBindingMode": mode,
    })
}

fn claim(name: &str, class: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": {"requests": {"storage": "1Gi"}}},
    })
}

fn volume(name: &str, class: &str, size: &str, host: Option<&str>) -> Value {
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
            "storageClassName": class, "hostPath": {"path": "/disk"}},
    });
    if let Some(host) = host {
        volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]}]}});
    }
    volume
}

fn pod(name: &str, claim: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "app", "image": "app:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        },
    })
}

#[test]
fn a_claim_is_bound_protected_and_released() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("claims-are-bound");
    let apply = |object: &Value| {
        kubectl
            .run_with_input("apply -f -", &object.to_string())
            .ok();
    };
    apply(&volume("bound-large", "bound-static", "5Gi", None));
    apply(&volume("bound-fits", "bound-static", "2Gi", None));
    until(&kubectl, "pv bound-fits", |volume| {
        volume["status"]["phase"] == "Available"
    });
    apply(&claim("data", "bound-static"));
    let data = until(&kubectl, "pvc data", |claim| {
        claim["status"]["phase"] == "Bound"
    });
    assert_eq!(data["spec"]["volumeName"], "bound-fits");
    assert_eq!(data["status"]["capacity"]["storage"], "2Gi");
    apply(&pod("user", "data"));
    until(&kubectl, "pod user", is_ready);
    until(&kubectl, "pvc data", |claim| {
        claim["metadata"]["finalizers"] == json!(["kubernetes.io/pvc-protection"])
    });

    // What a pod uses stays as long as the pod.
    kubectl.run("delete pvc data --wait=false").ok();
    assert!(!get(&kubectl, "pvc data")["metadata"]["deletionTimestamp"].is_null());
    kubectl.run("delete pod user").ok();
    kubectl.run("wait --for=delete pvc/data --timeout=60s").ok();
    until(&kubectl, "pv bound-fits", |volume| {
        volume["status"]["phase"] == "Released"
    });
    kubectl.run("delete pv bound-fits bound-large").ok();
}

#[test]
fn a_claim_that_waits_for_its_pod_gets_a_volume_of_the_pods_host() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("claims-wait-for-pods");
    let apply = |object: &Value| {
        kubectl
            .run_with_input("apply -f -", &object.to_string())
            .ok();
    };
    apply(&class(
        "bound-local",
        "kubernetes.io/no-provisioner",
        "WaitForFirstConsumer",
    ));
    apply(&volume("local-disk", "bound-local", "1Gi", Some("sim-7")));
    apply(&claim("local", "bound-local"));
    event(&kubectl, "local", "WaitForFirstConsumer");
    apply(&pod("local", "local"));
    let local = until(&kubectl, "pod local", is_ready);
    assert_eq!(local["spec"]["nodeName"], "sim-7");
    assert_eq!(
        get(&kubectl, "pvc local")["spec"]["volumeName"],
        "local-disk"
    );
}

#[test]
fn who_waits_for_a_provisioner_says_so() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("claims-need-provisioners");
    let apply = |object: &Value| {
        kubectl
            .run_with_input("apply -f -", &object.to_string())
            .ok();
    };
    apply(&class(
        "bound-made",
        "example.com/disks",
        "WaitForFirstConsumer",
    ));
    apply(&claim("made", "bound-made"));
    apply(&pod("made", "made"));
    let made = until(&kubectl, "pod made", |pod| {
        condition(pod, "PodScheduled")["status"] == "False"
    });
    let why = condition(&made, "PodScheduled")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let expected = "waiting for claim claims-need-provisioners/made to be provisioned on host sim-";
    assert!(
        why.starts_with(expected) && why.contains("example.com/disks"),
        "{why}"
    );
    assert_eq!(event(&kubectl, "made", "FailedScheduling"), why);
    event(&kubectl, "made", "ExternalProvisioning");
    let told = mos_with(&cluster.server, "why made -n claims-need-provisioners");
    let text = told.ok();
    assert!(
        text.contains(&why) && !text.contains("not decided") && !text.contains("come soon"),
        "{text}"
    );
}
