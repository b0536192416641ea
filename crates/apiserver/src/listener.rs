//! Connections: taking them, TLS, HTTP, and letting them finish when the server stops.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{either::Either, sync::CancellationToken};

use crate::lingering::Lingering;

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

/// How connections are served.
#[derive(Debug, Clone)]
pub struct How {
    /// HTTP/1.1 and HTTP/2, by default with the times that hold for every connection.
    pub protocol: Builder<TokioExecutor>,
    /// The most connections at once; more wait to be accepted. By default there is no bound.
    pub connections_max: usize,
}

impl Default for How {
    fn default() -> Self {
        let mut protocol = Builder::new(TokioExecutor::new());
        protocol
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_HEAD);
        protocol
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(250)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        Self {
            protocol,
            connections_max: Semaphore::MAX_PERMITS,
        }
    }
}

/// Takes connections until the server stops, and lets the requests in progress finish for a while.
/// `service` makes what answers the requests of one connection. Without `tls`, connections are plain.
pub async fn serve<M, S, B>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    how: How,
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
    let room = Arc::new(Semaphore::new(how.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            let place = room.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accept => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                // Small answers must not wait for more to fill a packet.
                let _ = stream.set_nodelay(true);
                let (tls, protocol) = (tls.clone(), how.protocol.clone());
                let (shutdown, service) = (shutdown.clone(), service.clone());
                connections.spawn(async move {
                    let _place = place;
                    let Some(stream) = secured(Lingering::new(stream), tls).await else {
                        return;
                    };
                    let certificates = match &stream {
                        Either::Left(stream) => stream.get_ref().1.peer_certificates(),
                        Either::Right(_) => None,
                    };
                    let service = service(Client {
                        address,
                        certificates,
                    });
                    let connection =
                        protocol.serve_connection_with_upgrades(TokioIo::new(stream), service);
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
                });
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

/// A connection as both sides speak on it; none if the handshake failed.
async fn secured(
    stream: Lingering<TcpStream>,
    tls: Option<TlsAcceptor>,
) -> Option<Either<TlsStream<Lingering<TcpStream>>, Lingering<TcpStream>>> {
    let Some(tls) = tls else {
        return Some(Either::Right(stream));
    };
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => return Some(Either::Left(stream)),
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::{BodyExt, Empty, Full};
    use hyper::{body::Bytes, client::conn::http1::SendRequest, service::service_fn};

    use super::*;

    async fn connect(address: SocketAddr) -> SendRequest<Empty<Bytes>> {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// How many connections there are, as the server answers.
    async fn open(sender: &mut SendRequest<Empty<Bytes>>) -> String {
        let request = Request::builder().header("host", "x").body(Empty::new());
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_connection_more_than_the_bound_waits_for_another_to_end() {
        struct Open(Arc<AtomicUsize>);
        impl Drop for Open {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let service = move |_: Client<'_>| {
            count.fetch_add(1, Ordering::SeqCst);
            let open = Arc::new(Open(count.clone()));
            service_fn(move |_| {
                let open = open.0.load(Ordering::SeqCst).to_string();
                async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(open))) }
            })
        };
        let how = How {
            connections_max: 1,
            ..How::default()
        };
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, None, how, shutdown.clone(), service));
        let mut first = connect(address).await;
        assert_eq!(open(&mut first).await, "1");
        let second = tokio::spawn(async move {
            let mut second = connect(address).await;
            open(&mut second).await
        });
        // Time enough for the second, if it were let in.
        for _ in 0..100 {
            assert_eq!(open(&mut first).await, "1");
        }
        drop(first);
        assert_eq!(second.await.unwrap(), "1");
        shutdown.cancel();
        serving.await.unwrap();
    }
}
