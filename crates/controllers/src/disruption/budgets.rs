//! Which pods the budgets are about.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use mosaic_api::LabelSelector;

use crate::{
    informer::{self, Change},
    views::PodView,
};

/// Pods often change together, those of a large set for longer: counting takes time too.
const SETTLE: Duration = Duration::from_millis(100);
const SETTLE_FOR_EACH: Duration = Duration::from_micros(50);
const LONGEST_SETTLE: Duration = Duration::from_secs(1);

/// Namespace and name of a budget.
pub(super) type Key = (String, String);
type PodKey = informer::Key;

/// A budget, and the pods that it is about.
#[derive(Debug)]
struct Covered {
    selector: LabelSelector,
    pods: BTreeSet<PodKey>,
}

/// The budgets by namespace and name, and whom they are about: so that a pod's change reaches the right ones, and
/// counting looks at no other pods.
#[derive(Debug, Default)]
pub(super) struct Budgets(HashMap<String, BTreeMap<String, Covered>>);

impl Budgets {
    /// Takes in a budget; the pods of its namespace are asked for if it is about others than before.
    pub(super) fn apply(
        &mut self,
        budget: &PodDisruptionBudget,
        pods: impl FnOnce() -> Vec<Arc<PodView>>,
    ) -> Option<Key> {
        let key = key_of(budget)?;
        let budgets = self.0.entry(key.0.clone()).or_default();
        let selector = selector_of(budget);
        if budgets
            .get(&key.1)
            .is_none_or(|known| known.selector != selector)
        {
            let pods = pods();
            let covered = pods.iter().filter(|pod| covers(&selector, pod));
            let pods = covered.map(|pod| informer::key_of(&pod.metadata)).collect();
            budgets.insert(key.1.clone(), Covered { selector, pods });
        }
        Some(key)
    }

    pub(super) fn remove(&mut self, budget: &PodDisruptionBudget) {
        let Some((namespace, name)) = key_of(budget) else {
            return;
        };
        if let Some(budgets) = self.0.get_mut(&namespace) {
            budgets.remove(&name);
            if budgets.is_empty() {
                self.0.remove(&namespace);
            }
        }
    }

    /// The pods that a budget is about.
    pub(super) fn pods(&self, (namespace, name): &Key) -> Vec<PodKey> {
        let covered = self.0.get(namespace).and_then(|budgets| budgets.get(name));
        let pods = covered.into_iter().flat_map(|covered| &covered.pods);
        pods.cloned().collect()
    }

    /// Takes in a change of a pod, and tells the budgets that it means something to, and how long they may wait for
    /// more such changes.
    pub(super) fn moved(&mut self, change: &Change<PodView>) -> Vec<(Key, Duration)> {
        let Some(pod) = change.both().last() else {
            return Vec::new();
        };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let Some(budgets) = self.0.get_mut(namespace) else {
            return Vec::new();
        };
        let key = informer::key_of(&pod.metadata);
        let counts = |pod: &Option<Arc<PodView>>| {
            let owner = |pod: &PodView| {
                informer::controller_of(&pod.metadata).map(|owner| owner.uid.clone())
            };
            pod.as_ref().map(|pod| {
                (
                    pod.metadata.uid.clone(),
                    pod.ready,
                    pod.is_terminating(),
                    owner(pod),
                )
            })
        };
        let counts_else = counts(&change.old) != counts(&change.new);
        let mut touched = Vec::new();
        for (name, budget) in budgets {
            let covered = change
                .new
                .as_ref()
                .is_some_and(|pod| covers(&budget.selector, pod));
            let changed = if covered {
                budget.pods.insert(key.clone())
            } else {
                budget.pods.remove(&key)
            };
            if changed || (covered && counts_else) {
                let more = SETTLE_FOR_EACH
                    .saturating_mul(u32::try_from(budget.pods.len()).unwrap_or(u32::MAX));
                let settle = SETTLE.saturating_add(more).min(LONGEST_SETTLE);
                touched.push(((namespace.to_owned(), name.clone()), settle));
            }
        }
        touched
    }
}

fn covers(selector: &LabelSelector, pod: &PodView) -> bool {
    selector.matches(pod.labels())
}

fn key_of(budget: &PodDisruptionBudget) -> Option<Key> {
    Some((
        budget.metadata.namespace.clone()?,
        budget.metadata.name.clone()?,
    ))
}

/// A selector that is not given, or cannot be read, selects nothing.
fn selector_of(budget: &PodDisruptionBudget) -> LabelSelector {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let value = selector.and_then(|selector| serde_json::to_value(selector).ok());
    LabelSelector::from_object(value.as_ref()).unwrap_or_else(|_| LabelSelector::nothing())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_budget_hears_of_its_pods_and_of_what_counts() {
        let pod = |app: &str, ready: &str| -> Option<Arc<PodView>> {
            let pod = json!({ "metadata": { "namespace": "d", "name": "p", "labels": { "app": app } },
                "status": { "conditions": [{ "type": "Ready", "status": ready }] } });
            Some(Arc::new(serde_json::from_value(pod).unwrap()))
        };
        let budget = json!({ "metadata": { "namespace": "d", "name": "b" },
            "spec": { "selector": { "matchLabels": { "app": "web" } } } });
        let budget: PodDisruptionBudget = serde_json::from_value(budget).unwrap();
        let key: Key = ("d".into(), "b".into());
        let mut budgets = Budgets::default();
        budgets.apply(&budget, || {
            pod("web", "True")
                .into_iter()
                .chain(pod("other", "True"))
                .collect()
        });
        let mut moved = |old, new| {
            let touched = budgets.moved(&Change { old, new });
            (touched.len(), budgets.pods(&key).len())
        };
        assert_eq!(
            moved(pod("web", "True"), pod("web", "True")),
            (0, 1),
            "told again"
        );
        assert_eq!(moved(pod("web", "True"), pod("web", "False")), (1, 1));
        assert_eq!(moved(pod("web", "False"), pod("other", "False")), (1, 0));
        assert_eq!(moved(pod("other", "False"), pod("other", "True")), (0, 0));
        assert_eq!(moved(None, pod("web", "True")), (1, 1));
        assert_eq!(moved(pod("web", "True"), None), (1, 0));
        // The pods are asked for again only if it is about others.
        budgets.apply(&budget, || panic!("it is about the same"));
        budgets.remove(&budget);
        assert!(budgets.0.is_empty());
    }
}
