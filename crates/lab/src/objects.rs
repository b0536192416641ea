//! The objects that a host registers itself with.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Options, holders::PROCESS};

/// The namespace of hosts' leases.
pub(crate) const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
/// The label of simulated hosts, by which their annotations are watched.
pub(crate) const LABEL: &str = "mosaic/simulated";
/// The annotation by which a test breaks a host.
pub(crate) const ANNOTATION: &str = "mosaic/sim";

fn time(now: Timestamp) -> Value {
    mosaic_api::time::format(now).into()
}

/// A host's Node.
pub(crate) fn node(
    name: &str,
    zone: &str,
    address: Ipv4Addr,
    options: &Options,
    now: Timestamp,
) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": labels(name, zone) },
        "spec": {},
        "status": status(name, address, options, now),
    })
}

/// A host's labels.
pub(crate) fn labels(name: &str, zone: &str) -> Value {
    json!({
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
        "topology.kubernetes.io/zone": zone,
        "topology.kubernetes.io/region": "sim",
        LABEL: "true",
    })
}

/// The architecture's name as images have it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A host's status: what it has, and that all is well.
pub(crate) fn status(name: &str, address: Ipv4Addr, options: &Options, now: Timestamp) -> Value {
    let amounts = json!({
        "cpu": options.cpu.to_string(),
        "memory": options.memory.to_string(),
        "ephemeral-storage": options.storage.to_string(),
        "pods": options.pods.to_string(),
    });
    let version = format!(
        "{}+mosaic-{}",
        mosaic_api::openapi::KUBERNETES_VERSION,
        env!("CARGO_PKG_VERSION")
    );
    json!({
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": [
            { "type": "InternalIP", "address": address.to_string() },
            { "type": "Hostname", "address": name },
        ],
        "conditions": conditions(now, true),
        "nodeInfo": {
            "machineID": name, "systemUUID": name, "bootID": format!("{name}-{}", now.as_second()),
            "kernelVersion": "simulated", "osImage": "Mosaic simulated host",
            "containerRuntimeVersion": format!("mosaic-sim://{}", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": version, "kubeProxyVersion": "",
            "operatingSystem": "linux", "architecture": architecture(),
        },
    })
}

/// The conditions of a host that is well; with the times since when they hold, or only as a sign of life.
pub(crate) fn conditions(now: Timestamp, changed: bool) -> Value {
    let rows = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("Ready", "True", "KubeletReady"),
    ];
    let condition = |(ty, status, reason): (&str, &str, &str)| {
        let mut condition = json!({
            "type": ty, "status": status, "reason": reason, "message": "the simulated host is well",
            "lastHeartbeatTime": time(now),
        });
        if let Some(fields) = condition.as_object_mut().filter(|_| changed) {
            fields.insert("lastTransitionTime".to_owned(), time(now));
        }
        condition
    };
    rows.into_iter().map(condition).collect::<Vec<_>>().into()
}

/// A host's lease. Its owner is the Node, with which it goes.
pub(crate) fn lease(
    name: &str,
    node_uid: &str,
    process: &str,
    seconds: i64,
    now: Timestamp,
) -> Value {
    let mut lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": name, "namespace": "kube-node-lease",
            "annotations": { PROCESS: process },
        },
        "spec": {
            "holderIdentity": name, "leaseDurationSeconds": seconds,
            "renewTime": mosaic_api::time::format_micro(now),
        },
    });
    if let Some(metadata) = lease
        .pointer_mut("/metadata")
        .filter(|_| !node_uid.is_empty())
        && let Some(metadata) = metadata.as_object_mut()
    {
        let owner = json!([{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid }]);
        metadata.insert("ownerReferences".to_owned(), owner);
    }
    lease
}

/// What events of a pod are about.
pub(crate) fn reference(pod: &mosaic_node::lifecycle::Pod) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "namespace": &*pod.namespace,
        "name": &*pod.name, "uid": &*pod.uid,
    })
}
