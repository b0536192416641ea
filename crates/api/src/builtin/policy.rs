//! What the platform's people set up: rules, classes, networking, storage, custom kinds.

use super::{READ_WRITE, Row};

const RBAC: &str = "rbac.authorization.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const STORAGE: &str = "storage.k8s.io";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = access_rows();
    rows.extend(network_and_storage_rows());
    rows.extend(other_rows());
    rows
}

fn access_rows() -> Vec<Row> {
    vec![
        Row::new(RBAC, "v1", "ClusterRole", "clusterroles").cluster(),
        Row::new(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings").cluster(),
        Row::new(RBAC, "v1", "Role", "roles"),
        Row::new(RBAC, "v1", "RoleBinding", "rolebindings"),
        Row::new(
            "certificates.k8s.io",
            "v1",
            "CertificateSigningRequest",
            "certificatesigningrequests",
        )
        .cluster()
        .short(&["csr"])
        .status()
        .subresource(
            "approval",
            "certificates.k8s.io",
            "v1",
            "CertificateSigningRequest",
            READ_WRITE,
        )
        .select(&[("spec.signerName", "")]),
    ]
}

fn network_and_storage_rows() -> Vec<Row> {
    vec![
        Row::new(NETWORKING, "v1", "Ingress", "ingresses")
            .short(&["ing"])
            .status(),
        Row::new(NETWORKING, "v1", "IngressClass", "ingressclasses").cluster(),
        Row::new(NETWORKING, "v1", "NetworkPolicy", "networkpolicies").short(&["netpol"]),
        Row::new("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
        Row::new(STORAGE, "v1", "CSIDriver", "csidrivers").cluster(),
        Row::new(STORAGE, "v1", "CSINode", "csinodes").cluster(),
        Row::new(STORAGE, "v1", "StorageClass", "storageclasses")
            .cluster()
            .short(&["sc"]),
        Row::new(STORAGE, "v1", "VolumeAttachment", "volumeattachments")
            .cluster()
            .status(),
    ]
}

fn other_rows() -> Vec<Row> {
    vec![
        Row::new(
            "policy",
            "v1",
            "PodDisruptionBudget",
            "poddisruptionbudgets",
        )
        .short(&["pdb"])
        .status(),
        Row::new(
            "scheduling.k8s.io",
            "v1",
            "PriorityClass",
            "priorityclasses",
        )
        .cluster()
        .short(&["pc"]),
        Row::new("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses").cluster(),
        Row::new("coordination.k8s.io", "v1", "Lease", "leases"),
        Row::new(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
        )
        .cluster()
        .short(&["crd", "crds"])
        .category("api-extensions")
        .status(),
    ]
}
