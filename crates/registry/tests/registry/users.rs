//! What users of the registry notice beyond the specification: rights, quotas, shared blobs, what is refused, what is
//! collected, and the list of images.

use std::sync::Arc;
use std::time::Duration;

use super::common::{Server, descriptor, manifest, with};
use futures::StreamExt;
use http::request::Parts;
use mosaic_image::{digest, media};
use mosaic_registry::access::namespace;
use mosaic_registry::images::ImageEvent;
use mosaic_registry::signature::{self, PublicKey};
use mosaic_registry::{Access, Action, AllowAll, Decision, Identity, Settings};
use serde_json::json;
use tokio::io::AsyncWriteExt;

/// Whoever has a bearer token, or a password, is called like it; `wrong` is not good. Everybody pulls from `public`; the
/// others belong to who is called like their namespace, and `root` may do all.
struct Owners {
    quota: Option<u64>,
}

impl Access for Owners {
    fn authenticate(&self, head: &Parts) -> Result<Identity, String> {
        let Some(value) = head.headers.get("authorization") else {
            return Ok(Identity::anonymous());
        };
        let value = value.to_str().unwrap();
        let name = match value.split_once(' ').unwrap() {
            ("Bearer", token) => token,
            // user:secret and user:wrong
            ("Basic", "dXNlcjpzZWNyZXQ=") => "secret",
            _ => "wrong",
        };
        match name {
            "wrong" => Err("the token is not good".into()),
            name => Ok(Identity {
                name: Some(name.into()),
                groups: Arc::new([]),
            }),
        }
    }

    fn may(&self, who: &Identity, action: Action, repository: &str) -> Decision {
        let owner = namespace(repository);
        let allowed = match who.name.as_deref() {
            Some("root") => true,
            Some(name) if name == owner => true,
            _ => owner == "public" && action == Action::Pull,
        };
        match allowed {
            true => Decision::Allow,
            false => Decision::Deny(format!("{action:?} of {repository} is not allowed")),
        }
    }

    fn quota(&self, namespace: &str) -> Option<u64> {
        self.quota.filter(|_| namespace == "small")
    }
}

pub(super) async fn owned() -> Server {
    let access = Arc::new(Owners { quota: Some(1000) });
    Server::start_with(Settings::default(), access).await
}

pub(super) fn bearer(name: &str) -> String {
    format!("Bearer {name}")
}

