//! The metadata of an object: read in place, without copies.
//!
//! Absent fields, and fields of another type, read as empty. Writing makes `metadata` if there is none.

use serde_json::{Map, Value};

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerReference<'a> {
    /// Such as `apps/v1`.
    pub api_version: &'a str,
    /// Such as `ReplicaSet`.
    pub kind: &'a str,
    /// The owner's name.
    pub name: &'a str,
    /// The owner's UID.
    pub uid: &'a str,
    /// Whether the owner manages the object.
    pub controller: bool,
    /// Whether the owner stays until the object is gone, when it is deleted in the foreground.
    pub block_owner_deletion: bool,
}

impl<'a> OwnerReference<'a> {
    /// The group of the owner's kind; empty for core.
    pub fn group(&self) -> &'a str {
        group_of(self.api_version)
    }
}

/// `metadata`, if it is an object.
pub fn metadata(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata")?.as_object()
}

/// `metadata` to write to. Whatever is no object gives way to an empty one.
pub fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let metadata = object
        .as_object_mut()?
        .entry("metadata")
        .or_insert(Value::Null);
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    metadata.as_object_mut()
}

/// Sets a field of `metadata`.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(metadata) = metadata_mut(object) {
        metadata.insert(field.to_owned(), value.into());
    }
}

/// Takes a field of `metadata` away, and returns what it was.
pub fn remove(object: &mut Value, field: &str) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove(field)
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    metadata(object)
        .and_then(|metadata| metadata.get(field)?.as_str())
        .unwrap_or_default()
}

/// `apiVersion`.
pub fn api_version(object: &Value) -> &str {
    object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The group of an `apiVersion`; empty for core.
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// `kind`.
pub fn kind(object: &Value) -> &str {
    object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// `metadata.generateName`.
pub fn generate_name(object: &Value) -> &str {
    text(object, "generateName")
}

/// `metadata.namespace`.
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// `metadata.resourceVersion`.
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

/// `metadata.creationTimestamp`.
pub fn creation_timestamp(object: &Value) -> &str {
    text(object, "creationTimestamp")
}

/// `metadata.deletionTimestamp`, if the object is on its way out.
pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    metadata(object)?.get("deletionTimestamp")?.as_str()
}

/// Whether the object is on its way out: it has a `metadata.deletionTimestamp`, even an unreadable one.
pub fn is_being_deleted(object: &Value) -> bool {
    metadata(object)
        .and_then(|metadata| metadata.get("deletionTimestamp"))
        .is_some_and(|at| !at.is_null())
}

/// `metadata.deletionGracePeriodSeconds`.
pub fn deletion_grace_period_seconds(object: &Value) -> Option<i64> {
    metadata(object)?
        .get("deletionGracePeriodSeconds")?
        .as_i64()
}

/// `metadata.generation`; 0 if there is none.
pub fn generation(object: &Value) -> i64 {
    metadata(object)
        .and_then(|metadata| metadata.get("generation")?.as_i64())
        .unwrap_or_default()
}

/// `metadata.labels`.
pub fn labels(object: &Value) -> Option<&Map<String, Value>> {
    metadata(object)?.get("labels")?.as_object()
}

/// The value of one label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    labels(object)?.get(key)?.as_str()
}

/// `metadata.annotations`.
pub fn annotations(object: &Value) -> Option<&Map<String, Value>> {
    metadata(object)?.get("annotations")?.as_object()
}

/// The value of one annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    annotations(object)?.get(key)?.as_str()
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    metadata(object)
        .and_then(|metadata| metadata.get("finalizers")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// `metadata.ownerReferences`.
pub fn owner_references(object: &Value) -> impl Iterator<Item = OwnerReference<'_>> {
    metadata(object)
        .and_then(|metadata| metadata.get("ownerReferences")?.as_array())
        .into_iter()
        .flatten()
        .map(|owner| {
            let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
            let flag = |field: &str| {
                owner
                    .get(field)
                    .and_then(Value::as_bool)
                    .unwrap_or_default()
            };
            OwnerReference {
                api_version: text("apiVersion"),
                kind: text("kind"),
                name: text("name"),
                uid: text("uid"),
                controller: flag("controller"),
                block_owner_deletion: flag("blockOwnerDeletion"),
            }
        })
}

/// The owner that manages the object.
pub fn controller(object: &Value) -> Option<OwnerReference<'_>> {
    owner_references(object).find(|owner| owner.controller)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_is_read_in_place() {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
                "labels": {"l": "1"}, "annotations": {"x": "2"}, "finalizers": ["f", "g"],
                "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": "o", "uid": "1"},
                    {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "2",
                     "controller": true, "blockOwnerDeletion": true},
                ],
            },
        });
        assert_eq!(
            (api_version(&object), kind(&object)),
            ("apps/v1", "ReplicaSet")
        );
        assert_eq!(
            (name(&object), namespace(&object), uid(&object)),
            ("a", "n", "u")
        );
        assert_eq!((resource_version(&object), generation(&object)), ("7", 3));
        assert_eq!(label(&object, "l"), Some("1"));
        assert_eq!(annotation(&object, "x"), Some("2"));
        assert_eq!(finalizers(&object).collect::<Vec<_>>(), ["f", "g"]);
        assert!(is_being_deleted(&object));
        assert_eq!(deletion_grace_period_seconds(&object), Some(30));
        let owner = controller(&object).unwrap();
        assert_eq!(
            (owner.group(), owner.kind, owner.uid),
            ("apps", "Deployment", "2")
        );
        assert!(owner.block_owner_deletion);
        assert_eq!(owner_references(&object).next().unwrap().group(), "");
    }

    #[test]
    fn nonsense_reads_as_empty() {
        for object in [
            json!(null),
            json!([]),
            json!({"metadata": 1}),
            json!({"metadata": {"name": 1, "labels": [], "finalizers": {}}}),
        ] {
            assert_eq!(name(&object), "");
            assert_eq!(generation(&object), 0);
            assert_eq!(labels(&object), None);
            assert_eq!(finalizers(&object).count(), 0);
            assert_eq!(owner_references(&object).count(), 0);
            assert_eq!(deletion_timestamp(&object), None);
            assert!(!is_being_deleted(&object));
        }
    }

    #[test]
    fn writing_makes_what_is_missing() {
        let mut object = json!({"metadata": null});
        set(&mut object, "name", "a");
        set(&mut object, "generation", 2);
        assert_eq!(object, json!({"metadata": {"name": "a", "generation": 2}}));
        assert_eq!(remove(&mut object, "name"), Some(json!("a")));
        assert_eq!(remove(&mut object, "name"), None);
    }
}
