//! The bytes of blobs on their way: downloads that go on where they broke off, uploads that remember why they did.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use futures::{StreamExt, TryStreamExt};
use http::header::{CONTENT_RANGE, RANGE};
use http::{Method, StatusCode};
use reqwest::{Response, Url};

use super::http::{SharedHttp, Target, request};
use crate::place::{Body, PlaceError};
use crate::retry::Retry;

struct Download {
    http: SharedHttp,
    target: Target,
    url: Url,
    size: u64,
    /// How many bytes were handed on.
    offset: u64,
    /// How many bytes of the answer were handed on before: the registry did not begin where it was asked to.
    skip: u64,
    answer: Option<Response>,
    /// How often it broke off since the last byte.
    retry: Retry,
}

/// The bytes at a URL. The first answer is waited for, so that a blob that is not there is an error now.
pub(super) async fn download(
    http: SharedHttp,
    target: Target,
    url: Url,
    size: u64,
) -> Result<Body, PlaceError> {
    let mut download = Download {
        http,
        target,
        url,
        size,
        offset: 0,
        skip: 0,
        answer: None,
        retry: Retry::default(),
    };
    download.connect().await?;
    let stream = futures::stream::try_unfold(download, |mut download| async move {
        let piece = download.next().await.map_err(io::Error::other)?;
        Ok(piece.map(|piece| (piece, download)))
    });
    Ok(stream.boxed())
}

impl Download {
    async fn connect(&mut self) -> Result<(), PlaceError> {
        let answer = self
            .http
            .send(&self.target, |client| {
                let request = request(client, &Method::GET, &self.url);
                if self.offset == 0 {
                    request
                } else {
                    request.header(RANGE, format!("bytes={}-", self.offset))
                }
            })
            .await?;
        self.skip = match answer.status() {
            StatusCode::OK => self.offset,
            StatusCode::PARTIAL_CONTENT if begins_at(&answer) == Some(self.offset) => 0,
            StatusCode::NOT_FOUND => {
                return Err(PlaceError::NotFound {
                    what: self.target.object.clone(),
                    place: self.target.registry.clone(),
                });
            }
            _ => return Err(self.target.refused(answer).await),
        };
        self.answer = Some(answer);
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, PlaceError> {
        loop {
            let failed = match self.read().await {
                Ok(Some(piece)) => {
                    self.retry = Retry::default();
                    self.offset += piece.len() as u64;
                    // Longer than it should be: whoever reads it sees that, and nothing is to be gained by going on.
                    return Ok(Some(piece));
                }
                Ok(None) if self.offset >= self.size => return Ok(None),
                Ok(None) => PlaceError::Unreachable {
                    step: self.target.step,
                    object: self.target.object.clone(),
                    reason: format!("it ended after {} of {} bytes", self.offset, self.size),
                },
                Err(error) => error,
            };
            self.answer = None;
            let (object, offset) = (&self.target.object, self.offset);
            let tell = |error: &PlaceError| {
                tracing::debug!(blob = %object, offset, %error, "the download broke off");
            };
            self.retry.wait(failed, tell).await?;
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, PlaceError> {
        if self.answer.is_none() {
            self.connect().await?;
        }
        let Some(answer) = &mut self.answer else {
            return Ok(None);
        };
        while let Some(mut piece) = answer
            .chunk()
            .await
            .map_err(|error| self.target.unreachable(&error))?
        {
            let skipped = self.skip.min(piece.len() as u64);
            self.skip -= skipped;
            piece.advance(usize::try_from(skipped).unwrap_or(piece.len()));
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// Where a part begins: `bytes 5-9/10`.
fn begins_at(answer: &Response) -> Option<u64> {
    let text = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (first, _) = text.strip_prefix("bytes ")?.split_once('-')?;
    first.parse().ok()
}

/// Why a body that was being sent broke off.
#[derive(Clone, Default)]
pub(super) struct Broken(Arc<Mutex<Option<io::Error>>>);

impl Broken {
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A body to be sent, and where its error will be: the client that sends it only says that there was one.
pub(super) fn sent(body: Body) -> (Body, Broken) {
    let broken = Broken::default();
    let keep = broken.clone();
    let body = body.map_err(move |error| {
        let kind = error.kind();
        *keep.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::from(kind)
    });
    (body.boxed(), broken)
}
