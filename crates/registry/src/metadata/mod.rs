//! What the registry remembers, in the store: which blobs there are, which repository has them, manifests and tags.
//!
//! - [`record`]: what stands in a record.
//! - `keys`: where it stands.
//! - `decide`: what pushes and the collector do about it, and why that is right with several servers.
//! - `push`, `remove`: carrying that out.
//! - `claim`: whose repositories are, and what becomes of them when that namespace is gone.

mod claim;
mod decide;
pub(crate) mod keys;
mod push;
pub mod record;
mod remove;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use mosaic_image::Digest;
use mosaic_store::{Entry, Expect, ListOptions, Revision, Store, StoreError, Write};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::claim::Claim;
pub use self::decide::Grace;
pub(crate) use self::decide::{Judgement, judge};
pub(crate) use self::push::{Commit, Source};
use self::record::{BlobRecord, LinkRecord, ManifestRecord, TagRecord};
pub(crate) use self::remove::Removed;
use crate::blobs::{Blobs, BlobsError};
use crate::clock::Clock;

/// How many entries are listed at once, and how many bytes of them: a manifest's record may have 200 kB.
pub(crate) const PAGE: usize = 1000;
const PAGE_BYTES: usize = 1 << 20;
/// A write that others came before is tried so often.
const TRIES: usize = 64;
/// Between two looks at a blob that is being taken away, and how many of them.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS: usize = 120;

/// Why something could not be read from or written to the records.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The store failed.
    #[error("cannot {action} {key}: {source}")]
    Store {
        /// `read`, `write` or `list`.
        action: &'static str,
        /// The key, or the prefix of a list.
        key: String,
        /// What the store said.
        source: StoreError,
    },
    /// A record cannot be understood.
    #[error("the record {key} cannot be read: {reason}")]
    Corrupt {
        /// Its key.
        key: String,
        /// What the parser said.
        reason: String,
    },
    /// The bytes failed.
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    /// Too many others write the same record, or a blob that is being taken away is not gone in time.
    #[error("{key} is being changed by others; try again")]
    Busy {
        /// The key.
        key: String,
    },
    /// Whoever writes to a repository may not any more, or its namespace is gone.
    #[error("pushing into {repository} is not allowed any more, or its namespace is gone")]
    Refused {
        /// The repository.
        repository: String,
    },
    /// A manifest names something that is not there.
    #[error("{digest} is not in repository {repository}")]
    Absent {
        /// The repository.
        repository: String,
        /// What is named.
        digest: Digest,
    },
    /// A manifest gives another size for a blob than it has.
    #[error("{digest} has {actual} bytes, not {named}")]
    Size {
        /// The blob.
        digest: Digest,
        /// What the manifest says.
        named: u64,
        /// What it has.
        actual: u64,
    },
}

/// The result of a call.
pub type Result<T, E = MetadataError> = std::result::Result<T, E>;

/// A record as it was read: with the revision that a write of it has to expect.
#[derive(Debug, Clone)]
pub(crate) struct Stored<T> {
    pub(crate) value: T,
    pub(crate) revision: Revision,
}

/// What becomes of a record.
pub(crate) enum Change<T> {
    /// It stays as it is.
    Nothing,
    /// It is this from now on.
    Put(T),
    /// It goes; it has to be there.
    Delete,
}

/// Whether a repository may be read by whoever asks.
pub(crate) type Readable<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

/// The records, and the blobs that they are about.
pub struct Metadata {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) grace: Grace,
}

impl Metadata {
    /// The records in a store, of blobs that are elsewhere.
    pub fn new(
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        clock: Arc<dyn Clock>,
        grace: Grace,
    ) -> Self {
        Self {
            store,
            blobs,
            clock,
            grace,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stored<T>>> {
        let entry = self.store.get(key).await;
        let entry = entry.map_err(|source| MetadataError::Store {
            action: "read",
            key: key.into(),
            source,
        })?;
        entry.as_ref().map(parse).transpose()
    }

    /// The entries of a list after a key, in pages of so many; each page is as of when it is come to.
    pub(crate) fn entries<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<Arc<str>>,
        page: usize,
    ) -> BoxStream<'a, Result<Entry>> {
        let pages = stream::try_unfold(Some(after), move |place| async move {
            let Some(after) = place else {
                return Ok::<_, MetadataError>(None);
            };
            let options = ListOptions {
                at: None,
                after,
                limit: Some(page),
                bytes: Some(PAGE_BYTES),
            };
            let page = self.store.list(prefix, options).await;
            let page = page.map_err(|source| MetadataError::Store {
                action: "list",
                key: prefix.into(),
                source,
            })?;
            let last = page.entries.last().filter(|_| page.remaining > 0);
            let next = last.map(|last| Some(last.key.clone()));
            Ok(Some((stream::iter(page.entries.into_iter().map(Ok)), next)))
        });
        pages.try_flatten().boxed()
    }

