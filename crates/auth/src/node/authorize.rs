//! The node authorizer.

use std::sync::LazyLock;

use super::{LEASE_NAMESPACE, graph::Graph, references::RefKind};
use crate::{
    Attributes,
    rbac::{Rule, node_rules},
};

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(node_rules);

/// Whether a host may do what it asks. What this does not allow, a role still may: the text says why
/// this does not, and may be empty.
pub fn authorize(graph: &Graph, node: &str, request: &Attributes<'_>) -> Result<(), String> {
    match (request.group, request.resource) {
        _ if !request.is_resource() => by_rules(request),
        ("", "secrets") => read(graph, node, RefKind::Secret, request),
        ("", "configmaps") => read(graph, node, RefKind::ConfigMap, request),
        ("", "persistentvolumeclaims") => claim(graph, node, request),
        ("", "persistentvolumes") => {
            get(request, || graph.refers_to_volume(node, request.name), node)
        }
        ("storage.k8s.io", "volumeattachments") => {
            get(request, || graph.attachment_is_of(node, request.name), node)
        }
        ("", "serviceaccounts") => token(graph, node, request),
        ("coordination.k8s.io", "leases") => lease(node, request),
        ("storage.k8s.io", "csinodes") => csi_node(node, request),
        ("", "nodes") => own_node(node, request),
        ("", "pods") => pod(graph, node, request),
        _ => by_rules(request),
    }
}

fn by_rules(request: &Attributes<'_>) -> Result<(), String> {
    if RULES.iter().any(|rule| rule.allows(request)) {
        Ok(())
    } else {
        refuse("")
    }
}

fn refuse(text: impl Into<String>) -> Result<(), String> {
    Err(text.into())
}

fn related(related: bool, node: &str, request: &Attributes<'_>) -> Result<(), String> {
    if request.name.is_empty() {
        refuse("No Object name found")
    } else if related {
        Ok(())
    } else {
        refuse(format!(
            "no relationship found between node '{node}' and this object"
        ))
    }
}

fn read(graph: &Graph, node: &str, kind: RefKind, request: &Attributes<'_>) -> Result<(), String> {
    if !matches!(request.verb, "get" | "list" | "watch") {
        return refuse("can only read resources of this type");
    }
    if !request.subresource.is_empty() {
        return refuse("cannot read subresource");
    }
    if request.namespace.is_empty() {
        return refuse("can only read namespaced object of this type");
    }
    related(
        graph.refers(node, kind, request.namespace, request.name),
        node,
        request,
    )
}

fn get(request: &Attributes<'_>, is_related: impl Fn() -> bool, node: &str) -> Result<(), String> {
    if request.verb != "get" {
        return refuse("can only get individual resources of this type");
    }
    if !request.subresource.is_empty() {
        return refuse("cannot get subresource");
    }
    related(is_related(), node, request)
}

fn claim(graph: &Graph, node: &str, request: &Attributes<'_>) -> Result<(), String> {
    let is_related = || graph.refers(node, RefKind::Claim, request.namespace, request.name);
    if request.subresource != "status" {
        return get(request, is_related, node);
    }
    if !matches!(request.verb, "update" | "patch") {
        return refuse("can only get/update/patch this type");
    }
    related(is_related(), node, request)
}

fn token(graph: &Graph, node: &str, request: &Attributes<'_>) -> Result<(), String> {
    if request.verb != "create" || request.name.is_empty() {
        return refuse("can only create tokens for individual service accounts");
    }
    if request.subresource != "token" {
        return refuse("can only create token subresource of serviceaccount");
    }
    let is_related = graph.refers(
        node,
        RefKind::ServiceAccount,
        request.namespace,
        request.name,
    );
    related(is_related, node, request)
}

fn lease(node: &str, request: &Attributes<'_>) -> Result<(), String> {
    if !matches!(
        request.verb,
        "get" | "create" | "update" | "patch" | "delete"
    ) {
        return refuse("can only get, create, update, patch, or delete a node lease");
    }
    if request.namespace != LEASE_NAMESPACE {
        return refuse(format!(
            "can only access leases in the {LEASE_NAMESPACE:?} system namespace"
        ));
    }
    // The name is not known at a creation; `restrict` looks at it.
    if request.verb != "create" && request.name != node {
        return refuse("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

fn csi_node(node: &str, request: &Attributes<'_>) -> Result<(), String> {
    if !matches!(
        request.verb,
        "get" | "create" | "update" | "patch" | "delete"
    ) {
        return refuse("can only get, create, update, patch, or delete a CSINode");
    }
    if !request.subresource.is_empty() {
        return refuse("cannot authorize CSINode subresources");
    }
    if request.verb != "create" && request.name != node {
        return refuse("can only access CSINode with the same name as the requesting node");
    }
    Ok(())
}

fn own_node(node: &str, request: &Attributes<'_>) -> Result<(), String> {
    match (request.subresource, request.verb) {
        // Which node is written is `restrict`'s to say: a creation has no name here.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("tunnel", "create") if request.name == node => Ok(()),
        ("tunnel", "create") => refuse(format!(
            "node '{node}' cannot open a tunnel as '{}', only as itself",
            request.name
        )),
        ("", "get" | "list" | "watch") => match request.name {
            name if name == node => Ok(()),
            "" => refuse(format!(
                "node '{node}' cannot read all nodes, only its own Node object"
            )),
            name => refuse(format!(
                "node '{node}' cannot read '{name}', only its own Node object"
            )),
        },
        _ => refuse(""),
    }
}

fn pod(graph: &Graph, node: &str, request: &Attributes<'_>) -> Result<(), String> {
    let is_related = || graph.pod_is_on(node, request.namespace, request.name);
    match (request.subresource, request.verb) {
        ("", "get") => related(is_related(), node, request),
        ("", "list" | "watch") if request.selected_node == Some(node) => Ok(()),
        ("", "list" | "watch") if !request.name.is_empty() => related(is_related(), node, request),
        ("", "list" | "watch") => {
            refuse("can only list/watch pods with spec.nodeName field selector")
        }
        // Whose pod it is, is `restrict`'s to say.
        ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
            Ok(())
        }
        _ => refuse(""),
    }
}
