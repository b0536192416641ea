//! What the last plan for an object has written and may not be in memory yet.

use std::collections::BTreeMap;

use mosaic_workloads::Kind;

use super::Caches;
use crate::informer::{Fence, Key};

/// Writes whose effects a next plan has to see.
#[derive(Debug, Default)]
pub(super) struct Pending {
    written: BTreeMap<Kind, Fence>,
    deleted: BTreeMap<Kind, Vec<(Key, String)>>,
}

impl Pending {
    /// Notes a write.
    pub(super) fn wrote(&mut self, kind: Kind, fence: Fence) {
        let known = self.written.entry(kind).or_default();
        *known = known.and(fence);
    }

    /// Notes a deletion that was answered. What is deleted at once has no version that one could wait for.
    pub(super) fn deleted(&mut self, kind: Kind, key: Key, uid: String) {
        self.deleted.entry(kind).or_default().push((key, uid));
    }

    /// Takes in what others have noted.
    pub(super) fn extend(&mut self, other: Self) {
        for (kind, fence) in other.written {
            self.wrote(kind, fence);
        }
        for (kind, mut objects) in other.deleted {
            self.deleted.entry(kind).or_default().append(&mut objects);
        }
    }

    /// Returns once all of it is in memory.
    pub(super) async fn settled(&mut self, caches: &Caches) {
        for (kind, fence) in std::mem::take(&mut self.written) {
            caches.reach(kind, fence).await;
        }
        for (kind, objects) in std::mem::take(&mut self.deleted) {
            caches.left(kind, &objects).await;
        }
    }
}
