//! What a host may write, by what it writes (NodeRestriction).

use std::collections::BTreeSet;

use mosaic_api::meta;
use serde_json::Value;

use super::{LEASE_NAMESPACE, MIRROR_ANNOTATION, graph::Graph, references};
use crate::{
    authn::{BoundKind, BoundObjects},
    node::references::RefKind,
    values::{at, items, text},
};

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A creation, of a subresource too.
    Create,
    /// An update or patch.
    Update,
    /// A deletion.
    Delete,
}

/// A write by a host, about to be carried out.
#[derive(Debug, Clone, Copy)]
pub struct NodeWrite<'a> {
    /// What is done.
    pub operation: Operation,
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The resource.
    pub resource: &'a str,
    /// The subresource; may be empty.
    pub subresource: &'a str,
    /// The namespace; may be empty.
    pub namespace: &'a str,
    /// The object's name; at a creation of an object as far as the request tells it.
    pub name: &'a str,
    /// The new object, or the body of a subresource (an Eviction, a TokenRequest).
    pub object: Option<&'a Value>,
    /// The object as it is. For deletions the object that goes; for evictions the pod.
    pub old: Option<&'a Value>,
}

/// Why a host's write is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RestrictError {
    /// It is not the host's to do; the text is that of the `Forbidden` status after
    /// `<resource> "<name>" is forbidden: `.
    #[error("{0}")]
    Forbidden(String),
    /// What it is about is not there (`NotFound`).
    #[error("{resource} {name:?} not found")]
    NotFound {
        /// `pods` or `nodes`.
        resource: &'static str,
        /// Its name.
        name: String,
    },
}

type Outcome = Result<(), RestrictError>;

fn forbid(message: impl Into<String>) -> Outcome {
    Err(RestrictError::Forbidden(message.into()))
}

/// Whether the host `node` may carry out this write. Asked for hosts only
/// ([`User::node_name`](crate::User::node_name)), after the authorizer.
pub fn restrict<O: BoundObjects + ?Sized>(
    node: &str,
    write: &NodeWrite<'_>,
    graph: &Graph,
    objects: &O,
) -> Outcome {
    match (write.group, write.resource, write.subresource) {
        ("", "pods", "") => match write.operation {
            Operation::Create => create_pod(node, write, objects),
            Operation::Delete => {
                let pod = the_pod(write, write.old)?;
                if node_of(pod) != node {
                    return forbid(format!(
                        "node {node:?} can only delete pods with spec.nodeName set to itself"
                    ));
                }
                Ok(())
            }
            Operation::Update => forbid(format!(
                "unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"
            )),
        },
        ("", "pods", "status") => pod_status(node, write),
        ("", "pods", "eviction") => {
            if node_of(the_pod(write, write.old)?) != node {
                return forbid(format!(
                    "node {node} can only evict pods with spec.nodeName set to itself"
                ));
            }
            Ok(())
        }
        ("", "pods", other) => forbid(format!(
            "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
        )),
        ("", "nodes", _) => own_node(node, write),
        ("", "persistentvolumeclaims", "status") => claim_status(node, write),
        ("", "persistentvolumeclaims", _) => forbid("may only update PVC status"),
        ("", "serviceaccounts", "token") if write.operation == Operation::Create => {
            token(node, write, graph)
        }
        ("coordination.k8s.io", "leases", _) => {
            if write.namespace != LEASE_NAMESPACE {
                return forbid(format!(
                    "can only access leases in the {LEASE_NAMESPACE:?} system namespace"
                ));
            }
            own_name(
                node,
                write,
                "can only access node lease with the same name as the requesting node",
            )
        }
        ("storage.k8s.io", "csinodes", _) => own_name(
            node,
            write,
            "can only access CSINode with the same name as the requesting node",
        ),
        _ => Ok(()),
    }
}

/// The name that the write is about: at a creation the new object's.
fn written_name<'a>(write: &NodeWrite<'a>) -> &'a str {
    match (write.operation, write.object) {
        (Operation::Create, Some(object)) if write.subresource.is_empty() => meta::name(object),
        _ => write.name,
    }
}

fn own_name(node: &str, write: &NodeWrite<'_>, refusal: &str) -> Outcome {
    if written_name(write) == node {
        Ok(())
    } else {
        forbid(refusal)
    }
}

fn node_of(pod: &Value) -> &str {
    text(pod, &["spec", "nodeName"])
}

fn the_pod<'a>(write: &NodeWrite<'_>, pod: Option<&'a Value>) -> Result<&'a Value, RestrictError> {
    pod.ok_or_else(|| RestrictError::NotFound {
        resource: "pods",
        name: write.name.to_owned(),
    })
}

