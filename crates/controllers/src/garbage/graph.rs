//! Who owns whom: for each object its identity and its owners' identities, and nothing else.
//!
//! An object costs about 100 bytes and its name. Whether an owner is there is decided by the graph only
//! where the answer is "yes"; before anything is deleted the API is asked.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::discovery::ApiResource;
use mosaic_api::meta;

use crate::discovery::Kind;

/// The finalizer of an object that goes after what it owns.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object that leaves what it owns behind.
pub(crate) const ORPHAN: &str = "orphan";

/// How many objects that are known to be gone are remembered, to save questions.
const ABSENT_KEPT: usize = 4096;

/// The identity of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Uid(u128);

impl Uid {
    /// Reads a UID. What is not written as the API writes UIDs (an owner reference may say anything)
    /// becomes an identity that no object has.
    pub(super) fn new(text: &str) -> Self {
        let mut buffer = uuid::Uuid::encode_buffer();
        if let Ok(uuid) = uuid::Uuid::try_parse(text)
            && uuid.hyphenated().encode_lower(&mut buffer) == text
            && uuid.get_version_num() != 0
        {
            return Self(uuid.as_u128());
        }
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, text).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        // Version 0 is not used by UUIDs.
        Self((half(1) << 64 | half(2)) & !(0xf << 76))
    }
}

/// A kind, by its place in the graph's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KindId(u16);

/// What is known of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    uid: Uid,
    /// Whether the owner waits for this object when it is deleted in the foreground.
    blocking: bool,
}

#[derive(Debug)]
struct Node {
    name: Box<str>,
    namespace: Arc<str>,
    owners: Box<[Owner]>,
    kind: KindId,
    /// In which listing it was last seen.
    epoch: u8,
    deleting: bool,
    foreground: bool,
    orphan: bool,
}

/// An object as others may name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Its kind.
    pub(super) resource: ApiResource,
    /// Whether it is in a namespace.
    pub(super) namespaced: bool,
    /// Its namespace, or nothing.
    pub(super) namespace: Arc<str>,
    /// Its name.
    pub(super) name: String,
}

fn same(a: &Kind, b: &Kind) -> bool {
    a.resource.group == b.resource.group && a.resource.kind == b.resource.kind
}

/// Who owns whom.
#[derive(Debug, Default)]
pub(super) struct Graph {
    kinds: Vec<Kind>,
    epochs: Vec<u8>,
    listed: HashSet<KindId>,
    nodes: HashMap<Uid, Node>,
    dependents: HashMap<Uid, Vec<Uid>>,
    namespaces: HashSet<Arc<str>>,
    absent: HashSet<Uid>,
    absent_order: VecDeque<Uid>,
    awaiting_kind: HashSet<Uid>,
}

impl Graph {
    /// The place of a kind in the table; its version may change.
    pub(super) fn kind(&mut self, kind: &Kind) -> Option<KindId> {
        if let Some((index, known)) = self
            .kinds
            .iter_mut()
            .enumerate()
            .find(|(_, known)| same(known, kind))
        {
            known.clone_from(kind);
            return u16::try_from(index).ok().map(KindId);
        }
        let id = u16::try_from(self.kinds.len()).ok().map(KindId)?;
        self.kinds.push(kind.clone());
        self.epochs.push(0);
        Some(id)
    }

    fn kind_of(&self, id: KindId) -> Option<&Kind> {
        self.kinds.get(usize::from(id.0))
    }

    /// A listing of a kind begins.
    pub(super) fn begin(&mut self, kind: KindId) {
        if let Some(epoch) = self.epochs.get_mut(usize::from(kind.0)) {
            *epoch = epoch.wrapping_add(1);
        }
    }

    /// A listing of a kind is complete: what it did not show is gone. Returns what to look at.
    pub(super) fn complete(&mut self, kind: KindId) -> Vec<Uid> {
        let Some(epoch) = self.epochs.get(usize::from(kind.0)).copied() else {
            return Vec::new();
        };
        self.listed.insert(kind);
        let stale = self
            .nodes
            .iter()
            .filter(|(_, node)| node.kind == kind && node.epoch != epoch);
        let stale: Vec<Uid> = stale.map(|(uid, _)| *uid).collect();
        stale.into_iter().flat_map(|uid| self.remove(uid)).collect()
    }

