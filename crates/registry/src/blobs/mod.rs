//! Where the bytes are: on the local disk, or in object storage.
//!
//! Content is by digest and never changes. An upload is bytes that have no digest yet; it grows at its end until it is
//! *sealed* (its digest is the one that was announced), *placed* (its bytes are durable under their digest) and
//! *discarded*. Placing leaves the upload as it is, so that it can be done again if the collector came between.

mod disk;
mod objects;

use std::fmt;
use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use mosaic_image::{Digest, digest};
use tokio::sync::watch;

pub use self::disk::Disk;
pub use self::objects::Objects;
use crate::access::namespace;

/// A client that sends nothing for so long is given up; it can go on later.
const SILENCE: Duration = Duration::from_secs(60);
/// The same while another request waits to add to the upload: perhaps the client's own, whose connection is lost without
/// our knowing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes on their way.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Why the bytes of a blob could not be kept or given.
#[derive(Debug, thiserror::Error)]
pub enum BlobsError {
    /// There is no room.
    #[error("no space left where blobs are kept: cannot {action} {what}")]
    Full {
        /// The step that failed.
        action: &'static str,
        /// The blob or the upload.
        what: String,
    },
    /// The disk, or the object storage, failed.
    #[error("cannot {action} {what}: {source}")]
    Failed {
        /// The step that failed.
        action: &'static str,
        /// The blob or the upload.
        what: String,
        /// What was answered.
        source: io::Error,
    },
    /// There is no such upload, or not any more.
    #[error("there is no upload {0}")]
    NoUpload(UploadId),
    /// Another request adds to the upload.
    #[error("another request is adding to upload {0}")]
    Busy(UploadId),
    /// What was to be added does not begin where the upload ends.
    #[error("upload {id} has {length} bytes; what was sent begins at {at}")]
    Offset {
        /// The upload.
        id: UploadId,
        /// How far it is.
        length: u64,
        /// Where the client wanted to go on.
        at: u64,
    },
    /// The upload would be larger than a blob may be.
    #[error("upload {id} is larger than {most} bytes")]
    TooLarge {
        /// The upload.
        id: UploadId,
        /// How many bytes it may have.
        most: u64,
    },
    /// The client did not send what it announced. What came is kept, so that it can go on.
    #[error("upload {id} broke off: {reason}")]
    Broken {
        /// The upload.
        id: UploadId,
        /// Why.
        reason: String,
    },
    /// The bytes have another digest than was announced.
    #[error("the upload's digest is not {expected}")]
    Digest {
        /// What was announced.
        expected: Digest,
    },
    /// As many uploads are under way as there may be, in the namespace or in all.
    #[error("too many uploads are under way")]
    TooMany,
}

impl BlobsError {
    pub(crate) fn io(action: &'static str, what: impl fmt::Display, source: io::Error) -> Self {
        let what = what.to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { action, what }
            }
            _ => Self::Failed {
                action,
                what,
                source,
            },
        }
    }
}

/// The result of a call.
pub type Result<T, E = BlobsError> = std::result::Result<T, E>;

/// An upload: a random number that nobody guesses, and marks of the namespace and of the repository that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(Box<str>);

/// Hexadecimal digits of the random number, and of each mark.
const RANDOM: usize = 32;
const MARK: usize = 16;

impl UploadId {
    /// A new upload into a repository.
    #[must_use]
    pub fn new(repository: &str) -> Self {
        let random = uuid::Uuid::new_v4().simple();
        let marks = mark(namespace(repository)) + &mark(repository);
        Self(format!("{random}{marks}").into())
    }

