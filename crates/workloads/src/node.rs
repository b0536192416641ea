//! Hosts, as far as daemon sets look at them, and what a pod's template asks of one.

use std::collections::BTreeMap;

use k8s_openapi::{
    ClusterResourceScope,
    api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use mosaic_api::taints;
use serde::{Deserialize, Deserializer};

/// A host.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Node {
    /// Its metadata, without annotations and managed fields.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// What keeps pods away.
    #[serde(default)]
    pub spec: NodeSpec,
}

/// What keeps pods away from a host.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct NodeSpec {
    /// Taints, of which pods have to tolerate each.
    #[serde(default, deserialize_with = "or_empty")]
    pub taints: Vec<Taint>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    crate::pod::metadata(deserializer, &[])
}

fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Taint>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl k8s_openapi::Resource for Node {
    const API_VERSION: &'static str = "v1";
    const GROUP: &'static str = "";
    const KIND: &'static str = "Node";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "nodes";
    type Scope = ClusterResourceScope;
}

impl k8s_openapi::Metadata for Node {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Node {
    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// Whether a pod asks for this host: by its name, by labels, or by affinity.
    pub fn is_selected_by(&self, pod: &PodSpec) -> bool {
        let named = pod.node_name.as_deref().unwrap_or_default();
        if !named.is_empty() && named != self.name() {
            return false;
        }
        let none = BTreeMap::new();
        let labels = pod.node_selector.as_ref().unwrap_or(&none);
        if labels
            .iter()
            .any(|(key, value)| self.label(key) != Some(value))
        {
            return false;
        }
        let affinity = pod.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let required = affinity.and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_ref()
        });
        required.is_none_or(|selector| {
            selector
                .node_selector_terms
                .iter()
                .any(|term| self.meets(term))
        })
    }

    /// Whether it meets a term: all that the term asks for. One that asks for nothing is met by no host.
    fn meets(&self, term: &NodeSelectorTerm) -> bool {
        let expressions = term.match_expressions.as_deref().unwrap_or_default();
        let fields = term.match_fields.as_deref().unwrap_or_default();
        let field = |key: &str| (key == "metadata.name").then(|| self.name());
        (!expressions.is_empty() || !fields.is_empty())
            && expressions.iter().all(|r| holds(r, self.label(&r.key)))
            && fields.iter().all(|r| holds(r, field(&r.key)))
    }

    /// Whether a pod with these tolerations may be on it, as far as taints with one of these effects go.
    pub fn is_tolerated(&self, tolerations: &[Toleration], effects: &[&str]) -> bool {
        self.spec
            .taints
            .iter()
            .filter(|taint| effects.contains(&taint.effect.as_str()))
            .all(|taint| tolerations.iter().any(|t| tolerates(t, taint)))
    }
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |value: &str| values.iter().any(|known| known == value);
    let compared = || {
        let have: i64 = value?.parse().ok()?;
        let bound: i64 = values.first()?.parse().ok()?;
        Some(have.cmp(&bound))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared().is_some_and(std::cmp::Ordering::is_gt),
        "Lt" => compared().is_some_and(std::cmp::Ordering::is_lt),
        _ => false,
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let toleration = taints::Toleration {
        key: toleration.key.as_deref().unwrap_or_default(),
        operator: toleration.operator.as_deref().unwrap_or_default(),
        value: toleration.value.as_deref().unwrap_or_default(),
        effect: toleration.effect.as_deref().unwrap_or_default(),
    };
    toleration.tolerates(taints::Taint {
        key: &taint.key,
        value: taint.value.as_deref().unwrap_or_default(),
        effect: &taint.effect,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node() -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n1", "labels": {"disk": "ssd", "cores": "16"}, "annotations": {"a": "b"}},
            "spec": {"taints": [
                {"key": "pool", "value": "db", "effect": "NoSchedule"},
                {"key": "gone", "effect": "NoExecute"},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_selects_hosts_by_name_labels_and_affinity() {
        let affinity = |terms: serde_json::Value| {
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": terms,
            }}}})
        };
        let term = |key: &str, operator: &str, values: &[&str]| {
            affinity(
                json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]),
            )
        };
        let field = |operator: &str, name: &str| {
            affinity(
                json!([{"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]}]),
            )
        };
        for (spec, selected) in [
            (json!({}), true),
            (json!({"nodeName": "n1"}), true),
            (json!({"nodeName": "n2"}), false),
            (json!({"nodeSelector": {"disk": "ssd"}}), true),
            (
                json!({"nodeSelector": {"disk": "ssd", "gpu": "yes"}}),
                false,
            ),
            (term("disk", "In", &["hdd", "ssd"]), true),
            (term("disk", "NotIn", &["hdd"]), true),
            (term("gpu", "NotIn", &["a"]), true),
            (term("gpu", "Exists", &[]), false),
            (term("gpu", "DoesNotExist", &[]), true),
            (term("cores", "Gt", &["8"]), true),
            (term("cores", "Lt", &["16"]), false),
            (term("disk", "Gt", &["1"]), false),
            (term("disk", "Like", &["ssd"]), false),
            (field("In", "n1"), true),
            (field("NotIn", "n1"), false),
            (affinity(json!([])), false),
            (affinity(json!([{}])), false),
            (
                affinity(
                    json!([{}, {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]),
                ),
                true,
            ),
        ] {
            let mut spec = spec;
            spec["containers"] = json!([]);
            let pod: PodSpec = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(node().is_selected_by(&pod), selected, "{spec}");
        }
    }

    #[test]
    fn taints_have_to_be_tolerated() {
        let both = ["NoSchedule", "NoExecute"];
        let tolerations = |value: serde_json::Value| -> Vec<Toleration> {
            serde_json::from_value(value).unwrap()
        };
        for (given, scheduled, stays) in [
            (json!([]), false, false),
            (json!([{"operator": "Exists"}]), true, true),
            (
                json!([{"key": "gone", "operator": "Exists", "effect": "NoExecute"}]),
                false,
                true,
            ),
            (
                json!([{"key": "pool", "value": "db"}, {"key": "gone", "operator": "Exists"}]),
                true,
                true,
            ),
            (
                json!([{"key": "pool", "value": "web"}, {"key": "gone"}]),
                false,
                true,
            ),
            (
                json!([{"key": "gone", "operator": "Exists", "effect": "NoSchedule"}]),
                false,
                false,
            ),
        ] {
            let list = tolerations(given.clone());
            assert_eq!(node().is_tolerated(&list, &both), scheduled, "{given}");
            assert_eq!(node().is_tolerated(&list, &["NoExecute"]), stays, "{given}");
        }
    }
}