    /// Whether all objects of a kind were seen once.
    pub(super) fn is_listed(&self, kind: &Kind) -> bool {
        self.kinds
            .iter()
            .zip(0..)
            .any(|(known, index)| same(known, kind) && self.listed.contains(&KindId(index)))
    }

    /// A kind is no longer served: its objects are forgotten, and nothing follows from it.
    pub(super) fn forget(&mut self, kind: KindId) {
        let gone = self
            .nodes
            .iter()
            .filter(|(_, node)| node.kind == kind)
            .map(|(uid, _)| *uid);
        for uid in gone.collect::<Vec<_>>() {
            if let Some(node) = self.nodes.remove(&uid) {
                self.unlink(uid, &node.owners);
            }
        }
    }

    /// An object appeared or changed. Returns what to look at.
    pub(super) fn apply(&mut self, kind: KindId, metadata: &ObjectMeta) -> Vec<Uid> {
        let (Some(uid), Some(name)) = (
            metadata.uid.as_deref().map(Uid::new),
            metadata.name.as_deref(),
        ) else {
            return Vec::new();
        };
        let references = metadata.owner_references.as_deref().unwrap_or_default();
        let owners: Box<[Owner]> = references
            .iter()
            .map(|owner| Owner {
                uid: Uid::new(&owner.uid),
                blocking: owner.block_owner_deletion.unwrap_or(false),
            })
            .collect();
        let has = |finalizer: &str| {
            metadata
                .finalizers
                .iter()
                .flatten()
                .any(|name| name == finalizer)
        };
        let namespace = self.namespace(metadata.namespace.as_deref().unwrap_or_default());
        let deleting = metadata.deletion_timestamp.is_some();
        let node = Node {
            name: name.into(),
            namespace,
            owners,
            kind,
            epoch: self.epochs.get(usize::from(kind.0)).copied().unwrap_or(0),
            deleting,
            foreground: deleting && has(FOREGROUND),
            orphan: deleting && has(ORPHAN),
        };
        let mut look_at = Vec::new();
        let old = self.nodes.remove(&uid);
        let old_owners = old
            .as_ref()
            .map(|old| old.owners.clone())
            .unwrap_or_default();
        if old_owners != node.owners {
            self.unlink(uid, &old_owners);
            for owner in &node.owners {
                let dependents = self.dependents.entry(owner.uid).or_default();
                if !dependents.contains(&uid) {
                    dependents.push(uid);
                }
            }
        }
        // Owners that wait for this object may not have to any more.
        if old_owners != node.owners
            || (node.deleting && old.as_ref().is_some_and(|old| !old.deleting))
        {
            let owners = old_owners.iter().chain(&node.owners).map(|owner| owner.uid);
            look_at.extend(owners.filter(|owner| self.waits(*owner)));
        }
        let was = |flag: fn(&Node) -> bool| old.as_ref().is_some_and(flag);
        let begins_to_wait = node.foreground && !was(|old| old.foreground);
        if begins_to_wait || (node.orphan && !was(|old| old.orphan)) {
            look_at.push(uid);
        }
        if begins_to_wait && let Some(dependents) = self.dependents.get(&uid) {
            look_at.extend(dependents);
        }
        let new_owners = old.is_none() || old_owners != node.owners;
        if !node.deleting
            && new_owners
            && references.iter().any(|owner| !self.is_solid(owner, &node))
        {
            look_at.push(uid);
        }
        self.absent.remove(&uid);
        self.nodes.insert(uid, node);
        look_at
    }

