//! Repositories that are another registry's.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::common::{Server, manifest};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::BodyExt;
use mosaic_image::document::Descriptor;
use mosaic_image::place::{As, Body, Hold, Listed, Place, PlaceError};
use mosaic_image::{Digest, Document, Name, digest, media};
use mosaic_registry::{Access, Action, Decision, Identity, Mirror, Settings};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

/// An upstream that counts what it is asked for, and that can be away.
#[derive(Default)]
struct Upstream {
    tags: Mutex<HashMap<String, Value>>,
    manifests: Mutex<HashMap<Digest, Value>>,
    blobs: Mutex<HashMap<Digest, Vec<u8>>>,
    away: AtomicBool,
    /// It does not know us.
    refuses: AtomicBool,
    resolved: AtomicUsize,
    read: AtomicUsize,
    /// The second half of a blob comes when this is told.
    second_half: Option<Notify>,
}

impl Upstream {
    fn image(&self, tag: &str, layer: &[u8]) -> Digest {
        let image = manifest(b"{}", &[layer]);
        let digest = digest::sha256(image.to_string().as_bytes());
        for blob in [b"{}", layer] {
            let blob = blob.to_vec();
            self.blobs.lock().insert(digest::sha256(&blob), blob);
        }
        self.manifests.lock().insert(digest.clone(), image.clone());
        self.tags.lock().insert(tag.into(), image);
        digest
    }

    fn reach(&self, object: &str) -> Result<(), PlaceError> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(PlaceError::Refused {
                step: "ask for",
                object: object.into(),
                status: 401,
                message: "log in".into(),
            });
        }
        match self.away.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(PlaceError::Unreachable {
                step: "ask for",
                object: object.into(),
                reason: "it is away".into(),
            }),
        }
    }
}

#[async_trait]
impl Place for Upstream {
    fn describe(&self) -> String {
        "the upstream".into()
    }

    async fn resolve(&self, name: &Name) -> Result<Option<Document>, PlaceError> {
        self.resolved.fetch_add(1, Ordering::Relaxed);
        assert_eq!(name.registry(), Some("upstream.example:5000"));
        assert_eq!(name.repository().as_str(), "library/app");
        self.reach("a manifest")?;
        let found = match (name.tag(), name.digest()) {
            (Some(tag), _) => self.tags.lock().get(tag.as_str()).cloned(),
            (None, Some(digest)) => self.manifests.lock().get(digest).cloned(),
            (None, None) => None,
        };
        let parse = |value: Value| Document::parse(Some(media::OCI_MANIFEST), value.to_string());
        Ok(found.map(|value| parse(value).unwrap()))
    }

    async fn read(&self, _: &Name, descriptor: &Descriptor) -> Result<Body, PlaceError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.reach("a blob")?;
        let blob = self.blobs.lock().get(descriptor.digest()).cloned();
        let blob = blob.ok_or_else(|| PlaceError::NotFound {
            what: descriptor.digest().to_string(),
            place: self.describe(),
        })?;
        let (first, second) = blob.split_at(blob.len() / 2);
        let first = Bytes::copy_from_slice(first);
        let second = Bytes::copy_from_slice(second);
        if let Some(told) = &self.second_half {
            told.notified().await;
        }
        let halves = [Ok::<_, io::Error>(first), Ok(second)];
        Ok(futures::stream::iter(halves).boxed())
    }

    async fn document(&self, _: &Name, _: &Descriptor) -> Result<Document, PlaceError> {
        unreachable!()
    }

    async fn has(&self, _: &Name, _: &Descriptor) -> Result<bool, PlaceError> {
        unreachable!()
    }

    async fn write(&self, _: &Name, _: &Descriptor, _: Body) -> Result<(), PlaceError> {
        unreachable!("nothing is pushed upstream")
    }

    async fn put(&self, _: &Name, _: &Document, _: As) -> Result<(), PlaceError> {
        unreachable!("nothing is pushed upstream")
    }

    async fn list(&self, _: Option<&Name>) -> Result<Vec<Listed>, PlaceError> {
        unreachable!()
    }

    async fn referrers(
        &self,
        _: &Name,
        _: &Digest,
        _: Option<&str>,
    ) -> Result<Vec<Descriptor>, PlaceError> {
        unreachable!()
    }

    async fn delete(&self, _: &Name) -> Result<bool, PlaceError> {
        unreachable!("nothing is deleted upstream")
    }

    async fn hold(&self) -> Result<Hold, PlaceError> {
        unreachable!()
    }
}

async fn mirror(upstream: &Arc<Upstream>, expiry: Duration) -> Server {
    let server = Server::start().await;
    server
        .registry
        .set_mirrors(vec![as_mirror("hub", upstream, expiry)]);
    server
}

fn as_mirror(prefix: &str, upstream: &Arc<Upstream>, expiry: Duration) -> Mirror {
    Mirror {
        prefix: prefix.into(),
        registry: "upstream.example:5000".into(),
        within: "library/".into(),
        place: upstream.clone(),
        expiry,
    }
}

/// Everybody may do everything, but strangers only pull, and only from mirrors.
struct Strangers;

