//! Hosts, and the leases by which they are heard.

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Node},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::{Deserialize, Deserializer, Serialize};

use super::is_a;

/// A host, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct NodeView {
    /// Its metadata, without annotations and managed fields.
    #[serde(default, deserialize_with = "super::metadata")]
    pub(crate) metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default)]
    pub(crate) spec: NodeSpecView,
    /// Its state.
    #[serde(default)]
    pub(crate) status: NodeStatusView,
}

/// What was asked for of a host, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct NodeSpecView {
    /// What keeps pods away from it.
    #[serde(default, deserialize_with = "list")]
    pub(crate) taints: Vec<TaintView>,
    /// Whether somebody said that it is to get no more pods.
    #[serde(default)]
    pub(crate) unschedulable: Option<bool>,
}

/// A taint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaintView {
    /// Which one.
    #[serde(default)]
    pub(crate) key: Box<str>,
    /// More about it.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub(crate) value: Box<str>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    #[serde(default)]
    pub(crate) effect: Box<str>,
    /// Since when, as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_added: Option<Box<str>>,
}

/// The state of a host, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct NodeStatusView {
    /// What holds for it.
    #[serde(default, deserialize_with = "list")]
    pub(crate) conditions: Vec<NodeConditionView>,
}

/// A condition of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeConditionView {
    /// Which one.
    #[serde(default, rename = "type")]
    pub(crate) type_: Box<str>,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub(crate) status: Box<str>,
    /// When the host last said so, as it was written.
    #[serde(default)]
    pub(crate) last_heartbeat_time: Option<Box<str>>,
}

impl NodeView {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// A condition of it.
    pub(crate) fn condition(&self, type_: &str) -> Option<&NodeConditionView> {
        let conditions = &self.status.conditions;
        conditions
            .iter()
            .find(|condition| &*condition.type_ == type_)
    }

    /// The status of a condition: `True`, `False`, `Unknown`, or nothing.
    pub(crate) fn says(&self, type_: &str) -> Option<&str> {
        self.condition(type_).map(|condition| &*condition.status)
    }

    /// The value of a label; empty without one.
    pub(crate) fn label(&self, name: &str) -> &str {
        let labels = self.metadata.labels.as_ref();
        let value = labels.and_then(|labels| labels.get(name));
        value.map_or("", String::as_str)
    }
}

/// A lease of a host, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct LeaseView {
    /// Its metadata, without annotations and managed fields.
    #[serde(default, deserialize_with = "super::metadata")]
    pub(crate) metadata: ObjectMeta,
    /// What it says.
    #[serde(default)]
    pub(crate) spec: LeaseSpecView,
}

/// What a lease says, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeaseSpecView {
    /// When it was renewed, as it was written.
    #[serde(default)]
    pub(crate) renew_time: Option<Box<str>>,
}

/// Null is an empty list.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

is_a!(NodeView, Node);
is_a!(LeaseView, Lease);
