//! Bodies of answers and of requests.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::time::Instant;

use super::error::{ApiError, Code};
use super::room::{Place, Rooms, SMALL};
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

/// How long the body of a manifest may take in all, and how long nothing may come of it. It holds room that others of its
/// namespace wait for.
const MANIFEST_TIME: Duration = Duration::from_secs(60);
const MANIFEST_SILENCE: Duration = Duration::from_secs(10);

/// A whole manifest of at most `most` bytes, and its place among those of its namespace.
pub(super) async fn collect(
    mut body: ByteStream,
    most: usize,
    rooms: &Rooms,
    namespace: &str,
) -> Result<(Bytes, Vec<Place>), ApiError> {
    let late = |_| {
        let message = "the manifest did not come in time";
        let status = StatusCode::REQUEST_TIMEOUT;
        ApiError::new(status, Code::ManifestInvalid, message)
    };
    let (mut whole, mut places) = (BytesMut::new(), Vec::new());
    // Waiting for room is not the client's fault.
    let mut left = MANIFEST_TIME;
    loop {
        let asked = Instant::now();
        let next = tokio::time::timeout(left.min(MANIFEST_SILENCE), body.next());
        let Some(bytes) = next.await.map_err(late)? else {
            return Ok((whole.freeze(), places));
        };
        left = left.saturating_sub(asked.elapsed());
        let bytes = bytes.map_err(|error| ApiError::bad(Code::ManifestInvalid, error))?;
        let length = whole.len() + bytes.len();
        if length > most {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::SizeInvalid,
                format_args!("a manifest is longer than {most} bytes"),
            ));
        }
        if places.is_empty() {
            places.push(rooms.small.enter(namespace).await);
        }
        if length > SMALL && places.len() == 1 {
            places.push(rooms.large.enter(namespace).await);
        }
        whole.extend_from_slice(&bytes);
    }
}
