//! Who owns whom: which children an owner has, takes over and lets go.
//!
//! An object has at most one owner that controls it. An owner takes over orphans that its selector matches, and
//! lets go of children that it does not match any more. It never touches what another one controls.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    Metadata,
    apimachinery::pkg::apis::meta::v1::{LabelSelector as Selector, ObjectMeta, OwnerReference},
};
use mosaic_api::LabelSelector;

use crate::plan::{Action, Change, Kind, Target};

/// An object that controls others.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Such as `apps/v1`.
    pub api_version: &'static str,
    /// Such as `ReplicaSet`.
    pub kind: &'static str,
    /// Its metadata.
    pub metadata: &'a ObjectMeta,
}

impl<'a> Owner<'a> {
    /// The owner that this object is.
    pub fn of<K>(object: &'a K) -> Self
    where
        K: k8s_openapi::Resource + Metadata<Ty = ObjectMeta>,
    {
        Self {
            api_version: K::API_VERSION,
            kind: K::KIND,
            metadata: object.metadata(),
        }
    }

    /// Its UID.
    pub fn uid(&self) -> &'a str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether it was asked to go.
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// The reference by which a child names it as its controller.
    pub fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            name: self.name().to_owned(),
            uid: self.uid().to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    /// Whether it controls the object with this metadata: one of its own namespace.
    pub fn controls(&self, child: &ObjectMeta) -> bool {
        !self.uid().is_empty()
            && child.namespace == self.metadata.namespace
            && controller(child).is_some_and(|owner| owner.uid == self.uid())
    }
}

/// The owner that controls an object.
pub fn controller(child: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = child.owner_references.iter().flatten();
    owners
        .into_iter()
        .find(|owner| owner.controller == Some(true))
}

/// The selector of an object's specification. One that cannot be read selects nothing.
pub fn selector(selector: &Selector) -> LabelSelector {
    let value = serde_json::to_value(selector).ok();
    LabelSelector::from_object(value.as_ref()).unwrap_or_else(|_| LabelSelector::nothing())
}

/// The children that an owner has or takes over, and the changes that make it so.
#[derive(Debug)]
pub(crate) struct Claimed<'a, T> {
    pub(crate) owned: Vec<&'a Arc<T>>,
    pub(crate) actions: Vec<Action>,
}

/// Sorts children into those that are owned and others. Orphans are taken over if the selector matches and
/// they are `eligible`; those taken over get the finalizer, those let go lose it.
pub(crate) fn claim<'a, T: Metadata<Ty = ObjectMeta>>(
    owner: &Owner<'_>,
    selector: &LabelSelector,
    kind: Kind,
    finalizer: Option<&str>,
    children: &'a [Arc<T>],
    eligible: impl Fn(&T) -> bool,
) -> Claimed<'a, T> {
    let mut owned = Vec::with_capacity(children.len());
    let mut actions = Vec::new();
    for child in children {
        let metadata = child.metadata();
        let matches = selector.matches(&metadata.labels);
        if owner.controls(metadata) {
            if matches {
                owned.push(child);
            } else if !owner.is_terminating() {
                let change = Change::Release {
                    owner: owner.uid().to_owned(),
                    finalizer: finalizer.map(str::to_owned),
                };
                let target = Target::any_version(kind, metadata);
                actions.push(Action::patch(target, change));
            }
        } else if controller(metadata).is_none()
            && matches
            && !owner.is_terminating()
            && metadata.deletion_timestamp.is_none()
            && eligible(child)
        {
            let change = Change::Adopt {
                owner: owner.reference(),
                finalizers: finalizer.map(str::to_owned).into_iter().collect(),
            };
            let target = Target::any_version(kind, metadata);
            actions.push(Action::patch(target, change));
            owned.push(child);
        }
    }
    Claimed { owned, actions }
}

/// When an object was created; the beginning of time if it does not say.
pub(crate) fn created(metadata: &ObjectMeta) -> Timestamp {
    let time = metadata.creation_timestamp.as_ref();
    time.map_or(Timestamp::MIN, |time| time.0)
}

/// An annotation.
pub(crate) fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    let annotations = metadata.annotations.as_ref()?;
    annotations.get(key).map(String::as_str)
}

/// A label.
pub(crate) fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// The name, empty if there is none.
pub(crate) fn name(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::apps::v1::ReplicaSet, apimachinery::pkg::apis::meta::v1::Time};
    use serde_json::json;

    use super::*;
    use crate::Pod;

    fn set() -> ReplicaSet {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "uid": "set"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
        }))
        .unwrap()
    }

    fn pod(name: &str, app: &str, owner: Option<&str>) -> Arc<Pod> {
        let owners = owner.map(|uid| {
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": uid, "controller": true}])
        });
        let pod = json!({"metadata": {
            "name": name, "uid": name, "labels": {"app": app}, "ownerReferences": owners,
        }});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn claimed(set: &ReplicaSet, pods: &[Arc<Pod>]) -> (Vec<String>, Vec<String>) {
        let selector = selector(&set.spec.selector);
        let claimed = claim(
            &Owner::of(set),
            &selector,
            Kind::Pod,
            None,
            pods,
            Pod::is_active,
        );
        let owned = claimed.owned.iter().map(|pod| pod.name().to_owned());
        let actions = claimed.actions.iter().map(|action| match action {
            Action::Patch {
                target,
                change: Change::Adopt { .. },
                ..
            } => format!("adopt {}", target.name),
            Action::Patch {
                target,
                change: Change::Release { .. },
                ..
            } => format!("release {}", target.name),
            other => panic!("{other:?}"),
        });
        (owned.collect(), actions.collect())
    }

    #[test]
    fn orphans_are_taken_over_strangers_let_go_and_others_children_left_alone() {
        let mut dying = Pod::clone(&pod("dying", "web", None));
        dying.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let pods = [
            pod("own", "web", Some("set")),
            pod("relabelled", "other", Some("set")),
            pod("orphan", "web", None),
            pod("foreign", "web", Some("another")),
            pod("stranger", "other", None),
            Arc::new(dying),
        ];
        let (owned, actions) = claimed(&set(), &pods);
        assert_eq!(owned, ["own", "orphan"]);
        assert_eq!(actions, ["release relabelled", "adopt orphan"]);
    }

    #[test]
    fn an_owner_on_its_way_out_takes_over_nothing_and_lets_nothing_go() {
        let mut set = set();
        set.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let pods = [
            pod("own", "web", Some("set")),
            pod("relabelled", "other", Some("set")),
            pod("orphan", "web", None),
        ];
        let (owned, actions) = claimed(&set, &pods);
        assert_eq!((owned, actions), (vec!["own".to_owned()], vec![]));
    }
}
