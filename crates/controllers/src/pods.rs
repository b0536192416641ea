//! The few fields of pods that controllers look at: a pod is read as this, and the rest is skipped.

use std::borrow::Cow;

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::Deserialize;

/// A pod, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct PodView {
    /// Its metadata.
    #[serde(default)]
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
