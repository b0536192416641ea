//! Taking in the bodies of requests: bounded in size, in time, and in what all of them hold together.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use mosaic_api::{Reason, Status};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 3 << 20;
/// How much of a body that is not wanted is read before its client is told, in bytes.
const MAX_DISCARDED: usize = 32 << 20;
/// How long a body may take.
const BODY: Duration = Duration::from_secs(60);
/// How long is spent on a body that is not wanted.
const DISCARD: Duration = Duration::from_secs(5);
/// What all bodies that are being read or worked on may hold together, in KiB.
const ALL_BODIES_KIB: usize = 256 << 10;

/// The room for bodies of one server.
#[derive(Debug)]
pub struct Intake {
    kibibytes: Semaphore,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            kibibytes: Semaphore::new(ALL_BODIES_KIB),
        }
    }
}

impl Intake {
    /// Reads a body; the permit is its room. What is too large is read to its end all the same, within
    /// reason, and thrown away: a client that is still writing would otherwise see its connection break
    /// instead of the answer.
    ///
    /// # Errors
    /// 413 for what is larger than [`MAX_BODY`], 504 for what takes longer than a minute, 429 when there is
    /// no room, 400 for what breaks off.
    pub async fn read<B>(
        &self,
        body: B,
        headers: &HeaderMap,
    ) -> Result<(Bytes, SemaphorePermit<'_>), Status>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let announced = announced(headers);
        if announced.is_some_and(|length| length > MAX_DISCARDED) {
            return Err(too_large());
        }
        let mut body = pin!(body);
        if body.is_end_stream() {
            return Ok((Bytes::new(), self.room(0)?));
        }
        // What does not say how long it is may become as long as it may be.
        let permit = self.room(announced.unwrap_or(MAX_BODY).min(MAX_BODY))?;
        let until = Instant::now() + BODY;
        let mut read = Vec::with_capacity(announced.unwrap_or(0).min(MAX_BODY));
        let mut length: usize = 0;
        loop {
            let frame = timeout_at(until, body.frame()).await.map_err(|_| {
                Status::new(
                    Reason::Timeout,
                    format!("the body did not come within {} s", BODY.as_secs()),
                )
            })?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| {
                Status::bad_request(format!("the body could not be read: {error}"))
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            length = length.saturating_add(data.len());
            if length <= MAX_BODY {
                read.extend_from_slice(&data);
            } else {
                read = Vec::new();
            }
            if length > MAX_DISCARDED {
                break;
            }
        }
        if length > MAX_BODY {
            return Err(too_large());
        }
        Ok((Bytes::from(read), permit))
    }

    fn room(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Status> {
        let kibibytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.kibibytes.try_acquire_many(kibibytes).map_err(|_| {
            let mut status = Status::new(
                Reason::TooManyRequests,
                "the server holds as many request bodies as it may; try again",
            );
            status.retry_after_seconds = 1;
            status
        })
    }
}

/// Reads the body of a request that is refused, within reason, and throws it away.
pub async fn discard<B: Body<Data = Bytes>>(body: B, headers: &HeaderMap) {
    // A client that waits to be asked for the body has sent none.
    let waits = headers.contains_key(header::EXPECT);
    if waits || announced(headers).is_some_and(|length| length > MAX_DISCARDED) {
        return;
    }
    let mut body = pin!(body);
    let until = Instant::now() + DISCARD;
    let mut length: usize = 0;
    while let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await {
        length = length.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if length > MAX_DISCARDED {
            return;
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn too_large() -> Status {
    Status::new(
        Reason::RequestEntityTooLarge,
        format!("Request entity too large: limit is {MAX_BODY}"),
    )
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn endless() -> impl Body<Data = Bytes, Error = std::convert::Infallible> {
        StreamBody::new(stream::pending::<Result<Frame<Bytes>, _>>())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let intake = Intake::default();
        let headers = HeaderMap::new();
        let error = intake.read(endless(), &headers).await.unwrap_err();
        assert_eq!(error.reason, Reason::Timeout);
        discard(endless(), &headers).await;
    }

    #[tokio::test]
    async fn bodies_have_room_together_and_give_it_back() {
        let intake = Intake::default();
        let headers = HeaderMap::new();
        let body = || Full::new(Bytes::from(vec![b' '; MAX_BODY]));
        let mut held = Vec::new();
        let refused = loop {
            match intake.read(body(), &headers).await {
                Ok(read) => held.push(read),
                Err(status) => break status,
            }
        };
        assert_eq!(refused.reason, Reason::TooManyRequests);
        assert_eq!(held.len(), ALL_BODIES_KIB * 1024 / MAX_BODY);
        held.pop();
        assert!(intake.read(body(), &headers).await.is_ok());
        assert!(
            intake
                .read(Full::new(Bytes::from(vec![b' '; MAX_BODY + 1])), &headers)
                .await
                .is_err()
        );
    }
}
