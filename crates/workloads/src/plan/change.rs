//! Changes of objects, and the patches that make them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Map, Value, json};

use super::Target;

/// A change of an object. All of them can be made twice without harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Adopt it: add this owner, and these finalizers. The loop reads the owner anew before, and does it only if
    /// that has the same UID and is not being deleted. The API refuses a second controller.
    Adopt {
        /// The new owner.
        owner: OwnerReference,
        /// Finalizers to add.
        finalizers: Vec<String>,
    },
    /// Release it: take away the owner with this UID, and this finalizer.
    Release {
        /// The UID of the owner.
        owner: String,
        /// A finalizer to take away.
        finalizer: Option<String>,
    },
    /// Have exactly these owners.
    SetOwners(Vec<OwnerReference>),
    /// Take away a finalizer.
    RemoveFinalizer(String),
    /// Have these labels, beside others.
    SetLabels(BTreeMap<String, String>),
    /// Have these annotations, beside others.
    SetAnnotations(BTreeMap<String, String>),
    /// Change a replica set, as far as given.
    ReplicaSet {
        /// How many pods it wants.
        replicas: Option<i32>,
        /// After how many seconds of readiness a pod is available.
        min_ready_seconds: Option<i32>,
        /// Annotations to set; those without a value are taken away.
        annotations: BTreeMap<String, Option<String>>,
    },
    /// Give a revision another number.
    Renumber(i64),
}

impl Change {
    /// The strategic merge patch that makes this change, and is refused as a conflict if the object is not the
    /// one that was meant.
    pub fn patch(&self, target: &Target) -> Value {
        let mut metadata = Map::new();
        let mut patch = Map::new();
        metadata.insert("uid".to_owned(), json!(target.uid));
        if let Some(version) = &target.resource_version {
            metadata.insert("resourceVersion".to_owned(), json!(version));
        }
        match self {
            Self::Adopt { owner, finalizers } => {
                metadata.insert("ownerReferences".to_owned(), json!([owner]));
                if !finalizers.is_empty() {
                    metadata.insert("finalizers".to_owned(), json!(finalizers));
                }
            }
            Self::Release { owner, finalizer } => {
                let gone = json!([{ "$patch": "delete", "uid": owner }]);
                metadata.insert("ownerReferences".to_owned(), gone);
                if let Some(finalizer) = finalizer {
                    remove_finalizer(&mut metadata, finalizer);
                }
            }
            Self::SetOwners(owners) => {
                let mut list: Vec<Value> = owners.iter().map(|owner| json!(owner)).collect();
                list.push(json!({ "$patch": "replace" }));
                metadata.insert("ownerReferences".to_owned(), Value::Array(list));
            }
            Self::RemoveFinalizer(finalizer) => remove_finalizer(&mut metadata, finalizer),
            Self::SetLabels(labels) => {
                metadata.insert("labels".to_owned(), json!(labels));
            }
            Self::SetAnnotations(annotations) => {
                metadata.insert("annotations".to_owned(), json!(annotations));
            }
            Self::ReplicaSet {
                replicas,
                min_ready_seconds,
                annotations,
            } => {
                if !annotations.is_empty() {
                    metadata.insert("annotations".to_owned(), json!(annotations));
                }
                let mut spec = Map::new();
                if let Some(replicas) = replicas {
                    spec.insert("replicas".to_owned(), json!(replicas));
                }
                if let Some(seconds) = min_ready_seconds {
                    spec.insert("minReadySeconds".to_owned(), json!(seconds));
                }
                if !spec.is_empty() {
                    patch.insert("spec".to_owned(), Value::Object(spec));
                }
            }
            Self::Renumber(revision) => {
                patch.insert("revision".to_owned(), json!(revision));
            }
        }
        patch.insert("metadata".to_owned(), Value::Object(metadata));
        Value::Object(patch)
    }
}

fn remove_finalizer(metadata: &mut Map<String, Value>, finalizer: &str) {
    metadata.insert(
        "$deleteFromPrimitiveList/finalizers".to_owned(),
        json!([finalizer]),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kind;

    #[test]
    fn a_patch_names_what_it_is_meant_for() {
        let mut target = Target {
            kind: Kind::Pod,
            name: "a".into(),
            uid: "1".into(),
            resource_version: None,
        };
        let release = Change::Release {
            owner: "o".into(),
            finalizer: Some("f".into()),
        };
        assert_eq!(
            release.patch(&target),
            json!({"metadata": {
                "uid": "1",
                "ownerReferences": [{"$patch": "delete", "uid": "o"}],
                "$deleteFromPrimitiveList/finalizers": ["f"],
            }})
        );
        target.resource_version = Some("7".into());
        let scale = Change::ReplicaSet {
            replicas: Some(3),
            min_ready_seconds: None,
            annotations: [("a".into(), Some("b".into())), ("c".into(), None)].into(),
        };
        assert_eq!(
            scale.patch(&target),
            json!({
                "metadata": {"uid": "1", "resourceVersion": "7", "annotations": {"a": "b", "c": null}},
                "spec": {"replicas": 3},
            })
        );
    }
}
