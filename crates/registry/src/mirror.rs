//! Repositories that are another registry's: what is asked for is fetched from there once, and kept.
//!
//! ```text
//! tag ──── young ─► what is kept
//!      └── old ───► ask the upstream ─► the manifest it gives, or none; what is kept if it cannot be reached
//! blob ─── kept ──► its bytes
//!      └── not ───► one fetch, into an upload; whoever asks reads that upload while it grows
//! ```
//!
//! Nothing is ever pushed to an upstream, and nothing is pushed into a mirror. Only blobs are fetched that a manifest
//! of the repository names, which says how large they are. A repository of a mirror has the blobs that were fetched for it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::{Response, StatusCode, header};
use mosaic_image::document::Descriptor;
use mosaic_image::place::{Place, PlaceError};
use mosaic_image::{Digest, Document, MediaType, Name, Reference};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::access::Action;
use crate::blobs::{Blobs, ByteStream, UploadId};
use crate::metadata::record::{ManifestRecord, Reference as Named};
use crate::metadata::{Commit, MetadataError, Source, keys, parse};
use crate::registry::Registry;
use crate::server::{ApiError, Body, Call, Code, STALE, referrer, stream_answer};

/// A part of the registry that is another registry's.
#[derive(Clone)]
pub struct Mirror {
    /// The first components of the repositories here, such as `docker.io`; a slash and the upstream's name follow.
    pub prefix: String,
    /// The upstream, as it stands in an image's name: a host with an optional port.
    pub registry: String,
    /// What stands before the names there, with its slash; may be empty.
    pub within: String,
    /// How it is reached, with its credentials.
    pub place: Arc<dyn Place>,
    /// For how long a tag is what it was, without asking again.
    pub expiry: Duration,
}

/// The mirrors of a registry, and what they are fetching.
#[derive(Default)]
pub(crate) struct Mirrors {
    mirrors: RwLock<Vec<Arc<Mirror>>>,
    fetches: Mutex<HashMap<Wanted, Fetch>>,
    /// One question a tag at a time: those who come meanwhile find the answer kept.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What is fetched, and for which repository: what one upstream does, or one manifest says, is nothing to the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    repository: String,
    digest: Digest,
    size: u64,
}

/// A blob that is being fetched.
#[derive(Clone)]
struct Fetch {
    upload: UploadId,
    size: u64,
    progress: watch::Receiver<Progress>,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    /// So many bytes have come. They may not be written yet.
    Bytes(u64),
    /// It is in its place.
    Done,
    Failed(String),
}

impl Mirrors {
    /// The mirror that a repository is in, and the name that its images have upstream.
    fn of(&self, repository: &str) -> Option<(Arc<Mirror>, String)> {
        let mirrors = self.mirrors.read();
        mirrors.iter().find_map(|mirror| {
            let rest = repository.strip_prefix(mirror.prefix.as_str())?;
            let rest = rest.strip_prefix('/')?;
            Some((mirror.clone(), format!("{}{rest}", mirror.within)))
        })
    }

    fn turn(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock();
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(key.into()).or_default().clone()
    }
}

fn unreachable(error: &PlaceError) -> ApiError {
    let message = format!("the upstream does not answer: {error}");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
}

/// What an upstream's error says.
enum No {
    /// There is no such thing.
    Absent,
    /// We may not have it. Some say that of what is not there, and all do when a login is over.
    Refused,
    /// Nothing.
    Silent,
}

fn no(error: &PlaceError) -> No {
    match error {
        PlaceError::NotFound { .. } | PlaceError::Refused { status: 404, .. } => No::Absent,
        PlaceError::Refused {
            status: 401 | 403, ..
        } => No::Refused,
        _ => No::Silent,
    }
}

impl Registry {
    /// Sets which repositories are other registries'. Those that were, and are not any more, keep what was fetched.
    pub fn set_mirrors(&self, mirrors: Vec<Mirror>) {
        *self.0.mirrors.mirrors.write() = mirrors.into_iter().map(Arc::new).collect();
    }
}

