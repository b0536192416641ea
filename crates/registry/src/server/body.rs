//! Bodies of answers and of requests.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};

use super::error::{ApiError, Code};
use crate::blobs::ByteStream;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a request may carry.
pub trait RequestBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
    + Send
    + 'static
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static
{
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn stream(bytes: ByteStream) -> Body {
    StreamBody::new(bytes.map_ok(Frame::data)).boxed_unsync()
}

/// An answer with a status and nothing else yet.
pub(crate) fn answer(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// The body of a request as it comes.
pub(crate) fn incoming(body: impl RequestBody) -> ByteStream {
    let stream = body.into_data_stream();
    stream
        .map(|bytes| bytes.map_err(|error| io::Error::other(error.into())))
        .boxed()
}

/// How long the body of a manifest may take. It holds room that others wait for.
const MANIFEST_TIME: Duration = Duration::from_secs(60);

/// A whole body of at most `most` bytes.
pub(crate) async fn collect(body: ByteStream, most: usize) -> Result<Bytes, ApiError> {
    let collected = tokio::time::timeout(MANIFEST_TIME, collect_all(body, most)).await;
    collected.unwrap_or_else(|_| {
        let message = "the manifest did not come in time";
        let status = StatusCode::REQUEST_TIMEOUT;
        Err(ApiError::new(status, Code::ManifestInvalid, message))
    })
}

async fn collect_all(mut body: ByteStream, most: usize) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::new();
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| ApiError::bad(Code::ManifestInvalid, error))?;
        if whole.len() + bytes.len() > most {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::SizeInvalid,
                format_args!("a manifest is longer than {most} bytes"),
            ));
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}
