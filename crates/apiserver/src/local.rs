//! The API without a socket, for clients in the same process.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body as HttpBody;
use mosaic_auth::User;

use crate::{app::App, handler, http::respond::Body};

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
        let app = self.app.clone();
        Box::pin(async move { Ok(handler::handle(app, request).await) })
    }
}
