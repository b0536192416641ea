//! The patch and apply rules on the types of real kinds.

use jiff::Timestamp;
use mosaic_patch::{
    FieldSet,
    managed::{Ledger, Writer, apply, track_update},
    strategic_merge,
};
use mosaic_schema::{Type, builtin};
use serde_json::{Value, json};
use std::sync::Arc;

fn kind(name: &str) -> Arc<Type> {
    builtin(name).unwrap_or_else(|| panic!("{name} is a built-in kind"))
}

fn writer<'a>(manager: &'a str, api_version: &'a str) -> Writer<'a> {
    Writer {
        manager,
        api_version,
        subresource: "",
        now: Timestamp::UNIX_EPOCH,
    }
}

fn owned(object: &Value, manager: &str) -> Value {
    object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|entry| entry.get("manager").is_some_and(|name| name == manager))
        .and_then(|entry| entry.get("fieldsV1"))
        .cloned()
        .unwrap_or_default()
}

#[test]
fn a_created_deployment_is_recorded_as_kubernetes_records_it() {
    let mut deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [{
                        "name": "web",
                        "image": "web:1",
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        "resources": {},
                    }],
                    "restartPolicy": "Always",
                    "securityContext": {},
                },
            },
        },
    });
    let ty = kind("io.k8s.api.apps.v1.Deployment");
    let ledger = track_update(
        &mut deployment,
        None,
        Ledger::default(),
        &ty,
        &writer("kubectl-create", "apps/v1"),
        &FieldSet::default(),
    );
    ledger.put_into(&mut deployment);
    assert_eq!(
        owned(&deployment, "kubectl-create"),
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:strategy": {
                    "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}},
                    "f:type": {},
                },
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        "f:containers": {"k:{\"name\":\"web\"}": {
                            ".": {},
                            "f:image": {},
                            "f:name": {},
                            "f:ports": {
                                ".": {},
                                "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                                    ".": {}, "f:containerPort": {}, "f:protocol": {},
                                },
                            },
                            "f:resources": {},
                        }},
                        "f:restartPolicy": {},
                        "f:securityContext": {},
                    },
                },
            },
        })
    );
}

#[test]
fn two_managers_share_the_ports_of_a_service() {
    let ty = kind("io.k8s.api.core.v1.Service");
    let none = FieldSet::default();
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dns"}, "spec": {"ports": ports}});
    let tcp = service(json!([{"port": 53, "name": "tcp"}]));
    let udp = service(json!([{"port": 53, "protocol": "UDP", "name": "udp"}]));
    let live = apply(None, &tcp, &ty, &writer("a", "v1"), &none, false).unwrap();
    let live = apply(Some(&live), &udp, &ty, &writer("b", "v1"), &none, false).unwrap();
    assert_eq!(live["spec"]["ports"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        owned(&live, "a")["f:spec"]["f:ports"],
        json!({"k:{\"port\":53,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}})
    );
    let live = apply(
        Some(&live),
        &service(json!([])),
        &ty,
        &writer("a", "v1"),
        &none,
        false,
    )
    .unwrap();
    assert_eq!(
        live["spec"]["ports"],
        json!([{"port": 53, "protocol": "UDP", "name": "udp"}])
    );
}

#[test]
fn kubectl_set_image_changes_one_container() {
    let mut pod = json!({"spec": {
        "containers": [{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "b:1"}],
        "tolerations": [{"key": "x"}],
    }});
    let patch = json!({"spec": {
        "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
        "containers": [{"name": "b", "image": "b:2"}],
        "tolerations": [{"key": "y"}],
    }});
    strategic_merge(&mut pod, patch, &kind("io.k8s.api.core.v1.Pod")).unwrap();
    assert_eq!(
        pod,
        json!({"spec": {
            "containers": [{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "b:2"}],
            "tolerations": [{"key": "y"}],
        }})
    );
}

#[test]
fn a_volume_that_changes_its_source_keeps_nothing_of_the_old_one() {
    let mut pod = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]}});
    let patch = json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]}});
    strategic_merge(&mut pod, patch, &kind("io.k8s.api.core.v1.Pod")).unwrap();
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "v", "configMap": {"name": "c"}}])
    );
}

#[test]
fn owner_references_and_finalizers_merge() {
    let mut object = json!({"metadata": {
        "finalizers": ["a/x"],
        "ownerReferences": [{"uid": "1", "name": "one"}],
    }});
    let patch = json!({"metadata": {
        "finalizers": ["b/y"],
        "ownerReferences": [{"uid": "2", "name": "two"}, {"uid": "1", "$patch": "delete"}],
    }});
    strategic_merge(&mut object, patch, &kind("io.k8s.api.core.v1.ConfigMap")).unwrap();
    assert_eq!(
        object["metadata"],
        json!({"finalizers": ["b/y", "a/x"], "ownerReferences": [{"uid": "2", "name": "two"}]})
    );
}
