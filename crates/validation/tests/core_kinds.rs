//! The kinds of the core group besides pods.

mod common;

use common::*;
use mosaic_api::names::NameRule;
use mosaic_validation::{
    apply_defaults, prepare_for_update, validate_meta, validate_meta_update,
    validate_status_update, validate_update,
};
use serde_json::json;

#[test]
fn metadata_is_checked() {
    let of = kind("", "ConfigMap");
    let map = json!({"metadata": {"name": "a", "namespace": "shop"}});
    let owner = |controller: bool, name: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": controller});
    check_creates(
        &of,
        &map,
        &[
            (
                "/metadata/name",
                json!(""),
                "metadata.name: Required value: name or generateName is required",
            ),
            (
                "/metadata/labels",
                json!({"a": "-"}),
                "metadata.labels: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ),
            ("/metadata/annotations", json!({"Example.com/A": "b"}), ""),
            (
                "/metadata/annotations",
                json!({"a": "x".repeat(300_000)}),
                "metadata.annotations: Too long: may not be more than 262144 bytes",
            ),
            ("/metadata/generateName", json!("a-"), ""),
            (
                "/metadata/finalizers",
                json!(["example.com/x", "orphan"]),
                "",
            ),
            (
                "/metadata/finalizers",
                json!(["mine"]),
                "metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
            ),
            (
                "/metadata/ownerReferences",
                json!([owner(true, "a"), owner(false, "b")]),
                "",
            ),
            (
                "/metadata/ownerReferences",
                json!([owner(false, "")]),
                "metadata.ownerReferences.name: Invalid value: \"\": must not be empty",
            ),
        ],
    );
    let two = with(
        &map,
        &[(
            "/metadata/ownerReferences",
            json!([owner(true, "a"), owner(true, "b")]),
        )],
    );
    assert!(create(&of, &two)[0].ends_with("Only one reference can have Controller set to true. Found \"true\" in references for Pod/a and Pod/b"));

    let custom = json!({"metadata": {"name": "a:b", "namespace": "x"}});
    assert_eq!(
        texts(validate_meta(&custom, false, NameRule::PathSegment)),
        ["metadata.namespace: Forbidden: not allowed on this type"]
    );
    let deleted = with(
        &custom,
        &[("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"))],
    );
    let late = with(&deleted, &[("/metadata/finalizers", json!(["a.b/c"]))]);
    assert_eq!(
        texts(validate_meta_update(&late, &deleted)),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a.b/c\"}"
        ]
    );
}

#[test]
fn services_get_their_defaults() {
    let of = kind("", "Service");
    let ready = stored(&of, &service());
    assert_eq!(
        ready["spec"],
        json!({
            "selector": {"app": "web"},
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        })
    );
    assert_eq!(ready["status"], json!({"loadBalancer": {}}));
    let balanced = stored(
        &of,
        &with(&service(), &[("/spec/type", json!("LoadBalancer"))]),
    );
    assert_eq!(balanced["spec"]["externalTrafficPolicy"], "Cluster");
    assert_eq!(balanced["spec"]["allocateLoadBalancerNodePorts"], true);
}