impl Call<'_> {
    pub(crate) fn refuse_mirror(&self) -> Result<(), ApiError> {
        match self.registry.0.mirrors.of(self.repository) {
            None => Ok(()),
            Some((mirror, _)) => {
                let message = format!("{} is a mirror of {}", mirror.prefix, mirror.registry);
                let status = StatusCode::METHOD_NOT_ALLOWED;
                Err(ApiError::new(status, Code::Unsupported, message))
            }
        }
    }

    fn upstream_name(
        &self,
        mirror: &Mirror,
        repository: &str,
        reference: &Reference,
    ) -> Result<Name, ApiError> {
        let invalid = |error: mosaic_image::NameError| ApiError::bad(Code::NameInvalid, error);
        let repository = repository.parse().map_err(invalid)?;
        let (tag, digest) = match reference {
            Reference::Tag(tag) => (Some(tag.clone()), None),
            Reference::Digest(digest) => (None, Some(digest.clone())),
        };
        Name::new(Some(&mirror.registry), repository, tag, digest).map_err(invalid)
    }

    /// Sees to it that what is kept of a mirrored manifest is young enough. Says so if it is not.
    pub(crate) async fn fetch_manifest(
        &self,
        reference: &Reference,
    ) -> Result<Option<&'static str>, ApiError> {
        let Some((mirror, upstream)) = self.registry.0.mirrors.of(self.repository) else {
            return Ok(None);
        };
        let name = self.upstream_name(&mirror, &upstream, reference)?;
        let turn = self.registry.0.mirrors.turn(&name.to_string());
        let _turn = turn.lock().await;
        let metadata = &self.registry.0.metadata;
        let kept = match reference {
            Reference::Digest(digest) => {
                if metadata.manifest(self.repository, digest).await?.is_some() {
                    return Ok(None);
                }
                false
            }
            Reference::Tag(tag) => {
                let stored = metadata.tag(self.repository, tag.as_str()).await?;
                let checked = stored.as_ref().and_then(|tag| tag.value.checked);
                let age = checked.map(|at| metadata.now().saturating_sub(at));
                if age.is_some_and(|age| age < mirror.expiry.as_secs()) {
                    return Ok(None);
                }
                stored.is_some()
            }
        };
        let error = match mirror.place.resolve(&name).await {
            Ok(Some(document)) => {
                self.keep_mirrored(reference, &document).await?;
                return Ok(None);
            }
            Ok(None) => return self.forget_mirrored(reference, kept).await,
            Err(error) => error,
        };
        match no(&error) {
            No::Absent => self.forget_mirrored(reference, kept).await,
            No::Refused | No::Silent if kept => {
                tracing::warn!(%name, %error, "an upstream gives nothing; what was cached is served");
                Ok(Some(STALE))
            }
            No::Refused => Ok(None),
            No::Silent => Err(unreachable(&error)),
        }
    }

    /// The upstream does not have it any more.
    async fn forget_mirrored(
        &self,
        reference: &Reference,
        kept: bool,
    ) -> Result<Option<&'static str>, ApiError> {
        if let (Reference::Tag(tag), true) = (reference, kept) {
            let metadata = &self.registry.0.metadata;
            metadata.remove_tag(self.repository, tag.as_str()).await?;
        }
        Ok(None)
    }

    async fn keep_mirrored(
        &self,
        reference: &Reference,
        document: &Document,
    ) -> Result<(), ApiError> {
        let metadata = &self.registry.0.metadata;
        let record = self.registry.record(self.repository, document).await?;
        let (digest, tag) = match reference {
            Reference::Digest(digest) => (digest, None),
            Reference::Tag(tag) => (document.digest(), Some(tag.as_str())),
        };
        let admitted = self.registry.admit(self.repository, digest, &record);
        let _turn = admitted.await?;
        let source = Source::Bytes(document.bytes());
        metadata.keep(digest, record.size, source, None).await?;
        let commit = Commit {
            repository: self.repository,
            claim: &self.claim(Action::Pull),
            digest,
            record,
            referrer: referrer(document)?,
            tag,
            lazy: true,
        };
        metadata.commit(commit, &|_: &str| false).await?;
        Ok(())
    }

    /// The answer for a blob of a mirror; none if the repository is not one, or if it is kept.
    pub(crate) async fn fetch_blob(
        &self,
        digest: &Digest,
    ) -> Result<Option<Response<Body>>, ApiError> {
        let Some((mirror, upstream)) = self.registry.0.mirrors.of(self.repository) else {
            return Ok(None);
        };
        let metadata = &self.registry.0.metadata;
        let kept = metadata.touch(digest).await?;
        if kept.is_some() && metadata.has(self.repository, digest, None).await? {
            return Ok(None);
        }
        let Some(named) = self.named(digest).await? else {
            return Ok(None);
        };
        if self.is_head() {
            let nothing = crate::server::full("");
            return Ok(Some(self.whole(digest, named.size, nothing)));
        }
        // Another mirror, or a push, brought it. An upstream's manifest may name what it never had, so that gives no right
        // to it: it is for those who may read it where it is. The others get what the upstream has.
        let readable = |repository: &str| self.may(Action::Pull, repository);
        if kept == Some(named.size) && metadata.discover(digest, &readable).await? {
            return self.send_blob(digest).await;
        }
        let reference = Reference::Digest(digest.clone());
        let name = self.upstream_name(&mirror, &upstream, &reference)?;
        let fetch = self.begin(&mirror, name, &named).await?;
        if self.header(header::RANGE).is_some() {
            // Rare, and simple once it is here.
            let mut progress = fetch.progress;
            let ended = progress
                .wait_for(|at| !matches!(at, Progress::Bytes(_)))
                .await;
            return match ended.as_deref() {
                Ok(Progress::Done) => Ok(None),
                _ => Err(ApiError::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    Code::Unavailable,
                    "the upstream broke off",
                )),
            };
        }
        let size = fetch.size;
        let bytes = follow(self.registry.0.blobs.clone(), digest.clone(), fetch);
        let mut response = stream_answer(bytes);
        Self::describe(&mut response, digest, "application/octet-stream");
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, size.into());
        Ok(Some(response))
    }

    /// What a manifest of the repository says of a blob.
    async fn named(&self, digest: &Digest) -> Result<Option<Named>, MetadataError> {
        let prefix = keys::manifests(self.repository);
        let metadata = &self.registry.0.metadata;
        metadata
            .find(&prefix, |entry| {
                let blobs = parse::<ManifestRecord>(entry)?.value.blobs;
                Ok(blobs.into_iter().find(|blob| blob.digest == *digest))
            })
            .await
    }

    /// The fetch of a blob that is under way, or a new one. It goes on when whoever asked is gone.
    async fn begin(
        &self,
        mirror: &Arc<Mirror>,
        name: Name,
        named: &Named,
    ) -> Result<Fetch, ApiError> {
        let parts = self.registry.0.clone();
        let wanted = Wanted {
            repository: self.repository.to_owned(),
            digest: named.digest.clone(),
            size: named.size,
        };
        if let Some(fetch) = parts.mirrors.fetches.lock().get(&wanted) {
            return Ok(fetch.clone());
        }
        let upload = UploadId::new(self.repository);
        parts.blobs.start(&upload).await?;
        let (sender, progress) = watch::channel(Progress::Bytes(0));
        let fetch = Fetch {
            upload: upload.clone(),
            size: named.size,
            progress,
        };
        {
            let mut fetches = parts.mirrors.fetches.lock();
            if let Some(other) = fetches.get(&wanted) {
                // Somebody was quicker; the upload expires.
                return Ok(other.clone());
            }
            fetches.insert(wanted.clone(), fetch.clone());
        }
        let (mirror, named) = (mirror.clone(), named.clone());
        let registry = self.registry.clone();
        tokio::spawn(async move {
            let fetched = registry
                .fetch(&mirror, &name, &wanted.repository, &named, &upload, &sender)
                .await;
            let end = match fetched {
                Ok(()) => Progress::Done,
                Err(error) => {
                    tracing::warn!(%name, error, "a blob cannot be fetched");
                    Progress::Failed(error)
                }
            };
            // Whoever comes now finds the blob, or begins anew.
            registry.0.mirrors.fetches.lock().remove(&wanted);
            sender.send_replace(end);
            if let Err(error) = registry.0.blobs.discard(&upload).await {
                tracing::debug!(%error, "an upload stays until it expires");
            }
        });
        Ok(fetch)
    }
}