    /// Calls `look` with each entry of a list until it says something.
    pub(crate) async fn find<T>(
        &self,
        prefix: &str,
        mut look: impl FnMut(&Entry) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut entries = self.entries(prefix, None, PAGE);
        while let Some(entry) = entries.try_next().await? {
            if let Some(found) = look(&entry)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Changes a record to what `change` makes of it as it is, again when others came before; whether it did anything.
    pub(crate) async fn update<T: DeserializeOwned + Serialize>(
        &self,
        key: &str,
        change: impl Fn(Option<&T>) -> Change<T>,
    ) -> Result<bool> {
        for _ in 0..TRIES {
            let stored = self.get::<T>(key).await?;
            let expect = stored
                .as_ref()
                .map_or(Expect::Absent, |stored| Expect::At(stored.revision));
            let written = match change(stored.as_ref().map(|stored| &stored.value)) {
                Change::Nothing => return Ok(false),
                Change::Put(value) => self.put(key, expect, &value).await?,
                Change::Delete => self.write(key, expect, None).await?.is_some(),
            };
            if written {
                return Ok(true);
            }
        }
        Err(MetadataError::Busy { key: key.into() })
    }

    /// Writes a record if it is as expected; whether it was.
    pub(crate) async fn put<T: Serialize>(
        &self,
        key: &str,
        expect: Expect,
        value: &T,
    ) -> Result<bool> {
        Ok(self.put_at(key, expect, value).await?.is_some())
    }

    /// As `put`, with the revision of the write.
    pub(crate) async fn put_at<T: Serialize>(
        &self,
        key: &str,
        expect: Expect,
        value: &T,
    ) -> Result<Option<Revision>> {
        let bytes = serde_json::to_vec(value).map_err(|error| MetadataError::Corrupt {
            key: key.into(),
            reason: error.to_string(),
        })?;
        self.write(key, expect, Some(bytes.into())).await
    }

    /// Deletes a record if it is as it was read; whether it was.
    pub(crate) async fn delete(&self, key: &str, revision: Revision) -> Result<bool> {
        let written = self.write(key, Expect::At(revision), None).await?;
        Ok(written.is_some())
    }

    async fn write(
        &self,
        key: &str,
        expect: Expect,
        value: Option<Bytes>,
    ) -> Result<Option<Revision>> {
        let write = Write {
            key: key.into(),
            expect,
            value,
        };
        match self.store.write(write).await {
            Ok(revision) => Ok(Some(revision)),
            Err(StoreError::Conflict { .. }) => Ok(None),
            Err(source) => Err(MetadataError::Store {
                action: "write",
                key: key.into(),
                source,
            }),
        }
    }

    /// The record of a blob.
    pub(crate) async fn blob(&self, digest: &Digest) -> Result<Option<Stored<BlobRecord>>> {
        self.get(&keys::blob(digest)).await
    }

    /// A manifest that may be shown.
    pub(crate) async fn manifest(
        &self,
        repository: &str,
        digest: &Digest,
    ) -> Result<Option<ManifestRecord>> {
        let key = keys::manifest(repository, digest);
        let stored = self.get::<ManifestRecord>(&key).await?;
        Ok(stored
            .map(|stored| stored.value)
            .filter(|manifest| manifest.committed))
    }

    /// A tag.
    pub(crate) async fn tag(
        &self,
        repository: &str,
        tag: &str,
    ) -> Result<Option<Stored<TagRecord>>> {
        self.get(&keys::tag(repository, tag)).await
    }

    /// Whether a blob is in a repository: it was pushed there or, for whoever may push there, it is in a repository
    /// that they may read (distribution-spec, "Mounting a blob from another repository", calls it automatic content
    /// discovery).
    pub(crate) async fn has(
        &self,
        repository: &str,
        digest: &Digest,
        discover: Option<Readable<'_>>,
    ) -> Result<bool> {
        let key = keys::link(digest, repository);
        match (self.get::<LinkRecord>(&key).await?, discover) {
            // Whoever took it out may have died before seeing that a manifest came meanwhile.
            (Some(link), _) if link.value.removed => {
                Ok(self.named_by(repository, digest).await?.is_some())
            }
            (Some(_), _) => Ok(true),
            (None, None) => Ok(false),
            (None, Some(readable)) => self.discover(digest, readable).await,
        }
    }

    /// Whether a blob is in any repository that may be read.
    pub(crate) async fn discover(&self, digest: &Digest, readable: Readable<'_>) -> Result<bool> {
        let links = keys::links(digest);
        let found = self.find(&links, |entry| {
            let Some((_, repository)) = keys::parse_link(&entry.key) else {
                return Ok(None);
            };
            let there = readable(repository) && !parse::<LinkRecord>(entry)?.value.removed;
            Ok(there.then_some(()))
        });
        Ok(found.await?.is_some())
    }

    /// Notes that a tag was pulled. Failing to is no matter.
    pub(crate) async fn note_pull(&self, repository: &str, tag: &str, stored: &Stored<TagRecord>) {
        let Some(record) = decide::pulled(&stored.value, self.now()) else {
            return;
        };
        let key = keys::tag(repository, tag);
        let written = self.put(&key, Expect::At(stored.revision), &record).await;
        if let Err(error) = written {
            tracing::debug!(%error, "a pull could not be noted");
        }
    }
}

pub(crate) fn parse<T: DeserializeOwned>(entry: &Entry) -> Result<Stored<T>> {
    let value = serde_json::from_slice(&entry.value).map_err(|error| MetadataError::Corrupt {
        key: entry.key.as_ref().into(),
        reason: error.to_string(),
    })?;
    Ok(Stored {
        value,
        revision: entry.revision,
    })
}
