//! Pushing blobs (distribution-spec, "Pushing blobs": end-4 to end-6, end-11, end-13; and cancelling).

use http::{HeaderName, Method, Response, StatusCode, header};
use mosaic_image::{Digest, digest};

use super::body::{Body, answer, empty};
use super::error::{ApiError, Code};
use super::route::content_range;
use super::{Answer, CONTENT_DIGEST, Call, method_not_allowed, set};
use crate::access::Action;
use crate::blobs::{BlobsError, ByteStream, UploadId};
use crate::metadata::Source;

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

impl Call<'_> {
    fn blobs(&self) -> &dyn crate::blobs::Blobs {
        self.registry.0.blobs.as_ref()
    }

    /// `POST /v2/<name>/blobs/uploads/`: mounts a blob, takes a whole one, or begins an upload.
    pub(super) async fn start_upload(&self, body: ByteStream) -> Answer {
        self.refuse_mirror()?;
        self.blobs().room().await?;
        if let Some(mount) = self.query("mount") {
            let mount = digest::parse(&mount)?;
            if self.mount(&mount).await? {
                return Ok(self.created(&mount));
            }
        }
        let expected = self.query("digest");
        let expected = expected.as_deref().map(digest::parse).transpose()?;
        self.registry.check_room(self.repository).await?;
        let id = UploadId::new(self.repository);
        self.blobs().start(&id).await?;
        let Some(expected) = expected else {
            return Ok(self.progress(StatusCode::ACCEPTED, &id, 0));
        };
        let outcome = async {
            self.append(&id, body).await?;
            self.finish(&id, &expected).await
        };
        match outcome.await {
            Ok(response) => Ok(response),
            Err(error) => {
                // Nobody knows its name, so nobody can go on with it.
                self.blobs().discard(&id).await?;
                Err(error)
            }
        }
    }

    async fn mount(&self, digest: &Digest) -> Result<bool, ApiError> {
        let metadata = &self.registry.0.metadata;
        let readable = |repository: &str| self.may(Action::Pull, repository);
        if let Some(from) = self.query("from") {
            // Whether the other repository has it is only said to those who may read that.
            if !readable(&from) || !metadata.has(&from, digest, None).await? {
                return Ok(false);
            }
            let there = metadata.touch(digest).await?.is_some();
            if there {
                metadata.link(self.repository, digest).await?;
            }
            return Ok(there);
        }
        let held = metadata.hold(self.repository, digest, &readable).await?;
        Ok(held.is_some())
    }

    /// What is done to an upload under way.
    pub(super) async fn upload(&self, id: &UploadId, body: ByteStream) -> Answer {
        if !id.is_for(self.repository) {
            return Err(BlobsError::NoUpload(id.clone()).into());
        }
        match self.head.method {
            Method::GET | Method::HEAD => {
                let length = self.blobs().length(id).await?;
                Ok(self.progress(StatusCode::NO_CONTENT, id, length))
            }
            Method::PATCH => {
                let length = self.append(id, body).await?;
                Ok(self.progress(StatusCode::ACCEPTED, id, length))
            }
            Method::PUT => self.complete(id, body).await,
            Method::DELETE => {
                self.blobs().length(id).await?;
                self.blobs().discard(id).await?;
                Ok(answer(StatusCode::NO_CONTENT, empty()))
            }
            _ => Err(method_not_allowed()),
        }
    }

    /// Adds the body to an upload; its new length.
    async fn append(&self, id: &UploadId, body: ByteStream) -> Result<u64, ApiError> {
        let invalid = |message: &str| ApiError::bad(Code::BlobUploadInvalid, message);
        let length = self.header(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.parse::<u64>().ok());
        let most = self.registry.0.settings.blob_max;
        let (at, most) = match self.header(header::CONTENT_RANGE) {
            None => (None, most),
            Some(range) => {
                let range = content_range(range);
                let (first, last) =
                    range.ok_or_else(|| invalid("Content-Range is not <first>-<last>"))?;
                if length.is_some_and(|length| length != last - first + 1) {
                    let message = "Content-Range and Content-Length disagree";
                    return Err(ApiError::bad(Code::SizeInvalid, message));
                }
                (Some(first), most.min(last + 1))
            }
        };
        let appended = self.registry.append(self.repository, id, at, most, body);
        let reached = appended.await?;
        if let Some(first) = at
            && reached < most
            && length.is_none()
        {
            let message = format!("the chunk has {} bytes less than its range", most - reached);
            tracing::debug!(%id, first, message);
            return Err(ApiError::bad(Code::SizeInvalid, message));
        }
        Ok(reached)
    }

    /// `PUT`: the rest of the bytes, and what they should be.
    async fn complete(&self, id: &UploadId, body: ByteStream) -> Answer {
        let expected = self.query("digest");
        let expected = expected.ok_or_else(|| {
            let message = "an upload is ended with its digest as a parameter";
            ApiError::bad(Code::DigestInvalid, message)
        })?;
        let expected = digest::parse(&expected)?;
        let nothing = self
            .header(header::CONTENT_LENGTH)
            .is_some_and(|text| text == "0");
        if !nothing {
            self.append(id, body).await?;
        }
        self.finish(id, &expected).await
    }

    async fn finish(&self, id: &UploadId, digest: &Digest) -> Answer {
        let metadata = &self.registry.0.metadata;
        // Its bytes may have taken long.
        let claim = self.claim(Action::Push);
        metadata.check_claim(self.repository, &claim).await?;
        let size = match self.blobs().seal(id, digest).await {
            Err(error @ BlobsError::Digest { .. }) => {
                // What came is not what was announced: there is nothing to go on with.
                self.blobs().discard(id).await?;
                return Err(error.into());
            }
            sealed => sealed?,
        };
        let kept = metadata.keep(digest, size, Source::Upload(id), Some(self.repository));
        if let Err(error) = kept.await {
            if matches!(
                &error,
                crate::metadata::MetadataError::Blobs(BlobsError::Full { .. })
            ) {
                self.blobs().discard(id).await?;
            }
            return Err(error.into());
        }
        self.registry.uploaded(self.repository, id, digest, size);
        self.blobs().discard(id).await?;
        Ok(self.created(digest))
    }

    fn created(&self, digest: &Digest) -> Response<Body> {
        let mut response = answer(StatusCode::CREATED, empty());
        let location = self.location(format_args!("blobs/{digest}"));
        set(&mut response, header::LOCATION, &location);
        set(&mut response, CONTENT_DIGEST, digest.as_ref());
        response
    }

    fn progress(&self, status: StatusCode, id: &UploadId, length: u64) -> Response<Body> {
        let mut response = answer(status, empty());
        let location = self.location(format_args!("blobs/uploads/{id}"));
        set(&mut response, header::LOCATION, &location);
        // Nothing and one byte cannot be told apart in this form; Docker's registry writes both so.
        let range = format!("0-{}", length.saturating_sub(1));
        set(&mut response, header::RANGE, &range);
        set(&mut response, UPLOAD_UUID, id.as_str());
        response
    }
}
