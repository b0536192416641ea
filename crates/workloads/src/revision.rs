//! Revisions of templates: the history of stateful sets and daemon sets.
//!
//! A revision holds the template as the strategic merge patch that brings it back, which is what
//! `kubectl rollout undo` applies. Its name tells its content; its number tells which one is the newest. A
//! template that was in force before gets its old revision again, with a new number.

use std::{cmp::Ordering, collections::BTreeSet, sync::Arc};

use k8s_openapi::{
    api::{apps::v1::ControllerRevision, core::v1::PodTemplateSpec},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, runtime::RawExtension},
};
use serde_json::{Value, json};

use crate::{
    hash::content_hash,
    owner::{self, Owner},
    plan::{Action, Change, Kind, Object, Propagation, Target},
};

/// The annotations that a revision does not get from its owner.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The revision that belongs to the template as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    /// Its name.
    pub(crate) name: String,
    /// The hash in its name.
    pub(crate) hash: String,
    /// What makes it exist, with the right number.
    pub(crate) action: Option<Action>,
    /// How many collisions of names there have been, one more than before if there is a new one.
    pub(crate) collisions: Option<i32>,
}

/// The template as a revision holds it.
fn data(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).unwrap_or(Value::Null);
    if let Some(fields) = template.as_object_mut() {
        fields.insert("$patch".to_owned(), "replace".into());
    }
    json!({ "spec": { "template": template } })
}

/// The template that a revision holds.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let template = revision.data.0.pointer("/spec/template")?;
    serde_json::from_value(template.clone()).ok()
}

/// Revisions from the oldest to the newest.
pub(crate) fn sorted<'a>(
    revisions: &[&'a Arc<ControllerRevision>],
) -> Vec<&'a Arc<ControllerRevision>> {
    let mut sorted = revisions.to_vec();
    sorted.sort_by(|a, b| by_age(a, b));
    sorted
}

fn by_age(a: &ControllerRevision, b: &ControllerRevision) -> Ordering {
    let key = |r: &ControllerRevision| r.revision.unwrap_or(0);
    key(a)
        .cmp(&key(b))
        .then_with(|| owner::created(&a.metadata).cmp(&owner::created(&b.metadata)))
        .then_with(|| a.metadata.name.cmp(&b.metadata.name))
}

/// Finds the revision of this template among those of its owner, oldest first, or makes it.
pub(crate) fn current(
    owner: &Owner<'_>,
    template: &PodTemplateSpec,
    hash_label: &str,
    revisions: &[&Arc<ControllerRevision>],
    collisions: Option<i32>,
) -> Current {
    let data = data(template);
    let newest = revisions.last().and_then(|last| last.revision).unwrap_or(0);
    if let Some(found) = revisions.iter().rev().find(|r| r.data.0 == data) {
        let name = owner::name(&found.metadata).to_owned();
        let is_newest = revisions
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, found));
        let action = (!is_newest).then(|| {
            let target = Target::unchanged(Kind::ControllerRevision, &found.metadata);
            Action::patch(target, Change::Renumber(newest.saturating_add(1)))
        });
        let hash = owner::label(&found.metadata, hash_label).map(str::to_owned);
        let hash = hash.unwrap_or_else(|| name.rsplit('-').next().unwrap_or_default().to_owned());
        return Current {
            name,
            hash,
            action,
            collisions,
        };
    }
    let mut collisions = collisions;
    let mut hash = content_hash(&data, collisions);
    let mut name = full_name(owner.name(), &hash);
    let taken: BTreeSet<&str> = revisions.iter().map(|r| owner::name(&r.metadata)).collect();
    while taken.contains(name.as_str()) {
        let more = collisions.unwrap_or(0).wrapping_add(1).max(0);
        collisions = Some(more);
        hash = content_hash(&data, collisions);
        name = full_name(owner.name(), &hash);
    }
    let mut labels = crate::template::labels(template)
        .cloned()
        .unwrap_or_default();
    labels.insert(hash_label.to_owned(), hash.clone());
    let annotations = owner.metadata.annotations.clone().map(|mut annotations| {
        annotations.remove(LAST_APPLIED);
        annotations
    });
    let revision = ControllerRevision {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: owner.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: annotations.filter(|annotations| !annotations.is_empty()),
            owner_references: Some(vec![owner.reference()]),
            ..ObjectMeta::default()
        },
        data: RawExtension(data),
        revision: Some(newest.saturating_add(1)),
    };
    Current {
        name,
        hash,
        action: Some(Action::Create {
            object: Object::Revision(Box::new(revision)),
            event: None,
        }),
        collisions,
    }
}

