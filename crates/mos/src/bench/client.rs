//! A client that leaves the machine to the server: no types, no copies, no more than HTTP over TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::failure::Failure;

/// Longer than this no answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How much of an error's answer is shown.
const SHOWN: usize = 300;

/// Where the server is, and who the client is.
#[derive(Clone)]
pub(super) struct Endpoint {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    tls_http2: Arc<ClientConfig>,
}

/// A connection with HTTP/1.1: one request at a time.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    authority: String,
}

/// A connection with HTTP/2, for many requests at once.
#[derive(Clone)]
pub(super) struct Multiplexed {
    sender: http2::SendRequest<Full<Bytes>>,
    authority: String,
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the connection to the server: {error}"))
}

impl Endpoint {
    /// Reads the kubeconfig that a server wrote.
    pub(super) async fn read(kubeconfig: &Path) -> Result<Self, Failure> {
        let config = Kubeconfig::read_from(kubeconfig).map_err(failed)?;
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
            .await
            .map_err(failed)?;
        let authority = config
            .cluster_url
            .authority()
            .ok_or_else(|| failed("no address"))?;
        let mut tls = config.rustls_client_config().map_err(failed)?;
        let mut tls_http2 = tls.clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        tls_http2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            address: authority.as_str().parse().map_err(failed)?,
            tls: Arc::new(tls),
            tls_http2: Arc::new(tls_http2),
        })
    }

    /// Connects with HTTP/1.1.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let io = TokioIo::new(self.secure(&self.tls).await?);
        let (sender, connection) = http1::handshake(io).await.map_err(failed)?;
        tokio::spawn(connection);
        Ok(Connection {
            sender,
            authority: self.address.to_string(),
        })
    }

    /// Connects with HTTP/2.
    pub(super) async fn connect_multiplexed(&self) -> Result<Multiplexed, Failure> {
        let io = TokioIo::new(self.secure(&self.tls_http2).await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
            .await
            .map_err(failed)?;
        tokio::spawn(connection);
        Ok(Multiplexed {
            sender,
            authority: self.address.to_string(),
        })
    }

    async fn secure(&self, tls: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, Failure> {
        let stream = TcpStream::connect(self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        TlsConnector::from(tls.clone())
            .connect(ServerName::from(self.address.ip()), stream)
            .await
            .map_err(failed)
    }
}

impl Connection {
    /// Sends a request and reads its answer to the end; answers other than 2xx are errors.
    pub(super) async fn call(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<usize, Failure> {
        let mut length = 0;
        self.exchange(method, path, content_type, body, |data| {
            length += data.len()
        })
        .await?;
        Ok(length)
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
        taken: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, "mos-bench")
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .map_err(failed)?;
        self.sender.ready().await.map_err(failed)?;
        let answered = async {
            let response = self.sender.send_request(request).await.map_err(failed)?;
            let status = response.status();
            read(status, response.into_body(), taken).await
        };
        tokio::time::timeout(ANSWER_WITHIN, answered)
            .await
            .map_err(|_| failed("no answer in time"))?
    }

    /// Creates an object.
    pub(super) async fn create(&mut self, path: &str, body: Bytes) -> Result<usize, Failure> {
        self.call(Method::POST, path, "application/json", body)
            .await
    }

    /// Reads an object or a list; the answer's length is returned.
    pub(super) async fn get(&mut self, path: &str) -> Result<usize, Failure> {
        self.call(Method::GET, path, "application/json", Bytes::new())
            .await
    }

    /// Reads an object or a list.
    pub(super) async fn read(&mut self, path: &str) -> Result<Vec<u8>, Failure> {
        let mut text = Vec::new();
        self.exchange(
            Method::GET,
            path,
            "application/json",
            Bytes::new(),
            |data| {
                text.extend_from_slice(data);
            },
        )
        .await?;
        Ok(text)
    }
}

/// Reads a body to its end. What is wrong is shown.
async fn read(
    status: StatusCode,
    mut body: Incoming,
    mut taken: impl FnMut(&[u8]),
) -> Result<(), Failure> {
    let mut shown = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(failed)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if status.is_success() {
            taken(data);
        } else {
            shown.extend(data.iter().take(SHOWN.saturating_sub(shown.len())));
        }
    }
    if status.is_success() {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(&shown);
    Err(Failure::new(format!(
        "the server answered {status}: {shown}"
    )))
}

impl Multiplexed {
    /// Starts a watch.
    pub(super) async fn watch(&mut self, path: &str) -> Result<Incoming, Failure> {
        let request = Request::builder()
            .uri(format!("https://{}{path}", self.authority))
            .header(header::USER_AGENT, "mos-bench")
            .body(Full::default())
            .map_err(failed)?;
        self.sender.ready().await.map_err(failed)?;
        let response = self.sender.send_request(request).await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            other => read(other, response.into_body(), |_| ())
                .await
                .and(Err(failed(other))),
        }
    }
}
