//! Pods from templates, and the names of children.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{Pod, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{
    hash::{Hasher, letters},
    owner::Owner,
};

/// The longest name of a pod: its first label in the cluster's DNS.
const MAX_NAME: usize = 63;
/// The letters at the end of a name that tell a pod from others of its owner.
const LETTERS: usize = 5;
/// Room for letters that tell the pods of one slot from each other.
const NUMBER: usize = 3;

/// A pod of this owner, made from a template. Its `generateName` is what Kubernetes' would be, because tools
/// read the owner's name from it.
pub(crate) fn pod(owner: &Owner<'_>, template: &PodTemplateSpec, name: String) -> Pod {
    let metadata = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            generate_name: Some(format!("{}-", owner.name())),
            namespace: owner.metadata.namespace.clone(),
            labels: metadata.labels,
            annotations: metadata.annotations,
            finalizers: metadata.finalizers,
            owner_references: Some(vec![owner.reference()]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// Sets a label of an object to be created.
pub(crate) fn set_label(metadata: &mut ObjectMeta, key: &str, value: impl Into<String>) {
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(key.to_owned(), value.into());
}

/// Sets an annotation of an object to be created.
pub(crate) fn set_annotation(metadata: &mut ObjectMeta, key: &str, value: impl Into<String>) {
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(key.to_owned(), value.into());
}

/// The labels of a template.
pub(crate) fn labels(template: &PodTemplateSpec) -> Option<&BTreeMap<String, String>> {
    template.metadata.as_ref()?.labels.as_ref()
}

/// As much of a text as so many bytes have room for.
fn shortened(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// So many names that are not taken, for pods of an owner of which it does not matter which is which. They come
/// from a sequence that is always the same for the owner, and begin at a place in it.
pub(crate) fn free_names(
    owner: &Owner<'_>,
    first: usize,
    wanted: usize,
    taken: impl Fn(&str) -> bool,
) -> Vec<String> {
    let base = shortened(owner.name(), MAX_NAME - 1 - LETTERS);
    let mut names: Vec<String> = Vec::with_capacity(wanted);
    let mut chosen = BTreeSet::new();
    let mut number = u64::try_from(first).unwrap_or(0);
    while names.len() < wanted {
        let mut hasher = Hasher::new();
        hasher.text(owner.uid());
        hasher.number(number);
        let name = format!("{base}-{}", letters(hasher.finish(), LETTERS));
        if !taken(&name) && chosen.insert(name.clone()) {
            names.push(name);
        }
        number = number.wrapping_add(1);
    }
    names
}

/// A place that is to have one pod, such as a host or an index: all names of its pods begin alike, so that whoever
/// asks twice for its pod asks for the same one.
pub(crate) struct Slot(String);

impl Slot {
    /// The slot of that name. Owners of one name that come one after the other have different ones.
    pub(crate) fn new(owner: &Owner<'_>, base: &str, slot: &str) -> Self {
        let mut hasher = Hasher::new();
        hasher.text(owner.uid());
        hasher.text(slot);
        let base = shortened(base, MAX_NAME - 1 - LETTERS - NUMBER);
        Self(format!("{base}-{}", letters(hasher.finish(), LETTERS)))
    }

    /// The first name that is not taken.
    pub(crate) fn free_name(&self, taken: impl Fn(&str) -> bool) -> String {
        let mut number = 0;
        loop {
            let name = format!("{}{}", self.0, letters(number, digits(number)));
            if !taken(&name) {
                return name;
            }
            number += 1;
        }
    }
}

/// How many letters a number takes.
fn digits(number: u64) -> usize {
    let mut digits = 1;
    let mut rest = number / 27;
    while rest > 0 {
        digits += 1;
        rest /= 27;
    }
    digits
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::ReplicaSet;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_gets_what_the_template_gives_and_its_owner() {
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "1"},
            "spec": {"selector": {}},
        }))
        .unwrap();
        let template: PodTemplateSpec = serde_json::from_value(json!({
            "metadata": {"name": "ignored", "labels": {"l": "1"}, "annotations": {"a": "2"}, "finalizers": ["f"]},
            "spec": {"containers": [{"name": "c"}]},
        }))
        .unwrap();
        let pod = pod(&Owner::of(&set), &template, "web-x".into());
        assert_eq!(
            serde_json::to_value(pod).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": "web-x", "generateName": "web-", "namespace": "shop",
                    "labels": {"l": "1"}, "annotations": {"a": "2"}, "finalizers": ["f"],
                    "ownerReferences": [{
                        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1",
                        "controller": true, "blockOwnerDeletion": true,
                    }],
                },
                "spec": {"containers": [{"name": "c"}]},
            })
        );
    }

    #[test]
    fn names_fit_and_are_the_same_every_time() {
        let metadata = |uid: &str| ObjectMeta {
            name: Some("ö".repeat(100)),
            uid: Some(uid.into()),
            ..ObjectMeta::default()
        };
        let owner = |metadata| Owner {
            api_version: "v1",
            kind: "X",
            metadata,
        };
        let (one, other) = (metadata("1"), metadata("2"));
        let names = free_names(&owner(&one), 0, 3, |_| false);
        assert!(names.iter().all(|name| name.len() <= MAX_NAME), "{names:?}");
        assert_eq!(names, free_names(&owner(&one), 0, 3, |_| false));
        assert_ne!(names, free_names(&owner(&other), 0, 3, |_| false));
        let others = free_names(&owner(&one), 0, 2, |name| name == names[1]);
        assert_eq!(others, [names[0].clone(), names[2].clone()]);
    }

    #[test]
    fn a_slot_knows_its_pods_by_their_names() {
        let metadata = ObjectMeta {
            uid: Some("1".into()),
            ..ObjectMeta::default()
        };
        let owner = Owner {
            api_version: "v1",
            kind: "X",
            metadata: &metadata,
        };
        let slot = |name: &str| Slot::new(&owner, "log", name);
        let mut names = BTreeSet::new();
        for _ in 0..1000 {
            let name = slot("n1").free_name(|name| names.contains(name));
            assert!(name.len() <= "log-".len() + LETTERS + NUMBER, "{name}");
            assert!(names.insert(name));
        }
        assert!(names.iter().all(|name| name.starts_with(&slot("n1").0)));
        assert!(!names.iter().any(|name| name.starts_with(&slot("n2").0)));
        let long = Slot::new(&owner, &"x".repeat(100), "n1").free_name(|_| false);
        assert!(long.len() <= MAX_NAME, "{long}");
    }
}
