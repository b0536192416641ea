//! What may change in a pod once it is there.

use serde_json::{Map, Value};

use super::{scheduling, spec};
use crate::{
    defaults::Fields,
    node::{Errors, Node},
};

const ALLOWED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// An update of a pod by its owner; not of its status, its size or its ephemeral containers.
pub(crate) fn update(new: &Node, old: &Node, e: &mut Errors) {
    annotations(
        &new.get("metadata").get("annotations"),
        &old.get("metadata").get("annotations"),
        e,
    );
    let (new_spec, old_spec) = (new.get("spec"), old.get("spec"));
    if new_spec.value() == old_spec.value() {
        return;
    }
    for (list, noun) in [
        ("containers", "containers"),
        ("initContainers", "init containers"),
    ] {
        let (new_list, old_list) = (new_spec.get(list), old_spec.get(list));
        if new_list.len() != old_list.len() {
            e.forbidden(
                &new_list,
                format!("pod updates may not add or remove {noun}"),
            );
            return;
        }
    }
    deadline(
        &new_spec.get("activeDeadlineSeconds"),
        &old_spec.get("activeDeadlineSeconds"),
        e,
    );
    gates(
        &new_spec.get("schedulingGates"),
        &old_spec.get("schedulingGates"),
        e,
    );
    tolerations(
        &new_spec.get("tolerations"),
        &old_spec.get("tolerations"),
        e,
    );
    let gated = !old_spec.get("schedulingGates").is_empty();
    if gated {
        node_selector(
            &new_spec.get("nodeSelector"),
            &old_spec.get("nodeSelector"),
            e,
        );
    }
    let changed = differing(&new_spec, &old_spec, gated);
    if !changed.is_empty() {
        e.forbidden(&new_spec, format!("{ALLOWED}\n{}", changed.join("\n")));
    }
    if e.count() == 0 {
        spec::spec(&new_spec, &new.get("metadata"), &[], e);
    }
}

/// A pod's own node and others write its status all the time: only what clients rely on is checked.
pub(crate) fn status(new: &Node, old: &Node, e: &mut Errors) {
    let spec = new.get("spec");
    let never_restarts = spec.get("restartPolicy").str() == "Never";
    let (new, old) = (new.get("status"), old.get("status"));
    if never_restarts {
        ends_are_final(&spec, &new, &old, e);
    }
    let class = new.get("qosClass");
    if !old.get("qosClass").is_empty() && class.str() != old.get("qosClass").str() {
        e.invalid_as(&class, class.str(), crate::node::IMMUTABLE);
    }
    let phase = new.get("phase");
    if !phase.is_empty() {
        e.one_of(
            &phase,
            &["Pending", "Running", "Succeeded", "Failed", "Unknown"],
        );
    }
    let addresses = new.get("podIPs");
    if addresses.value() != old.get("podIPs").value() {
        for address in addresses.items() {
            let ip = address.get("ip");
            e.check(&ip, crate::rules::ip);
        }
    }
}

/// A container that is never started again has ended for good: a status that says otherwise is one that comes late.
fn ends_are_final(spec: &Node, new: &Node, old: &Node, e: &mut Errors) {
    let containers = spec.get("containers");
    let (new, old) = (new.get("containerStatuses"), old.get("containerStatuses"));
    let has_ended = |status: &Node| status.get("state").get("terminated").is_set();
    for before in old.items().filter(has_ended) {
        let name = before.get("name");
        // Kubernetes has containers with a policy of their own.
        let mut all = containers.items();
        let decides_itself = all.any(|container| {
            container.get("name").str() == name.str() && container.get("restartPolicy").is_set()
        });
        let mut all = new.items();
        let goes_on = all.find(|now| now.get("name").str() == name.str() && !has_ended(now));
        if let Some(now) = goes_on.filter(|_| !decides_itself) {
            let state = now.get("state");
            e.forbidden(&state, "may not be transitioned to non-terminated state");
        }
    }
}

