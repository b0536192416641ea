//! Objects by name, by who controls them, and those that nobody controls.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

use super::{Change, Key, controller_of};

/// The objects, and where to find them.
pub(super) struct Objects<K> {
    pub(super) by_key: BTreeMap<Key, Arc<K>>,
    pub(super) by_controller: HashMap<Arc<str>, BTreeSet<Key>>,
    pub(super) orphans: HashMap<Arc<str>, BTreeSet<Key>>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            by_key: BTreeMap::new(),
            by_controller: HashMap::new(),
            orphans: HashMap::new(),
        }
    }
}

impl<K: Resource> Objects<K> {
    /// Puts an object in the place of another, or takes it out.
    pub(super) fn set(&mut self, key: Key, new: Option<Arc<K>>) -> Change<K> {
        let old = match &new {
            Some(new) => self.by_key.insert(key.clone(), new.clone()),
            None => self.by_key.remove(&key),
        };
        if let Some(old) = &old {
            self.unlink(&key, old.meta());
        }
        if let Some(new) = &new {
            self.link(&key, new.meta());
        }
        Change { old, new }
    }

    /// Puts these objects in the place of all that there are, and tells what that changed.
    pub(super) fn replace(&mut self, listed: BTreeMap<Key, Arc<K>>) -> Vec<Change<K>> {
        let gone: Vec<Key> = self
            .by_key
            .keys()
            .filter(|key| !listed.contains_key(*key))
            .cloned()
            .collect();
        let mut changes: Vec<_> = gone.into_iter().map(|key| self.set(key, None)).collect();
        for (key, object) in listed {
            let version = &object.meta().resource_version;
            let known = self.by_key.get(&key);
            if known.is_none_or(|known| known.meta().resource_version != *version) {
                changes.push(self.set(key, Some(object)));
            }
        }
        changes
    }

    fn link(&mut self, key: &Key, metadata: &ObjectMeta) {
        let place = match controller_of(metadata) {
            Some(owner) => self.by_controller.entry(owner.uid.as_str().into()),
            None => self.orphans.entry(key.0.clone()),
        };
        place.or_default().insert(key.clone());
    }

    fn unlink(&mut self, key: &Key, metadata: &ObjectMeta) {
        let (places, place) = match controller_of(metadata) {
            Some(owner) => (&mut self.by_controller, owner.uid.as_str()),
            None => (&mut self.orphans, &*key.0),
        };
        if let Some(keys) = places.get_mut(place) {
            keys.remove(key);
            if keys.is_empty() {
                places.remove(place);
            }
        }
    }

    pub(super) fn some(&self, keys: Option<&BTreeSet<Key>>) -> Vec<Arc<K>> {
        keys.into_iter()
            .flatten()
            .filter_map(|key| self.by_key.get(key))
            .cloned()
            .collect()
    }

    pub(super) fn controlled_by(&self, namespace: &str, uid: &str) -> Vec<Arc<K>> {
        let Some(keys) = self.by_controller.get(uid) else {
            return Vec::new();
        };
        let first: Key = (Arc::from(namespace), Arc::from(""));
        keys.range(first..)
            .take_while(|(of, _)| **of == *namespace)
            .filter_map(|key| self.by_key.get(key))
            .cloned()
            .collect()
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let first: Key = (Arc::from(namespace), Arc::from(""));
        self.by_key
            .range(first..)
            .take_while(|((of, _), _)| **of == *namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::OwnerReference,
    };
    use proptest::prelude::*;

    use super::{super::key_of, *};

    /// An object with one of a few names, in one of a few namespaces, of one of a few owners or of none.
    fn object() -> impl Strategy<Value = ConfigMap> {
        (0..3_u8, 0..4_u8, prop::option::of(0..3_u8), 0..3_u8).prop_map(
            |(namespace, name, owner, version)| ConfigMap {
                metadata: ObjectMeta {
                    namespace: Some(format!("ns-{namespace}")),
                    name: Some(format!("n-{name}")),
                    resource_version: Some(version.to_string()),
                    owner_references: owner.map(|owner| {
                        vec![OwnerReference {
                            uid: format!("uid-{owner}"),
                            controller: Some(true),
                            ..OwnerReference::default()
                        }]
                    }),
                    ..ObjectMeta::default()
                },
                ..ConfigMap::default()
            },
        )
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(ConfigMap),
        Remove(ConfigMap),
        Replace(Vec<ConfigMap>),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => object().prop_map(Step::Set),
            2 => object().prop_map(Step::Remove),
            1 => prop::collection::vec(object(), 0..6).prop_map(Step::Replace),
        ]
    }