impl Registry {
    async fn fetch(
        &self,
        mirror: &Mirror,
        name: &Name,
        repository: &str,
        named: &Named,
        upload: &UploadId,
        progress: &watch::Sender<Progress>,
    ) -> Result<(), String> {
        let media_type = MediaType::Other("application/octet-stream".into());
        let descriptor = Descriptor::new(media_type, named.size, named.digest.clone());
        let body = mirror.place.read(name, &descriptor).await;
        let body = body.map_err(|error| error.to_string())?;
        let told = progress.clone();
        let mut reached = 0;
        let body: ByteStream = body
            .inspect_ok(move |bytes: &Bytes| {
                reached += bytes.len() as u64;
                told.send_replace(Progress::Bytes(reached));
            })
            .boxed();
        let appended = self.0.blobs.append(upload, Some(0), named.size, body).await;
        appended.map_err(|error| error.to_string())?;
        let size = self.0.blobs.seal(upload, &named.digest).await;
        let size = size.map_err(|error| error.to_string())?;
        let source = Source::Upload(upload);
        let kept = self
            .0
            .metadata
            .keep(&named.digest, size, source, Some(repository));
        kept.await.map_err(|error| error.to_string())
    }
}

/// What is read of a growing upload at once.
const PIECE: u64 = 256 << 10;

