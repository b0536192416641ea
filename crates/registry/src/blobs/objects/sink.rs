//! Objects of any length, in the parts that S3 takes.

use bytes::BytesMut;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

/// The least that S3 takes as a part that is not the last.
const PART: usize = 5 << 20;
/// S3 takes 10,000 parts; after so many, they are twice as large.
const PARTS: usize = 1_000;

/// An object that is written as its bytes come, with one part in memory.
pub(super) struct Sink<'a> {
    objects: &'a dyn ObjectStore,
    path: Path,
    part: BytesMut,
    parts: usize,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(objects: &'a dyn ObjectStore, path: Path) -> Self {
        Self {
            objects,
            path,
            part: BytesMut::new(),
            parts: 0,
            upload: None,
        }
    }

    pub(super) async fn push(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let size = PART << (self.parts / PARTS).min(8);
            let (now, later) = bytes.split_at(bytes.len().min(size - self.part.len()));
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == size {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Error> {
        let part = PutPayload::from_bytes(self.part.split().freeze());
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => self
                .upload
                .insert(self.objects.put_multipart(&self.path).await?),
        };
        self.parts += 1;
        upload.put_part(part).await
    }

    /// Ends the object; without content, only if `always`.
    pub(super) async fn finish(mut self, always: bool) -> Result<(), Error> {
        if self.upload.is_none() {
            if always || !self.part.is_empty() {
                let whole = PutPayload::from_bytes(self.part.freeze());
                self.objects.put(&self.path, whole).await?;
            }
            return Ok(());
        }
        if !self.part.is_empty() {
            self.send().await?;
        }
        match &mut self.upload {
            Some(upload) => upload.complete().await.map(drop),
            None => Ok(()),
        }
    }

    pub(super) async fn abort(mut self) {
        if let Some(upload) = &mut self.upload
            && let Err(error) = upload.abort().await
        {
            tracing::debug!(%error, path = %self.path, "an object's parts stay until the storage drops them");
        }
    }
}
