//! Blobs in object storage, such as S3, which several servers share.
//!
//! ```text
//! blobs/sha256/ab/<hex>     content
//! uploads/<id>/<random>     what one request added to an upload
//! store: upload/<id>        which of these there are, in order, and the hash of all bytes so far
//! ```
//!
//! The state of the hash stands in the upload's record, so whichever server gets the next request goes on with it. Two
//! requests that add at once both expect the same revision of the record, so one of them is refused.

mod sink;

use std::ops::Range;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use mosaic_image::{Digest, Hasher, digest};
use mosaic_store::{Expect, ListOptions, Revision, Store, StoreError, Write};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload,
};
use serde::{Deserialize, Serialize};
use sink::Sink;

use super::{Blobs, BlobsError, ByteStream, Incoming, Result, Stat, UploadId};
use crate::clock::{Clock as _, System};
use crate::metadata::keys;

/// The most that S3 copies without its bytes passing through here.
const COPY_MAX: u64 = 5 << 30;
/// The most requests that one upload is made of.
const PIECES_MAX: usize = 10_000;

/// Blobs in object storage; the records of uploads are in a store.
pub struct Objects {
    objects: Arc<dyn ObjectStore>,
    store: Arc<dyn Store>,
}

/// An upload under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UploadRecord {
    /// What was added, in order.
    pieces: Vec<Piece>,
    /// The state of the hash of all that.
    hash: String,
    /// When it last grew, in seconds since 1970.
    touched: u64,
    /// Its digest was told, so nothing is added any more.
    #[serde(default)]
    sealed: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece {
    name: String,
    size: u64,
}

impl UploadRecord {
    fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.size).sum()
    }
}

/// A piece that was added, before its record is written.
struct Added {
    size: u64,
    hasher: Hasher,
}

fn failed(action: &'static str, what: impl std::fmt::Display) -> impl FnOnce(Error) -> BlobsError {
    move |error| BlobsError::io(action, what, std::io::Error::other(error))
}

fn store_failed(id: &UploadId, error: StoreError) -> BlobsError {
    let what = format!("the record of upload {id}");
    match error {
        StoreError::Full(_) => BlobsError::Full {
            action: "write",
            what,
        },
        error => BlobsError::io("read or write", what, std::io::Error::other(error)),
    }
}

fn blob_path(digest: &Digest) -> Path {
    let hex = digest.digest();
    let first = hex.get(..2).unwrap_or("00");
    Path::from(format!("blobs/{}/{first}/{hex}", digest.algorithm()))
}

fn piece_path(id: &UploadId, name: &str) -> Path {
    Path::from(format!("uploads/{id}/{name}"))
}

fn stat(meta: &ObjectMeta) -> Stat {
    Stat {
        size: meta.size,
        modified: u64::try_from(meta.last_modified.timestamp()).unwrap_or(0),
    }
}

impl Objects {
    /// Blobs in object storage, with the records of uploads in the registry's store.
    pub fn new(objects: Arc<dyn ObjectStore>, store: Arc<dyn Store>) -> Self {
        Self { objects, store }
    }

    async fn record(&self, id: &UploadId) -> Result<(UploadRecord, Revision)> {
        let entry = self.store.get(&keys::upload(id.as_str())).await;
        let entry = entry.map_err(|error| store_failed(id, error))?;
        let entry = entry.ok_or_else(|| BlobsError::NoUpload(id.clone()))?;
        let record = serde_json::from_slice(&entry.value).map_err(|error| {
            BlobsError::io("read", format!("upload {id}"), std::io::Error::other(error))
        })?;
        Ok((record, entry.revision))
    }