    /// An upload as it is named in a URL or a file; none if this is no such name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let valid = text.len() == RANDOM + 2 * MARK && text.bytes().all(hex);
        valid.then(|| Self(text.into()))
    }

    /// Whether it was begun for this repository.
    #[must_use]
    pub fn is_for(&self, repository: &str) -> bool {
        self.0.get(RANDOM + MARK..) == Some(mark(repository).as_str())
    }

    /// The mark of its namespace.
    fn namespace(&self) -> Option<&str> {
        self.0.get(RANDOM..RANDOM + MARK)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn mark(name: &str) -> String {
    let digest = digest::sha256(name.as_bytes());
    digest.digest().chars().take(MARK).collect()
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a request adds to an upload: never more than the upload may have, and given up when nothing comes.
struct Incoming<'a> {
    id: &'a UploadId,
    body: ByteStream,
    room: u64,
    most: u64,
    /// How many other requests wait, where that is known.
    waiting: Option<watch::Receiver<usize>>,
}

impl<'a> Incoming<'a> {
    /// For an upload of `length` bytes, which may have `most`; an error if it should go on elsewhere than at its end.
    fn new(
        id: &'a UploadId,
        at: Option<u64>,
        length: u64,
        most: u64,
        body: ByteStream,
    ) -> Result<Self> {
        match at {
            Some(at) if at != length => Err(BlobsError::Offset {
                id: id.clone(),
                length,
                at,
            }),
            _ => Ok(Self {
                id,
                body,
                room: most.saturating_sub(length),
                most,
                waiting: None,
            }),
        }
    }

    /// The next bytes; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let broken = |reason: String| BlobsError::Broken {
            id: self.id.clone(),
            reason,
        };
        let next = tokio::select! {
            biased;
            next = self.body.try_next() => next,
            () = silence(self.waiting.clone()) => {
                return Err(broken("nothing came for too long".into()));
            }
        };
        let next = next.map_err(|error| broken(error.to_string()))?;
        let size = next.as_ref().map_or(0, Bytes::len) as u64;
        self.room = self.room.checked_sub(size).ok_or(BlobsError::TooLarge {
            id: self.id.clone(),
            most: self.most,
        })?;
        Ok(next)
    }
}

/// Ends when a client has been silent for too long.
async fn silence(waiting: Option<watch::Receiver<usize>>) {
    let wanted = async {
        match waiting {
            Some(mut waiting) => waiting.wait_for(|count| *count > 0).await.is_ok(),
            None => std::future::pending().await,
        }
    };
    if let Ok(true) = tokio::time::timeout(SILENCE, wanted).await {
        tokio::time::sleep(PATIENCE).await;
    }
}

/// What is known of bytes without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// How many there are.
    pub size: u64,
    /// When they were placed, in seconds since 1970.
    pub modified: u64,
}

/// A place for bytes. All calls may be made from many tasks at once.
#[async_trait::async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Whether the bytes are there.
    async fn stat(&self, digest: &Digest) -> Result<Option<Stat>>;

    /// A part of the bytes; none if there are none. The range is cut to what there is. Nothing is read before it is
    /// asked for but one piece.
    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Option<(u64, ByteStream)>>;

    /// Puts a few bytes, such as a manifest's, whose digest has been verified.
    async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<()>;

    /// Deletes the bytes if they are there.
    async fn delete(&self, digest: &Digest) -> Result<()>;

    /// What there is, after a digest, in the order of their text; at most about `limit`. Fewer than that are the end
    /// only if there are none.
    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<(Digest, Stat)>>;

    /// Whether there is room for more than is needed to delete what is there. Always, where that takes none.
    async fn room(&self) -> Result<()> {
        Ok(())
    }

    /// Begins an upload.
    async fn start(&self, id: &UploadId) -> Result<()>;

    /// How many bytes an upload has.
    async fn length(&self, id: &UploadId) -> Result<u64>;

    /// Adds to an upload at its end, which must be `at` if that is given, up to a length of `most`. Returns the
    /// new length. If the body breaks off, what came of it stays.
    async fn append(
        &self,
        id: &UploadId,
        at: Option<u64>,
        most: u64,
        body: ByteStream,
    ) -> Result<u64>;

    /// A part of what an upload has so far, at most `most` bytes; none if nothing is to be had yet.
    async fn peek(&self, id: &UploadId, offset: u64, most: u64) -> Result<Bytes>;

    /// Whether the upload has this digest; its size then. From then on nothing is added to it.
    async fn seal(&self, id: &UploadId, digest: &Digest) -> Result<u64>;

    /// Makes the bytes of a sealed upload durable, so that placing it is quick. Need not do anything.
    async fn settle(&self, _id: &UploadId) -> Result<()> {
        Ok(())
    }

    /// Puts the bytes of a sealed upload under their digest, durably.
    async fn place(&self, id: &UploadId, digest: &Digest) -> Result<()>;

    /// Forgets an upload.
    async fn discard(&self, id: &UploadId) -> Result<()>;

    /// The uploads that are under way, each with when it last grew, in seconds since 1970.
    async fn uploads(&self) -> Result<Vec<(UploadId, u64)>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_belongs_to_one_repository_and_is_no_path() {
        let id = UploadId::new("team/app");
        assert_eq!(UploadId::parse(id.as_str()), Some(id.clone()));
        assert!(id.is_for("team/app"));
        assert!(!id.is_for("team/other"));
        for text in [
            "",
            "../../etc/passwd",
            &id.as_str()[1..],
            "ü",
            &id.as_str().to_uppercase(),
        ] {
            assert_eq!(UploadId::parse(text), None, "{text}");
        }
    }
}
