//! The few calls of the API that a host makes.
//!
//! Objects are written as JSON and answers are hardly looked at, so typed clients would only cost.

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

/// An answer longer than this is not read to its end.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// A line of a watch longer than this ends it: objects are not that large.
const MAX_LINE_BYTES: usize = 16 << 20;
/// For answers that nobody reads: the metadata is less to send than the object.
const METADATA: &str =
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The API said no.
    #[error("the API answered {code}: {message}")]
    Refused {
        code: StatusCode,
        reason: String,
        message: String,
    },
    /// There was no answer.
    #[error("the API cannot be reached: {0}")]
    Unreachable(String),
}

impl ApiError {
    /// What the call was about is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == StatusCode::NOT_FOUND)
    }

    /// It is there already, or is not the one that was meant.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == StatusCode::CONFLICT)
    }

    /// The version to go on from is too old.
    pub(crate) fn is_expired(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == StatusCode::GONE)
    }

    /// Trying again later may help.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { code, .. } => {
                code.is_server_error() || *code == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }
}

/// The API, as the caller or as one of the hosts sees it.
#[derive(Clone)]
pub(crate) struct Api {
    client: kube::Client,
    as_nodes: bool,
}

impl Api {
    /// An API whose hosts act as themselves (`system:node:NAME`) or as the caller.
    pub(crate) fn new(client: kube::Client, as_nodes: bool) -> Self {
        Self { client, as_nodes }
    }

    fn request(
        &self,
        host: Option<&str>,
        method: Method,
        path: &str,
        accept: &'static str,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Request<Body>, ApiError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept);
        if let Some(host) = host.filter(|_| self.as_nodes) {
            let user = HeaderValue::from_str(&format!("system:node:{host}"));
            let user = user.map_err(|error| ApiError::Unreachable(error.to_string()))?;
            request = request
                .header("impersonate-user", user)
                .header("impersonate-group", "system:nodes");
        }
        let body = match body {
            Some((content_type, body)) => {
                request = request.header(header::CONTENT_TYPE, content_type);
                body
            }
            None => Vec::new(),
        };
        request
            .body(Body::from(body))
            .map_err(|error| ApiError::Unreachable(error.to_string()))
    }

    /// Makes a call, and reads the metadata that comes back.
    pub(crate) async fn call(
        &self,
        host: Option<&str>,
        method: Method,
        path: &str,
        body: Option<(&'static str, Value)>,
    ) -> Result<Bytes, ApiError> {
        let body = body.map(|(content_type, body)| (content_type, body.to_string().into_bytes()));
        let request = self.request(host, method, path, METADATA, body)?;
        let response = self.client.send(request).await.map_err(unreachable)?;
        let (parts, body) = response.into_parts();
        let bytes = http_body_util::Limited::new(body, MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| ApiError::Unreachable(error.to_string()))?
            .to_bytes();
        if parts.status.is_success() {
            return Ok(bytes);
        }
        Err(refused(parts.status, &bytes))
    }

    /// Opens a watch and sends each line of it on, until it ends or nobody wants more.
    pub(crate) async fn watch<T>(
        &self,
        host: Option<&str>,
        path: &str,
        metadata: bool,
        lines: &mpsc::Sender<T>,
        signal: impl Fn(Bytes) -> T,
    ) -> Result<(), ApiError> {
        let accept = if metadata { METADATA } else { JSON };
        let request = self.request(host, Method::GET, path, accept, None)?;
        let response = self.client.send(request).await.map_err(unreachable)?;
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            let bytes = http_body_util::Limited::new(body, MAX_ANSWER_BYTES)
                .collect()
                .await
                .map(|body| body.to_bytes())
                .unwrap_or_default();
            return Err(refused(parts.status, &bytes));
        }
        let mut frames = body.into_data_stream();
        // What came of a line that is not complete.
        let mut rest: Vec<u8> = Vec::new();
        while let Some(frame) = frames.next().await {
            let mut frame = frame.map_err(|error| ApiError::Unreachable(error.to_string()))?;
            while let Some(end) = end_of_line(&frame) {
                let mut line = frame.split_to(end + 1);
                if !rest.is_empty() {
                    rest.extend_from_slice(&line);
                    line = Bytes::from(std::mem::take(&mut rest));
                }
                if lines.send(signal(line)).await.is_err() {
                    return Ok(());
                }
            }
            if rest.len() + frame.len() > MAX_LINE_BYTES {
                return Err(ApiError::Unreachable("a line is too long".to_owned()));
            }
            rest.extend_from_slice(&frame);
        }
        Ok(())
    }
}

fn end_of_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

fn unreachable(error: kube::Error) -> ApiError {
    ApiError::Unreachable(error.to_string())
}

fn refused(code: StatusCode, body: &[u8]) -> ApiError {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Status {
        reason: String,
        message: String,
    }
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    ApiError::Refused {
        code,
        reason: status.reason,
        message: status.message,
    }
}