    /// An object is gone. Returns what to look at.
    pub(super) fn remove(&mut self, uid: Uid) -> Vec<Uid> {
        let mut look_at = Vec::new();
        if let Some(node) = self.nodes.remove(&uid) {
            self.unlink(uid, &node.owners);
            look_at.extend(
                node.owners
                    .iter()
                    .map(|owner| owner.uid)
                    .filter(|owner| self.waits(*owner)),
            );
        }
        self.awaiting_kind.remove(&uid);
        if let Some(dependents) = self.dependents.get(&uid) {
            look_at.extend(dependents);
            self.note_absent(uid);
        }
        look_at
    }

    /// Remembers that an object is gone for good: a UID is never used again.
    pub(super) fn note_absent(&mut self, uid: Uid) {
        if self.absent.insert(uid) {
            self.absent_order.push_back(uid);
            if self.absent_order.len() > ABSENT_KEPT
                && let Some(oldest) = self.absent_order.pop_front()
            {
                self.absent.remove(&oldest);
            }
        }
    }

    /// An owner of this object is of a kind that is not served: to be looked at when kinds come.
    pub(super) fn await_kind(&mut self, uid: Uid) {
        self.awaiting_kind.insert(uid);
    }

    /// The objects that waited for kinds. Whoever still has to wait says so again.
    pub(super) fn take_awaiting_kind(&mut self) -> HashSet<Uid> {
        std::mem::take(&mut self.awaiting_kind)
    }

    /// Whether an object is known to be gone.
    pub(super) fn is_absent(&self, uid: Uid) -> bool {
        self.absent.contains(&uid)
    }

    /// Where an object is.
    pub(super) fn place(&self, uid: Uid) -> Option<Place> {
        let node = self.nodes.get(&uid)?;
        let kind = self.kind_of(node.kind)?;
        Some(Place {
            resource: kind.resource.clone(),
            namespaced: kind.namespaced,
            namespace: node.namespace.clone(),
            name: node.name.to_string(),
        })
    }

    /// The objects that an object owns.
    pub(super) fn dependents(&self, uid: Uid) -> Vec<Uid> {
        self.dependents.get(&uid).cloned().unwrap_or_default()
    }

    /// The objects that an object waits for when it is deleted in the foreground.
    pub(super) fn blocking(&self, uid: Uid) -> Vec<Uid> {
        let blocks = |dependent: &Uid| {
            let owners = self
                .nodes
                .get(dependent)
                .map(|node| node.owners.as_ref())
                .unwrap_or_default();
            owners
                .iter()
                .any(|owner| owner.uid == uid && owner.blocking)
        };
        self.dependents
            .get(&uid)
            .into_iter()
            .flatten()
            .copied()
            .filter(blocks)
            .collect()
    }

    /// Whether one of these objects is itself being deleted in the foreground.
    pub(super) fn any_waits(&self, uids: &[Uid]) -> bool {
        uids.iter().any(|uid| self.waits(*uid))
    }

    /// How many objects are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn waits(&self, uid: Uid) -> bool {
        self.nodes.get(&uid).is_some_and(|node| node.foreground)
    }

    /// Whether an owner is surely there, and is the one that the reference describes.
    fn is_solid(&self, owner: &OwnerReference, dependent: &Node) -> bool {
        let Some(node) = self.nodes.get(&Uid::new(&owner.uid)) else {
            return false;
        };
        let Some(kind) = self.kind_of(node.kind) else {
            return false;
        };
        !node.foreground
            && *node.name == *owner.name
            && kind.resource.kind == owner.kind
            && kind.resource.group == meta::group_of(&owner.api_version)
            && (!kind.namespaced || node.namespace == dependent.namespace)
    }

    fn unlink(&mut self, uid: Uid, owners: &[Owner]) {
        for owner in owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.retain(|dependent| *dependent != uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }

    fn namespace(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.namespaces.get(name) {
            return known.clone();
        }
        // Names of namespaces that are gone are dropped now and then.
        if self.namespaces.len().is_power_of_two() {
            self.namespaces.retain(|name| Arc::strong_count(name) > 1);
        }
        let name: Arc<str> = name.into();
        self.namespaces.insert(name.clone());
        name
    }
}