fn new_and_old<'a>(write: &NodeWrite<'a>) -> Result<(&'a Value, &'a Value), RestrictError> {
    match (write.operation, write.object, write.old) {
        (Operation::Update, Some(object), Some(old)) => Ok((object, old)),
        _ => Err(RestrictError::Forbidden("unexpected operation".to_owned())),
    }
}

fn create_pod<O: BoundObjects + ?Sized>(node: &str, write: &NodeWrite<'_>, objects: &O) -> Outcome {
    let Some(pod) = write.object else {
        return forbid("unexpected type");
    };
    if at(pod, &["metadata", "annotations"])
        .get(MIRROR_ANNOTATION)
        .is_none()
    {
        return forbid(format!(
            "pod does not have {MIRROR_ANNOTATION:?} annotation, node {node:?} can only create mirror pods"
        ));
    }
    if node_of(pod) != node {
        return forbid(format!(
            "node {node:?} can only create pods with spec.nodeName set to itself"
        ));
    }
    let owner = match items(pod, &["metadata", "ownerReferences"]) {
        [owner] => owner,
        [] => {
            return forbid(format!(
                "node {node:?} can only create pods with an owner reference set to itself"
            ));
        }
        _ => {
            return forbid(format!(
                "node {node:?} can only create pods with a single owner reference set to itself"
            ));
        }
    };
    let field = |field: &str| text(owner, &[field]);
    if (field("apiVersion"), field("kind"), field("name")) != ("v1", "Node", node) {
        return forbid(format!(
            "node {node:?} can only create pods with an owner reference set to itself"
        ));
    }
    if at(owner, &["controller"]) != &Value::Bool(true) {
        return forbid(format!(
            "node {node:?} can only create pods with a controller owner reference set to itself"
        ));
    }
    if at(owner, &["blockOwnerDeletion"]) == &Value::Bool(true) {
        return forbid(format!(
            "node {node:?} must not set blockOwnerDeletion on an owner reference"
        ));
    }
    let Some(uid) = objects.uid_of(BoundKind::Node, "", node) else {
        return Err(RestrictError::NotFound {
            resource: "nodes",
            name: node.to_owned(),
        });
    };
    if field("uid") != uid {
        return forbid(format!(
            "node {node} UID mismatch: expected {} got {uid}",
            field("uid")
        ));
    }
    let found = references::of_pod(pod);
    for (kind, words) in [
        (RefKind::ServiceAccount, "a service account"),
        (RefKind::Secret, "secrets"),
        (RefKind::ConfigMap, "configmaps"),
        (RefKind::Claim, "persistentvolumeclaims"),
    ] {
        if found.iter().any(|(held, _)| *held == kind) {
            return forbid(format!(
                "node {node:?} can not create pods that reference {words}"
            ));
        }
    }
    let asks = |field: &str| {
        items(pod, &["spec", "volumes"])
            .iter()
            .flat_map(|volume| items(volume, &["projected", "sources"]))
            .any(|source| source.get(field).is_some_and(|value| !value.is_null()))
    };
    for (field, words) in [
        ("serviceAccountToken", "service account tokens"),
        ("clusterTrustBundle", "clustertrustbundles"),
    ] {
        if asks(field) {
            return forbid(format!(
                "node {node:?} can not create pods that reference {words}"
            ));
        }
    }
    if !items(pod, &["spec", "resourceClaims"]).is_empty() {
        return forbid(format!(
            "node {node:?} can not create pods that reference resourceclaims"
        ));
    }
    Ok(())
}

