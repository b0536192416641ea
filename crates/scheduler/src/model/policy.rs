//! Disruption budgets and namespaces.

use std::{collections::BTreeMap, sync::Arc};

use mosaic_api::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Labels, ReadError,
    pod_affinity::selector,
    read::{Metadata, parse},
};

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
}

/// A `PodDisruptionBudget`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Where it holds.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Whom it is about.
    pub pods: LabelSelector,
    /// How many pods may be disrupted now.
    pub allowed: i64,
    /// Pods whose eviction is counted already.
    pub disrupted: Vec<Box<str>>,
}

#[derive(Deserialize)]
struct RawNamespace {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct RawBudget {
    metadata: Metadata,
    spec: Option<BudgetSpec>,
    status: Option<BudgetStatus>,
}

#[derive(Deserialize, Default)]
struct BudgetSpec {
    selector: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct BudgetStatus {
    disruptions_allowed: Option<i64>,
    disrupted_pods: Option<BTreeMap<String, serde::de::IgnoredAny>>,
}

impl Namespace {
    /// Reads a `Namespace` object.
    ///
    /// # Errors
    ///
    /// The bytes are no JSON of a namespace, or it has no name.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut raw: RawNamespace = parse("Namespace", bytes)?;
        Ok(Self {
            name: raw.metadata.name("Namespace")?.into(),
            labels: raw.metadata.labels.into(),
        })
    }
}

impl Budget {
    /// Reads a `PodDisruptionBudget` object. One without a status allows nothing yet.
    ///
    /// # Errors
    ///
    /// The bytes are no JSON of a budget, or it has no name.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReadError> {
        const KIND: &str = "PodDisruptionBudget";
        let mut raw: RawBudget = parse(KIND, bytes)?;
        let status = raw.status.unwrap_or_default();
        let disrupted = status.disrupted_pods.unwrap_or_default();
        Ok(Self {
            name: raw.metadata.name(KIND)?.into(),
            namespace: raw.metadata.namespace.unwrap_or_default().into(),
            pods: selector(raw.spec.unwrap_or_default().selector.as_ref()),
            allowed: status.disruptions_allowed.unwrap_or(0).max(0),
            disrupted: disrupted.into_keys().map(Box::from).collect(),
        })
    }
}