    async fn write(
        &self,
        id: &UploadId,
        expect: Expect,
        record: Option<&UploadRecord>,
    ) -> Result<()> {
        let value = record.map(serde_json::to_vec).transpose();
        let value = value.map_err(|error| {
            BlobsError::io(
                "write",
                format!("upload {id}"),
                std::io::Error::other(error),
            )
        })?;
        let write = Write {
            key: keys::upload(id.as_str()).into(),
            expect,
            value: value.map(Bytes::from),
        };
        match self.store.write(write).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict { .. }) => Err(BlobsError::Busy(id.clone())),
            Err(error) => Err(store_failed(id, error)),
        }
    }

    fn restore(id: &UploadId, record: &UploadRecord) -> Result<Hasher> {
        let state = STANDARD.decode(&record.hash).ok();
        let hasher = state.and_then(|state| Hasher::restore(&state).ok());
        hasher.ok_or_else(|| {
            let error = std::io::Error::other("the state of its hash cannot be read");
            BlobsError::io("go on with", format!("upload {id}"), error)
        })
    }

    /// Writes what comes as one object, in parts if it is long, and hashes it. What came before a body broke off is
    /// written too.
    async fn add(
        &self,
        id: &UploadId,
        path: &Path,
        mut hasher: Hasher,
        mut body: Incoming<'_>,
    ) -> (Result<Added>, Result<()>) {
        let mut sink = Sink::new(self.objects.as_ref(), path.clone());
        let mut size = 0;
        let outcome = loop {
            let bytes = match body.next().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break Ok(()),
                Err(error @ BlobsError::TooLarge { .. }) => {
                    sink.abort().await;
                    return (Ok(Added { size: 0, hasher }), Err(error));
                }
                Err(error) => break Err(error),
            };
            size += bytes.len() as u64;
            hasher.update(&bytes);
            if let Err(error) = sink.push(&bytes).await {
                sink.abort().await;
                let error = failed("write", format!("upload {id}"))(error);
                return (Err(error), Ok(()));
            }
        };
        let finished = sink.finish(size > 0).await;
        let added = finished.map_err(failed("write", format!("upload {id}")));
        (added.map(|()| Added { size, hasher }), outcome)
    }

    /// The bytes of all pieces of an upload.
    fn pieces<'a>(
        &'a self,
        id: &'a UploadId,
        record: &'a UploadRecord,
    ) -> impl futures::Stream<Item = Result<Bytes>> + 'a {
        let paths = record
            .pieces
            .iter()
            .map(|piece| piece_path(id, &piece.name));
        futures::stream::iter(paths)
            .then(move |path| async move {
                let got = self.objects.get(&path).await;
                let got = got.map_err(failed("read", format!("upload {id}")))?;
                let what = format!("upload {id}");
                Ok::<_, BlobsError>(
                    got.into_stream()
                        .map_err(move |error| failed("read", &what)(error)),
                )
            })
            .try_flatten()
    }
}

