//! A server with two hosts and a pod on each, and ways to talk to it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    config::{KubeConfigOptions, Kubeconfig},
};
use mosaic_apiserver::{Options, Server};
use mosaic_auth::pki::IssuedCertificate;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

use crate::node::FakeNode;

pub struct Cluster {
    pub server: Server,
    pub address: SocketAddr,
    /// With all rights.
    pub client: Client,
    admin: IssuedCertificate,
    directory: TempDir,
}

impl Cluster {
    /// Hosts `n1` and `n2`; pods `web` (one container) and `pair` (two) on `n1`, `far` on `n2`, and
    /// `waiting` on none.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = mosaic_store::Sqlite::open(directory.path()).unwrap();
        let options = Options {
            data_dir: directory.path().to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            names: Vec::new(),
            anonymous: true,
            service_range: "10.96.0.0/16".parse().unwrap(),
            toleration_seconds: mosaic_apiserver::TolerationSeconds::default(),
            registry: false,
            audit: None,
        };
        let server = Server::start(options, Arc::new(store)).await.unwrap();
        let address = server.address();
        let admin = server
            .authority()
            .issue_client("admin", &["system:masters"], 1)
            .unwrap();
        let kubeconfig = Kubeconfig::read_from(directory.path().join("admin.kubeconfig")).unwrap();
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .unwrap();
        let client = Client::try_from(config).unwrap();
        let cluster = Self {
            server,
            address,
            client,
            admin,
            directory,
        };
        cluster.fill().await;
        cluster
    }

    async fn fill(&self) {
        for name in ["n1", "n2"] {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
            self.create("/api/v1/nodes", &node).await;
        }
        self.pod("web", "n1", &["app"]).await;
        self.pod("pair", "n1", &["one", "two"]).await;
        self.pod("far", "n2", &["app"]).await;
        self.pod("waiting", "", &["app"]).await;
    }

    async fn pod(&self, name: &str, host: &str, containers: &[&str]) {
        let containers: Vec<Value> = containers
            .iter()
            .map(|name| json!({"name": name, "image": "app", "ports": [{"containerPort": 8080}]}))
            .collect();
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": containers}});
        if !host.is_empty() {
            pod["spec"]["nodeName"] = host.into();
        }
        let pods = "/api/v1/namespaces/default/pods";
        self.create(pods, &pod).await;
        if !host.is_empty() {
            let patch = json!({"status": {"phase": "Running"}}).to_string();
            let request = Request::patch(format!("{pods}/{name}/status"))
                .header("content-type", "application/merge-patch+json")
                .body(Bytes::from(patch))
                .unwrap();
            let (status, _, body) = self.ask(&self.admin, request).await;
            assert_eq!(status, 200, "{body}");
        }
    }

    pub async fn create(&self, path: &str, object: &Value) {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Bytes::from(object.to_string()))
            .unwrap();
        let (status, _, body) = self.ask(&self.admin, request).await;
        assert_eq!(status, 201, "{body}");
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("admin.kubeconfig")
    }

    pub fn scratch(&self) -> PathBuf {
        self.directory.path().join("scratch")
    }

    pub fn certificate(&self, user: &str, groups: &[&str]) -> IssuedCertificate {
        self.server
            .authority()
            .issue_client(user, groups, 1)
            .unwrap()
    }

    pub fn node_certificate(&self, name: &str) -> IssuedCertificate {
        self.certificate(&format!("system:node:{name}"), &["system:nodes"])
    }

    /// The host `n1`, connected.
    pub async fn n1(&self) -> FakeNode {
        self.connect("n1", "web").await
    }

    /// A host, connected, once requests about its pod arrive at it.
    pub async fn connect(&self, name: &str, pod: &str) -> FakeNode {
        let node = FakeNode::dial(self, name).await;
        until("the tunnel carries requests", async || {
            self.log(pod).await;
            node.was_asked("/containerLogs/")
        })
        .await;
        node.forget();
        node
    }

    /// A pod's log. Unlike the client library, this does not try again after 503.
    pub async fn log(&self, pod: &str) -> (u16, String) {
        let path = format!("/api/v1/namespaces/default/pods/{pod}/log");
        let request = Request::get(path).body(Bytes::new()).unwrap();
        let (status, _, body) = self.admin(request).await;
        (status.as_u16(), body)
    }

    /// A connection of HTTP/1.1 to the server, with a client certificate or without.
    pub async fn http1(
        &self,
        certificate: Option<&IssuedCertificate>,
    ) -> hyper::client::conn::http1::SendRequest<Full<Bytes>> {
        let mut roots = RootCertStore::empty();
        let pem = self.server.authority().certificate_pem();
        roots
            .add(rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key_pem().as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(vec![own.der().clone()], key)
                    .unwrap()
            }
        };
        // Small, so that a client that does not read is noticed soon.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let tcp = socket.connect(self.address).await.unwrap();
        let name = ServerName::from(self.address.ip());
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .unwrap();
        let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
            .await
            .unwrap();
        tokio::spawn(connection.with_upgrades());
        send
    }

    pub async fn send(
        &self,
        certificate: Option<&IssuedCertificate>,
        request: Request<Bytes>,
    ) -> Response<Incoming> {
        let mut send = self.http1(certificate).await;
        let mut request = request.map(Full::new);
        let host = self.address.to_string().parse().unwrap();
        request.headers_mut().insert("host", host);
        send.send_request(request).await.unwrap()
    }

    pub async fn ask(
        &self,
        certificate: &IssuedCertificate,
        request: Request<Bytes>,
    ) -> (StatusCode, HeaderMap, String) {
        let (parts, body) = self.send(Some(certificate), request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        (parts.status, parts.headers, body)
    }

    /// As the administrator.
    pub async fn admin(&self, request: Request<Bytes>) -> (StatusCode, HeaderMap, String) {
        self.ask(&self.admin, request).await
    }

    /// A command's session as a WebSocket. Unlike the client library's, its end is seen however it ends.
    pub async fn exec(&self, pod: &str, command: &str) -> Session {
        let path = format!(
            "/api/v1/namespaces/default/pods/{pod}/exec?command={command}&stdin=1&stdout=1"
        );
        let request = websocket(&path, "v5.channel.k8s.io");
        let response = self.send(Some(&self.admin), request).await;
        assert_eq!(response.status(), 101);
        let io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        WebSocketStream::from_raw_socket(io, Role::Client, None).await
    }

    pub async fn metric(&self, name: &str) -> u64 {
        let request = Request::get("/metrics").body(Bytes::new()).unwrap();
        let (_, _, text) = self.admin(request).await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    }
}

pub type Session = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// The opening of a WebSocket, with the key of RFC 6455's example.
pub fn websocket(path: &str, protocols: &str) -> Request<Bytes> {
    Request::get(path)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", protocols)
        .body(Bytes::new())
        .unwrap()
}

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..6_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it did not come to that: {what}");
}
