//! Namespaces that are deleted, and others that get their names: nothing passes from one to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::common::{Server, manifest};
use mosaic_image::digest;
use mosaic_registry::{Access, Action, Decision, Identity, Owner, Settings};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Everybody may do everything, and all namespaces are deleted and made anew at once, perhaps with the cluster.
#[derive(Clone, Default)]
struct Cluster {
    namespace: Arc<AtomicU64>,
    cluster: Arc<AtomicU64>,
}

impl Cluster {
    fn next(&self) {
        self.namespace.fetch_add(1, Ordering::Relaxed);
    }
}

impl Access for Cluster {
    fn may(&self, _: &Identity, _: Action, _: &str) -> Decision {
        Decision::Allow
    }

    fn owner(&self, namespace: &str) -> Option<Owner> {
        Some(Owner {
            cluster: self.cluster.load(Ordering::Relaxed).to_string().into(),
            uid: format!("{namespace}-{}", self.namespace.load(Ordering::Relaxed)).into(),
        })
    }
}

async fn start(cluster: &Cluster) -> Server {
    Server::start_with(Settings::default(), Arc::new(cluster.clone())).await
}

/// Removes what is of namespaces that are gone, as the cluster's server does.
async fn clear(server: &Server, cluster: &Cluster) {
    for (name, owner) in server.registry.owners().await.unwrap() {
        if cluster.owner(&name).unwrap() != owner {
            server.registry.clear(&name, &owner).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_next_namespace_of_a_name_has_nothing_of_the_one_before() {
    let cluster = Cluster::default();
    let server = start(&cluster).await;
    let (pushed, image) = server.image("shop/web", "v1", b"secret layer").await;
    let signature = json!({
        "schemaVersion": 2,
        "mediaType": pushed["mediaType"],
        "config": pushed["config"],
        "layers": [],
        "subject": { "mediaType": pushed["mediaType"], "digest": image, "size": pushed.to_string().len() },
    });
    let put = server.put_manifest("shop/web", "signed", &signature).await;
    put.is(201);
    server.image("other/web", "v1", b"secret layer").await;
    let blob = digest::sha256(b"secret layer");
    let urls = [
        "manifests/v1".to_owned(),
        format!("manifests/{image}"),
        format!("blobs/{blob}"),
        "tags/list".to_owned(),
    ];
    let urls = urls.map(|url| format!("/v2/shop/web/{url}"));
    for url in &urls {
        server.get(url).await.is(200);
    }
    cluster.next();
    // Nobody has been told to clear yet, as after a crash: whoever comes waits for it, and asks for it.
    let early = async { server.get(&urls[0]).await.is(404) };
    let clearing = async {
        server.registry.clear_wanted().await;
        clear(&server, &cluster).await;
    };
    tokio::join!(early, clearing);
    for url in &urls {
        server.get(url).await.is(404);
    }
    let referrers = format!("/v2/shop/web/referrers/{image}");
    let referrers = server.get(&referrers).await.is(200).json();
    assert_eq!(referrers["manifests"], json!([]));
    let catalog = server.get("/v2/_catalog").await.is(200).json();
    assert_eq!(catalog["repositories"], json!([]), "{catalog}");
    // The name is as good as new.
    server.image("shop/web", "v1", b"another layer").await;
    clear(&server, &cluster).await;
    server.get(&urls[0]).await.is(200);
}

/// Sends a request but for the last byte of its body, which goes when `meanwhile` has ended; the answer's first line.
async fn slowly(
    server: &Server,
    head: &str,
    body: &[u8],
    meanwhile: impl Future<Output = ()>,
) -> String {
    let (last, rest) = body.split_last().unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let length = body.len();
    // The answer of the server's to that says that it waits for the body.
    let head = format!(
        "{head} HTTP/1.1\r\nhost: r\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut proceed = [0; 25];
    stream.read_exact(&mut proceed).await.unwrap();
    assert_eq!(&proceed, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(rest).await.unwrap();
    meanwhile.await;
    stream.write_all(&[*last]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_push_that_began_in_an_earlier_namespace_is_refused() {
    let cluster = Cluster::default();
    let server = start(&cluster).await;
    let config = br#"{"architecture":"amd64","os":"linux"}"#;
    server.blob("shop/web", config).await;
    let manifest = manifest(config, &[]);
    let next = || async {
        cluster.next();
        clear(&server, &cluster).await;
    };
    let head = "PUT /v2/shop/web/manifests/ghost";
    let answer = slowly(&server, head, manifest.to_string().as_bytes(), next()).await;
    assert!(answer.contains(" 403 "), "{answer}");
    let blob = digest::sha256(b"late layer");
    let head = format!("POST /v2/shop/web/blobs/uploads/?digest={blob}");
    let answer = slowly(&server, &head, b"late layer", next()).await;
    assert!(answer.contains(" 403 "), "{answer}");
    let next = format!("/v2/shop/web/blobs/{blob}");
    for url in [
        &*next,
        "/v2/shop/web/manifests/ghost",
        "/v2/shop/web/tags/list",
    ] {
        server.get(url).await.is(404);
    }
}

#[tokio::test]
async fn images_outlast_the_loss_of_a_clusters_objects() {
    let cluster = Cluster::default();
    let server = start(&cluster).await;
    server.image("shop/web", "v1", b"layer").await;
    cluster.next();
    cluster.cluster.fetch_add(1, Ordering::Relaxed);
    server.get("/v2/shop/web/manifests/v1").await.is(200);
    clear(&server, &cluster).await;
    server.get("/v2/shop/web/manifests/v1").await.is(200);
}