#[async_trait::async_trait]
impl Blobs for Objects {
    async fn stat(&self, digest: &Digest) -> Result<Option<Stat>> {
        match self.objects.head(&blob_path(digest)).await {
            Ok(meta) => Ok(Some(stat(&meta))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("look at blob", digest)(error)),
        }
    }

    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Option<(u64, ByteStream)>> {
        let whole = range.start == 0 && range.end == u64::MAX;
        let options = GetOptions {
            range: (!whole).then_some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        match self.objects.get_opts(&blob_path(digest), options).await {
            Ok(got) => {
                let size = got.meta.size;
                let bytes = got.into_stream().map_err(std::io::Error::other);
                Ok(Some((size, bytes.boxed())))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read blob", digest)(error)),
        }
    }

    async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<()> {
        let payload = PutPayload::from_bytes(bytes);
        let put = self.objects.put(&blob_path(digest), payload).await;
        put.map(drop).map_err(failed("write blob", digest))
    }

    async fn delete(&self, digest: &Digest) -> Result<()> {
        match self.objects.delete(&blob_path(digest)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete blob", digest)(error)),
        }
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<(Digest, Stat)>> {
        let prefix = Path::from("blobs");
        let offset = after.map_or_else(|| prefix.clone(), blob_path);
        let listed = self.objects.list_with_offset(Some(&prefix), &offset);
        let found: Vec<ObjectMeta> = listed
            .take(limit)
            .try_collect()
            .await
            .map_err(failed("list", "blobs"))?;
        let digest = |meta: &ObjectMeta| {
            let mut parts = meta.location.parts().skip(1);
            let (algorithm, _, hex) = (parts.next()?, parts.next()?, parts.next()?);
            digest::parse(&format!("{}:{}", algorithm.as_ref(), hex.as_ref())).ok()
        };
        let known = found
            .iter()
            .filter_map(|meta| Some((digest(meta)?, stat(meta))));
        Ok(known.collect())
    }

    async fn start(&self, id: &UploadId) -> Result<()> {
        let record = UploadRecord {
            pieces: Vec::new(),
            hash: STANDARD.encode(Hasher::sha256().save().unwrap_or_default()),
            touched: System.now(),
            sealed: false,
        };
        self.write(id, Expect::Absent, Some(&record)).await
    }

    async fn length(&self, id: &UploadId) -> Result<u64> {
        Ok(self.record(id).await?.0.length())
    }

    async fn append(
        &self,
        id: &UploadId,
        at: Option<u64>,
        most: u64,
        body: ByteStream,
    ) -> Result<u64> {
        let (mut record, revision) = self.record(id).await?;
        if record.sealed {
            return Err(BlobsError::NoUpload(id.clone()));
        }
        let length = record.length();
        let body = Incoming::new(id, at, length, most, body)?;
        if record.pieces.len() >= PIECES_MAX {
            return Err(BlobsError::TooLarge {
                id: id.clone(),
                most: length,
            });
        }
        let name = uuid::Uuid::new_v4().simple().to_string();
        let path = piece_path(id, &name);
        let hasher = Self::restore(id, &record)?;
        let (added, outcome) = self.add(id, &path, hasher, body).await;
        if let Err(error @ BlobsError::TooLarge { .. }) = outcome {
            self.discard(id).await?;
            return Err(error);
        }
        let added = added?;
        if added.size > 0 {
            record.hash = STANDARD.encode(added.hasher.save().unwrap_or_default());
            record.touched = System.now();
            record.pieces.push(Piece {
                name,
                size: added.size,
            });
            let written = self.write(id, Expect::At(revision), Some(&record)).await;
            if let Err(error) = written {
                // Another request was quicker: what this one brought belongs to nothing.
                let deleted = self.objects.delete(&path).await;
                if let Err(error) = deleted {
                    tracing::debug!(%error, %path, "a piece of an upload stays");
                }
                return Err(error);
            }
        }
        outcome?;
        Ok(record.length())
    }

    async fn peek(&self, id: &UploadId, offset: u64, most: u64) -> Result<Bytes> {
        let (record, _) = self.record(id).await?;
        let mut start = 0;
        for piece in &record.pieces {
            if offset < start + piece.size {
                let first = offset - start;
                let range = first..piece.size.min(first + most);
                let path = piece_path(id, &piece.name);
                let got = self.objects.get_range(&path, range).await;
                return got.map_err(failed("read", format!("upload {id}")));
            }
            start += piece.size;
        }
        Ok(Bytes::new())
    }

    async fn seal(&self, id: &UploadId, expected: &Digest) -> Result<u64> {
        let (mut record, revision) = self.record(id).await?;
        let wrong = || BlobsError::Digest {
            expected: expected.clone(),
        };
        let hasher = match expected.algorithm().as_ref() {
            "sha256" => Self::restore(id, &record)?,
            _ => {
                let mut hasher = Hasher::new(expected.algorithm()).map_err(|_| wrong())?;
                let pieces = self.pieces(id, &record);
                futures::pin_mut!(pieces);
                while let Some(bytes) = pieces.try_next().await? {
                    hasher.update(&bytes);
                }
                hasher
            }
        };
        if hasher.finish() != *expected {
            return Err(wrong());
        }
        if !record.sealed {
            // What is added meanwhile makes this fail, and the other way round.
            record.sealed = true;
            self.write(id, Expect::At(revision), Some(&record)).await?;
        }
        Ok(record.length())
    }

    async fn place(&self, id: &UploadId, digest: &Digest) -> Result<()> {
        let (record, _) = self.record(id).await?;
        let to = blob_path(digest);
        if let [piece] = record.pieces.as_slice()
            && piece.size <= COPY_MAX
        {
            let copied = self.objects.copy(&piece_path(id, &piece.name), &to).await;
            return copied.map_err(failed("place blob", digest));
        }
        let mut sink = Sink::new(self.objects.as_ref(), to);
        let pieces = self.pieces(id, &record);
        futures::pin_mut!(pieces);
        while let Some(bytes) = pieces.try_next().await? {
            sink.push(&bytes)
                .await
                .map_err(failed("place blob", digest))?;
        }
        let placed = sink.finish(true).await;
        placed.map_err(failed("place blob", digest))
    }

    async fn discard(&self, id: &UploadId) -> Result<()> {
        let prefix = Path::from(format!("uploads/{id}"));
        let pieces: Vec<ObjectMeta> = self
            .objects
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(failed("list", format!("upload {id}")))?;
        for piece in pieces {
            match self.objects.delete(&piece.location).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(failed("delete", format!("upload {id}"))(error)),
            }
        }
        match self.record(id).await {
            Ok((_, revision)) => match self.write(id, Expect::At(revision), None).await {
                Err(BlobsError::Busy(_)) => Ok(()),
                written => written,
            },
            Err(BlobsError::NoUpload(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn uploads(&self) -> Result<Vec<(UploadId, u64)>> {
        let listed = self.store.list(keys::UPLOADS, ListOptions::default()).await;
        let page = listed
            .map_err(|error| BlobsError::io("list", "uploads", std::io::Error::other(error)))?;
        let known = page.entries.iter().filter_map(|entry| {
            let id = UploadId::parse(entry.key.strip_prefix(keys::UPLOADS)?)?;
            let record: UploadRecord = serde_json::from_slice(&entry.value).ok()?;
            Some((id, record.touched))
        });
        Ok(known.collect())
    }
}
