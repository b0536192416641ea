//! Namespaces and nodes.

use std::collections::HashSet;

use crate::{
    node::{Errors, Node},
    pods::{RESOURCE_NAME, resource_list},
    rules,
};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

/// A namespace.
pub(crate) fn namespace(namespace: &Node, e: &mut Errors) {
    let spec = namespace.get("spec");
    let finalizers = spec.get("finalizers");
    for finalizer in finalizers.items() {
        e.check(&finalizer, rules::qualified_name);
        if !finalizer.str().contains('/') && finalizer.str() != "kubernetes" {
            e.invalid(
                &finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            );
        }
    }
}

/// The status of a namespace.
pub(crate) fn namespace_status(new: &Node, _: &Node, e: &mut Errors) {
    let phase = new.get("status");
    let phase = phase.get("phase");
    let deleted = new.get("metadata").get("deletionTimestamp").is_set();
    if deleted && phase.str() != "Terminating" {
        e.invalid_as(
            &phase,
            phase.str(),
            "may only be 'Terminating' if `deletionTimestamp` is not empty",
        );
    } else if !deleted && phase.str() != "Active" {
        e.invalid_as(
            &phase,
            phase.str(),
            "may only be 'Active' if `deletionTimestamp` is empty",
        );
    }
}

/// A node.
pub(crate) fn node(node: &Node, e: &mut Errors) {
    let spec = node.get("spec");
    taints(&spec.get("taints"), e);
    let networks = spec.get("podCIDRs");
    for network in networks.items() {
        e.check(&network, rules::cidr);
    }
    if networks.len() > 2 {
        e.invalid(
            &networks,
            "may specify no more than one CIDR for each IP family",
        );
    }
    node_status(node, node, e);
}

/// The status of a node; written every few seconds.
pub(crate) fn node_status(new: &Node, _: &Node, e: &mut Errors) {
    let status = new.get("status");
    resource_list(&status.get("capacity"), RESOURCE_NAME, e);
    resource_list(&status.get("allocatable"), RESOURCE_NAME, e);
    let addresses = status.get("addresses");
    let mut seen = HashSet::new();
    for address in addresses.items() {
        let key = (address.get("type").str(), address.get("address").str());
        if !seen.insert(key) {
            e.duplicate(
                &address,
                serde_json::json!({"type": key.0, "address": key.1}),
            );
        }
    }
}

/// An update of a node: its network and its identity at the provider are set once.
pub(crate) fn node_update(new: &Node, old: &Node, e: &mut Errors) {
    let (new, old) = (new.get("spec"), old.get("spec"));
    let (networks, old_networks) = (new.get("podCIDRs"), old.get("podCIDRs"));
    if !old_networks.is_empty() && !networks.same(&old_networks) {
        e.forbidden(
            &networks,
            "node updates may not change podCIDR except from \"\" to valid",
        );
    }
    let (provider, old_provider) = (new.get("providerID"), old.get("providerID"));
    if !old_provider.is_empty() && provider.str() != old_provider.str() {
        e.forbidden(
            &provider,
            "node updates may not change providerID except from \"\" to valid",
        );
    }
}

fn taints(list: &Node, e: &mut Errors) {
    let mut seen = HashSet::new();
    for taint in list.items() {
        let (key, value, effect) = (taint.get("key"), taint.get("value"), taint.get("effect"));
        e.invalid_text(&key, key.str(), rules::qualified_name(key.str()));
        e.invalid_text(&value, value.str(), rules::label_value(value.str()));
        e.one_of(&effect, &EFFECTS);
        if !seen.insert((key.str(), effect.str())) {
            let mut error = mosaic_schema::FieldError::duplicate(
                taint.path(),
                taint.value().cloned().unwrap_or_default(),
            );
            error.detail = "taints must be unique by key and effect pair".to_owned();
            e.push(error);
        }
    }
}
