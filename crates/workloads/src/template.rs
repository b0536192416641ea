//! Pods from templates, and the names of children.

use std::collections::BTreeMap;

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

/// `base-ending`, with as much of the base as fits into a pod's name.
pub(crate) fn joined(base: &str, ending: &str) -> String {
    let room = MAX_NAME.saturating_sub(ending.len() + 1);
    let mut end = base.len().min(room);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let base = base.get(..end).unwrap_or_default();
    format!("{base}-{ending}")
}

/// The name of the pod with this number in this slot (such as a host or an index) of an owner: always the
/// same, so that it cannot be created twice, and different for another owner of the same name.
pub(crate) fn pod_name(owner: &Owner<'_>, base: &str, slot: &str, number: u64) -> String {
    let mut hasher = Hasher::new();
    hasher.text(owner.uid());
    hasher.text(slot);
    hasher.number(number);
    joined(base, &letters(hasher.finish(), LETTERS))
}

/// So many names that are not taken, beginning with the one of this number.
pub(crate) fn free_names(
    owner: &Owner<'_>,
    base: &str,
    slot: &str,
    first: usize,
    wanted: usize,
    taken: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(wanted);
    let mut chosen = std::collections::BTreeSet::new();
    let mut number = u64::try_from(first).unwrap_or(0);
    while names.len() < wanted {
        let name = pod_name(owner, base, slot, number);
        if !taken(&name) && chosen.insert(name.clone()) {
            names.push(name);
        }
        number = number.wrapping_add(1);
    }
    names
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
        let owner = ObjectMeta {
            uid: Some("1".into()),
            ..ObjectMeta::default()
        };
        let owner = Owner {
            api_version: "v1",
            kind: "X",
            metadata: &owner,
        };
        let long = "ö".repeat(100);
        let name = pod_name(&owner, &long, "", 0);
        assert!(name.len() <= MAX_NAME, "{name}");
        assert_eq!(name, pod_name(&owner, &long, "", 0));
        assert_ne!(name, pod_name(&owner, &long, "", 1));
        assert_ne!(name, pod_name(&owner, &long, "slot", 0));
        let names = free_names(&owner, "a", "", 0, 3, |_| false);
        let others = free_names(&owner, "a", "", 0, 3, |name| name == names[1]);
        assert_eq!(others[..2], [names[0].clone(), names[2].clone()]);
    }
}
