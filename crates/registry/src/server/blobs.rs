//! Pulling and deleting blobs (distribution-spec, "Pulling blobs": end-2; "Deleting Blobs": end-10).

use http::{HeaderValue, Response, StatusCode, header};
use mosaic_image::Digest;

use super::body::{Body, answer, empty, stream};
use super::error::{ApiError, Code};
use super::route::{Asked, range};
use super::{Answer, CONTENT_DIGEST, Call, set};
use crate::access::Action;
use crate::metadata::Removed;

impl Call<'_> {
    pub(super) fn is_current(&self, digest: &Digest) -> bool {
        let tag = format!("\"{digest}\"");
        let known = self.header(header::IF_NONE_MATCH).unwrap_or_default();
        known.split(',').any(|known| {
            let known = known.trim().trim_start_matches("W/");
            known == tag || known == digest.as_ref() || known == "*"
        })
    }

    /// What the answer to a read of content says of it.
    pub(crate) fn describe(response: &mut Response<Body>, digest: &Digest, media_type: &str) {
        set(response, header::CONTENT_TYPE, media_type);
        set(response, CONTENT_DIGEST, digest.as_ref());
        set(response, header::ETAG, &format!("\"{digest}\""));
        let headers = response.headers_mut();
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
    }

    pub(super) async fn get_blob(&self, digest: &Digest) -> Answer {
        if let Some(fetched) = self.fetch_blob(digest).await? {
            return Ok(fetched);
        }
        let unknown = || {
            let message = format!("{digest} is not in repository {}", self.repository);
            ApiError::missing(Code::BlobUnknown, message)
        };
        let metadata = &self.registry.0.metadata;
        let readable = |repository: &str| self.may(Action::Pull, repository);
        let pushes = self.may(Action::Push, self.repository);
        if self.is_head() && pushes {
            // The beginning of a push that will not upload it: it has to stay until its manifest comes.
            let held = metadata.hold(self.repository, digest, &readable).await?;
            let size = held.ok_or_else(unknown)?;
            return Ok(self.whole(digest, size, empty()));
        }
        let discover: Option<crate::metadata::Readable<'_>> = pushes.then_some(&readable);
        if !metadata.has(self.repository, digest, discover).await? {
            return Err(unknown());
        }
        if self.is_head() {
            let stat = self.registry.0.blobs.stat(digest).await?;
            let size = stat.ok_or_else(unknown)?.size;
            return Ok(self.whole(digest, size, empty()));
        }
        self.send_blob(digest).await?.ok_or_else(unknown)
    }

    pub(crate) fn whole(&self, digest: &Digest, size: u64, body: Body) -> Response<Body> {
        let mut response = answer(StatusCode::OK, body);
        Self::describe(&mut response, digest, "application/octet-stream");
        let headers = response.headers_mut();
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CONTENT_LENGTH, size.into());
        response
    }

    /// The bytes, or the part of them that is asked for; none if there are none.
    pub(crate) async fn send_blob(
        &self,
        digest: &Digest,
    ) -> Result<Option<Response<Body>>, ApiError> {
        if self.is_current(digest) {
            let stat = self.registry.0.blobs.stat(digest).await?;
            return Ok(stat.map(|_| {
                let mut response = answer(StatusCode::NOT_MODIFIED, empty());
                Self::describe(&mut response, digest, "application/octet-stream");
                response
            }));
        }
        let asked = self.header(header::RANGE).map(str::to_owned);
        if asked.is_none() {
            let read = self.registry.0.blobs.read(digest, 0..u64::MAX).await?;
            return Ok(read.map(|(size, bytes)| self.whole(digest, size, stream(bytes))));
        }
        let Some(stat) = self.registry.0.blobs.stat(digest).await? else {
            return Ok(None);
        };
        let part = match range(asked.as_deref(), stat.size) {
            Asked::Unsatisfiable => {
                let error = ApiError::new(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    Code::SizeInvalid,
                    format_args!("{digest} has {} bytes", stat.size),
                );
                let size = format!("bytes */{}", stat.size);
                return Err(error.with(header::CONTENT_RANGE, &size));
            }
            Asked::Whole => None,
            Asked::Part(part) => Some(part),
        };
        let wanted = part.clone().unwrap_or(0..u64::MAX);
        let Some((size, bytes)) = self.registry.0.blobs.read(digest, wanted).await? else {
            return Ok(None);
        };
        let Some(part) = part else {
            return Ok(Some(self.whole(digest, size, stream(bytes))));
        };
        let mut response = self.whole(digest, part.end - part.start, stream(bytes));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let shown = format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1));
        set(&mut response, header::CONTENT_RANGE, &shown);
        Ok(Some(response))
    }

    pub(super) async fn delete_blob(&self, digest: &Digest) -> Answer {
        let removed = self
            .registry
            .0
            .metadata
            .remove_blob(self.repository, digest);
        match removed.await? {
            Removed::Done => Ok(answer(StatusCode::ACCEPTED, empty())),
            Removed::Absent | Removed::Tagged => {
                let message = format!("{digest} is not in repository {}", self.repository);
                Err(ApiError::missing(Code::BlobUnknown, message))
            }
            Removed::NamedBy(manifest) => Err(named_by(digest, &manifest)),
        }
    }
}

/// The refusal to make another manifest incomplete.
pub(super) fn named_by(digest: &Digest, manifest: &Digest) -> ApiError {
    let message = format!("{digest} is a part of {manifest}, which has to be deleted before it");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message)
}
