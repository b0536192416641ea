//! A client over HTTP/2: thousands of watches share a few connections.
//!
//! `kube`'s own client speaks HTTP/1.1, where each watch takes a connection with its TLS state and buffers,
//! on both sides. Servers allow so many streams a connection (Mosaic's 250, others from 100 on), so there is
//! one connection more for each [`STREAMS`] requests that are under way.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::{
    Client, Config,
    client::{Body, ConfigExt},
};
use tokio::{net::TcpStream, sync::Mutex, time::Duration};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tower::{BoxError, Service, ServiceBuilder};

/// How many requests share a connection.
const STREAMS: usize = 96;
/// How many bytes of a watch may be on their way to a host that is busy.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// A client for a server that is reached like this: over HTTP/2 where the server speaks it and no proxy is in
/// between, or else as any client.
///
/// # Errors
/// If the settings cannot be used.
pub async fn client(config: Config) -> Result<Client, kube::Error> {
    let Some(pool) = Pool::new(&config) else {
        return Client::try_from(config);
    };
    if let Err(error) = pool.connect().await {
        // Who cannot be reached now may be later, by the way that always works.
        tracing::debug!(%error, "no HTTP/2");
        return Client::try_from(config);
    }
    let namespace = config.default_namespace.clone();
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .service(pool);
    Ok(Client::new(service, namespace))
}

#[derive(Clone)]
struct Pool {
    endpoint: Arc<Endpoint>,
    connections: Arc<Mutex<Vec<Connection>>>,
}

struct Endpoint {
    address: String,
    name: ServerName<'static>,
    tls: TlsConnector,
}

#[derive(Clone)]
struct Connection {
    sender: SendRequest<Body>,
    load: Arc<Load>,
}

/// How many requests are under way.
#[derive(Debug, Default)]
struct Load(AtomicUsize);

/// One of them.
#[derive(Debug)]
struct Share(Arc<Load>);

impl Share {
    fn of(load: &Arc<Load>) -> Self {
        load.0.fetch_add(1, Ordering::Relaxed);
        Self(load.clone())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    fn new(config: &Config) -> Option<Self> {
        if config.proxy_url.is_some() || config.cluster_url.scheme_str() != Some("https") {
            return None;
        }
        let host = config.cluster_url.host()?;
        let port = config.cluster_url.port_u16().unwrap_or(443);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = config.tls_server_name.as_deref().unwrap_or(bare);
        let mut tls: ClientConfig = config.rustls_client_config().ok()?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let endpoint = Endpoint {
            address: format!("{host}:{port}"),
            name: ServerName::try_from(name.to_owned()).ok()?,
            tls: TlsConnector::from(Arc::new(tls)),
        };
        Some(Self {
            endpoint: Arc::new(endpoint),
            connections: Arc::default(),
        })
    }

    /// A connection with room for one more request.
    async fn connect(&self) -> Result<(SendRequest<Body>, Share), BoxError> {
        // Others wait while one connects: they may share what it gets.
        let mut connections = self.connections.lock().await;
        connections.retain(|connection| !connection.sender.is_closed());
        let room = |connection: &&Connection| connection.load.0.load(Ordering::Relaxed) < STREAMS;
        if let Some(connection) = connections.iter().find(room) {
            return Ok((connection.sender.clone(), Share::of(&connection.load)));
        }
        let stream = TcpStream::connect(&self.endpoint.address).await?;
        stream.set_nodelay(true)?;
        let name = self.endpoint.name.clone();
        let stream = self.endpoint.tls.connect(name, stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err("the server does not speak HTTP/2".into());
        }
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20))
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        let load = Arc::<Load>::default();
        let share = Share::of(&load);
        connections.push(Connection {
            sender: sender.clone(),
            load,
        });
        Ok((sender, share))
    }
}

impl Service<Request<Body>> for Pool {
    type Response = Response<Shared>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let pool = self.clone();
        Box::pin(async move {
            let (mut sender, share) = pool.connect().await?;
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            Ok(response.map(|body| Shared {
                body,
                _share: share,
            }))
        })
    }
}

/// An answer's body, which counts as under way until it is dropped.
struct Shared {
    body: Incoming,
    _share: Share,
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