#[tokio::test]
async fn only_who_may_gets_anything_and_the_others_are_told_how() {
    let server = owned().await;
    let digest = digest::sha256(b"x");
    // Every endpoint, without a name and with one that may not.
    let requests = [
        ("GET", "/v2/team/app/tags/list".to_owned()),
        ("GET", "/v2/team/app/manifests/latest".to_owned()),
        ("HEAD", "/v2/team/app/manifests/latest".to_owned()),
        ("PUT", "/v2/team/app/manifests/latest".to_owned()),
        ("DELETE", "/v2/team/app/manifests/latest".to_owned()),
        ("GET", format!("/v2/team/app/blobs/{digest}")),
        ("HEAD", format!("/v2/team/app/blobs/{digest}")),
        ("DELETE", format!("/v2/team/app/blobs/{digest}")),
        ("GET", format!("/v2/team/app/referrers/{digest}")),
        ("POST", "/v2/team/app/blobs/uploads/".to_owned()),
        (
            "GET",
            format!("/v2/team/app/blobs/uploads/{}", "0".repeat(64)),
        ),
        (
            "PATCH",
            format!("/v2/team/app/blobs/uploads/{}", "0".repeat(64)),
        ),
        (
            "PUT",
            format!("/v2/team/app/blobs/uploads/{}", "0".repeat(64)),
        ),
        (
            "DELETE",
            format!("/v2/team/app/blobs/uploads/{}", "0".repeat(64)),
        ),
    ];
    for (method, path) in &requests {
        let reply = server.send(method, path, &[], "").await.is(401);
        let challenge = reply.header("www-authenticate");
        assert!(challenge.starts_with("Bearer realm="), "{challenge}");
        let other = bearer("other");
        let other = [("authorization", other.as_str())];
        server.send(method, path, &other, "").await.is(403);
        let wrong = [("authorization", "Bearer wrong")];
        server.send(method, path, &wrong, "").await.is(401);
    }
    let refused = server.get("/v2/").await;
    refused.fails(401, "UNAUTHORIZED");
    let other = bearer("other");
    let other = [("authorization", other.as_str())];
    server.send("GET", "/v2/", &other, "").await.is(200);
    let denied = server
        .send("GET", "/v2/team/app/tags/list", &other, "")
        .await;
    denied.fails(403, "DENIED");
    // Anybody pulls what is public, but does not push it.
    server
        .get("/v2/public/app/tags/list")
        .await
        .fails(404, "NAME_UNKNOWN");
    server
        .post("/v2/public/app/blobs/uploads/")
        .await
        .fails(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_client_without_a_name_gets_a_token_for_what_is_public() {
    let server = owned().await;
    let asked = server.get("/v2/team/app/tags/list").await.is(401);
    let expected = format!(
        "Bearer realm=\"http://{}/token\",service=\"mosaic\",scope=\"repository:team/app:pull\"",
        server.address
    );
    assert_eq!(asked.header("www-authenticate"), expected);
    let token = server.get("/token?service=mosaic").await.is(200).json();
    let token = bearer(token["token"].as_str().unwrap());
    let with_token = [("authorization", token.as_str())];
    let public = server
        .send("GET", "/v2/public/app/tags/list", &with_token, "")
        .await;
    public.fails(404, "NAME_UNKNOWN");
    let other = server
        .send("GET", "/v2/team/app/tags/list", &with_token, "")
        .await;
    other.fails(401, "UNAUTHORIZED");
    // A password is a token.
    let secret = [("authorization", "Basic dXNlcjpzZWNyZXQ=")];
    let token = server
        .send("GET", "/token", &secret, "")
        .await
        .is(200)
        .json();
    assert_eq!(token["token"], "secret");
    let wrong = [("authorization", "Basic dXNlcjp3cm9uZw==")];
    server.send("GET", "/token", &wrong, "").await.is(401);
}

#[tokio::test]
async fn the_list_of_repositories_is_not_gone_through_for_those_without_a_name() {
    /// Remembers which repositories it was asked about.
    #[derive(Default)]
    struct Asked(std::sync::Mutex<Vec<String>>);

    impl Access for Asked {
        fn may(&self, _: &Identity, action: Action, repository: &str) -> Decision {
            self.0.lock().unwrap().push(repository.into());
            match (action, repository) {
                (_, "") => Decision::Deny("not everywhere".into()),
                _ => Decision::Allow,
            }
        }
    }

    let access = Arc::new(Asked::default());
    let server = Server::start_with(Settings::default(), access.clone()).await;
    server.image("team/app", "v1", b"layer").await;
    access.0.lock().unwrap().clear();
    server.get("/v2/_catalog").await.fails(401, "UNAUTHORIZED");
    assert_eq!(*access.0.lock().unwrap(), [""]);
}

#[tokio::test]
async fn a_blob_of_another_repository_is_there_for_those_who_may_read_it() {
    let server = owned().await;
    let put = |name: &'static str, repository: &'static str, bytes: &'static [u8]| {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let path = with(&path, "digest", digest::sha256(bytes));
        let server = &server;
        async move {
            let name = bearer(name);
            let name = [("authorization", name.as_str())];
            server.send("POST", &path, &name, bytes).await.is(201);
        }
    };
    let team = bearer("team");
    let team = [("authorization", team.as_str())];
    put("root", "public/base", b"shared layer").await;
    put("root", "secret/base", b"secret layer").await;
    put("team", "team/app", b"{}").await;
    let shared = digest::sha256(b"shared layer");
    let secret = digest::sha256(b"secret layer");
    let head = |digest: &digest::Digest| format!("/v2/team/app/blobs/{digest}");
    // Not to somebody who only pulls: the repository has none.
    let image = manifest(b"{}", &[b"shared layer"]);
    let hidden = manifest(b"{}", &[b"secret layer"]);
    let path = "/v2/team/app/manifests/v1";
    let kind = [team[0], ("content-type", media::OCI_MANIFEST)];
    let refused = server.send("PUT", path, &kind, hidden.to_string()).await;
    refused.fails(404, "MANIFEST_BLOB_UNKNOWN");
    // Nor is its size told by a manifest that names another.
    let mut wrong = hidden.clone();
    wrong["layers"][0]["size"] = json!(1);
    let refused = server.send("PUT", path, &kind, wrong.to_string()).await;
    refused.fails(404, "MANIFEST_BLOB_UNKNOWN");
    server.send("HEAD", &head(&secret), &team, "").await.is(404);
    server.send("GET", &head(&secret), &team, "").await.is(404);
    let mount = format!("/v2/team/app/blobs/uploads/?mount={secret}&from=secret/base");
    server.send("POST", &mount, &team, "").await.is(202);
    // A push needs to upload no shared base.
    server.send("HEAD", &head(&shared), &team, "").await.is(200);
    server
        .send("PUT", path, &kind, image.to_string())
        .await
        .is(201);
    let got = server.send("GET", &head(&shared), &team, "").await.is(200);
    assert_eq!(got.body, "shared layer");
    let catalog = server
        .send("GET", "/v2/_catalog", &team, "")
        .await
        .is(200)
        .json();
    assert_eq!(catalog["repositories"], json!(["team/app"]));
    server.get("/v2/_catalog").await.fails(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn manifests_that_cannot_be_are_refused_and_leave_nothing() {
    let server = Server::start().await;
    server.blob("r", b"{}").await;
    server.blob("r", b"layer").await;
    let put = |value: serde_json::Value| {
        let server = &server;
        async move { server.put_manifest("r", "bad", &value).await }
    };
    put(manifest(b"{}", &[b"absent"]))
        .await
        .fails(404, "MANIFEST_BLOB_UNKNOWN");
    let absent = descriptor(media::OCI_MANIFEST, b"absent");
    let index = json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [absent] });
    put(index).await.fails(404, "MANIFEST_BLOB_UNKNOWN");
    let mut lies = manifest(b"{}", &[b"layer"]);
    lies["layers"][0]["size"] = json!(4);
    put(lies).await.fails(400, "MANIFEST_INVALID");
    let child = manifest(b"{}", &[]);
    let named = descriptor(media::OCI_MANIFEST, child.to_string().as_bytes());
    let path = format!("/v2/r/manifests/{}", named["digest"].as_str().unwrap());
    let kind = [("content-type", media::OCI_MANIFEST)];
    let put_child = server.send("PUT", &path, &kind, child.to_string()).await;
    put_child.is(201);
    for (field, wrong) in [
        ("size", json!(4)),
        ("mediaType", json!(media::DOCKER_MANIFEST)),
    ] {
        let mut lies = named.clone();
        lies[field] = wrong;
        let lies =
            json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [lies] });
        put(lies).await.fails(400, "MANIFEST_INVALID");
    }
    let mut many = manifest(b"{}", &[]);
    many["layers"] = json!(vec![descriptor(media::OCI_LAYER, b"layer"); 10_000]);
    put(many).await.fails(400, "MANIFEST_INVALID");
    let mut long = manifest(b"{}", &[]);
    long["annotations"] = json!({ "long": "x".repeat(4 << 20) });
    put(long).await.fails(413, "SIZE_INVALID");
    // Types are in the records of manifests, tags and referrers.
    for pointer in ["/artifactType", "/config/mediaType"] {
        let mut long = manifest(b"{}", &[]);
        long["artifactType"] = json!("");
        *long.pointer_mut(pointer).unwrap() = json!("x".repeat(1 << 20));
        put(long).await.fails(400, "MANIFEST_INVALID");
    }
    let kind = [("content-type", media::OCI_MANIFEST)];
    let path = "/v2/r/manifests/bad";
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    server
        .send("PUT", path, &kind, deep)
        .await
        .fails(400, "MANIFEST_INVALID");
    let old = [("content-type", media::DOCKER_SCHEMA_1)];
    let schema_1 = json!({ "schemaVersion": 1 }).to_string();
    server
        .send("PUT", path, &old, schema_1)
        .await
        .fails(400, "MANIFEST_INVALID");
    let reference = "/v2/r/manifests/-not-a-tag";
    let good = manifest(b"{}", &[]).to_string();
    server
        .send("PUT", reference, &kind, good)
        .await
        .fails(400, "TAG_INVALID");
    // An index in an index in an index and so on.
    let mut inner = manifest(b"{}", &[]);
    server
        .put_manifest(
            "r",
            digest::sha256(inner.to_string().as_bytes()).as_ref(),
            &inner,
        )
        .await
        .is(201);
    let mut depth = 0;
    loop {
        let media_type = inner["mediaType"].as_str().unwrap();
        let named = descriptor(media_type, inner.to_string().as_bytes());
        inner = json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [named] });
        let digest = digest::sha256(inner.to_string().as_bytes());
        let reply = server.put_manifest("r", digest.as_ref(), &inner).await;
        if reply.status != 201 {
            reply.fails(400, "MANIFEST_INVALID");
            break;
        }
        depth += 1;
        assert!(depth < 10);
    }
    assert_eq!(depth, 4);
    let list = server.get("/v2/r/tags/list").await.is(200).json();
    assert_eq!(list["tags"], json!([]));
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_where_it_was() {
    let server = Server::start().await;
    let begun = server.post("/v2/r/blobs/uploads/").await.is(202);
    let location = begun.header("location").to_owned();
    let whole: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let sent = 1_234_567;
    let mut stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nhost: r\r\ncontent-length: {}\r\n\r\n",
        whole.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&whole[..sent]).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let reached = format!("0-{}", sent - 1);
    while server.get(&location).await.is(204).header("range") != reached {
        tokio::task::yield_now().await;
    }
    // Another server on the same directory would not know its hash: neither does this one after a restart.
    let range = format!("{sent}-{}", whole.len() - 1);
    let rest = [("content-range", range.as_str())];
    server
        .send("PATCH", &location, &rest, whole[sent..].to_vec())
        .await
        .is(202);
    let digest = digest::sha256(&whole);
    server
        .send("PUT", &with(&location, "digest", &digest), &[], "")
        .await
        .is(201);
    let got = server.get(&format!("/v2/r/blobs/{digest}")).await.is(200);
    assert!(got.body == whole);
}

