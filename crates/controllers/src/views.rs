//! Objects as far as controllers look at them. Watches of many objects read them as these, and skip the
//! rest: most of an object's metadata is who changed which field, which is no controller's business.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use kube::{
    Resource,
    core::{DynamicResourceScope, discovery::ApiResource},
};
use serde::{Deserialize, Deserializer};

/// An object of any kind, of which the API sends the metadata only.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct MetadataView {
    /// Its metadata, without annotations and managed fields.
    #[serde(default, deserialize_with = "metadata")]
    pub(crate) metadata: ObjectMeta,
}

/// Reads metadata without annotations and managed fields.
fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Read {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        finalizers: Option<Vec<String>>,
        labels: Option<BTreeMap<String, String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let read = Read::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        creation_timestamp: read.creation_timestamp,
        deletion_timestamp: read.deletion_timestamp,
        finalizers: read.finalizers,
        labels: read.labels,
        owner_references: read.owner_references,
        ..ObjectMeta::default()
    })
}

impl Resource for MetadataView {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn metadata_api() -> bool {
        true
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A pod, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct PodView {
    /// Its metadata, without annotations and managed fields.
    #[serde(default, deserialize_with = "metadata")]
    pub(crate) metadata: ObjectMeta,
    /// Its state.
    #[serde(default)]
    pub(crate) status: PodStatusView,
}

/// The state of a pod, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct PodStatusView {
    /// Where it is in its life.
    #[serde(default)]
    pub(crate) phase: Option<String>,
    /// What holds for it.
    #[serde(default)]
    pub(crate) conditions: Vec<ConditionView>,
}

/// A condition of a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct ConditionView {
    /// Which one.
    #[serde(default, rename = "type")]
    pub(crate) type_: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub(crate) status: String,
}

impl PodView {
    /// Whether it serves.
    pub(crate) fn is_ready(&self) -> bool {
        self.status
            .conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }
}

impl Resource for PodView {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_matters_is_read_and_the_rest_is_skipped() {
        let pod: PodView = serde_json::from_value(json!({
            "metadata": {
                "name": "a", "uid": "1", "labels": { "app": "a" }, "annotations": { "big": "text" },
                "managedFields": [{ "manager": "x", "fieldsV1": { "f:spec": {} } }],
            },
            "spec": { "containers": [] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True", "reason": "" }] },
        }))
        .unwrap();
        assert!(pod.is_ready() && !pod.has_ended());
        assert_eq!(pod.metadata.name.as_deref(), Some("a"));
        assert_eq!(pod.metadata.labels.unwrap().len(), 1);
        assert_eq!(
            (pod.metadata.annotations, pod.metadata.managed_fields),
            (None, None)
        );
        let empty: PodView = serde_json::from_value(json!({})).unwrap();
        assert_eq!(empty, PodView::default());
    }
}
