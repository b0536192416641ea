//! A durable, revisioned key-value store.
//!
//! Everything that Mosaic remembers is a key with bytes. Each write gets the next *revision* of the
//! whole store; a key's revision is the one of its last write. Two engines stand behind the trait:
//! an embedded SQLite file and an etcd cluster. One suite of tests holds both to the same behaviour, and
//! a third one in memory, which the feature `testing` adds.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;

mod etcd;
mod hub;
mod keys;
#[cfg(feature = "testing")]
mod memory;
mod rates;
mod replay;
mod sqlite;

pub use etcd::{Etcd, EtcdOptions, EtcdTls};
#[cfg(feature = "testing")]
pub use memory::Memory;
pub use rates::{RawWrite, raw_batch_rate, raw_etcd_rate};
pub use sqlite::{Sqlite, SqliteOptions};

/// A number that grows by every write to the store. Never goes back, also over restarts.
pub type Revision = u64;

/// A key with its value, as of some revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, such as `/apps/deployments/default/web`.
    pub key: Arc<str>,
    /// The value as it was written.
    pub value: Bytes,
    /// The revision of the last write to this key.
    pub revision: Revision,
}

/// What must hold of a key for a write to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The key is not there.
    Absent,
    /// The key is there and was last written at this revision.
    At(Revision),
}

/// One write.
#[derive(Debug, Clone)]
pub struct Write {
    /// The key to write.
    pub key: Arc<str>,
    /// What must hold.
    pub expect: Expect,
    /// The new value; none deletes the key.
    pub value: Option<Bytes>,
}

/// Which part of a prefix to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// The revision to list at; none for the latest.
    pub at: Option<Revision>,
    /// List only keys after this one.
    pub after: Option<Arc<str>>,
    /// At most this many entries; none for all.
    pub limit: Option<usize>,
    /// No entry more once the values have so many bytes together; none for all.
    pub bytes: Option<usize>,
}

/// The answer to a list: entries in the order of their keys.
#[derive(Debug, Clone)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The revision that the list shows.
    pub revision: Revision,
    /// How many further entries there are past the limits.
    pub remaining: u64,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key was written.
    Put(Entry),
    /// The key was deleted, at this revision.
    Delete {
        /// The key.
        key: Arc<str>,
        /// The revision of the deletion.
        revision: Revision,
    },
    /// Nothing else happened up to this revision.
    Progress(Revision),
}

/// Why a call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The expectation of a write did not hold.
    #[error("{key} is at revision {actual:?}, not as expected")]
    Conflict {
        /// The key.
        key: Arc<str>,
        /// The key's revision; none if it is absent.
        actual: Option<Revision>,
    },
    /// The revision asked for is no longer kept.
    #[error("revision {asked} has been compacted; the oldest kept is {oldest}")]
    Compacted {
        /// The revision asked for.
        asked: Revision,
        /// The oldest that is kept.
        oldest: Revision,
    },
    /// The revision asked for has not been reached.
    #[error("revision {asked} is ahead of the store's {current}")]
    Future {
        /// The revision asked for.
        asked: Revision,
        /// The store's.
        current: Revision,
    },
    /// There is no room on the store's disk (or etcd's space quota is used up). Reads go on.
    #[error("no space left on the store's disk: {0}")]
    Full(String),
    /// The value is larger than the engine takes.
    #[error("the object is larger than the store takes: {0}")]
    TooLarge(String),
    /// The engine cannot be reached, has no leader, or did not answer in time. Whether a write took
    /// place is not known.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// Anything else; the store's state is not in doubt, but the call failed.
    #[error("{0}")]
    Internal(String),
}

/// The result of a call to the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A durable, revisioned key-value store. Calls may be made from many tasks at once.
#[async_trait::async_trait]
pub trait Store: Send + Sync + 'static {
    /// The entry at a key as of now: it shows every write that was acknowledged before the call.
    async fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// The entries whose keys start with `prefix`.
    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page>;

    /// Carries out one write and answers with its revision once it is durable.
    async fn write(&self, write: Write) -> Result<Revision>;

    /// Every event of keys that start with `prefix`, in the order of revisions, from the first one
    /// after `after`. Ends with an error when the engine is lost or the watch cannot follow.
    async fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> Result<BoxStream<'static, Result<Event>>>;

    /// The store's latest revision: at least that of every write acknowledged before the call. Each
    /// open watch will reach it, by an event or by [`Event::Progress`].
    async fn revision(&self) -> Result<Revision>;

    /// Whether no other process writes to this store: then what this process has seen of its own
    /// writes is all there is. An embedded engine overrides it.
    fn exclusive(&self) -> bool {
        false
    }

    /// Forgets what was overwritten or deleted before `revision`.
    async fn compact(&self, revision: Revision) -> Result<()>;
}