#[tokio::test]
async fn an_upload_whose_client_is_silent_is_taken_over_by_the_next_request() {
    let server = Server::start().await;
    let begun = server.post("/v2/r/blobs/uploads/").await.is(202);
    let location = begun.header("location").to_owned();
    let mut silent = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let head = format!("PATCH {location} HTTP/1.1\r\nhost: r\r\ncontent-length: 9\r\n\r\n");
    silent.write_all(head.as_bytes()).await.unwrap();
    silent.write_all(b"whole").await.unwrap();
    // What came of it is written when it is given up.
    let rest = [("content-range", "5-9")];
    let go_on = || server.send("PATCH", &location, &rest, " blob");
    loop {
        let status = go_on().await.status.as_u16();
        match status {
            202 => break,
            // The first one has not begun yet.
            _ => assert_eq!(status, 416),
        }
    }
    let digest = digest::sha256(b"whole blob");
    server
        .send("PUT", &with(&location, "digest", &digest), &[], "")
        .await
        .is(201);
}

#[tokio::test]
async fn an_upload_is_for_one_repository_and_within_its_bounds() {
    let settings = Settings {
        blob_max: 10,
        ..Settings::default()
    };
    let server = Server::start_with(settings, Arc::new(AllowAll)).await;
    let begun = server.post("/v2/one/blobs/uploads/").await.is(202);
    let location = begun.header("location");
    let elsewhere = location.replace("/v2/one/", "/v2/two/");
    server
        .send("PATCH", &elsewhere, &[], "x")
        .await
        .fails(404, "BLOB_UPLOAD_UNKNOWN");
    // The range says less than what comes.
    let range = [("content-range", "0-2")];
    server
        .send("PATCH", location, &range, "four")
        .await
        .fails(400, "SIZE_INVALID");
    server
        .send("PATCH", location, &[], "more than ten bytes")
        .await
        .fails(413, "SIZE_INVALID");
    server.get(location).await.fails(404, "BLOB_UPLOAD_UNKNOWN");
    let begun = server.post("/v2/one/blobs/uploads/").await.is(202);
    let nothing = server.send("PUT", begun.header("location"), &[], "").await;
    nothing.fails(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn what_is_begun_is_ended_by_another_process() {
    let server = Server::start().await;
    let begun = server.post("/v2/r/blobs/uploads/").await.is(202);
    let location = begun.header("location").to_owned();
    server
        .send("PATCH", &location, &[], "first, ")
        .await
        .is(202);
    let (manifest, _) = server.image("r", "v1", b"layer").await;
    let mut server = server;
    let empty = tempfile::tempdir().unwrap();
    let directory = std::mem::replace(&mut server.directory, empty);
    let path = directory.path().to_owned();
    drop(server);
    // The files are locked until the last connection is gone.
    let opened = || mosaic_registry::Disk::open(path.join("registry")).is_ok();
    while !opened() {
        tokio::task::yield_now().await;
    }
    let access = Arc::new(AllowAll);
    let server = Server::start_in(directory, Settings::default(), access).await;
    server.send("PATCH", &location, &[], "second").await.is(202);
    let digest = digest::sha256(b"first, second");
    server
        .send("PUT", &with(&location, "digest", &digest), &[], "")
        .await
        .is(201);
    let got = server.get("/v2/r/manifests/v1").await.is(200);
    assert_eq!(got.json(), manifest);
}

/// How many bytes there are in a directory.
fn bytes_in(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.metadata().unwrap() {
            found if found.is_dir() => bytes_in(&entry.path()),
            found => found.len(),
        })
        .sum()
}

#[tokio::test]
async fn what_nothing_names_goes_when_its_time_is_over() {
    let settings = Settings {
        grace: Duration::from_secs(2),
        ..Settings::default()
    };
    let server = Server::start_with(settings, Arc::new(AllowAll)).await;
    let registry = server.directory.path().join("registry");
    let (_, kept) = server.image("r", "kept", &[1; 1000]).await;
    let with_kept = bytes_in(&registry);
    let (_, dropped) = server.image("r", "dropped", &[2; 1000]).await;
    server.blob("r", &[3; 1000]).await;
    let begun = server.post("/v2/r/blobs/uploads/").await.is(202);
    server
        .send("PATCH", begun.header("location"), &[], vec![4; 1000])
        .await
        .is(202);
    assert_eq!(
        server.registry.collect().await.unwrap().bytes,
        0,
        "all is young"
    );
    server
        .delete(&format!("/v2/r/manifests/{dropped}"))
        .await
        .is(202);
    while bytes_in(&registry) > with_kept {
        server.registry.collect().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bytes_in(&registry), with_kept);
    server.get(&format!("/v2/r/manifests/{kept}")).await.is(200);
    let layer = digest::sha256(&[1; 1000]);
    server.get(&format!("/v2/r/blobs/{layer}")).await.is(200);
    server.image("r", "dropped", &[2; 1000]).await;
    let again = digest::sha256(&[2; 1000]);
    server.get(&format!("/v2/r/blobs/{again}")).await.is(200);
}

#[tokio::test]
async fn what_no_tag_leads_to_is_pruned_when_asked_for() {
    let settings = Settings {
        grace: Duration::from_secs(2),
        ..Settings::default()
    };
    let server = Server::start_with(settings, Arc::new(AllowAll)).await;
    let (image, tagged) = server.image("r", "tagged", b"1").await;
    let (_, untagged) = server.image("r", "untagged", b"2").await;
    server.delete("/v2/r/manifests/untagged").await.is(202);
    let mut signature = manifest(b"{}", &[]);
    server.blob("r", b"{}").await;
    signature["subject"] = descriptor(media::OCI_MANIFEST, image.to_string().as_bytes());
    let name = digest::sha256(signature.to_string().as_bytes());
    server
        .put_manifest("r", name.as_ref(), &signature)
        .await
        .is(201);
    let pruned = loop {
        match server.registry.prune("r", false).await.unwrap() {
            young if young.is_empty() => tokio::time::sleep(Duration::from_millis(50)).await,
            pruned => break pruned,
        }
    };
    assert_eq!(pruned.as_slice(), std::slice::from_ref(&untagged));
    for (digest, status) in [(tagged, 200), (name, 200), (untagged, 404)] {
        let path = format!("/v2/r/manifests/{digest}");
        server.get(&path).await.is(status);
    }
}

#[tokio::test]
async fn images_are_listed_and_watched() {
    let server = Server::start().await;
    let (_, digest) = server.image("team/app", "v1", b"layer").await;
    server.image("solo", "v1", b"layer").await;
    let list = server.registry.images(None, None, 10).await.unwrap();
    let names: Vec<_> = list
        .images
        .iter()
        .map(|one| (one.repository.as_str(), one.tag.as_str()))
        .collect();
    assert_eq!(names, [("solo", "v1"), ("team/app", "v1")]);
    let app = &list.images[1];
    assert_eq!((&app.digest, app.layers, app.pulled), (&digest, 1, None));
    let mut watch = server.registry.watch_images(list.revision).await.unwrap();
    server.get("/v2/team/app/manifests/v1").await.is(200);
    server.delete("/v2/solo/manifests/v1").await.is(202);
    let mut told = Vec::new();
    while told.len() < 2 {
        told.push(watch.next().await.unwrap().unwrap());
    }
    assert!(matches!(&told[0], ImageEvent::Applied(image) if image.pulled.is_some()));
    assert!(matches!(&told[1], ImageEvent::Removed { repository, .. } if repository == "solo"));
    let page = server
        .registry
        .images(Some(("solo", "v1")), Some(list.revision), 10)
        .await
        .unwrap();
    assert_eq!(page.images.len(), 1);
    let image = server
        .registry
        .image("team/app", "v1")
        .await
        .unwrap()
        .unwrap();
    assert!(image.pulled.is_some());
}

#[tokio::test]
async fn a_signature_is_found_by_its_tag_and_as_a_referrer() {
    use base64::Engine;
    use ring::signature::KeyPair;
    let server = Server::start().await;
    let random = ring::rand::SystemRandom::new();
    let pkcs8 = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let pair = ring::signature::Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let info = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let key = PublicKey::from_der(&[&info[..], pair.public_key().as_ref()].concat()).unwrap();
    server.blob("r", b"{}").await;
    for as_referrer in [false, true] {
        let tag = format!("v{as_referrer}");
        let (image, digest) = server.image("r", &tag, tag.as_bytes()).await;
        assert!(!server.registry.verify("r", &digest, &key).await.unwrap());
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": "" },
                "image": { "docker-manifest-digest": digest },
                "type": "cosign container image signature",
            },
            "optional": {},
        })
        .to_string();
        server.blob("r", payload.as_bytes()).await;
        let text = base64::engine::general_purpose::STANDARD.encode(pair.sign(payload.as_bytes()));
        let mut layer = descriptor(signature::PAYLOAD, payload.as_bytes());
        layer["annotations"] = json!({ signature::ANNOTATION: text });
        let mut signed = manifest(b"{}", &[]);
        signed["layers"] = json!([layer]);
        let mut name = format!("sha256-{}.sig", digest.digest());
        if as_referrer {
            signed["artifactType"] = json!(signature::ARTIFACT);
            signed["subject"] = descriptor(media::OCI_MANIFEST, image.to_string().as_bytes());
            name = digest::sha256(signed.to_string().as_bytes()).to_string();
        }
        server.put_manifest("r", &name, &signed).await.is(201);
        assert!(server.registry.verify("r", &digest, &key).await.unwrap());
        let other = PublicKey::from_der(&[&info[..], &[1; 32]].concat()).unwrap();
        assert!(!server.registry.verify("r", &digest, &other).await.unwrap());
    }
}

#[tokio::test]
async fn a_blob_that_was_damaged_is_made_whole_by_the_next_push() {
    let server = Server::start().await;
    let digest = server.blob("a/app", b"whole content").await;
    let hex = digest.digest();
    let blobs = server.directory.path().join("registry/blobs/sha256");
    let path = blobs.join(&hex[..2]).join(hex);
    std::fs::write(&path, b"whole content, and more").unwrap();
    let url = format!("/v2/b/app/blobs/{digest}");
    server.head(&url).await.is(404);
    server.blob("b/app", b"whole content").await;
    let got = server.get(&url).await.is(200);
    assert_eq!(got.body, "whole content");
}
