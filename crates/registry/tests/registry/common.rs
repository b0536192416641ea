//! A registry on a real listener, with the engines that it has in use, and a client that says what it is told to.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use mosaic_image::{Digest, digest, media};
use mosaic_registry::serve::answer;
use mosaic_registry::{Access, AllowAll, Disk, Registry, Settings};
use mosaic_store::Sqlite;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

pub struct Server {
    pub address: SocketAddr,
    pub registry: Registry,
    pub directory: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, registry: Registry) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let registry = registry.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let registry = registry.clone();
                async move { Ok::<_, std::convert::Infallible>(answer(&registry, request).await) }
            });
            // A client may break off.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// An answer, read whole.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of the first error.
    pub fn code(&self) -> String {
        let body = self.json();
        body["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{:?} {body}", self.headers);
        self
    }

    #[track_caller]
    pub fn fails(self, status: u16, code: &str) {
        let reply = self.is(status);
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.code(), code);
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Settings::default(), Arc::new(AllowAll)).await
    }

    pub async fn start_with(settings: Settings, access: Arc<dyn Access>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, settings, access).await
    }

    pub async fn start_in(
        directory: tempfile::TempDir,
        settings: Settings,
        access: Arc<dyn Access>,
    ) -> Self {
        let store = Sqlite::open(directory.path().join("state")).unwrap();
        let disk = Disk::open(directory.path().join("registry")).unwrap();
        let registry = Registry::new(Arc::new(store), Arc::new(disk), access, settings);
        Self::listen(directory, registry).await
    }

    pub async fn listen(directory: tempfile::TempDir, registry: Registry) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            registry: registry.clone(),
            directory,
            task: tokio::spawn(accept(listener, registry)),
        }
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    pub async fn head(&self, path: &str) -> Reply {
        self.send("HEAD", path, &[], "").await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], "").await
    }

    pub async fn post(&self, path: &str) -> Reply {
        self.send("POST", path, &[], "").await
    }

    /// Pushes a blob in the usual way.
    pub async fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = digest::sha256(bytes);
        let begun = self
            .post(&format!("/v2/{repository}/blobs/uploads/"))
            .await
            .is(202);
        let location = with(begun.header("location"), "digest", &digest);
        self.send("PUT", &location, &[], bytes.to_vec())
            .await
            .is(201);
        digest
    }

    pub async fn put_manifest(&self, repository: &str, reference: &str, manifest: &Value) -> Reply {
        let media_type = manifest["mediaType"].as_str().unwrap();
        self.send(
            "PUT",
            &format!("/v2/{repository}/manifests/{reference}"),
            &[("content-type", media_type)],
            manifest.to_string(),
        )
        .await
    }

    /// Pushes an image of one layer.
    pub async fn image(&self, repository: &str, tag: &str, layer: &[u8]) -> (Value, Digest) {
        let config = json!({ "architecture": "amd64", "os": "linux", "for": String::from_utf8_lossy(layer) });
        let config = config.to_string();
        self.blob(repository, config.as_bytes()).await;
        self.blob(repository, layer).await;
        let manifest = manifest(config.as_bytes(), &[layer]);
        let put = self.put_manifest(repository, tag, &manifest).await.is(201);
        let digest = put.header("docker-content-digest").parse().unwrap();
        (manifest, digest)
    }
}

/// A location with a parameter more.
pub fn with(location: &str, name: &str, value: impl ToString) -> String {
    let joint = if location.contains('?') { '&' } else { '?' };
    format!("{location}{joint}{name}={}", value.to_string())
}

pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest::sha256(bytes), "size": bytes.len() })
}

pub fn manifest(config: &[u8], layers: &[&[u8]]) -> Value {
    let layers = layers
        .iter()
        .map(|layer| descriptor(media::OCI_LAYER, layer));
    json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": descriptor(media::OCI_CONFIG, config),
        "layers": layers.collect::<Vec<_>>(),
    })
}
