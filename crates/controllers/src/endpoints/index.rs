//! Which pods belong to which service. A pod's change finds its services by the pod's labels, and a service its
//! pods without looking at others: neither grows with the number of pods and services of a namespace.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::informer::Key;

/// Labels, or a selector of them.
type Labels = BTreeMap<String, String>;

/// Services, and the pods of each.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<Arc<str>, Namespace>);

/// The services of a namespace.
#[derive(Debug, Default)]
struct Namespace {
    services: HashMap<Arc<str>, Service>,
    /// Each service, under one of the labels that it asks for: label, value, names.
    by_label: HashMap<String, HashMap<String, BTreeSet<Arc<str>>>>,
}

#[derive(Debug)]
struct Service {
    selector: Labels,
    /// The label that it is found by.
    found_by: (String, String),
    pods: BTreeSet<Arc<str>>,
}

impl Service {
    fn selects(&self, labels: &Labels) -> bool {
        let mut asked = self.selector.iter();
        asked.all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl Index {
    /// Puts a service in, with those of these pods of its namespace that it selects, or takes it out if it
    /// selects nothing.
    pub(super) fn set_service<'a>(
        &mut self,
        (namespace, name): &Key,
        selector: Option<&Labels>,
        pods: impl IntoIterator<Item = (&'a Arc<str>, Option<&'a Labels>)>,
    ) {
        self.remove_service(namespace, name);
        let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
            return;
        };
        let services = self.0.entry(namespace.clone()).or_default();
        let Some(found_by) = services.rarest(selector) else {
            return;
        };
        let mut service = Service {
            selector: selector.clone(),
            found_by: found_by.clone(),
            pods: BTreeSet::new(),
        };
        for (pod, labels) in pods {
            if labels.is_some_and(|labels| service.selects(labels)) {
                service.pods.insert(pod.clone());
            }
        }
        services.services.insert(name.clone(), service);
        let (label, value) = found_by;
        let by_value = services.by_label.entry(label).or_default();
        by_value.entry(value).or_default().insert(name.clone());
    }

    fn remove_service(&mut self, namespace: &Arc<str>, name: &Arc<str>) {
        let Some(services) = self.0.get_mut(namespace) else {
            return;
        };
        let Some(service) = services.services.remove(name) else {
            return;
        };
        let (label, value) = service.found_by;
        if let Some(by_value) = services.by_label.get_mut(&label) {
            if let Some(names) = by_value.get_mut(&value) {
                names.remove(name);
                if names.is_empty() {
                    by_value.remove(&value);
                }
            }
            if by_value.is_empty() {
                services.by_label.remove(&label);
            }
        }
        if services.services.is_empty() {
            self.0.remove(namespace);
        }
    }

    /// The services that select a pod with these labels.
    pub(super) fn selecting(&self, namespace: &str, labels: Option<&Labels>) -> Vec<Arc<str>> {
        let Some(services) = self.0.get(namespace) else {
            return Vec::new();
        };
        let Some(labels) = labels else {
            return Vec::new();
        };
        let found = labels.iter().filter_map(|(label, value)| {
            let by_value = services.by_label.get(label)?;
            by_value.get(value)
        });
        let selects = |name: &&Arc<str>| {
            let service = services.services.get(*name);
            service.is_some_and(|service| service.selects(labels))
        };
        found.flatten().filter(selects).cloned().collect()
    }

    /// Takes in that a pod's labels changed, that it came (nothing before), or that it went (nothing after).
    /// Returns the services that it belonged or belongs to.
    pub(super) fn pod_changed(
        &mut self,
        (namespace, pod): &Key,
        before: Option<&Labels>,
        after: Option<&Labels>,
    ) -> BTreeSet<Arc<str>> {
        let old = self.selecting(namespace, before);
        let new = self.selecting(namespace, after);
        if let Some(services) = self.0.get_mut(namespace) {
            for name in old.iter().filter(|name| !new.contains(name)) {
                if let Some(service) = services.services.get_mut(name) {
                    service.pods.remove(pod);
                }
            }
            for name in &new {
                if let Some(service) = services.services.get_mut(name) {
                    service.pods.insert(pod.clone());
                }
            }
        }
        old.into_iter().chain(new).collect()
    }

