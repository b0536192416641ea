//! Volumes, claims and classes: as far as they say on which hosts a pod can run.

use std::sync::Arc;

use mosaic_api::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Labels, Node, NodeTerm, ReadError,
    node_affinity::{RawNodeTerm, any_or_all},
    pod_affinity::selector,
    read::{Metadata, ResourceList, parse},
};

/// What classes name whose volumes nobody makes.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// When a claim gets its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingMode {
    /// At once, wherever the volume comes to be.
    Immediate,
    /// When a pod that uses it has got a host.
    WaitForFirstConsumer,
}

/// A `PersistentVolumeClaim`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its UID.
    pub uid: Arc<str>,
    /// The volume that it names, bound or about to be.
    pub volume: Option<Arc<str>>,
    /// Whether both sides agree on that volume.
    pub bound: bool,
    /// Its storage class; empty means none.
    pub class: Arc<str>,
    /// The host that its volume is being made for.
    pub selected_node: Option<Arc<str>>,
    /// Bytes that it asks for.
    pub size: i64,
    /// What it wants to do with the volume, sorted.
    pub access_modes: Vec<Box<str>>,
    /// It wants the bare device, and no file system on it.
    pub block: bool,
    /// Labels that its volume must have; none means any.
    pub selector: Option<LabelSelector>,
    /// It is being deleted.
    pub leaving: bool,
}

/// The claim that a volume names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its UID; empty means any claim of this name.
    pub uid: Arc<str>,
}

/// A `PersistentVolume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// Hosts that reach it; none means all.
    pub affinity: Option<Vec<NodeTerm>>,
    /// Its storage class; empty means none.
    pub class: Arc<str>,
    /// Bytes that it holds.
    pub size: i64,
    /// What can be done with it.
    pub access_modes: Vec<Box<str>>,
    /// It is used as the bare device, without a file system on it.
    pub block: bool,
    /// The claim that it belongs to, or is kept for.
    pub claim: Option<ClaimName>,
    /// Nobody's, and free to be claimed.
    pub available: bool,
    /// It is being deleted.
    pub leaving: bool,
}

/// A `StorageClass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageClass {
    /// Its name.
    pub name: Arc<str>,
    /// When claims get their volume.
    pub binding: BindingMode,
    /// Who makes volumes on demand; empty for nobody.
    pub provisioner: Arc<str>,
    /// Hosts for which volumes can be made; none means all.
    pub topologies: Option<Vec<NodeTerm>>,
}

impl Claim {
    /// Its key among claims: `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Reads a `PersistentVolumeClaim` object.
    ///
    /// # Errors
    ///
    /// The bytes are no JSON of a claim, or it has no name.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReadError> {
        const KIND: &str = "PersistentVolumeClaim";
        let mut raw: RawClaim<'_> = parse(KIND, bytes)?;
        let spec = raw.spec.unwrap_or_default();
        let annotations = raw.metadata.annotations.take().unwrap_or_default();
        let requests = spec.resources.unwrap_or_default().requests;
        let volume = spec.volume_name.filter(|name| !name.is_empty());
        let bound = volume.is_some() && annotations.bind_completed.is_some();
        let phase = raw.status.unwrap_or_default().phase;
        Ok(Self {
            name: raw.metadata.name(KIND)?.into(),
            namespace: raw.metadata.namespace.unwrap_or_default().into(),
            uid: raw.metadata.uid.unwrap_or_default().into(),
            bound: bound || volume.is_some() && phase.as_deref() == Some("Bound"),
            volume: volume.map(Arc::from),
            class: annotations
                .class
                .or(spec.storage_class_name)
                .unwrap_or_default()
                .into(),
            selected_node: annotations
                .selected_node
                .filter(|name| !name.is_empty())
                .map(Arc::from),
            size: storage(requests.as_ref()),
            access_modes: modes(spec.access_modes),
            block: is_block(spec.volume_mode.as_deref()),
            selector: spec
                .selector
                .filter(|raw| !raw.is_null())
                .map(|raw| selector(Some(&raw))),
            leaving: raw.metadata.deletion_timestamp.is_some(),
        })
    }
}

impl Volume {
    /// Reads a `PersistentVolume` object.
    ///
    /// # Errors
    ///
    /// The bytes are no JSON of a volume, or it has no name.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReadError> {
        const KIND: &str = "PersistentVolume";
        let mut raw: RawVolume<'_> = parse(KIND, bytes)?;
        let spec = raw.spec.unwrap_or_default();
        let annotations = raw.metadata.annotations.take().unwrap_or_default();
        let phase = raw.status.unwrap_or_default().phase;
        let leaving = raw.metadata.deletion_timestamp.is_some();
        let claim = spec.claim_ref.map(|named| ClaimName {
            namespace: named.namespace.into(),
            name: named.name.into(),
            uid: named.uid.unwrap_or_default().into(),
        });
        Ok(Self {
            name: raw.metadata.name(KIND)?.into(),
            labels: raw.metadata.labels.into(),
            affinity: spec
                .node_affinity
                .and_then(|affinity| affinity.required)
                .map(|required| terms(required.node_selector_terms)),
            class: annotations
                .class
                .or(spec.storage_class_name)
                .unwrap_or_default()
                .into(),
            size: storage(spec.capacity.as_ref()),
            access_modes: modes(spec.access_modes),
            block: is_block(spec.volume_mode.as_deref()),
            available: claim.is_none()
                && !leaving
                && matches!(phase.as_deref(), None | Some("" | "Available" | "Pending")),
            claim,
            leaving,
        })
    }
}

