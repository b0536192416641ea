//! The core group, and the events that are served under two groups.

use super::{CREATE, PROXY, READ_WRITE, Row, STREAM};

fn row(kind: &'static str, plural: &'static str) -> Row {
    Row::new("", "v1", kind, plural)
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = cluster_rows();
    rows.extend(namespaced_rows());
    rows.extend(event_rows());
    rows
}

fn cluster_rows() -> Vec<Row> {
    vec![
        row("Namespace", "namespaces")
            .cluster()
            .short(&["ns"])
            .verbs(&[
                "create", "delete", "get", "list", "patch", "update", "watch",
            ])
            .status()
            .subresource("finalize", "", "v1", "Namespace", &["update"])
            .select(&[("status.phase", "")]),
        row("Node", "nodes")
            .cluster()
            .short(&["no"])
            .status()
            .subresource("tunnel", "mosaic", "v1", "NodeTunnelOptions", CREATE)
            .select(&[("spec.unschedulable", "false")]),
        row("PersistentVolume", "persistentvolumes")
            .cluster()
            .short(&["pv"])
            .status(),
    ]
}

fn namespaced_rows() -> Vec<Row> {
    vec![
        row("Binding", "bindings").create_only(),
        row("ConfigMap", "configmaps").short(&["cm"]),
        row("Endpoints", "endpoints").short(&["ep"]),
        row("LimitRange", "limitranges").short(&["limits"]),
        row("PersistentVolumeClaim", "persistentvolumeclaims")
            .short(&["pvc"])
            .status(),
        pods(),
        row("PodTemplate", "podtemplates"),
        row("ReplicationController", "replicationcontrollers")
            .short(&["rc"])
            .category("all")
            .status()
            .scale()
            .select(&[("status.replicas", "0")]),
        row("ResourceQuota", "resourcequotas")
            .short(&["quota"])
            .status(),
        row("Secret", "secrets").select(&[("type", "")]),
        row("Service", "services")
            .short(&["svc"])
            .category("all")
            .status()
            .subresource("proxy", "", "v1", "ServiceProxyOptions", PROXY)
            .select(&[("spec.clusterIP", ""), ("spec.type", "")]),
        row("ServiceAccount", "serviceaccounts")
            .short(&["sa"])
            .subresource(
                "token",
                "authentication.k8s.io",
                "v1",
                "TokenRequest",
                CREATE,
            ),
    ]
}

fn pods() -> Row {
    row("Pod", "pods")
        .short(&["po"])
        .category("all")
        .status()
        .subresource("attach", "", "v1", "PodAttachOptions", STREAM)
        .subresource("binding", "", "v1", "Binding", CREATE)
        .subresource("ephemeralcontainers", "", "v1", "Pod", READ_WRITE)
        .subresource("eviction", "policy", "v1", "Eviction", CREATE)
        .subresource("exec", "", "v1", "PodExecOptions", STREAM)
        .subresource("log", "", "v1", "Pod", &["get"])
        .subresource("portforward", "", "v1", "PodPortForwardOptions", STREAM)
        .subresource("proxy", "", "v1", "PodProxyOptions", PROXY)
        .subresource("resize", "", "v1", "Pod", READ_WRITE)
        .select(&[
            ("spec.nodeName", ""),
            ("spec.restartPolicy", ""),
            ("spec.schedulerName", ""),
            ("spec.serviceAccountName", ""),
            ("spec.hostNetwork", "false"),
            ("status.phase", ""),
            ("status.podIP", ""),
            ("status.podIPs", ""),
            ("status.nominatedNodeName", ""),
        ])
}

/// Both forms are one set of objects, stored as core's; [`crate::events`] turns one into the other.
fn event_rows() -> Vec<Row> {
    vec![
        row("Event", "events")
            .short(&["ev"])
            .select(&[
                ("involvedObject.kind", ""),
                ("involvedObject.namespace", ""),
                ("involvedObject.name", ""),
                ("involvedObject.uid", ""),
                ("involvedObject.apiVersion", ""),
                ("involvedObject.resourceVersion", ""),
                ("involvedObject.fieldPath", ""),
                ("reason", ""),
                ("reportingComponent", ""),
                ("source", ""),
                ("type", ""),
            ])
            .stored_at("source", &["source.component", "reportingComponent"]),
        Row::new("events.k8s.io", "v1", "Event", "events")
            .short(&["ev"])
            .stored_in("")
            .select(&[
                ("regarding.kind", ""),
                ("regarding.namespace", ""),
                ("regarding.name", ""),
                ("regarding.uid", ""),
                ("regarding.apiVersion", ""),
                ("regarding.resourceVersion", ""),
                ("regarding.fieldPath", ""),
                ("reason", ""),
                ("reportingController", ""),
                ("type", ""),
            ]),
    ]
}
