//! Quotas of namespaces: how many bytes their images may have, and what is uploaded to become one.
//!
//! Whoever makes an image waits for their turn in its namespace, so the sum is right when it is made. What was uploaded and
//! is in no image yet is only known to this process. It counts until an image names it, or the grace is over.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use http::StatusCode;
use mosaic_image::Digest;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::access::namespace;
use crate::blobs::{BlobsError, ByteStream, UploadId};
use crate::metadata::record::ManifestRecord;
use crate::metadata::{MetadataError, keys, parse};
use crate::registry::Registry;
use crate::server::{ApiError, Code};

/// The most blobs of a namespace that may wait for an image.
const WAITING_MAX: usize = 10_000;

/// What is pushed into namespaces that have a quota.
#[derive(Default)]
pub(crate) struct Pushes(Mutex<HashMap<Box<str>, Arc<Pushed>>>);

/// What is pushed into a namespace.
#[derive(Default)]
struct Pushed {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The bytes of each upload under way.
    uploads: Mutex<HashMap<UploadId, u64>>,
    /// The bytes of each blob that no image has named yet, and since when it is there.
    waiting: Mutex<HashMap<Digest, (u64, u64)>>,
}

impl Pushed {
    fn waiting(&self) -> Vec<(Digest, u64)> {
        let waiting = self.waiting.lock();
        let sizes = waiting
            .iter()
            .map(|(digest, (size, _))| (digest.clone(), *size));
        sizes.collect()
    }

    fn bytes(&self) -> u64 {
        let uploads: u64 = self.uploads.lock().values().sum();
        let waiting: u64 = self.waiting.lock().values().map(|(size, _)| size).sum();
        uploads.saturating_add(waiting)
    }
}

/// The turn to make an image in a namespace.
pub(crate) struct Turn {
    pushed: Arc<Pushed>,
    _guard: OwnedMutexGuard<()>,
}

impl Turn {
    /// The image is made.
    pub(crate) fn end(self, record: &ManifestRecord) {
        let mut waiting = self.pushed.waiting.lock();
        for blob in &record.blobs {
            waiting.remove(&blob.digest);
        }
    }
}

fn denied(namespace: &str, limit: u64) -> ApiError {
    let message = format!(
        "the images of namespace {namespace}, with what is being uploaded, would have more than the {limit} bytes that its quota allows"
    );
    ApiError::new(StatusCode::FORBIDDEN, Code::Denied, message)
}

impl Registry {
    fn limited(&self, namespace: &str) -> Option<(u64, Arc<Pushed>)> {
        let limit = self.0.access.quota(namespace)?;
        let mut pushes = self.0.pushes.0.lock();
        Some((limit, pushes.entry(namespace.into()).or_default().clone()))
    }

    /// Waits for the turn of an image, and refuses it where the images of its namespace would have more bytes than they
    /// may, each blob counted once. None if there is no limit.
    pub(crate) async fn admit(
        &self,
        repository: &str,
        digest: &Digest,
        record: &ManifestRecord,
    ) -> Result<Option<Turn>, ApiError> {
        let namespace = namespace(repository);
        let Some((limit, pushed)) = self.limited(namespace) else {
            return Ok(None);
        };
        let guard = pushed.turn.clone().lock_owned().await;
        let blobs = record.blobs.iter();
        let blobs = blobs.map(|blob| (blob.digest.clone(), blob.size));
        let new: Vec<_> = blobs.chain([(digest.clone(), record.size)]).collect();
        let used = self.used(namespace, &new).await?;
        // What adds nothing is no reason to refuse a tag, also where the limit was lowered since.
        if used > limit && used > self.used(namespace, &[]).await? {
            return Err(denied(namespace, limit));
        }
        Ok(Some(Turn {
            pushed,
            _guard: guard,
        }))
    }

    /// Refuses an upload into a namespace that has no room for anything.
    pub(crate) async fn check_room(&self, repository: &str) -> Result<(), ApiError> {
        let namespace = namespace(repository);
        if let Some((limit, pushed)) = self.limited(namespace) {
            let named = self.named_bytes(namespace, &pushed).await?;
            if named.saturating_add(pushed.bytes()) >= limit {
                return Err(denied(namespace, limit));
            }
        }
        Ok(())
    }

