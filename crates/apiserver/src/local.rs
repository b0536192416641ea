//! The API without a socket, for clients in the same process.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Body as HttpBody;
use mosaic_auth::User;

use crate::{app::App, handler, http::respond::Body};

/// Who writes, in managed fields and in the audit log, where a client does not say.
const AGENT: &str = "mosaic-controllers";

/// A `tower::Service` that answers as the API does, to a user who needs no credential: the parts of the
/// platform that run in the server's process are clients like any other, by way of `kube::Client`.
#[derive(Clone)]
pub struct LocalService {
    app: Arc<App>,
    user: Arc<User>,
}

impl LocalService {
    /// The API as this user sees it.
    pub fn new(app: Arc<App>, user: User) -> Self {
        Self {
            app,
            user: Arc::new(user),
        }
    }
}

impl<B> tower::Service<Request<B>> for LocalService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.user.clone());
        announce_length(&mut request);
        request
            .headers_mut()
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(AGENT));
        let app = self.app.clone();
        Box::pin(async move { Ok(handler::handle(app, request).await) })
    }
}

/// Says how long the body is, as a connection would: a body of unknown length is given the room of the longest, of which
/// there is little, and parts of the platform send hundreds of small ones at a time.
fn announce_length<B: HttpBody>(request: &mut Request<B>) {
    if let Some(length) = request.body().size_hint().exact() {
        request
            .headers_mut()
            .entry(header::CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};

    use super::*;

    #[test]
    fn a_body_whose_length_is_known_is_announced() {
        let mut known = Request::new(Full::new(Bytes::from("{}")));
        announce_length(&mut known);
        assert_eq!(known.headers().get(header::CONTENT_LENGTH).unwrap(), "2");
        let pieces = futures::stream::empty::<Result<hyper::body::Frame<Bytes>, Infallible>>();
        let mut unknown = Request::new(StreamBody::new(pieces));
        announce_length(&mut unknown);
        assert_eq!(unknown.headers().get(header::CONTENT_LENGTH), None);
    }
}
