//! Serving a registry on connections.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::access::Identity;
use crate::registry::{Challenge, Registry};
use crate::server::Body;

/// What is read from a connection at once. Large enough for a system call to be worth it, small enough for hundreds.
const READ_BUFFER: usize = 128 << 10;
/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// The most connections at once; more wait to be accepted. Each holds about a megabyte while it moves a layer.
const CONNECTIONS: usize = 1024;

/// Says who sends a request, from its head: a certificate that the listener put into the extensions, a token, a user
/// and a password.
#[async_trait::async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// Who it is; [`Identity::anonymous`] if there are no credentials, and an error, which the client is told, if they
    /// are wrong.
    async fn authenticate(&self, head: &Parts) -> Result<Identity, String>;
}

/// Nobody is asked who they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anybody;

#[async_trait::async_trait]
impl Authenticate for Anybody {
    async fn authenticate(&self, _: &Parts) -> Result<Identity, String> {
        Ok(Identity::anonymous())
    }
}

/// Answers one request: looks at who sends it, and at the token endpoint if there is one here.
pub async fn answer(
    registry: &Registry,
    authenticate: &dyn Authenticate,
    request: Request<Incoming>,
) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    // What the token endpoint gave to somebody who did not say who they are.
    if bearer(&head) == Some(ANONYMOUS) {
        head.headers.remove(header::AUTHORIZATION);
    }
    let who = match authenticate.authenticate(&head).await {
        Ok(who) => who,
        Err(reason) => return registry.refuse(&head, &reason),
    };
    if let Challenge::Bearer { realm, .. } = &registry.0.settings.challenge
        && head.uri.path() == realm
        && head.method == Method::GET
    {
        return token(&head);
    }
    registry.handle(Request::from_parts(head, body), &who).await
}

/// The token of those who did not say who they are.
const ANONYMOUS: &str = "anonymous";

fn bearer(head: &Parts) -> Option<&str> {
    let value = head.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// Docker's token protocol, for those whose password is a token already: they get it back. The credentials have been
/// looked at, and are again with each request.
fn token(head: &Parts) -> Response<Body> {
    use base64::Engine;
    let value = head.headers.get(header::AUTHORIZATION);
    let value = value.and_then(|value| value.to_str().ok());
    let basic = value.and_then(|value| value.split_once(' '));
    let basic = basic.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let decoded = basic.and_then(|(_, text)| {
        let engine = base64::engine::general_purpose::STANDARD;
        String::from_utf8(engine.decode(text.trim()).ok()?).ok()
    });
    let password = decoded
        .as_ref()
        .and_then(|pair| pair.split_once(':'))
        .map(|(_, password)| password);
    let token = password.or_else(|| bearer(head)).unwrap_or(ANONYMOUS);
    let body = serde_json::json!({ "token": token, "access_token": token, "expires_in": 300 });
    let mut response = crate::server::answer(StatusCode::OK, crate::server::full(body.to_string()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Serves one connection until it is closed.
///
/// # Errors
/// If the connection breaks.
pub async fn connection<I>(
    io: I,
    registry: Registry,
    authenticate: Arc<dyn Authenticate>,
) -> io::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let (registry, authenticate) = (registry.clone(), authenticate.clone());
        async move {
            let response = answer(&registry, authenticate.as_ref(), request).await;
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(READ_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    let served = builder.serve_connection(TokioIo::new(io), service).await;
    served.map_err(io::Error::other)
}

/// Serves plain HTTP on a listener until `stop` is over. Requests under way are not waited for.
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    authenticate: Arc<dyn Authenticate>,
    stop: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let accept = async {
        loop {
            let Ok(place) = room.clone().acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of files, most likely: they come back.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Only a matter of speed.
            let _ = stream.set_nodelay(true);
            let (registry, authenticate) = (registry.clone(), authenticate.clone());
            tokio::spawn(async move {
                if let Err(error) = connection(stream, registry, authenticate).await {
                    tracing::debug!(%error, "a connection broke");
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop => {}
    }
}
