//! What pods of one template share.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{Amounts, Labels, NodeAffinity, NodeTerm, PodTerm, SpreadConstraint, Toleration};

/// A port of the host that a pod takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The address that it listens on; `0.0.0.0` is every address.
    pub ip: Box<str>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Box<str>,
    /// Its number, 1 to 65535.
    pub port: u16,
}

impl HostPort {
    /// The address that stands for every address.
    pub const ANY: &'static str = "0.0.0.0";

    /// Whether both cannot be on one host.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (*self.ip == *Self::ANY || *other.ip == *Self::ANY || self.ip == other.ip)
    }
}

/// Who controls a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Its kind, such as `ReplicaSet`.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Box<str>,
}

impl Owner {
    /// Whether Kubernetes' default spreading is about its pods.
    pub(crate) fn spreads(&self) -> bool {
        matches!(
            &*self.kind,
            "ReplicaSet" | "ReplicationController" | "StatefulSet"
        )
    }
}

/// What a pod asks of its host and of what is near it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Template {
    /// Who is to decide, as `spec.schedulerName` says.
    pub scheduler: Arc<str>,
    /// The profile that the annotation `mosaic/profile` names.
    pub profile: Option<Box<str>>,
    /// What it takes of a host.
    pub requests: Amounts,
    /// Processor (thousandths of a core) and memory (bytes) that it counts for when hosts are compared.
    pub weight: (i64, i64),
    /// Which hosts it requires.
    pub node_affinity: Arc<NodeAffinity>,
    /// Which hosts it prefers, each with a weight of 1 to 100.
    pub preferred_nodes: Arc<[(i32, NodeTerm)]>,
    /// Which taints it tolerates.
    pub tolerations: Arc<[Toleration]>,
    /// Its containers' images, by full names.
    pub images: Arc<[Box<str>]>,
    /// Ports of the host that it takes.
    pub ports: Vec<HostPort>,
    /// Pods that it requires near it.
    pub affinity: Vec<Arc<PodTerm>>,
    /// Pods that it requires to be far away.
    pub anti_affinity: Vec<Arc<PodTerm>>,
    /// Pods that it would rather have near, or far away with a weight below zero.
    pub preferred_pods: Vec<(i32, Arc<PodTerm>)>,
    /// How it is to be spread.
    pub spread: Vec<SpreadConstraint>,
    /// More important pods take the place of less important ones.
    pub priority: i32,
    /// Whether it takes the place of others.
    pub preempts: bool,
}

/// Pods between which no decision distinguishes, but for what is a pod's own: name, claims, times.
#[derive(Debug, Clone)]
pub struct Class {
    /// Their namespace.
    pub namespace: Arc<str>,
    /// Their labels.
    pub labels: Labels,
    /// Who controls them.
    pub owner: Option<Owner>,
    /// What they ask for.
    pub template: Arc<Template>,
    /// Classes are looked up in every decision, so the hash of all the above is kept.
    hash: u64,
}

impl Class {
    /// A class of these parts.
    pub fn new(
        namespace: Arc<str>,
        labels: Labels,
        owner: Option<Owner>,
        template: Arc<Template>,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        (&namespace, &labels, &owner, &template).hash(&mut hasher);
        Self {
            namespace,
            labels,
            owner,
            template,
            hash: hasher.finish(),
        }
    }

    /// The same class with an equal template in another place.
    pub(crate) fn with_template(&self, template: Arc<Template>) -> Self {
        Self {
            template,
            ..self.clone()
        }
    }
}

impl PartialEq for Class {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || self.hash == other.hash
                && self.namespace == other.namespace
                && self.labels == other.labels
                && self.owner == other.owner
                && self.template == other.template
    }
}

impl Eq for Class {}

impl Hash for Class {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
