//! Resource lists: names, amounts, and requests against limits.

use mosaic_api::quantity::Quantity;

use crate::{
    node::{Errors, Node},
    rules::{self, Problems},
};

/// What may be asked for in whole pieces only.
const WHOLE: [&str; 11] = [
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
    "nodes",
    "attachable-volumes",
];
/// Names without a domain that mean something beside containers.
const STANDARD: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
];

/// A rule for the names of resources.
pub(crate) type NameCheck = fn(&str) -> Problems;

/// Resources that containers can ask for.
pub(crate) const NAME_IN_CONTAINER: NameCheck = name_in_container;
/// Resources of nodes, volumes and quotas.
pub(crate) const RESOURCE_NAME: NameCheck = resource_name;

fn name_in_container(name: &str) -> Problems {
    let problems = rules::qualified_name(name);
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage")
        || name.starts_with("hugepages-")
        || name.contains('/');
    if problems.is_empty() && !known {
        return vec!["must be a standard resource for containers".to_owned()];
    }
    problems
}

fn resource_name(name: &str) -> Problems {
    let problems = rules::qualified_name(name);
    let known = name.contains('/')
        || STANDARD.contains(&name)
        || name == "services.loadbalancers"
        || ["hugepages-", "requests.hugepages-", "limits.hugepages-"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
    if problems.is_empty() && !known {
        return vec!["must be a standard resource type or fully qualified".to_owned()];
    }
    problems
}

/// Whether more of it can be promised than there is.
fn is_overcommittable(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    native && !name.starts_with("hugepages-")
}

fn is_whole(name: &str) -> bool {
    WHOLE.contains(&name)
        || name.starts_with("count/")
        || (name.contains('/')
            && !name.contains("kubernetes.io/")
            && !name.starts_with("requests."))
}

/// Whether an amount is below zero.
pub(crate) fn is_negative(quantity: &Quantity) -> bool {
    quantity.sign().is_lt()
}

/// An amount. None if it is absent, or cannot be read, which is recorded.
pub(crate) fn quantity(node: &Node, e: &mut Errors) -> Option<Quantity> {
    match Quantity::from_value(node.value()?) {
        Ok(quantity) => Some(quantity),
        Err(error) => {
            e.invalid(node, error.to_string());
            None
        }
    }
}

/// The amounts of a resource list.
pub(crate) fn resource_list(list: &Node, check: NameCheck, e: &mut Errors) {
    for (name, node) in list.entries() {
        e.invalid_text(&node, name, check(name));
        amount(name, &node, e);
    }
}

/// One amount of a resource: not below zero, and whole where only whole pieces make sense.
pub(crate) fn amount(name: &str, node: &Node, e: &mut Errors) {
    let Some(quantity) = quantity(node, e) else {
        return;
    };
    if is_negative(&quantity) {
        e.invalid_as(
            node,
            quantity.to_string(),
            "must be greater than or equal to 0",
        );
    }
    if is_whole(name) && quantity.milli_value() % 1000 != 0 {
        e.invalid_as(node, quantity.to_string(), "must be an integer");
    }
}

/// The requests and limits of a container or pod.
pub(crate) fn requirements(requirements: &Node, e: &mut Errors) {
    if requirements.is_empty() {
        return;
    }
    let (limits, requests) = (requirements.get("limits"), requirements.get("requests"));
    resource_list(&limits, NAME_IN_CONTAINER, e);
    resource_list(&requests, NAME_IN_CONTAINER, e);
    for (name, request) in requests.entries() {
        let limit = limits.key(name);
        if !limit.is_set() {
            if !is_overcommittable(name) {
                e.required(
                    &limits,
                    "Limit must be set for non overcommitable resources",
                );
            }
            continue;
        }
        let (Some(request), Some(limit)) = (
            request.value().and_then(|v| Quantity::from_value(v).ok()),
            limit.value().and_then(|v| Quantity::from_value(v).ok()),
        ) else {
            continue;
        };
        if !is_overcommittable(name) && request != limit {
            e.invalid_as(
                &requests,
                request.to_string(),
                format!("must be equal to {name} limit of {limit}"),
            );
        } else if request > limit {
            e.invalid_as(
                &requests,
                request.to_string(),
                format!("must be less than or equal to {name} limit of {limit}"),
            );
        }
    }
    let asked = |name: &str| limits.get(name).is_set() || requests.get(name).is_set();
    let huge = limits
        .entries()
        .chain(requests.entries())
        .any(|(name, _)| name.starts_with("hugepages-"));
    if huge && !asked("cpu") && !asked("memory") {
        e.forbidden(requirements, "HugePages require cpu or memory");
    }
}
