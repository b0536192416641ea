//! Hosts.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    Amounts, Labels, ReadError, Taint,
    read::{Metadata, ResourceList, parse},
    taint::RawTaint,
};

/// An image that is on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What it is called, each name in full.
    pub names: Vec<Arc<str>>,
    /// Bytes.
    pub size: i64,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// Its taints. A host that is not ready has taints that say so.
    pub taints: Vec<Taint>,
    /// New pods stay away (`kubectl cordon`).
    pub unschedulable: bool,
    /// What pods may have of it.
    pub allocatable: Amounts,
    /// How many pods it may run.
    pub pods: i64,
    /// Images that are on it, as far as it says.
    pub images: Vec<Image>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    metadata: Metadata,
    spec: Option<Spec>,
    #[serde(borrow)]
    status: Option<Status<'a>>,
}

#[derive(Deserialize, Default)]
struct Spec {
    unschedulable: Option<bool>,
    taints: Option<Vec<RawTaint>>,
}

#[derive(Deserialize, Default)]
struct Status<'a> {
    #[serde(borrow)]
    allocatable: Option<ResourceList<'a>>,
    images: Option<Vec<RawImage>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawImage {
    names: Option<Vec<String>>,
    size_bytes: Option<i64>,
}

impl Node {
    /// Reads a `Node` object.
    ///
    /// # Errors
    ///
    /// The bytes are no JSON of a node, or it has no name.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut raw: Raw<'_> = parse("Node", bytes)?;
        let spec = raw.spec.unwrap_or_default();
        let status = raw.status.unwrap_or_default();
        let allocatable = status.allocatable.unwrap_or_default();
        let taints = spec.taints.unwrap_or_default();
        let images = status.images.unwrap_or_default().into_iter();
        Ok(Self {
            name: raw.metadata.name("Node")?.into(),
            labels: raw.metadata.labels.into(),
            taints: taints.into_iter().filter_map(RawTaint::read).collect(),
            unschedulable: spec.unschedulable.unwrap_or(false),
            pods: allocatable
                .get("pods")
                .map_or(0, |amount| amount.0.value().clamp(0, i64::from(u32::MAX))),
            allocatable: Amounts::read(&allocatable),
            images: images
                .map(|image| Image {
                    names: image.names.into_iter().flatten().map(Arc::from).collect(),
                    size: image.size_bytes.unwrap_or(0).max(0),
                })
                .collect(),
        })
    }
}
