//! What of a request is neither head nor parsed: its connection and its unread body.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Uri, request::Parts};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::{body::Body as HttpBody, upgrade::OnUpgrade};
use parking_lot::Mutex;

use crate::http::respond::BodyError;

/// The body of a request to a host.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// No body.
pub fn empty() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// The raw side of a request, to be taken once; empty for requests that are read and parsed.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Raw>>);

#[derive(Default)]
struct Raw {
    uri: Uri,
    upgrade: Option<OnUpgrade>,
    body: Option<RequestBody>,
}

impl Wire {
    /// The raw side of a request.
    pub fn new<B>(parts: &mut Parts, body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: fmt::Display,
    {
        let body = body.map_err(|error| BodyError::from(error.to_string()));
        Self(Arc::new(Mutex::new(Raw {
            uri: parts.uri.clone(),
            upgrade: parts.extensions.remove::<OnUpgrade>(),
            body: Some(body.boxed_unsync()),
        })))
    }

    /// The path and query as they came, percent-encoded.
    pub fn uri(&self) -> Uri {
        self.0.lock().uri.clone()
    }

    /// The connection, once it has been answered with 101.
    pub fn take_upgrade(&self) -> Option<OnUpgrade> {
        self.0.lock().upgrade.take()
    }

    /// The body, unread.
    pub fn take_body(&self) -> RequestBody {
        self.0.lock().body.take().unwrap_or_else(empty)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}
