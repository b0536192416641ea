//! Answers that say no, as the distribution-spec writes them ("Error Codes").

use http::{HeaderValue, Response, StatusCode, header};
use mosaic_image::{DigestError, DocumentError};
use mosaic_store::StoreError;
use serde::Serialize;

use super::body::{Body, full};
use crate::blobs::BlobsError;
use crate::metadata::MetadataError;

/// The codes of the distribution-spec, and those that Docker adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    #[serde(rename = "TOOMANYREQUESTS")]
    TooManyRequests,
    /// Docker's, for a tag that is none.
    TagInvalid,
    /// Docker's, for a page that cannot be.
    PaginationNumberInvalid,
    /// Docker's, for what the registry cannot help.
    Unknown,
    /// Docker's, for what may work in a while.
    Unavailable,
}

/// An answer that says no.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) headers: Vec<(header::HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: Code, message: impl ToString) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn bad(code: Code, message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn missing(code: Code, message: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(crate) fn with(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        if self.status.is_server_error() {
            tracing::warn!(status = %self.status, message = self.message, "a request failed");
        }
        let body = serde_json::json!({
            "errors": [{ "code": self.code, "message": self.message, "detail": null }],
        });
        let mut response = Response::new(full(body.to_string()));
        *response.status_mut() = self.status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<BlobsError> for ApiError {
    fn from(error: BlobsError) -> Self {
        use StatusCode as S;
        let (status, code) = match &error {
            BlobsError::Full { .. } => (S::INSUFFICIENT_STORAGE, Code::Unknown),
            BlobsError::Failed { .. } => (S::INTERNAL_SERVER_ERROR, Code::Unknown),
            BlobsError::NoUpload(_) => (S::NOT_FOUND, Code::BlobUploadUnknown),
            BlobsError::Busy(_) => (S::CONFLICT, Code::BlobUploadInvalid),
            BlobsError::Offset { .. } => (S::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid),
            BlobsError::TooLarge { .. } => (S::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
            BlobsError::Broken { .. } => (S::BAD_REQUEST, Code::BlobUploadInvalid),
            BlobsError::Digest { .. } => (S::BAD_REQUEST, Code::DigestInvalid),
            BlobsError::TooMany => (S::TOO_MANY_REQUESTS, Code::TooManyRequests),
        };
        let range = match &error {
            BlobsError::Offset { length, .. } => Some(format!("0-{}", length.saturating_sub(1))),
            _ => None,
        };
        let error = Self::new(status, code, error);
        match range {
            Some(range) => error.with(header::RANGE, &range),
            None => error,
        }
    }
}

impl From<MetadataError> for ApiError {
    fn from(error: MetadataError) -> Self {
        use StatusCode as S;
        let (status, code) = match error {
            MetadataError::Blobs(error) => return error.into(),
            MetadataError::Store {
                source: StoreError::Full(_),
                ..
            } => (S::INSUFFICIENT_STORAGE, Code::Unknown),
            MetadataError::Store {
                source: StoreError::Unavailable(_),
                ..
            }
            | MetadataError::Busy { .. } => (S::SERVICE_UNAVAILABLE, Code::Unavailable),
            MetadataError::Store { .. } | MetadataError::Corrupt { .. } => {
                (S::INTERNAL_SERVER_ERROR, Code::Unknown)
            }
            MetadataError::Refused { .. } => (S::FORBIDDEN, Code::Denied),
            MetadataError::Absent { .. } => (S::NOT_FOUND, Code::ManifestBlobUnknown),
            MetadataError::Size { .. } => (S::BAD_REQUEST, Code::ManifestInvalid),
        };
        Self::new(status, code, error)
    }
}

impl From<DocumentError> for ApiError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, error)
            }
            DocumentError::Digest(error) => error.into(),
            _ => Self::bad(Code::ManifestInvalid, error),
        }
    }
}

impl From<DigestError> for ApiError {
    fn from(error: DigestError) -> Self {
        Self::bad(Code::DigestInvalid, error)
    }
}
