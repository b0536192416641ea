//! Where a pod may run: selectors, affinity, tolerations, spreading.

use std::collections::HashSet;

use mosaic_api::LabelSelector;
use serde_json::Value;

use crate::{
    meta,
    node::{Errors, Node},
    rules,
};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

/// A `LabelSelector`.
pub(crate) fn label_selector(selector: &Node, e: &mut Errors) {
    meta::labels(&selector.get("matchLabels"), e);
    let expressions = selector.get("matchExpressions");
    for expression in expressions.items() {
        let operator = expression.get("operator");
        let values = expression.get("values");
        set_operator(&operator, &values, e);
        e.check(&expression.get("key"), rules::qualified_name);
        for value in values.items() {
            e.check(&value, rules::label_value);
        }
    }
}

/// An operator about the set of values that a label has, and these values.
fn set_operator(operator: &Node, values: &Node, e: &mut Errors) {
    match operator.str() {
        "In" | "NotIn" => {
            e.require(
                values,
                "must be specified when `operator` is 'In' or 'NotIn'",
            );
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                e.forbidden(
                    values,
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
        }
        _ => e.invalid_as(operator, operator.str(), "not a valid selector operator"),
    }
}

/// A template whose labels a `LabelSelector` has to match. What is wrong with the selector itself is
/// for [`label_selector`] to say.
pub(crate) fn selected_template(selector: &Node, template: &Node, e: &mut Errors) {
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    let map = labels.value().and_then(Value::as_object);
    let selector = LabelSelector::from_object(selector.value());
    if selector.is_ok_and(|selector| !selector.matches(&map)) {
        e.invalid_as(
            &labels,
            labels.value().cloned().unwrap_or_default(),
            "`selector` does not match template `labels`",
        );
    }
}

/// A `NodeSelector`.
pub(crate) fn node_selector(selector: &Node, e: &mut Errors) {
    let terms = selector.get("nodeSelectorTerms");
    e.require(&terms, "must have at least one node selector term");
    for term in terms.items() {
        node_selector_term(&term, e);
    }
}

fn node_selector_term(term: &Node, e: &mut Errors) {
    for expression in term.get("matchExpressions").items() {
        let operator = expression.get("operator");
        let values = expression.get("values");
        match operator.str() {
            "Gt" | "Lt" => {
                if values.len() != 1 {
                    e.required(
                        &values,
                        "must be specified single value when `operator` is 'Lt' or 'Gt'",
                    );
                }
            }
            _ => set_operator(&operator, &values, e),
        }
        e.check(&expression.get("key"), rules::qualified_name);
    }
    for field in term.get("matchFields").items() {
        let operator = field.get("operator");
        let values = field.get("values");
        match operator.str() {
            "In" | "NotIn" => {
                if values.len() != 1 {
                    e.required(
                        &values,
                        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
                    );
                }
            }
            _ => e.invalid_as(&operator, operator.str(), "not a valid selector operator"),
        }
        let key = field.get("key");
        if key.str() != "metadata.name" {
            e.invalid_as(&key, key.str(), "not a valid field selector key");
        } else {
            for value in values.items() {
                e.check(&value, rules::subdomain);
            }
        }
    }
}

/// The affinities of a pod.
pub(super) fn affinity(affinity: &Node, e: &mut Errors) {
    let node = affinity.get("nodeAffinity");
    let required = node.get("requiredDuringSchedulingIgnoredDuringExecution");
    if required.is_set() {
        node_selector(&required, e);
    }
    let preferred = node.get("preferredDuringSchedulingIgnoredDuringExecution");
    for term in preferred.items() {
        weight(&term.get("weight"), e);
        node_selector_term(&term.get("preference"), e);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pods = affinity.get(kind);
        let required = pods.get("requiredDuringSchedulingIgnoredDuringExecution");
        for term in required.items() {
            pod_affinity_term(&term, e);
        }
        let preferred = pods.get("preferredDuringSchedulingIgnoredDuringExecution");
        for term in preferred.items() {
            weight(&term.get("weight"), e);
            pod_affinity_term(&term.get("podAffinityTerm"), e);
        }
    }
}

fn weight(weight: &Node, e: &mut Errors) {
    let number = weight.int_or_zero();
    if !(1..=100).contains(&number) {
        e.invalid_as(weight, number, "must be in the range 1-100");
    }
}

fn pod_affinity_term(term: &Node, e: &mut Errors) {
    label_selector(&term.get("labelSelector"), e);
    label_selector(&term.get("namespaceSelector"), e);
    for namespace in term.get("namespaces").items() {
        e.check(&namespace, rules::label);
    }
    let key = term.get("topologyKey");
    if e.require(&key, "can not be empty") {
        e.check(&key, rules::qualified_name);
    }
}

/// The tolerations of a pod.
pub(crate) fn tolerations(list: &Node, e: &mut Errors) {
    for toleration in list.items() {
        let key = toleration.get("key");
        let operator = toleration.get("operator");
        let value = toleration.get("value");
        let effect = toleration.get("effect");
        if !key.is_empty() {
            e.check(&key, rules::qualified_name);
        } else if operator.str() != "Exists" {
            e.invalid_as(
                &operator,
                operator.str(),
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        if toleration.get("tolerationSeconds").is_set() && effect.str() != "NoExecute" {
            e.invalid_as(
                &effect,
                effect.str(),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            );
        }
        match operator.str() {
            "Equal" | "" => {
                e.invalid_text(&operator, value.str(), rules::label_value(value.str()));
            }
            "Exists" => {
                if !value.is_empty() {
                    e.invalid_as(
                        &operator,
                        toleration.value().cloned().unwrap_or_default(),
                        "value must be empty when `operator` is 'Exists'",
                    );
                }
            }
            _ => e.not_supported(&operator, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            e.one_of(&effect, &EFFECTS);
        }
    }
}

/// The most constraints on how a pod is spread. Kubernetes has no bound; each is looked at for each host.
const MAX_SPREAD: usize = 128;

/// How a pod is spread.
pub(super) fn topology_spread(list: &Node, e: &mut Errors) {
    if list.len() > MAX_SPREAD {
        e.too_many(list, MAX_SPREAD);
        return;
    }
    let mut seen = HashSet::new();
    for constraint in list.items() {
        let skew = constraint.get("maxSkew");
        if skew.int_or_zero() <= 0 {
            e.invalid_as(&skew, skew.int_or_zero(), "must be greater than zero");
        }
        let key = constraint.get("topologyKey");
        if e.require(&key, "can not be empty") {
            e.check(&key, rules::qualified_name);
        }
        let action = constraint.get("whenUnsatisfiable");
        if !["DoNotSchedule", "ScheduleAnyway"].contains(&action.str()) {
            e.not_supported(&action, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        if !seen.insert((key.str(), action.str())) {
            e.duplicate(
                &constraint.get("{topologyKey, whenUnsatisfiable}"),
                format!("{{{}, {}}}", key.str(), action.str()),
            );
        }
        let domains = constraint.get("minDomains");
        if let Some(number) = domains.int() {
            if number <= 0 {
                e.invalid(&domains, "must be greater than zero");
            }
            if action.str() != "DoNotSchedule" {
                e.invalid(
                    &domains,
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
                );
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            e.one_of_if_set(&constraint.get(policy), &["Honor", "Ignore"]);
        }
        label_selector(&constraint.get("labelSelector"), e);
    }
}

/// What must happen before a pod is scheduled.
pub(super) fn gates(list: &Node, e: &mut Errors) {
    let mut seen = HashSet::new();
    for gate in list.items() {
        let name = gate.get("name");
        e.invalid_text(&gate, name.str(), rules::qualified_name(name.str()));
        if !seen.insert(name.str()) {
            e.duplicate(&gate, name.str());
        }
    }
}
