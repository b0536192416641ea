//! Which changes ask for which plans.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::{Metadata, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use mosaic_api::LabelSelector;
use parking_lot::RwLock;

use super::{
    controller::{Controller, Workload},
    rest::has_more_room,
};
use crate::informer::{Change, Key, controller_of, key_of};

/// What the objects of a kind select, by namespace and name.
#[derive(Default)]
pub(super) struct Selectors(RwLock<HashMap<Arc<str>, ByName>>);

type ByName = BTreeMap<Arc<str>, LabelSelector>;

impl Selectors {
    fn set(&self, key: &Key, selector: Option<LabelSelector>) {
        let mut namespaces = self.0.write();
        match selector {
            Some(selector) => {
                let names = namespaces.entry(key.0.clone()).or_default();
                names.insert(key.1.clone(), selector);
            }
            None => {
                if let Some(names) = namespaces.get_mut(&key.0) {
                    names.remove(&key.1);
                    if names.is_empty() {
                        namespaces.remove(&key.0);
                    }
                }
            }
        }
    }

    /// Who would select an object.
    fn selecting(&self, metadata: &ObjectMeta) -> Vec<Key> {
        let namespaces = self.0.read();
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let Some((namespace, names)) = namespaces.get_key_value(namespace) else {
            return Vec::new();
        };
        let matching = names
            .iter()
            .filter(|(_, selector)| selector.matches(&metadata.labels));
        matching
            .map(|(name, _)| (namespace.clone(), name.clone()))
            .collect()
    }
}

/// Whether a change of an object may let it select others than before. Its status is its controller's own word.
fn may_select_others(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.uid != new.uid || old.generation != new.generation
}

/// Whether a change may have made an object one that can be adopted.
fn is_new_orphan<K: Resource>(change: &Change<K>) -> bool {
    let Some(new) = change.new.as_deref().map(Resource::meta) else {
        return false;
    };
    let old = change.old.as_deref().map(Resource::meta);
    new.deletion_timestamp.is_none()
        && controller_of(new).is_none()
        && old.is_none_or(|old| {
            old.labels != new.labels || old.uid != new.uid || controller_of(old).is_some()
        })
}

impl<W: Workload> Controller<W> {
    /// Asks for plans when the kind's own objects change, or when children do.
    pub(super) fn listen(self: &Arc<Self>) {
        let this = self.clone();
        W::objects(&self.caches).listen(move |change| this.object_changed(change));
        let this = self.clone();
        self.caches.quotas.listen(move |change| {
            let namespace = change
                .both()
                .find_map(|quota| quota.metadata.namespace.as_deref());
            if has_more_room(change) {
                for key in this.resting.wake_namespace(namespace.unwrap_or_default()) {
                    this.queue.add(key);
                }
            }
        });
        W::listen(self);
    }

    fn object_changed(&self, change: &Change<W::Object>) {
        let (old, new) = (
            change.old.as_deref().map(Metadata::metadata),
            change.new.as_deref().map(Metadata::metadata),
        );
        let Some(metadata) = new.or(old) else {
            return;
        };
        let key = key_of(metadata);
        match (old, new) {
            (_, None) => {
                self.selectors.set(&key, None);
                self.queue.add(key);
            }
            (Some(old), Some(new)) if !may_select_others(old, new) => {
                let uid = new.uid.as_deref().unwrap_or_default();
                self.queue.add_after(key, W::gather(&self.caches, uid));
            }
            (_, Some(_)) => {
                let selector = change.new.as_deref().and_then(W::selector);
                self.selectors.set(&key, selector);
                // Other children may be allowed.
                self.resting.wake(&key);
                self.may_adopt(key);
            }
        }
    }

    /// Asks for plans for the owner of a child that changed, and for whoever may adopt it.
    pub(super) fn child_changed<K: Resource>(&self, change: &Change<K>) {
        let mut last = None;
        for child in change.both() {
            if let Some((key, uid)) = self.owner_of(child.meta())
                && last.as_ref() != Some(&key)
            {
                last = Some(key.clone());
                self.queue.add_after(key, W::gather(&self.caches, uid));
            }
        }
        if is_new_orphan(change)
            && let Some(new) = &change.new
        {
            for key in self.selectors.selecting(new.meta()) {
                self.may_adopt(key);
            }
        }
    }

    /// The key and the UID of the owner of this kind that controls a child.
    pub(super) fn owner_of<'a>(&self, child: &'a ObjectMeta) -> Option<(Key, &'a str)> {
        use k8s_openapi::Resource;
        let owner = controller_of(child)?;
        let group = owner
            .api_version
            .rsplit_once('/')
            .map_or("", |(group, _)| group);
        if owner.kind != W::Object::KIND || group != W::Object::GROUP {
            return None;
        }
        let namespace = child.namespace.as_deref().unwrap_or_default();
        Some((
            (Arc::from(namespace), Arc::from(owner.name.as_str())),
            owner.uid.as_str(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::{Value, json};

    use super::*;

    fn object(value: Value) -> Option<Arc<ConfigMap>> {
        Some(Arc::new(serde_json::from_value(value).unwrap()))
    }

    fn child(labels: &Value, owned: bool, going: bool) -> Option<Arc<ConfigMap>> {
        let owner = json!([{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "a", "controller": owned}]);
        let deleted = going.then_some("2026-01-01T00:00:00Z");
        object(json!({"metadata": {
            "name": "c", "namespace": "n", "uid": "c", "labels": labels,
            "ownerReferences": owner, "deletionTimestamp": deleted,
        }}))
    }

    #[test]
    fn who_selects_an_object_is_known_until_it_is_gone() {
        let selectors = Selectors::default();
        let selector = |text: &str| Some(LabelSelector::parse(text).unwrap());
        let key = |name: &str| -> Key { ("n".into(), name.into()) };
        selectors.set(&key("one"), selector("app=web"));
        selectors.set(&key("two"), selector("app in (web, db)"));
        let web = child(&json!({"app": "web"}), false, false).unwrap();
        assert_eq!(selectors.selecting(&web.metadata), [key("one"), key("two")]);
        selectors.set(&key("one"), selector("app=db"));
        assert_eq!(selectors.selecting(&web.metadata), [key("two")]);
        selectors.set(&key("two"), None);
        assert!(selectors.selecting(&web.metadata).is_empty());
        selectors.set(&key("one"), None);
        assert!(selectors.0.read().is_empty());
    }

    #[test]
    fn an_orphan_is_new_when_it_comes_is_let_go_or_has_other_labels() {
        let (web, db) = (json!({"app": "web"}), json!({"app": "db"}));
        let orphan = || child(&web, false, false);
        for (old, new, expected) in [
            (None, orphan(), true),
            (orphan(), orphan(), false),
            (child(&db, false, false), orphan(), true),
            (child(&web, true, false), orphan(), true),
            (None, child(&web, true, false), false),
            (None, child(&web, false, true), false),
            (orphan(), None, false),
        ] {
            assert_eq!(is_new_orphan(&Change { old, new }), expected);
        }
    }
}