#[test]
fn services_are_checked() {
    let of = kind("", "Service");
    check_creates(
        &of,
        &service(),
        &[
            (
                "/metadata/name",
                json!("1web"),
                "metadata.name: Invalid value: \"1web\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ),
            ("/spec/ports", json!([]), "spec.ports: Required value"),
            (
                "/spec/ports",
                json!([{"port": 70000, "targetPort": 1}]),
                "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            (
                "/spec/ports",
                json!([{"port": 80, "targetPort": "http!"}]),
                "spec.ports[0].targetPort: Invalid value: \"http!\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            ),
            (
                "/spec/ports",
                json!([{"port": 80, "nodePort": 30000}]),
                "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            ),
            (
                "/spec/ports",
                json!([{"port": 1, "name": "a"}, {"port": 2}]),
                "spec.ports[1].name: Required value",
            ),
            (
                "/spec/type",
                json!("Magic"),
                "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ),
            (
                "/spec/type",
                json!("ExternalName"),
                "spec.externalName: Required value",
            ),
            ("/spec/sessionAffinity", json!("ClientIP"), ""),
            ("/spec/clusterIP", json!("None"), ""),
            (
                "/spec/clusterIP",
                json!("300.0.0.1"),
                "spec.clusterIPs[0]: Invalid value: \"300.0.0.1\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
            (
                "/spec/loadBalancerClass",
                json!("a/b"),
                "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
            ),
        ],
    );
    let headless = with(
        &service(),
        &[
            ("/spec/clusterIP", json!("None")),
            ("/spec/ports", json!([])),
        ],
    );
    assert_eq!(create(&of, &headless), [""; 0]);
}

#[test]
fn what_the_server_gave_a_service_stays() {
    let of = kind("", "Service");
    let old = stored(
        &of,
        &with(
            &service(),
            &[
                ("/spec/type", json!("NodePort")),
                ("/spec/clusterIP", json!("10.0.0.7")),
                ("/spec/ports", json!([{"port": 80, "nodePort": 30080}])),
            ],
        ),
    );
    assert_eq!(old["spec"]["clusterIPs"], json!(["10.0.0.7"]));

    let mut again = with(&service(), &[("/spec/type", json!("NodePort"))]);
    apply_defaults(&of, &mut again);
    prepare_for_update(&of, &mut again, &old);
    assert_eq!(again["spec"]["clusterIP"], "10.0.0.7");
    assert_eq!(again["spec"]["ports"][0]["nodePort"], 30080);

    let mut inner = with(&old, &[("/spec/type", json!("ClusterIP"))]);
    prepare_for_update(&of, &mut inner, &old);
    assert_eq!(inner["spec"]["ports"][0].get("nodePort"), None);
    assert_eq!(inner["spec"].get("externalTrafficPolicy"), None);
    assert_eq!(texts(validate_update(&of, &inner, &old)), [""; 0]);

    let mut named = with(
        &old,
        &[
            ("/spec/type", json!("ExternalName")),
            ("/spec/externalName", json!("a.example.com")),
        ],
    );
    prepare_for_update(&of, &mut named, &old);
    assert_eq!(named["spec"].get("clusterIP"), None);
    assert_eq!(texts(validate_update(&of, &named, &old)), [""; 0]);

    assert_eq!(
        update(
            &of,
            &old,
            &with(&old, &[("/spec/clusterIP", json!("10.0.0.8"))])
        ),
        ["spec.clusterIPs[0]: Invalid value: \"10.0.0.8\": may not change once set"]
    );
}

#[test]
fn config_maps_and_secrets_are_checked() {
    let of = kind("", "ConfigMap");
    let map = json!({"metadata": {"name": "a", "namespace": "s"}, "data": {"k": "v"}});
    check_creates(
        &of,
        &map,
        &[
            (
                "/data",
                json!({"a b": "v"}),
                "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
            ),
            (
                "/binaryData",
                json!({"k": "AAA="}),
                "data[k]: Invalid value: \"k\": duplicate of key present in binaryData",
            ),
            (
                "/data",
                json!({"a": "x".repeat(1024 * 1024 + 1)}),
                ": Too long: may not be more than 1048576 bytes",
            ),
        ],
    );
    check_updates(
        &of,
        &with(&map, &[("/immutable", json!(true))]),
        &[
            (
                "/data/k",
                json!("w"),
                "data: Forbidden: field is immutable when `immutable` is set",
            ),
            (
                "/immutable",
                json!(false),
                "immutable: Forbidden: field is immutable when `immutable` is set",
            ),
            ("/metadata/labels", json!({"a": "b"}), ""),
        ],
    );

    let of = kind("", "Secret");
    let secret = json!({"metadata": {"name": "a", "namespace": "s"}, "stringData": {"k": "v"}, "data": {"z": "eg=="}});
    let ready = stored(&of, &secret);
    assert_eq!(ready["type"], "Opaque");
    assert_eq!(ready["data"], json!({"k": "dg==", "z": "eg=="}));
    assert_eq!(ready.get("stringData"), None);
    check_creates(
        &of,
        &secret,
        &[
            (
                "/type",
                json!("kubernetes.io/ssh-auth"),
                "data[ssh-privatekey]: Required value",
            ),
            (
                "/type",
                json!("kubernetes.io/service-account-token"),
                "metadata.annotations[kubernetes.io/service-account.name]: Required value",
            ),
            ("/type", json!("example.com/own"), ""),
        ],
    );
    check_updates(
        &of,
        &secret,
        &[(
            "/type",
            json!("other"),
            "type: Invalid value: \"other\": field is immutable",
        )],
    );
}

#[test]
fn namespaces_are_named_and_held() {
    let of = kind("", "Namespace");
    let space = json!({"metadata": {"name": "shop"}});
    let ready = stored(&of, &space);
    assert_eq!(
        ready["metadata"]["labels"]["kubernetes.io/metadata.name"],
        "shop"
    );
    assert_eq!(ready["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(ready["status"]["phase"], "Active");
    check_creates(
        &of,
        &space,
        &[
            (
                "/metadata/name",
                json!("a.b"),
                "metadata.name: Invalid value: \"a.b\": must not contain dots",
            ),
            (
                "/metadata/namespace",
                json!("x"),
                "metadata.namespace: Forbidden: not allowed on this type",
            ),
        ],
    );
    let mut freed = with(&ready, &[("/spec/finalizers", json!([]))]);
    prepare_for_update(&of, &mut freed, &ready);
    assert_eq!(freed["spec"]["finalizers"], json!(["kubernetes"]));
    let ended = with(&ready, &[("/status/phase", json!("Terminating"))]);
    assert_eq!(
        texts(validate_status_update(&of, &ended, &ready)),
        [
            "status.phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
        ]
    );
}

#[test]
fn nodes_are_checked() {
    let of = kind("", "Node");
    let node = json!({"metadata": {"name": "n1"}, "spec": {"providerID": "a", "podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}, "status": {"capacity": {"cpu": "2"}}});
    let ready = stored(&of, &node);
    assert_eq!(ready["status"]["allocatable"], json!({"cpu": "2"}));
    check_updates(
        &of,
        &node,
        &[
            ("/spec/unschedulable", json!(true), ""),
            (
                "/spec/providerID",
                json!("b"),
                "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid",
            ),
            (
                "/spec/podCIDRs",
                json!(["10.2.0.0/24"]),
                "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
            ),
            (
                "/spec/taints",
                json!([{"key": "a", "effect": "Never"}]),
                "spec.taints[0].effect: Unsupported value: \"Never\": supported values: \"NoExecute\", \"NoSchedule\", \"PreferNoSchedule\"",
            ),
        ],
    );
    let bad = with(&ready, &[("/status/capacity", json!({"cpu": "-2"}))]);
    assert_eq!(
        texts(validate_status_update(&of, &bad, &ready)),
        ["status.capacity[cpu]: Invalid value: \"-2\": must be greater than or equal to 0"]
    );
}

#[test]
fn quotas_and_limits_are_checked() {
    let of = kind("", "ResourceQuota");
    let quota = json!({"metadata": {"name": "q", "namespace": "s"}, "spec": {"hard": {"pods": "5", "requests.cpu": "1", "count/deployments.apps": "3", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi"}}});
    check_creates(
        &of,
        &quota,
        &[
            (
                "/spec/hard",
                json!({"pods": "0.5"}),
                "spec.hard[pods]: Invalid value: \"500m\": must be an integer",
            ),
            (
                "/spec/hard",
                json!({"foo": "1"}),
                "spec.hard[foo]: Invalid value: \"foo\": must be a standard resource for quota",
            ),
            (
                "/spec/hard",
                json!({"pods": "-1"}),
                "spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (
                "/spec/scopes",
                json!(["Sometimes"]),
                "spec.scopes: Invalid value: [\"Sometimes\"]: unsupported scope",
            ),
            (
                "/spec/scopes",
                json!(["BestEffort"]),
                "spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource",
            ),
        ],
    );
    check_updates(
        &of,
        &quota,
        &[
            ("/spec/hard/pods", json!("6"), ""),
            (
                "/spec/scopes",
                json!(["NotTerminating"]),
                "spec.scopes: Invalid value: [\"NotTerminating\"]: field is immutable",
            ),
        ],
    );

    let of = kind("", "LimitRange");
    let range = json!({"metadata": {"name": "l", "namespace": "s"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]}});
    let ready = stored(&of, &range);
    assert_eq!(ready["spec"]["limits"][0]["default"], json!({"cpu": "2"}));
    assert_eq!(
        ready["spec"]["limits"][0]["defaultRequest"],
        json!({"cpu": "2", "memory": "1Mi"})
    );
    check_creates(
        &of,
        &range,
        &[
            (
                "/spec/limits",
                json!([{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]),
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            ),
            (
                "/spec/limits",
                json!([{"type": "Pod", "default": {"cpu": "2"}}]),
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
            ),
            (
                "/spec/limits",
                json!([{"type": "Pod"}, {"type": "Pod"}]),
                "spec.limits[1].type: Duplicate value: \"Pod\"",
            ),
        ],
    );
}

#[test]
fn volumes_and_claims_are_checked() {
    let of = kind("", "PersistentVolumeClaim");
    let claim = json!({"metadata": {"name": "c", "namespace": "s"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let ready = stored(&of, &claim);
    assert_eq!(ready["spec"]["volumeMode"], "Filesystem");
    assert_eq!(ready["status"]["phase"], "Pending");
    check_creates(
        &of,
        &claim,
        &[
            (
                "/spec/accessModes",
                json!([]),
                "spec.accessModes: Required value: at least 1 access mode is required",
            ),
            (
                "/spec/accessModes",
                json!(["Read"]),
                "spec.accessModes: Unsupported value: \"Read\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            ),
            (
                "/spec/accessModes",
                json!(["ReadWriteOnce", "ReadWriteOncePod"]),
                "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
            ),
            (
                "/spec/resources",
                json!({}),
                "spec.resources[storage]: Required value",
            ),
            (
                "/spec/resources/requests/storage",
                json!("0"),
                "spec.resources[storage]: Invalid value: \"0\": must be greater than zero",
            ),
        ],
    );
    const STAYS: &str = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    check_updates(
        &of,
        &claim,
        &[
            ("/spec/volumeName", json!("v"), ""),
            ("/spec/storageClassName", json!("gold"), ""),
            ("/spec/resources/requests/storage", json!("2Gi"), STAYS),
            ("/spec/accessModes", json!(["ReadOnlyMany"]), STAYS),
        ],
    );
    let bound = with(
        &ready,
        &[(
            "/status",
            json!({"phase": "Bound", "capacity": {"storage": "1Gi"}}),
        )],
    );
    for (storage, errors) in [("2Gi", 0), ("512Mi", 1)] {
        let new = with(
            &bound,
            &[("/spec/resources/requests/storage", json!(storage))],
        );
        assert_eq!(update(&of, &bound, &new).len(), errors, "{storage}");
    }

    let of = kind("", "PersistentVolume");
    let volume = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"}}});
    let ready = stored(&of, &volume);
    assert_eq!(ready["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    check_creates(
        &of,
        &volume,
        &[
            (
                "/spec/hostPath",
                json!(null),
                "spec: Required value: must specify a volume type",
            ),
            (
                "/spec/nfs",
                json!({"server": "s", "path": "/p"}),
                "spec.nfs: Forbidden: may not specify more than 1 volume type",
            ),
            (
                "/spec/persistentVolumeReclaimPolicy",
                json!("Keep"),
                "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Keep\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
            ),
        ],
    );
    check_updates(
        &of,
        &volume,
        &[
            ("/spec/claimRef", json!({"name": "c", "namespace": "s"}), ""),
            (
                "/spec/hostPath/path",
                json!("/b"),
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
            ),
        ],
    );
}
