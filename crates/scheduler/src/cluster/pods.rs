//! Pods, and where they are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    model::{Pod, PodKey},
    slab::{ClassIndex, NodeIndex, PodIndex, Slab},
};

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub pod: Pod,
    pub class: ClassIndex,
    pub node: Option<NodeIndex>,
    /// Only a decision says where it is, not yet its object.
    pub assumed: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Pods {
    entries: Slab<Entry>,
    index: HashMap<PodKey, PodIndex>,
    /// Waiting pods for which others make room on a host.
    nominated: BTreeMap<Arc<str>, Vec<PodIndex>>,
}

impl Pods {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn index(&self, key: &PodKey) -> Option<PodIndex> {
        self.index.get(key).copied()
    }

    pub(crate) fn find(&self, key: &PodKey) -> Option<(PodIndex, &Entry)> {
        let index = self.index(key)?;
        Some((index, self.entries.get(index)?))
    }

    pub(crate) fn get(&self, index: PodIndex) -> Option<&Entry> {
        self.entries.get(index)
    }

    pub(super) fn get_mut(&mut self, index: PodIndex) -> Option<&mut Entry> {
        self.entries.get_mut(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PodIndex, &Entry)> {
        self.entries.iter()
    }

    /// Waiting pods by the host where room is made for them.
    pub(crate) fn nominated(&self) -> impl Iterator<Item = (&Arc<str>, &[PodIndex])> {
        self.nominated
            .iter()
            .map(|(host, pods)| (host, pods.as_slice()))
    }

    pub(crate) fn nominated_on(&self, host: &str) -> &[PodIndex] {
        self.nominated.get(host).map_or(&[], Vec::as_slice)
    }

    pub(super) fn insert(&mut self, entry: Entry) -> PodIndex {
        let key = entry.pod.key.clone();
        let index = self.entries.insert(entry);
        self.index.insert(key, index);
        index
    }

    pub(super) fn remove(&mut self, index: PodIndex) -> Option<Entry> {
        let entry = self.entries.remove(index)?;
        self.index.remove(&entry.pod.key);
        Some(entry)
    }

    /// Counts a pod among those that wait for a host, if it is one. Returns whether it is.
    pub(super) fn nominate(&mut self, index: PodIndex) -> bool {
        if let Some(entry) = self.entries.get(index)
            && entry.node.is_none()
            && let Some(host) = &entry.pod.nominated
        {
            self.nominated.entry(host.clone()).or_default().push(index);
            return true;
        }
        false
    }

    /// Returns whether it was one.
    pub(super) fn denominate(&mut self, index: PodIndex) -> bool {
        let entry = self.entries.get(index);
        let Some(host) = entry.and_then(|entry| entry.pod.nominated.as_ref()) else {
            return false;
        };
        let Some(pods) = self.nominated.get_mut(host) else {
            return false;
        };
        let before = pods.len();
        pods.retain(|known| *known != index);
        let removed = pods.len() < before;
        if pods.is_empty() {
            let host = host.clone();
            self.nominated.remove(&host);
        }
        removed
    }
}
