use serde_json::json;

use super::*;
use crate::{Resource, builtin};

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

/// The cells of an object by their headings, as text.
fn show(group: &str, kind: &str, object: Value) -> Vec<String> {
    let rows = builtin::resources();
    let row = rows
        .iter()
        .find(|row| *row.group == *group && *row.kind == *kind)
        .unwrap();
    let writer = TableWriter::new(row);
    let mut object = object;
    crate::meta::set(&mut object, "name", "x");
    crate::meta::set(&mut object, "creationTimestamp", "2026-01-01T00:57:00Z");
    writer
        .cells(&object, now())
        .into_iter()
        .map(|cell| match cell {
            Value::String(text) => text,
            other => other.to_string(),
        })
        .collect()
}

fn writers() -> Vec<Resource> {
    builtin::resources()
}

#[test]
fn every_row_has_a_cell_for_each_column_whatever_the_object() {
    let objects = [
        json!(null),
        json!({}),
        json!({"metadata": {"name": "a"}, "spec": {}, "status": {}}),
        json!({"metadata": 1, "spec": [], "status": "x", "subsets": {}, "data": []}),
    ];
    for row in writers() {
        let writer = TableWriter::new(&row);
        let columns = writer.definitions();
        for object in &objects {
            assert_eq!(
                writer.cells(object, now()).len(),
                columns.len(),
                "{}",
                row.kind
            );
        }
        assert!(
            columns.iter().any(|column| column.name == "Name"),
            "{}",
            row.kind
        );
        assert!(columns.iter().any(|column| column.priority == 0));
    }
}

