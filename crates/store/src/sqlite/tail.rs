//! The end of the log that the index by key does not have yet.
//!
//! A write to the index changes a page wherever its key belongs, and a batch of writes to many keys
//! would make many pages durable for a few bytes each. So the index follows the log some thousand rows
//! behind, in the order of keys, and the rows in between are remembered here. After a crash they are
//! read from the log.
//!
//! A reader looks here *before* it begins to read the database. What it finds and what the index then
//! has, overlapping at most, is everything up to [`Tail::reached`] or the index's end, whichever is later.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;

use super::visible::Version;
use crate::Revision;

#[derive(Default)]
pub(crate) struct Tail {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// The versions of each key, oldest first.
    keys: BTreeMap<Arc<str>, Vec<Version>>,
    versions: usize,
    reached: Revision,
}

/// A part of the tail, in the order of keys and revisions.
pub(crate) struct Part {
    pub(crate) versions: Vec<(Arc<str>, Version)>,
    /// The revision up to which the part tells everything that the index does not.
    pub(crate) reached: Revision,
}

impl Tail {
    pub(crate) fn len(&self) -> usize {
        self.state.read().versions
    }

    /// The last version of a key, if it is here.
    pub(crate) fn last(&self, key: &str) -> Option<Version> {
        let state = self.state.read();
        state.keys.get(key).and_then(|all| all.last()).copied()
    }

    /// The keys from `start` on that begin with `prefix`.
    pub(crate) fn part(&self, prefix: &str, start: &str) -> Part {
        let state = self.state.read();
        let from = (Bound::Included(start), Bound::Unbounded);
        let versions = state
            .keys
            .range::<str, _>(from)
            .take_while(|(key, _)| key.starts_with(prefix))
            .flat_map(|(key, all)| all.iter().map(|version| (key.clone(), *version)))
            .collect();
        Part {
            versions,
            reached: state.reached,
        }
    }

    /// Adds what was committed, and forgets what the same commit brought into the index: what is not
    /// later than `indexed`.
    pub(crate) fn advance(
        &self,
        indexed: Revision,
        committed: impl IntoIterator<Item = (Arc<str>, Version)>,
        reached: Revision,
    ) {
        let mut state = self.state.write();
        let state = &mut *state;
        if indexed > 0 {
            state.keys.retain(|_, all| {
                all.retain(|version| version.revision > indexed);
                !all.is_empty()
            });
            state.versions = state.keys.values().map(Vec::len).sum();
        }
        for (key, version) in committed {
            state.keys.entry(key).or_default().push(version);
            state.versions += 1;
        }
        state.reached = state.reached.max(reached);
    }
}