/// The bytes of a blob while it is fetched. The last one is held back until all were found to have the digest: what is not
/// the blob is never a whole answer.
fn follow(blobs: Arc<dyn Blobs>, digest: Digest, fetch: Fetch) -> ByteStream {
    let state = (blobs, digest, fetch, 0u64);
    let pieces =
        futures::stream::try_unfold(state, |(blobs, digest, mut fetch, offset)| async move {
            loop {
                // Before the bytes are looked at: what comes in between is told by the next change.
                let progress = fetch.progress.borrow_and_update().clone();
                let piece = match &progress {
                    Progress::Failed(reason) => return Err(io::Error::other(reason.clone())),
                    Progress::Done if offset >= fetch.size => return Ok(None),
                    Progress::Done => {
                        let end = offset + PIECE.min(fetch.size - offset);
                        let read = blobs
                            .read(&digest, offset..end)
                            .await
                            .map_err(io::Error::other)?;
                        let (_, bytes) = read.ok_or(io::ErrorKind::UnexpectedEof)?;
                        let pieces: Vec<Bytes> = bytes.try_collect().await?;
                        Bytes::from(pieces.concat())
                    }
                    Progress::Bytes(_) => match fetch.size.saturating_sub(offset + 1) {
                        0 => Bytes::new(),
                        most => blobs
                            .peek(&fetch.upload, offset, PIECE.min(most))
                            .await
                            .unwrap_or_default(),
                    },
                };
                if !piece.is_empty() {
                    let next = offset + piece.len() as u64;
                    return Ok(Some((piece, (blobs, digest, fetch, next))));
                }
                if progress == Progress::Done {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if fetch.progress.changed().await.is_err() {
                    return Err(io::Error::other("the fetch is gone"));
                }
            }
        });
    pieces.boxed()
}