#[test]
fn workloads() {
    let template = json!({"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}], "nodeSelector": {"d": "ssd"}}});
    let selector = json!({"matchLabels": {"app": "x"}});
    assert_eq!(
        show(
            "apps",
            "Deployment",
            json!({
                "spec": {"replicas": 3, "selector": selector, "template": template},
                "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1},
            })
        ),
        ["x", "1/3", "2", "1", "3m", "a,b", "i,j", "app=x"]
    );
    assert_eq!(
        show(
            "apps",
            "DaemonSet",
            json!({
                "spec": {"selector": selector, "template": template},
                "status": {"desiredNumberScheduled": 2, "currentNumberScheduled": 2},
            })
        ),
        [
            "x", "2", "2", "0", "0", "0", "d=ssd", "3m", "a,b", "i,j", "app=x"
        ]
    );
    assert_eq!(
        show(
            "apps",
            "StatefulSet",
            json!({"spec": {"replicas": 2, "template": template}})
        ),
        ["x", "0/2", "3m", "a,b", "i,j"]
    );
    assert_eq!(
        show(
            "",
            "ReplicationController",
            json!({"spec": {"replicas": 2, "selector": {"a": "b"}}})
        ),
        ["x", "2", "0", "0", "3m", "", "", "a=b"]
    );
    assert_eq!(
        show(
            "apps",
            "ControllerRevision",
            json!({
                "metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "controller": true}]},
                "revision": 4,
            })
        ),
        ["x", "statefulset.apps/s", "4", "3m"]
    );
    assert_eq!(
        show(
            "policy",
            "PodDisruptionBudget",
            json!({"spec": {"minAvailable": "50%"}})
        ),
        ["x", "50%", "N/A", "0", "3m"]
    );
}

#[test]
fn jobs() {
    let job = |spec: Value, status: Value| {
        show("batch", "Job", json!({"spec": spec, "status": status}))[..4].to_vec()
    };
    assert_eq!(
        job(json!({"completions": 3}), json!({"succeeded": 1})),
        ["x", "Running", "1/3", ""]
    );
    assert_eq!(
        job(
            json!({"parallelism": 2}),
            json!({"startTime": "2026-01-01T00:59:00Z"})
        ),
        ["x", "Running", "0/1 of 2", "60s"]
    );
    assert_eq!(
        job(
            json!({"completions": 1}),
            json!({
                "succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z",
                "conditions": [{"type": "Complete", "status": "True"}],
            })
        ),
        ["x", "Complete", "1/1", "7s"]
    );
    assert_eq!(
        show(
            "batch",
            "CronJob",
            json!({
                "spec": {"schedule": "* * * * *", "suspend": false},
                "status": {"active": [{}], "lastScheduleTime": "2026-01-01T00:59:55Z"},
            })
        )[..7],
        ["x", "* * * * *", "<none>", "False", "1", "5s", "3m"]
    );
}

#[test]
fn services_and_their_endpoints() {
    let service =
        |spec: Value, status: Value| show("", "Service", json!({"spec": spec, "status": status}));
    assert_eq!(
        service(
            json!({"type": "NodePort", "clusterIP": "10.0.0.1", "selector": {"a": "b"},
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}),
            json!({})
        ),
        [
            "x",
            "NodePort",
            "10.0.0.1",
            "<none>",
            "80:30080/TCP,53/UDP",
            "3m",
            "a=b"
        ]
    );
    assert_eq!(
        service(json!({"type": "LoadBalancer"}), json!({}))[3],
        "<pending>"
    );
    assert_eq!(
        service(
            json!({"type": "LoadBalancer", "externalIPs": ["1.1.1.1"]}),
            json!({"loadBalancer": {"ingress": [{"hostname": "h"}, {"ip": "2.2.2.2"}]}})
        )[3],
        "2.2.2.2,h,1.1.1.1"
    );
    assert_eq!(
        service(
            json!({"type": "ExternalName", "externalName": "e.x"}),
            json!({})
        )[2..4],
        ["<none>", "e.x"]
    );

    let endpoints = json!({"subsets": [
        {"addresses": [{"ip": "1.1.1.1"}, {"ip": "fd::1"}], "ports": [{"port": 80}, {"port": 81}]},
    ]});
    assert_eq!(
        show("", "Endpoints", endpoints)[1],
        "1.1.1.1:80,[fd::1]:80,1.1.1.1:81 + 1 more..."
    );
    assert_eq!(show("", "Endpoints", json!({}))[1], "<none>");
    assert_eq!(
        show(
            "discovery.k8s.io",
            "EndpointSlice",
            json!({
                "addressType": "IPv4", "ports": [{"port": 80}, {"name": "n"}, {}],
                "endpoints": [{"addresses": ["1.1.1.1"]}, {"addresses": ["1.1.1.2"]}],
            })
        ),
        ["x", "IPv4", "80,n,*", "1.1.1.1,1.1.1.2", "3m"]
    );
    assert_eq!(
        show(
            "networking.k8s.io",
            "Ingress",
            json!({"spec": {"rules": [{"host": "a"}, {}], "tls": [{}]}})
        ),
        ["x", "<none>", "a", "", "80, 443", "3m"]
    );
    assert_eq!(
        show(
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}}})
        )[1],
        "<none>"
    );
}