fn annotations(new: &Node, old: &Node, e: &mut Errors) {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    let (new, old) = (new.key(MIRROR), old.key(MIRROR));
    match (new.is_set(), old.is_set()) {
        (true, false) => e.forbidden(&new, "may not add mirror pod annotation"),
        (_, true) if new.str() != old.str() => {
            e.forbidden(&new, "may not remove or update mirror pod annotation");
        }
        _ => {}
    }
}

fn deadline(new: &Node, old: &Node, e: &mut Errors) {
    match (new.int(), old.int()) {
        (None, Some(_)) => e.invalid(new, "must not update from a positive integer to nil value"),
        (Some(new_seconds), Some(old_seconds)) if new_seconds > old_seconds => {
            e.invalid(new, "must be less than or equal to previous value");
        }
        _ => {}
    }
}

fn gates(new: &Node, old: &Node, e: &mut Errors) {
    for gate in new.items() {
        let name = gate.get("name");
        if old.items().all(|o| o.get("name").str() != name.str()) {
            e.forbidden(
                &name,
                format!(
                    "only deletion is allowed, but found new scheduling gate '{}'",
                    name.str()
                ),
            );
        }
    }
}

fn tolerations(new: &Node, old: &Node, e: &mut Errors) {
    if new.same(old) {
        return;
    }
    let identity = |toleration: &Node| {
        ["key", "operator", "value", "effect"].map(|field| toleration.get(field).str().to_owned())
    };
    let all_kept = old
        .items()
        .all(|o| new.items().any(|n| identity(&n) == identity(&o)));
    if !all_kept {
        e.forbidden(
            new,
            "existing toleration can not be modified except its tolerationSeconds",
        );
    }
    scheduling::tolerations(new, e);
}

/// A gated pod's node selector may become narrower.
fn node_selector(new: &Node, old: &Node, e: &mut Errors) {
    let kept = old
        .entries()
        .all(|(key, value)| new.get(key).str() == value.str() && new.get(key).is_set());
    if !kept {
        e.invalid(
            new,
            "only additions are allowed (no mutations or deletions)",
        );
    }
}

/// The fields of the spec that differ although they must not.
fn differing(new: &Node, old: &Node, gated: bool) -> Vec<String> {
    let empty = Map::new();
    let fields = |node: &Node<'_, '_>| node.value().and_then(Value::as_object).cloned();
    let new_fields = fields(new).unwrap_or_else(|| empty.clone());
    let old_fields = fields(old).unwrap_or(empty);
    let mut differing = Vec::new();
    let mut keys: Vec<&String> = new_fields.keys().chain(old_fields.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let (new_node, old_node) = (new.get(key), old.get(key));
        let same = match key.as_str() {
            "activeDeadlineSeconds" | "tolerations" | "schedulingGates" => true,
            "ephemeralContainers" => new_node.same(&old_node),
            "nodeSelector" if gated => true,
            "affinity" if gated => {
                without_node_affinity(&new_node) == without_node_affinity(&old_node)
            }
            "containers" | "initContainers" => same_but_images(&new_node, &old_node),
            "terminationGracePeriodSeconds" => {
                new_node.same(&old_node)
                    || (old_node.int_or_zero() < 0 && new_node.int() == Some(1))
            }
            _ => new_node.same(&old_node),
        };
        if !same {
            differing.push(format!("  {}", new_node.path()));
        }
    }
    differing
}

fn without_node_affinity(affinity: &Node) -> Fields {
    let mut fields = affinity
        .value()
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    fields.remove("nodeAffinity");
    fields
}

fn same_but_images(new: &Node, old: &Node) -> bool {
    new.items().zip(old.items()).all(|(new, old)| {
        new.fields()
            .all(|(key, value)| key == "image" || value.same(&old.get(key)))
            && old
                .fields()
                .all(|(key, value)| key == "image" || value.same(&new.get(key)))
    })
}
