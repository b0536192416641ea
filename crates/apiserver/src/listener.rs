//! Connections: taking them, TLS, HTTP, and letting them finish when the server stops.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

/// How long a client has to finish the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client has to send the head of a request; on a connection that is kept, also how long it may
/// be idle. Longer than the 90 s for which Go's clients keep one, so that they never write to one that is
/// being closed.
const REQUEST_HEAD: Duration = Duration::from_secs(100);
/// How long requests in progress have to finish when the server stops.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Their address.
    pub address: SocketAddr,
    /// The chain of certificates that they showed, their own first; none if they showed none.
    pub certificates: Option<&'a [CertificateDer<'static>]>,
}

/// HTTP/1.1 and HTTP/2 with the times that hold for every connection.
pub fn protocol() -> Protocol {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// How HTTP is spoken on a connection.
pub type Protocol = Builder<TokioExecutor>;

/// Takes connections until the server stops, and lets the requests in progress finish for a while.
/// `service` makes what answers the requests of one connection. Without `tls`, connections are plain.
pub async fn serve<M, S, B>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    protocol: Protocol,
    shutdown: CancellationToken,
    service: M,
) where
    M: Fn(Client<'_>) -> S + Clone + Send + 'static,
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                // Small answers must not wait for more to fill a packet.
                let _ = stream.set_nodelay(true);
                let connection = connection(
                    stream,
                    address,
                    tls.clone(),
                    protocol.clone(),
                    shutdown.clone(),
                    service.clone(),
                );
                connections.spawn(connection);
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

async fn connection<M, S, B>(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    protocol: Protocol,
    shutdown: CancellationToken,
    service: M,
) where
    M: Fn(Client<'_>) -> S,
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(tls) = tls else {
        let service = service(Client {
            address,
            certificates: None,
        });
        return requests(stream, protocol, service, shutdown).await;
    };
    let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let service = service(Client {
        address,
        certificates: stream.get_ref().1.peer_certificates(),
    });
    requests(stream, protocol, service, shutdown).await;
}

/// Answers the requests of one connection until either side ends it.
async fn requests<I, S, B>(stream: I, protocol: Protocol, service: S, shutdown: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = protocol.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}
