use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().unwrap()
}

#[test]
fn a_pod_is_described_with_its_containers_and_events() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": true}]},
        "spec": {"nodeName": "host1", "serviceAccountName": "default",
            "containers": [{"name": "main", "image": "busybox", "command": ["sleep", "1"],
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1"}},
                "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "livenessProbe": {"httpGet": {"port": 80, "path": "/live"}, "periodSeconds": 10},
                "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": true}]}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "claim"}}]},
        "status": {"phase": "Running", "hostIP": "10.0.0.1", "podIPs": [{"ip": "10.1.0.2"}], "startTime": "2026-01-01T00:00:00Z",
            "containerStatuses": [{"name": "main", "ready": true, "restartCount": 2, "state": {"running": {"startedAt": "2026-01-01T00:09:00Z"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}],
            "conditions": [{"type": "Ready", "status": "True"}]},
    });
    let events = vec![
        json!({"type": "Normal", "reason": "Pulled", "message": "done", "lastTimestamp": "2026-01-01T00:09:30Z"}),
    ];
    let text = describe(
        &pod,
        &Related {
            events: Some(events),
            ..Related::default()
        },
        now(),
    );
    for wanted in [
        "Name:             web-1\n",
        "Controlled By:    ReplicaSet/web\n",
        "Node:             host1/10.0.0.1\n",
        "Status:           Running\n",
        "  main:\n    Image:          busybox\n",
        "    Ports:          80/TCP\n",
        "Exit Code:  137\n",
        "    Restart Count:  2\n",
        "    Limits:         cpu: 1\n",
        "B=<key k of secret s>\n",
        "http-get :80/live",
        "/data from data (ro)\n",
        "  data:  Persistent Volume Claim claim\n",
        "Events:\n  Type     Reason   Age   Message\n",
        "  Normal   Pulled   30s   done\n",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }
}

#[test]
fn a_deployment_is_described_with_its_replica_sets() {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "In", "values": ["a", "b"]}]},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
            "template": {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}},
        "status": {"replicas": 4, "updatedReplicas": 2, "availableReplicas": 3, "unavailableReplicas": 1},
    });
    let set = |name: &str, revision: &str| {
        json!({"metadata": {"name": name, "annotations": {"deployment.kubernetes.io/revision": revision},
        "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"replicas": 2}, "status": {"replicas": 2}})
    };
    let related = Related {
        events: Some(vec![]),
        replica_sets: vec![set("web-old", "1"), set("web-new", "2")],
        ..Related::default()
    };
    let text = describe(&deployment, &related, now());
    for wanted in [
        "app=web,x in (a,b)",
        "3 desired | 2 updated | 4 total | 3 available | 1 unavailable",
        "1 max unavailable, 25% max surge",
        "Old Replica Sets:   web-old (2/2 replicas created, 10m old)\n",
        "New Replica Set:    web-new",
        "Events:             <none>\n",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }
}

#[test]
fn a_service_is_described_with_ready_endpoints() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"type": "ClusterIP", "clusterIPs": ["10.96.0.5"], "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]}});
    let slice = json!({"ports": [{"name": "", "port": 8080}], "endpoints": [
        {"addresses": ["10.1.0.2"], "conditions": {"ready": true}}, {"addresses": ["10.1.0.3"], "conditions": {"ready": false}}, {"addresses": ["fd00::1"]}]});
    let text = describe(
        &service,
        &Related {
            endpoint_slices: vec![slice],
            ..Related::default()
        },
        now(),
    );
    assert!(text.contains("10.1.0.2:8080,[fd00::1]:8080\n"), "{text}");
    assert!(text.contains("Events:       <not readable>\n"), "{text}");
}

#[test]
fn a_node_is_described_with_its_pods() {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "host1", "labels": {"node-role.kubernetes.io/worker": ""}},
        "spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]},
        "status": {"capacity": {"cpu": "2"}, "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "nodeInfo": {"kernelVersion": "6.1"}}});
    let pod = json!({"metadata": {"namespace": "shop", "name": "web-1"}, "spec": {"containers": [{"resources": {"requests": {"cpu": "100m"}}}]}});
    let text = describe(
        &node,
        &Related {
            pods: vec![pod],
            ..Related::default()
        },
        now(),
    );
    for wanted in [
        "worker\n",
        "a=b:NoSchedule\n",
        "  InternalIP:  10.0.0.1\n",
        "  Kernel Version:  6.1\n",
        "web-1",
        "100m",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }
}

#[test]
fn a_secret_is_not_given_away() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque", "data": {"password": "aHVudGVyMg=="}});
    let text = describe(&secret, &Related::default(), now());
    assert!(text.contains("  password:  7 bytes\n"), "{text}");
    assert!(!text.contains("aHVudGVy"), "{text}");
}

#[test]
fn any_other_object_is_described_by_its_fields() {
    let car = json!({"apiVersion": "example.io/v1", "kind": "Car", "metadata": {"name": "c"},
        "spec": {"maxSpeed": 200, "wheels": [{"size": 17}, {"size": 18}], "colors": ["red", "blue"]}, "data": {"file.txt": "one\ntwo\x1b[2J\n"}});
    let text = describe(&car, &Related::default(), now());
    assert!(text.contains("  Max Speed:  200\n"), "{text}");
    assert!(
        text.contains("    -\n      Size:  17\n    -\n      Size:  18\n"),
        "{text}"
    );
    assert!(
        text.contains("Colors:     red\n              blue\n"),
        "{text}"
    );
    assert!(text.contains("    one\n    two\u{fffd}[2J\n"), "{text}");
}