/// `name-hash`, with as much of the name as a name of 253 bytes has room for.
fn full_name(name: &str, hash: &str) -> String {
    let mut end = name.len().min(252 - hash.len().min(252));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{hash}", name.get(..end).unwrap_or_default())
}

/// Deletes the oldest revisions that nobody needs, beyond so many.
pub(crate) fn forget(
    revisions: &[&Arc<ControllerRevision>],
    is_needed: impl Fn(&ControllerRevision) -> bool,
    limit: Option<i32>,
) -> Vec<Action> {
    let limit = crate::counts::length(limit.unwrap_or(10));
    let idle: Vec<_> = revisions
        .iter()
        .filter(|r| !is_needed(r) && r.metadata.deletion_timestamp.is_none())
        .collect();
    let excess = idle.len().saturating_sub(limit);
    idle.into_iter()
        .take(excess)
        .map(|revision| Action::Delete {
            target: Target::any_version(Kind::ControllerRevision, &revision.metadata),
            propagation: Propagation::Background,
            why: "beyond the limit of the history",
            event: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::DaemonSet;

    use super::*;

    const LABEL: &str = "controller-revision-hash";

    fn set(image: &str) -> DaemonSet {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "1", "annotations": {"note": "n", LAST_APPLIED: "{}"}},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "c", "image": image}]},
                },
            },
        }))
        .unwrap()
    }

    fn find(set: &DaemonSet, revisions: &[Arc<ControllerRevision>]) -> Current {
        let known: Vec<_> = revisions.iter().collect();
        let template = &set.spec.template;
        current(&Owner::of(set), template, LABEL, &sorted(&known), None)
    }

    fn made(current: &Current) -> ControllerRevision {
        match &current.action {
            Some(Action::Create {
                object: Object::Revision(revision),
                ..
            }) => (**revision).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_template_gets_a_revision_that_brings_it_back() {
        let set = set("a:1");
        let current = find(&set, &[]);
        let revision = made(&current);
        assert_eq!(
            revision.metadata.name,
            Some(format!("web-{}", current.hash))
        );
        assert_eq!(revision.revision, Some(1));
        assert_eq!(
            owner::label(&revision.metadata, LABEL),
            Some(current.hash.as_str())
        );
        assert_eq!(
            revision.metadata.annotations,
            Some([("note".into(), "n".into())].into())
        );
        assert_eq!(revision.data.0["spec"]["template"]["$patch"], "replace");
        assert_eq!(template(&revision).as_ref(), Some(&set.spec.template));
        let again = find(&set, &[Arc::new(revision)]);
        assert!(again.action.is_none());
        assert_eq!(again.name, current.name);
    }

    #[test]
    fn a_template_that_comes_back_gets_its_old_revision_with_a_new_number() {
        let old = Arc::new(made(&find(&set("a:1"), &[])));
        let new = Arc::new(made(&find(&set("a:2"), std::slice::from_ref(&old))));
        assert_eq!(new.revision, Some(2));
        let back = find(&set("a:1"), &[new, old.clone()]);
        assert_eq!(Some(&back.name), old.metadata.name.as_ref());
        assert!(matches!(
            back.action,
            Some(Action::Patch {
                change: Change::Renumber(3),
                ..
            })
        ));
    }

    #[test]
    fn a_name_that_is_taken_by_another_content_is_a_collision() {
        let mut other = made(&find(&set("a:1"), &[]));
        other.data = RawExtension(json!({}));
        let current = find(&set("a:1"), &[Arc::new(other.clone())]);
        assert_eq!(current.collisions, Some(1));
        assert_ne!(Some(current.name), other.metadata.name);
    }

    #[test]
    fn the_oldest_that_nobody_needs_are_forgotten() {
        let revision = |number: i64| {
            Arc::new(ControllerRevision {
                metadata: ObjectMeta {
                    name: Some(format!("r{number}")),
                    ..ObjectMeta::default()
                },
                revision: Some(number),
                data: RawExtension(Value::Null),
            })
        };
        let all: Vec<_> = (1..=5).rev().map(revision).collect();
        let all: Vec<_> = all.iter().collect();
        let forgotten = forget(&sorted(&all), |r| r.revision == Some(1), Some(2));
        let names: Vec<_> = forgotten
            .iter()
            .map(|action| match action {
                Action::Delete { target, .. } => target.name.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["r2", "r3"]);
    }
}
