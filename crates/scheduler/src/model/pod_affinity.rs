//! Pods that a pod wants near it, or far away.

use std::{collections::BTreeMap, sync::Arc};

use mosaic_api::{
    LabelSelector,
    selector::{Operator, Requirement},
};
use serde::Deserialize;
use serde_json::Value;

use super::Labels;

/// In which namespaces pods are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespaces {
    /// These, sorted.
    pub names: Box<[Arc<str>]>,
    /// And those with such labels.
    pub selector: Option<LabelSelector>,
}

/// Pods by namespace and labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodSelector {
    /// Where they are looked for.
    pub namespaces: Namespaces,
    /// What labels they have.
    pub labels: LabelSelector,
}

/// An affinity term: pods, and what counts as near them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodTerm {
    /// The pods that it is about.
    pub pods: PodSelector,
    /// Hosts with an equal value of this label are near each other.
    pub topology_key: Arc<str>,
}

impl PodSelector {
    /// Whether a pod is one of these. `labels_of` gives the labels of a namespace.
    pub fn matches<'a>(
        &self,
        namespace: &str,
        labels: &Labels,
        labels_of: impl FnOnce(&str) -> Option<&'a Labels>,
    ) -> bool {
        let here = || {
            self.namespaces
                .names
                .iter()
                .any(|name| **name == *namespace)
                || self.namespaces.selector.as_ref().is_some_and(|selector| {
                    selector.is_everything() || selector.matches(&labels_of(namespace))
                })
        };
        here() && self.labels.matches(labels)
    }
}

/// A selector that is absent, or that cannot be read, selects nothing.
pub(super) fn selector(raw: Option<&Value>) -> LabelSelector {
    LabelSelector::from_object(raw.filter(|raw| !raw.is_null()))
        .unwrap_or_else(|_| LabelSelector::nothing())
}

/// A selector narrowed to the values that the pod itself has of some keys (or to other values). A key
/// that the pod does not have is left out, as in Kubernetes.
pub(super) fn narrowed(
    selector: LabelSelector,
    keys: Option<&Vec<String>>,
    operator: Operator,
    labels: Option<&BTreeMap<String, String>>,
) -> LabelSelector {
    let (Some(keys), Some(labels)) = (keys, labels) else {
        return selector;
    };
    if selector == LabelSelector::nothing() {
        return selector;
    }
    let mut requirements = selector.requirements().to_vec();
    for key in keys {
        let Some(value) = labels.get(key) else {
            continue;
        };
        if let Ok(requirement) = Requirement::new(key.as_str(), operator, vec![value.clone()])
            // The API server writes what it merged into the selector.
            && !requirements.contains(&requirement)
        {
            requirements.push(requirement);
        }
    }
    LabelSelector::new(requirements)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawPodTerm {
    label_selector: Option<Value>,
    namespaces: Option<Vec<String>>,
    namespace_selector: Option<Value>,
    match_label_keys: Option<Vec<String>>,
    mismatch_label_keys: Option<Vec<String>>,
    #[serde(default)]
    topology_key: String,
}

impl RawPodTerm {
    /// The term of a pod with this namespace and these labels.
    pub(super) fn read(
        self,
        namespace: &Arc<str>,
        labels: Option<&BTreeMap<String, String>>,
    ) -> PodTerm {
        let mut names: Vec<Arc<str>> = self
            .namespaces
            .unwrap_or_default()
            .into_iter()
            .map(Arc::from)
            .collect();
        let namespace_selector = self
            .namespace_selector
            .filter(|raw| !raw.is_null())
            .map(|raw| selector(Some(&raw)));
        if names.is_empty() && namespace_selector.is_none() {
            names.push(namespace.clone());
        }
        names.sort_unstable();
        names.dedup();
        let pods = selector(self.label_selector.as_ref());
        let pods = narrowed(pods, self.match_label_keys.as_ref(), Operator::In, labels);
        let pods = narrowed(
            pods,
            self.mismatch_label_keys.as_ref(),
            Operator::NotIn,
            labels,
        );
        PodTerm {
            pods: PodSelector {
                namespaces: Namespaces {
                    names: names.into(),
                    selector: namespace_selector,
                },
                labels: pods,
            },
            topology_key: self.topology_key.into(),
        }
    }
}