fn pod_status(node: &str, write: &NodeWrite<'_>) -> Outcome {
    let (pod, old) = new_and_old(write)?;
    if node_of(old) != node {
        return forbid(format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    if !same_map(
        at(old, &["metadata", "labels"]),
        at(pod, &["metadata", "labels"]),
    ) {
        return forbid(format!(
            "node {node:?} cannot update labels through pod status"
        ));
    }
    let claims = |pod| at(pod, &["status", "resourceClaimStatuses"]);
    if claims(pod) != claims(old) {
        return forbid(format!(
            "node {node:?} cannot update resource claim statues"
        ));
    }
    Ok(())
}

/// Whether two maps are the same, where an absent one is an empty one.
fn same_map(left: &Value, right: &Value) -> bool {
    let is_empty = |value: &Value| value.as_object().is_none_or(serde_json::Map::is_empty);
    left == right || (is_empty(left) && is_empty(right))
}

fn claim_status(node: &str, write: &NodeWrite<'_>) -> Outcome {
    let (claim, old) = new_and_old(write)?;
    if strip_claim(claim) != strip_claim(old) {
        return forbid(format!(
            "node {node:?} is not allowed to update fields other than status.capacity and status.conditions"
        ));
    }
    Ok(())
}

/// A claim without what a host may change.
fn strip_claim(claim: &Value) -> Value {
    let mut claim = claim.clone();
    if let Some(metadata) = claim.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    if let Some(status) = claim.get_mut("status").and_then(Value::as_object_mut) {
        for field in [
            "capacity",
            "conditions",
            "allocatedResources",
            "allocatedResourceStatuses",
        ] {
            status.remove(field);
        }
        if status.is_empty()
            && let Some(claim) = claim.as_object_mut()
        {
            claim.remove("status");
        }
    }
    claim
}

fn own_node(node: &str, write: &NodeWrite<'_>) -> Outcome {
    let requested = written_name(write);
    if requested != node {
        return forbid(format!(
            "node {node:?} is not allowed to modify node {requested:?}"
        ));
    }
    let labels = |object| at(object, &["metadata", "labels"]);
    match (write.operation, write.object, write.old) {
        (Operation::Create, Some(object), _) => {
            if !at(object, &["spec", "configSource"]).is_null() {
                return forbid(format!(
                    "node {node:?} is not allowed to create pods with a non-nil configSource"
                ));
            }
            let forbidden = forbidden_labels(labels(object), &Value::Null);
            if !forbidden.is_empty() {
                return forbid(format!(
                    "node {node:?} is not allowed to set the following labels: {}",
                    forbidden.join(", ")
                ));
            }
            Ok(())
        }
        (Operation::Update, Some(object), Some(old)) => {
            let source = |object| at(object, &["spec", "configSource"]);
            if !source(object).is_null() && source(object) != source(old) {
                return forbid(format!(
                    "node {node:?} is not allowed to update configSource to a new non-nil configSource"
                ));
            }
            // Through the status nothing else is written, whatever the body says.
            if items(object, &["spec", "taints"]) != items(old, &["spec", "taints"]) {
                return forbid(format!("node {node:?} is not allowed to modify taints"));
            }
            let forbidden = forbidden_labels(labels(object), labels(old));
            if !forbidden.is_empty() {
                return forbid(format!(
                    "is not allowed to modify labels: {}",
                    forbidden.join(", ")
                ));
            }
            let owners = |object| items(object, &["metadata", "ownerReferences"]);
            if owners(object) != owners(old) {
                return forbid(format!(
                    "node {node:?} is not allowed to modify ownerReferences"
                ));
            }
            Ok(())
        }
        (Operation::Delete, ..) => Ok(()),
        _ => forbid("unexpected type"),
    }
}

/// Kubernetes' labels that a host sets about itself.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];
/// Prefixes (and what is under them) of labels that a host sets about itself.
const OWN_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// The labels that differ and that a host may not touch: those that placement relies on.
fn forbidden_labels(new: &Value, old: &Value) -> Vec<String> {
    let keys = |labels: &Value| -> Vec<String> {
        labels
            .as_object()
            .map(|labels| labels.keys().cloned().collect())
            .unwrap_or_default()
    };
    let mut changed: BTreeSet<String> = keys(new).into_iter().chain(keys(old)).collect();
    changed.retain(|key| new.get(key) != old.get(key) && !is_own_label(key));
    changed.into_iter().collect()
}

fn is_own_label(key: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else {
        return true;
    };
    let under = |domain: &str| {
        prefix == domain
            || prefix
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    if under("node-restriction.kubernetes.io") {
        return false;
    }
    let is_kubernetes = under("kubernetes.io") || under("k8s.io");
    !is_kubernetes || OWN_LABELS.contains(&key) || OWN_PREFIXES.into_iter().any(under)
}

fn token(node: &str, write: &NodeWrite<'_>, graph: &Graph) -> Outcome {
    let Some(request) = write.object else {
        return forbid("unexpected type");
    };
    let bound = at(request, &["spec", "boundObjectRef"]);
    let pod_name = text(bound, &["name"]);
    if (text(bound, &["apiVersion"]), text(bound, &["kind"])) != ("v1", "Pod")
        || pod_name.is_empty()
    {
        return forbid("node requested token not bound to a pod");
    }
    let uid = text(bound, &["uid"]);
    if uid.is_empty() {
        return forbid("node requested token with a pod binding without a uid");
    }
    let Some(pod) = graph.pod(write.namespace, pod_name) else {
        return Err(RestrictError::NotFound {
            resource: "pods",
            name: pod_name.to_owned(),
        });
    };
    if pod.uid != uid {
        return forbid(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. \
             The object might have been deleted and then recreated"
        ));
    }
    if pod.node != node {
        return forbid("node requested token bound to a pod scheduled on a different node");
    }
    Ok(())
}