#[test]
fn nodes() {
    let node = json!({
        "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "gpu"}},
        "spec": {"unschedulable": true},
        "status": {
            "conditions": [{"type": "Ready", "status": "Unknown"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.2"}],
            "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "Debian"},
        },
    });
    assert_eq!(
        show("", "Node", node),
        [
            "x",
            "NotReady,SchedulingDisabled",
            "gpu,worker",
            "3m",
            "v1.37.0",
            "10.0.0.2",
            "<none>",
            "Debian",
            "<unknown>",
            "<unknown>"
        ]
    );
    assert_eq!(show("", "Node", json!({}))[1], "Unknown");
}

#[test]
fn events_in_either_form() {
    let core = json!({
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        "reason": "Pulled", "type": "Normal", "message": " done\n", "count": 3,
        "source": {"component": "kubelet", "host": "n"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:59:00Z",
    });
    let shown = [
        "60s",
        "Normal",
        "Pulled",
        "pod/p",
        "spec.containers{c}",
        "kubelet, n",
        "done",
        "60m",
        "3",
        "x",
    ];
    assert_eq!(show("", "Event", core.clone()), shown);
    assert_eq!(
        show("events.k8s.io", "Event", crate::events::from_core(core)),
        shown
    );
    let single = json!({"eventTime": "2026-01-01T00:59:50.000000Z", "reportingComponent": "c"});
    let cells = show("", "Event", single);
    assert_eq!((&*cells[0], &*cells[5], &*cells[8]), ("10s", "c", "1"));
}

#[test]
fn volumes() {
    let volume = json!({
        "spec": {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "n", "name": "c"},
            "storageClassName": "fast", "volumeMode": "Filesystem"},
        "status": {"phase": "Bound"},
    });
    assert_eq!(
        show("", "PersistentVolume", volume),
        [
            "x",
            "5Gi",
            "RWO,RWX",
            "Retain",
            "Bound",
            "n/c",
            "fast",
            "<unset>",
            "",
            "3m",
            "Filesystem"
        ]
    );
    let pending = json!({"spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}});
    assert_eq!(
        show("", "PersistentVolumeClaim", pending),
        [
            "x", "Pending", "", "", "", "fast", "<unset>", "3m", "<unset>"
        ]
    );
    let class = json!({
        "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "p",
    });
    assert_eq!(
        show("storage.k8s.io", "StorageClass", class),
        ["x (default)", "p", "Delete", "Immediate", "false", "3m"]
    );
}

#[test]
fn autoscalers_show_what_they_aim_for() {
    let metrics = json!([
        {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 50}}},
        {"type": "Pods", "pods": {"target": {"averageValue": "10"}}},
        {"type": "External", "external": {"target": {"value": "3"}}},
    ]);
    let current = json!([{"type": "Resource", "resource": {"current": {"averageUtilization": 7}}}]);
    assert_eq!(
        show(
            "autoscaling",
            "HorizontalPodAutoscaler",
            json!({
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 5, "metrics": metrics},
                "status": {"currentReplicas": 2, "currentMetrics": current},
            })
        ),
        [
            "x",
            "Deployment/d",
            "cpu: 7%/50%, <unknown>/10 + 1 more...",
            "<unset>",
            "5",
            "2",
            "3m"
        ]
    );
}

#[test]
fn who_may_do_what() {
    assert_eq!(
        show(
            "rbac.authorization.k8s.io",
            "RoleBinding",
            json!({
                "roleRef": {"kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}],
            })
        ),
        ["x", "ClusterRole/view", "3m", "u", "", "n/s"]
    );
    assert_eq!(
        show(
            "certificates.k8s.io",
            "CertificateSigningRequest",
            json!({
                "spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600},
                "status": {"conditions": [{"type": "Approved"}], "certificate": "abc"},
            })
        ),
        ["x", "3m", "s", "u", "60m", "Approved,Issued"]
    );
    assert_eq!(
        show("rbac.authorization.k8s.io", "Role", json!({})),
        ["x", "2026-01-01T00:57:00Z"]
    );
}

#[test]
fn quotas_and_the_rest() {
    let quota = json!({"status": {
        "hard": {"limits.cpu": "4", "pods": "10", "requests.cpu": "2"},
        "used": {"pods": "3", "limits.cpu": "1500m"},
    }});
    assert_eq!(
        show("", "ResourceQuota", quota),
        [
            "x",
            "pods: 3/10, requests.cpu: 0/2",
            "limits.cpu: 1500m/4",
            "3m"
        ]
    );
    assert_eq!(
        show(
            "",
            "ConfigMap",
            json!({"data": {"a": ""}, "binaryData": {"b": ""}})
        ),
        ["x", "2", "3m"]
    );
    assert_eq!(
        show(
            "coordination.k8s.io",
            "Lease",
            json!({"spec": {"holderIdentity": "h"}})
        ),
        ["x", "h", "3m"]
    );
    assert_eq!(
        show("scheduling.k8s.io", "PriorityClass", json!({"value": 100})),
        ["x", "100", "false", "3m", ""]
    );
}