    /// Adds to an upload, whose new length comes back, and gives it up where its namespace would have more bytes than it may.
    pub(crate) async fn append(
        &self,
        repository: &str,
        id: &UploadId,
        at: Option<u64>,
        most: u64,
        body: ByteStream,
    ) -> Result<u64, ApiError> {
        let (blobs, namespace) = (&self.0.blobs, namespace(repository));
        let Some((limit, pushed)) = self.limited(namespace) else {
            return Ok(blobs.append(id, at, most, body).await?);
        };
        let named = self.named_bytes(namespace, &pushed).await?;
        let length = blobs.length(id).await?;
        pushed.uploads.lock().insert(id.clone(), length);
        let over = Arc::new(AtomicBool::new(false));
        let (counted, told) = (id.clone(), over.clone());
        let body = body.map(move |piece| {
            let piece = piece?;
            if let Some(bytes) = pushed.uploads.lock().get_mut(&counted) {
                *bytes += piece.len() as u64;
            }
            if named.saturating_add(pushed.bytes()) > limit {
                told.store(true, Ordering::Relaxed);
                return Err(io::Error::other("the quota of its namespace is used up"));
            }
            Ok(piece)
        });
        let appended = blobs.append(id, at, most, body.boxed()).await;
        if over.load(Ordering::Relaxed) {
            blobs.discard(id).await?;
            return Err(denied(namespace, limit));
        }
        Ok(appended?)
    }

    /// An upload is a blob now, which waits for an image.
    pub(crate) fn uploaded(&self, repository: &str, id: &UploadId, digest: &Digest, size: u64) {
        if let Some((_, pushed)) = self.limited(namespace(repository)) {
            let since = self.0.metadata.now();
            pushed.waiting.lock().insert(digest.clone(), (size, since));
            pushed.uploads.lock().remove(id);
        }
    }

    /// The bytes of the images of a namespace, without those of blobs that are among what waits.
    async fn named_bytes(&self, namespace: &str, pushed: &Pushed) -> Result<u64, ApiError> {
        let ids: Vec<UploadId> = pushed.uploads.lock().keys().cloned().collect();
        for id in ids {
            if let Err(BlobsError::NoUpload(id)) = self.0.blobs.length(&id).await {
                pushed.uploads.lock().remove(&id);
            }
        }
        let (grace, now) = (self.0.metadata.grace, self.0.metadata.now());
        let over = |since: u64| grace.is_over(since, now);
        pushed.waiting.lock().retain(|_, (_, since)| !over(*since));
        let waiting = pushed.waiting();
        if waiting.len() >= WAITING_MAX {
            let message = format!("more than {WAITING_MAX} blobs wait for an image of {namespace}");
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(ApiError::new(status, Code::TooManyRequests, message));
        }
        let all = self.used(namespace, &waiting).await?;
        let waiting: u64 = waiting.iter().map(|(_, size)| size).sum();
        Ok(all.saturating_sub(waiting))
    }

    /// The bytes that the images of a namespace and something new have together.
    pub(crate) async fn used(
        &self,
        wanted: &str,
        new: &[(Digest, u64)],
    ) -> Result<u64, MetadataError> {
        let mut sizes: HashMap<Digest, u64> = new.iter().cloned().collect();
        // Those of namespace `default` have no slash, so they are anywhere in the list.
        let prefix = match wanted {
            "default" => keys::MANIFESTS.to_owned(),
            namespace => format!("{}{namespace}/", keys::MANIFESTS),
        };
        let count = |entry: &mosaic_store::Entry| {
            let Some((repository, digest)) = keys::parse_manifest(&entry.key) else {
                return Ok(None::<()>);
            };
            if namespace(repository) == wanted {
                let manifest = parse::<ManifestRecord>(entry)?.value;
                sizes.insert(digest, manifest.size);
                let blobs = manifest.blobs.into_iter();
                sizes.extend(blobs.map(|blob| (blob.digest, blob.size)));
            }
            Ok(None)
        };
        self.0.metadata.find(&prefix, count).await?;
        Ok(sizes
            .values()
            .fold(0, |sum: u64, size| sum.saturating_add(*size)))
    }
}