impl StorageClass {
    /// Reads a `StorageClass` object.
    ///
    /// # Errors
    ///
    /// The bytes are no JSON of a class, or it has no name.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReadError> {
        const KIND: &str = "StorageClass";
        let mut raw: RawClass = parse(KIND, bytes)?;
        let provisioner = raw.provisioner.unwrap_or_default();
        let makes_none = provisioner == NO_PROVISIONER;
        let topologies = raw.allowed_topologies.filter(|list| !list.is_empty());
        Ok(Self {
            name: raw.metadata.name(KIND)?.into(),
            binding: match raw.volume_binding_mode.as_deref() {
                Some("WaitForFirstConsumer") => BindingMode::WaitForFirstConsumer,
                _ => BindingMode::Immediate,
            },
            provisioner: if makes_none { "" } else { &*provisioner }.into(),
            topologies: topologies.map(|list| list.into_iter().map(RawTopology::read).collect()),
        })
    }
}

impl StorageClass {
    /// Whether volumes are made on demand.
    pub fn provisions(&self) -> bool {
        !self.provisioner.is_empty()
    }

    /// Whether a claim waits for a pod that uses it to get a host.
    pub fn waits(&self) -> bool {
        self.binding == BindingMode::WaitForFirstConsumer
    }

    /// Whether volumes can be made for a host.
    pub(crate) fn is_reached_from(&self, node: &Node) -> bool {
        any_or_all(self.topologies.as_deref(), node)
    }
}

fn is_block(mode: Option<&str>) -> bool {
    mode == Some("Block")
}

fn storage(list: Option<&ResourceList<'_>>) -> i64 {
    let amount = list.and_then(|list| list.get("storage"));
    amount.map_or(0, |amount| amount.0.value().max(0))
}

fn modes(modes: Option<Vec<String>>) -> Vec<Box<str>> {
    let mut modes: Vec<Box<str>> = modes.into_iter().flatten().map(Box::from).collect();
    modes.sort_unstable();
    modes
}

fn terms(raw: Option<Vec<RawNodeTerm>>) -> Vec<NodeTerm> {
    raw.into_iter().flatten().map(RawNodeTerm::read).collect()
}

#[derive(Deserialize)]
struct RawClaim<'a> {
    metadata: Metadata<Annotations>,
    #[serde(borrow)]
    spec: Option<ClaimSpec<'a>>,
    status: Option<Phase>,
}

#[derive(Deserialize, Default)]
struct Annotations {
    #[serde(rename = "volume.beta.kubernetes.io/storage-class")]
    class: Option<String>,
    #[serde(rename = "volume.kubernetes.io/selected-node")]
    selected_node: Option<String>,
    #[serde(rename = "pv.kubernetes.io/bind-completed")]
    bind_completed: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct ClaimSpec<'a> {
    volume_name: Option<String>,
    volume_mode: Option<String>,
    storage_class_name: Option<String>,
    access_modes: Option<Vec<String>>,
    selector: Option<Value>,
    #[serde(borrow)]
    resources: Option<ClaimResources<'a>>,
}

#[derive(Deserialize, Default)]
struct ClaimResources<'a> {
    #[serde(borrow)]
    requests: Option<ResourceList<'a>>,
}

#[derive(Deserialize, Default)]
struct Phase {
    phase: Option<String>,
}

#[derive(Deserialize)]
struct RawVolume<'a> {
    metadata: Metadata<Annotations>,
    #[serde(borrow)]
    spec: Option<VolumeSpec<'a>>,
    status: Option<Phase>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct VolumeSpec<'a> {
    node_affinity: Option<VolumeAffinity>,
    volume_mode: Option<String>,
    storage_class_name: Option<String>,
    access_modes: Option<Vec<String>>,
    claim_ref: Option<ClaimReference>,
    #[serde(borrow)]
    capacity: Option<ResourceList<'a>>,
}

#[derive(Deserialize)]
struct VolumeAffinity {
    required: Option<NodeSelector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeSelector {
    node_selector_terms: Option<Vec<RawNodeTerm>>,
}

#[derive(Deserialize)]
struct ClaimReference {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    uid: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawClass {
    metadata: Metadata,
    provisioner: Option<String>,
    volume_binding_mode: Option<String>,
    allowed_topologies: Option<Vec<RawTopology>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTopology {
    match_label_expressions: Option<Vec<LabelValues>>,
}

#[derive(Deserialize)]
struct LabelValues {
    #[serde(default)]
    key: String,
    values: Option<Vec<String>>,
}

impl RawTopology {
    fn read(self) -> NodeTerm {
        let wanted = self.match_label_expressions.into_iter().flatten();
        NodeTerm::labels_in(wanted.map(|label| (label.key, label.values.unwrap_or_default())))
    }
}