impl Access for Strangers {
    fn authenticate(&self, head: &http::request::Parts) -> Result<Identity, String> {
        let name = match head.headers.contains_key("x-stranger") {
            true => "stranger",
            false => "owner",
        };
        Ok(Identity {
            name: Some(name.into()),
            groups: Arc::new([]),
        })
    }

    fn may(&self, who: &Identity, action: Action, repository: &str) -> Decision {
        let mirrored = repository.starts_with("hub/") && action == Action::Pull;
        match mirrored || who.name.as_deref() == Some("owner") {
            true => Decision::Allow,
            false => Decision::Deny("it is not theirs".into()),
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn what_is_pulled_is_fetched_once_and_served_without_the_upstream() {
    let upstream = Arc::new(Upstream::default());
    let digest = upstream.image("v1", b"layer");
    let server = mirror(&upstream, HOUR).await;
    let layer = format!("/v2/hub/app/blobs/{}", digest::sha256(b"layer"));
    // Before a manifest names it, nobody knows of it.
    server.get(&layer).await.fails(404, "BLOB_UNKNOWN");
    for _ in 0..2 {
        let got = server.get("/v2/hub/app/manifests/v1").await.is(200);
        assert_eq!(got.header("docker-content-digest"), digest.to_string());
        server.head(&layer).await.is(200);
        assert_eq!(server.get(&layer).await.is(200).body, "layer");
        server
            .get(&format!("/v2/hub/app/manifests/{digest}"))
            .await
            .is(200);
    }
    let counts = (&upstream.resolved, &upstream.read);
    assert_eq!(counts.0.load(Ordering::Relaxed), 1);
    assert_eq!(counts.1.load(Ordering::Relaxed), 1);
    upstream.away.store(true, Ordering::Relaxed);
    assert_eq!(server.get(&layer).await.is(200).body, "layer");
    server.get("/v2/hub/app/manifests/v1").await.is(200);
    // What was never asked for cannot be had.
    server
        .get("/v2/hub/app/manifests/v2")
        .await
        .fails(503, "UNAVAILABLE");
    let list = server.registry.images(None, None, 10).await.unwrap();
    assert_eq!(list.images[0].repository, "hub/app");
}

#[tokio::test]
async fn an_old_tag_is_asked_for_again_and_served_with_a_warning_if_nobody_answers() {
    let upstream = Arc::new(Upstream::default());
    let first = upstream.image("latest", b"first");
    let server = mirror(&upstream, Duration::ZERO).await;
    let path = "/v2/hub/app/manifests/latest";
    let digest_of = |reply: &super::common::Reply| reply.header("docker-content-digest").to_owned();
    assert_eq!(
        digest_of(&server.get(path).await.is(200)),
        first.to_string()
    );
    let second = upstream.image("latest", b"second");
    let got = server.get(path).await.is(200);
    assert_eq!(
        (digest_of(&got), got.header("warning")),
        (second.to_string(), "")
    );
    upstream.away.store(true, Ordering::Relaxed);
    let got = server.get(path).await.is(200);
    assert_eq!(digest_of(&got), second.to_string());
    assert!(got.header("warning").starts_with("110 "));
    upstream.away.store(false, Ordering::Relaxed);
    // A login that is over takes nothing away, and gives nothing.
    upstream.refuses.store(true, Ordering::Relaxed);
    let got = server.get(path).await.is(200);
    assert!(got.header("warning").starts_with("110 "));
    server
        .get("/v2/hub/app/manifests/other")
        .await
        .fails(404, "MANIFEST_UNKNOWN");
    upstream.refuses.store(false, Ordering::Relaxed);
    upstream.tags.lock().clear();
    server.get(path).await.fails(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_mirror_is_only_pulled_from() {
    let upstream = Arc::new(Upstream::default());
    let server = mirror(&upstream, HOUR).await;
    server
        .post("/v2/hub/app/blobs/uploads/")
        .await
        .fails(405, "UNSUPPORTED");
    let put = server
        .put_manifest("hub/app", "v1", &manifest(b"{}", &[]))
        .await;
    put.fails(405, "UNSUPPORTED");
    // A name that only begins like it is another.
    server.image("hubris/app", "v1", b"layer").await;
}

#[tokio::test]
async fn many_who_want_one_blob_share_one_fetch() {
    let upstream = Arc::new(Upstream {
        second_half: Some(Notify::new()),
        ..Upstream::default()
    });
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 253) as u8).collect();
    upstream.image("v1", &bytes);
    let server = mirror(&upstream, HOUR).await;
    server.get("/v2/hub/app/manifests/v1").await.is(200);
    let path = format!("/v2/hub/app/blobs/{}", digest::sha256(&bytes));
    let mut pulls = Vec::new();
    for _ in 0..5 {
        let request = http::Request::get(&path).body(http_body_util::Empty::<Bytes>::new());
        let response = server
            .registry
            .handle(request.unwrap(), &Identity::anonymous())
            .await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-length"], "3000000");
        pulls.push(tokio::spawn(response.into_body().collect()));
    }
    upstream.second_half.as_ref().unwrap().notify_one();
    for pull in pulls {
        let got = pull.await.unwrap().unwrap().to_bytes();
        assert!(got == bytes);
    }
    assert_eq!(upstream.read.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_blob_that_is_not_what_it_should_be_is_not_kept() {
    let upstream = Arc::new(Upstream::default());
    upstream.image("v1", b"layer");
    let layer = digest::sha256(b"layer");
    upstream
        .blobs
        .lock()
        .insert(layer.clone(), b"loyer".to_vec());
    let server = mirror(&upstream, HOUR).await;
    server.get("/v2/hub/app/manifests/v1").await.is(200);
    let path = format!("/v2/hub/app/blobs/{layer}");
    // What came until then is never the whole.
    let request = http::Request::get(&path).body(http_body_util::Empty::<Bytes>::new());
    let who = Identity::anonymous();
    let mut body = server
        .registry
        .handle(request.unwrap(), &who)
        .await
        .into_body();
    let mut came = 0;
    let end = loop {
        match body.frame().await {
            Some(Ok(frame)) => came += frame.into_data().unwrap().len(),
            end => break end,
        }
    };
    assert!(end.unwrap().is_err());
    assert!(came < "layer".len());
    // A part of it is only served when all of it is here and verified.
    let part = [("range", "bytes=0-1")];
    server
        .send("GET", &path, &part, "")
        .await
        .fails(503, "UNAVAILABLE");
    upstream.blobs.lock().insert(layer, b"layer".to_vec());
    assert_eq!(
        server.send("GET", &path, &part, "").await.is(206).body,
        "la"
    );
}

#[tokio::test]
async fn a_manifest_of_an_upstream_opens_nothing_that_the_upstream_has_not() {
    let upstream = Arc::new(Upstream::default());
    let server = Server::start_with(Settings::default(), Arc::new(Strangers)).await;
    server
        .registry
        .set_mirrors(vec![as_mirror("hub", &upstream, HOUR)]);
    let (_, private) = server.image("private/app", "v1", b"secret").await;
    let layer = digest::sha256(b"secret");
    upstream.image("v1", b"secret");
    // It has the manifest, which names them, and not the blobs.
    upstream.blobs.lock().clear();
    let mut image = manifest(b"{}", &[b"secret"]);
    image["layers"][0]["digest"] = private.to_string().into();
    image["layers"][0]["size"] = 1.into();
    upstream.tags.lock().insert("v2".into(), image);
    let stranger = [("x-stranger", "")];
    for tag in ["v1", "v2"] {
        let path = format!("/v2/hub/app/manifests/{tag}");
        server.send("GET", &path, &stranger, "").await.is(200);
    }
    for secret in [&layer, &private] {
        let path = format!("/v2/hub/app/blobs/{secret}");
        let part = [stranger[0], ("range", "bytes=0-")];
        let got = server.send("GET", &path, &part, "").await;
        got.fails(503, "UNAVAILABLE");
        assert!(upstream.read.swap(0, Ordering::Relaxed) > 0);
    }
    // Who may read it anyway need not wait for the upstream, and opens it to nobody.
    let path = format!("/v2/hub/app/blobs/{layer}");
    assert_eq!(server.get(&path).await.is(200).body, "secret");
    assert_eq!(upstream.read.load(Ordering::Relaxed), 0);
    let part = [stranger[0], ("range", "bytes=0-")];
    let got = server.send("GET", &path, &part, "").await;
    got.fails(503, "UNAVAILABLE");
    // The upstream has it too.
    let bytes = b"secret".to_vec();
    upstream.blobs.lock().insert(layer, bytes);
    let got = server.send("GET", &path, &stranger, "").await.is(200);
    assert_eq!(got.body, "secret");
}

#[tokio::test]
async fn an_upstream_that_says_nothing_keeps_nobody_from_another() {
    let silent = Arc::new(Upstream {
        second_half: Some(Notify::new()),
        ..Upstream::default()
    });
    let good = Arc::new(Upstream::default());
    for upstream in [&silent, &good] {
        upstream.image("v1", b"layer");
    }
    let server = Server::start().await;
    server.registry.set_mirrors(vec![
        as_mirror("hub", &silent, HOUR),
        as_mirror("lib", &good, HOUR),
    ]);
    let layer = digest::sha256(b"layer");
    for prefix in ["hub", "lib"] {
        let path = format!("/v2/{prefix}/app/manifests/v1");
        server.get(&path).await.is(200);
    }
    let path = format!("/v2/hub/app/blobs/{layer}");
    let request = http::Request::get(path).body(http_body_util::Empty::<Bytes>::new());
    let who = Identity::anonymous();
    let waiting = server.registry.handle(request.unwrap(), &who).await;
    assert_eq!(waiting.status(), 200);
    let path = format!("/v2/lib/app/blobs/{layer}");
    tokio::select! {
        got = server.get(&path) => assert_eq!(got.is(200).body, "layer"),
        end = waiting.into_body().collect() => panic!("{end:?} came first"),
    }
    assert_eq!(good.read.load(Ordering::Relaxed), 1);
}