    /// The names of a service's pods.
    pub(super) fn pods_of(&self, (namespace, name): &Key) -> Vec<Arc<str>> {
        let service = self
            .0
            .get(namespace)
            .and_then(|services| services.services.get(name));
        let pods = service.map(|service| service.pods.iter().cloned().collect());
        pods.unwrap_or_default()
    }

    /// How many pods a service has.
    pub(super) fn count(&self, (namespace, name): &Key) -> usize {
        let service = self
            .0
            .get(namespace)
            .and_then(|services| services.services.get(name));
        service.map_or(0, |service| service.pods.len())
    }
}

impl Namespace {
    /// The label of a selector by which the fewest services are found.
    fn rarest(&self, selector: &Labels) -> Option<(String, String)> {
        let found_by = |label: &String, value: &String| {
            let names = self
                .by_label
                .get(label)
                .and_then(|by_value| by_value.get(value));
            names.map_or(0, BTreeSet::len)
        };
        let rarest = selector
            .iter()
            .min_by_key(|(label, value)| found_by(label, value));
        rarest.map(|(label, value)| (label.clone(), value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = Labels> {
        let pairs = prop::collection::btree_map(0..3_u8, 0..2_u8, 0..4);
        pairs.prop_map(|pairs| {
            let text = |(key, value): (u8, u8)| (format!("k{key}"), format!("v{value}"));
            pairs.into_iter().map(text).collect()
        })
    }

    #[derive(Debug, Clone)]
    enum Step {
        Service(u8, u8, Option<Labels>),
        Pod(u8, u8, Option<Labels>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let labels = || prop::option::weighted(0.8, labels());
        prop_oneof![
            (0..2_u8, 0..4_u8, labels())
                .prop_map(|(ns, name, labels)| Step::Service(ns, name, labels)),
            (0..2_u8, 0..6_u8, labels()).prop_map(|(ns, name, labels)| Step::Pod(ns, name, labels)),
        ]
    }

    fn key(namespace: u8, name: u8) -> Key {
        (format!("ns{namespace}").into(), format!("n{name}").into())
    }

    proptest! {
        /// However it came about: a service has exactly the pods that its selector matches, and a pod's change
        /// is told to exactly those services that have it or had it.
        #[test]
        fn services_have_the_pods_that_they_select(steps in prop::collection::vec(step(), 0..40)) {
            let mut index = Index::default();
            let mut services: BTreeMap<Key, Labels> = BTreeMap::new();
            let mut pods: BTreeMap<Key, Labels> = BTreeMap::new();
            let selects = |selector: &Labels, labels: &Labels| {
                !selector.is_empty() && selector.iter().all(|(k, v)| labels.get(k) == Some(v))
            };
            for step in steps {
                match step {
                    Step::Service(namespace, name, selector) => {
                        let key = key(namespace, name);
                        let there = pods.iter().filter(|(pod, _)| pod.0 == key.0);
                        let there = there.map(|(pod, labels)| (&pod.1, Some(labels)));
                        index.set_service(&key, selector.as_ref(), there);
                        match selector {
                            Some(selector) => services.insert(key, selector),
                            None => services.remove(&key),
                        };
                    }
                    Step::Pod(namespace, name, labels) => {
                        let key = key(namespace, name);
                        let old = pods.get(&key).cloned();
                        let told = index.pod_changed(&key, old.as_ref(), labels.as_ref());
                        let concerned = services.iter().filter(|(service, selector)| {
                            let mut labels = old.iter().chain(&labels);
                            service.0 == key.0 && labels.any(|labels| selects(selector, labels))
                        });
                        let concerned: BTreeSet<_> = concerned.map(|(service, _)| service.1.clone()).collect();
                        prop_assert_eq!(told, concerned);
                        match labels {
                            Some(labels) => pods.insert(key, labels),
                            None => pods.remove(&key),
                        };
                    }
                }
            }
            for (service, selector) in &services {
                let theirs = pods.iter().filter(|(pod, labels)| pod.0 == service.0 && selects(selector, labels));
                let theirs: Vec<_> = theirs.map(|(pod, _)| pod.1.clone()).collect();
                prop_assert_eq!(index.pods_of(service), theirs);
            }
            for service in services.keys() {
                index.set_service(service, None, []);
            }
            prop_assert!(index.0.is_empty(), "nothing is left behind: {:?}", index);
        }
    }
}