    proptest! {
        /// However it came about: every object is found by its name, in its namespace, and either by who
        /// controls it or among those of nobody.
        #[test]
        fn objects_are_found_where_they_belong(steps in prop::collection::vec(step(), 0..40)) {
            let mut objects = Objects::default();
            let mut model: BTreeMap<Key, ConfigMap> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Set(object) => {
                        let key = key_of(&object.metadata);
                        let change = objects.set(key.clone(), Some(Arc::new(object.clone())));
                        prop_assert_eq!(change.old.as_deref(), model.get(&key));
                        model.insert(key, object);
                    }
                    Step::Remove(object) => {
                        let key = key_of(&object.metadata);
                        let change = objects.set(key.clone(), None);
                        let removed = model.remove(&key);
                        prop_assert_eq!(change.old.as_deref(), removed.as_ref());
                    }
                    Step::Replace(listed) => {
                        let listed: BTreeMap<Key, ConfigMap> = listed
                            .into_iter()
                            .map(|object| (key_of(&object.metadata), object))
                            .collect();
                        let same_version = |key: &Key, object: &ConfigMap| {
                            model.get(key).is_some_and(|old| {
                                old.metadata.resource_version == object.metadata.resource_version
                            })
                        };
                        let told: BTreeSet<Key> = objects
                            .replace(listed.iter().map(|(k, o)| (k.clone(), Arc::new(o.clone()))).collect())
                            .iter()
                            .flat_map(|change| change.both().map(|object| key_of(&object.metadata)))
                            .collect();
                        let changed: BTreeSet<Key> = listed
                            .iter()
                            .filter(|(key, object)| !same_version(key, object))
                            .map(|(key, _)| key.clone())
                            .chain(model.keys().filter(|key| !listed.contains_key(*key)).cloned())
                            .collect();
                        prop_assert_eq!(told, changed);
                        // A version is one state of an object: what has the same is the same.
                        model = listed
                            .into_iter()
                            .map(|(key, object)| {
                                let kept = same_version(&key, &object).then(|| model[&key].clone());
                                (key, kept.unwrap_or(object))
                            })
                            .collect();
                    }
                }
                let owner = |object: &ConfigMap| {
                    controller_of(&object.metadata).map(|owner| owner.uid.clone())
                };
                for uid in (0..3).map(|owner| format!("uid-{owner}")) {
                    for namespace in (0..3).map(|namespace| format!("ns-{namespace}")) {
                        let found = objects.controlled_by(&namespace, &uid);
                        let expected: Vec<_> = model
                            .values()
                            .filter(|object| owner(object).as_ref() == Some(&uid))
                            .filter(|object| object.metadata.namespace.as_ref() == Some(&namespace))
                            .collect();
                        prop_assert_eq!(found.iter().map(|o| &**o).collect::<Vec<_>>(), expected);
                    }
                }
                for namespace in (0..3).map(|namespace| format!("ns-{namespace}")) {
                    let of_namespace = |object: &&ConfigMap| {
                        object.metadata.namespace.as_ref() == Some(&namespace)
                    };
                    let found = objects.in_namespace(&namespace);
                    let expected: Vec<_> = model.values().filter(of_namespace).collect();
                    prop_assert_eq!(found.iter().map(|o| &**o).collect::<Vec<_>>(), expected);
                    let orphans = objects.some(objects.orphans.get(namespace.as_str()));
                    let expected: Vec<_> = model
                        .values()
                        .filter(of_namespace)
                        .filter(|object| owner(object).is_none())
                        .collect();
                    prop_assert_eq!(orphans.iter().map(|o| &**o).collect::<Vec<_>>(), expected);
                }
                prop_assert!(objects.by_controller.values().all(|keys| !keys.is_empty()));
                prop_assert!(objects.orphans.values().all(|keys| !keys.is_empty()));
            }
        }
    }
}
