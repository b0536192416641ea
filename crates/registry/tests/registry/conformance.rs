//! What the public conformance suite of the OCI distribution-spec looks at, in its four categories.

use super::common::{Server, descriptor, manifest, with};
use mosaic_image::{Digest, digest, media};
use serde_json::{Value, json};

const R: &str = "conformance/repo";

fn digest_of(value: &Value) -> Digest {
    digest::sha256(value.to_string().as_bytes())
}

#[tokio::test]
async fn pull() {
    let server = Server::start().await;
    let reply = server.get("/v2/").await.is(200);
    assert_eq!(
        reply.header("docker-distribution-api-version"),
        "registry/2.0"
    );
    let (manifest, digest) = server.image(R, "tag", b"layer").await;
    let layer = digest::sha256(b"layer");
    let missing = digest::sha256(b"never pushed");

    server
        .head(&format!("/v2/{R}/blobs/{missing}"))
        .await
        .is(404);
    let unknown = server.get(&format!("/v2/{R}/blobs/{missing}")).await;
    unknown.fails(404, "BLOB_UNKNOWN");
    let head = server.head(&format!("/v2/{R}/blobs/{layer}")).await.is(200);
    assert_eq!(head.header("docker-content-digest"), layer.to_string());
    assert_eq!(head.header("content-length"), "5");
    let get = server.get(&format!("/v2/{R}/blobs/{layer}")).await.is(200);
    assert_eq!(get.body, "layer");

    for reference in [".INVALID_MANIFEST_NAME", "absent", missing.as_ref()] {
        let path = format!("/v2/{R}/manifests/{reference}");
        server.head(&path).await.is(404);
        server.get(&path).await.fails(404, "MANIFEST_UNKNOWN");
    }
    for reference in ["tag", digest.as_ref()] {
        let path = format!("/v2/{R}/manifests/{reference}");
        let accept = [("accept", media::OCI_MANIFEST)];
        let head = server.send("HEAD", &path, &accept, "").await.is(200);
        assert_eq!(head.header("docker-content-digest"), digest.to_string());
        assert_eq!(head.header("content-type"), media::OCI_MANIFEST);
        let get = server.send("GET", &path, &accept, "").await.is(200);
        assert_eq!(get.body, manifest.to_string());
        assert_eq!(get.header("content-type"), media::OCI_MANIFEST);
        assert_eq!(head.header("content-length"), get.header("content-length"));
    }
    // What is wrong is said in the form of the specification.
    let path = format!("/v2/{R}/manifests/sha256:totallywrong");
    let kind = [("content-type", media::OCI_MANIFEST)];
    let refused = server.send("PUT", &path, &kind, "blablabla").await;
    refused.fails(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn pull_a_part() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..2048u32).map(|n| n as u8).collect();
    let blob = server.blob(R, &bytes).await;
    let path = format!("/v2/{R}/blobs/{blob}");
    for (range, shown, part) in [
        ("bytes=500-1499", "bytes 500-1499/2048", &bytes[500..1500]),
        ("bytes=500-", "bytes 500-2047/2048", &bytes[500..]),
        ("bytes=-500", "bytes 1548-2047/2048", &bytes[1548..]),
        ("bytes=2000-5000", "bytes 2000-2047/2048", &bytes[2000..]),
    ] {
        let got = server
            .send("GET", &path, &[("range", range)], "")
            .await
            .is(206);
        assert_eq!(got.header("content-range"), shown);
        assert_eq!(got.header("content-length"), part.len().to_string());
        assert_eq!(got.body, part);
    }
    for range in ["bytes=500-0", "bytes=5000-10000"] {
        let refused = server
            .send("GET", &path, &[("range", range)], "")
            .await
            .is(416);
        assert_eq!(refused.header("content-range"), "bytes */2048");
    }
    let known = [("if-none-match", format!("\"{blob}\""))];
    let known = [(known[0].0, known[0].1.as_str())];
    let unchanged = server.send("GET", &path, &known, "").await.is(304);
    assert_eq!(unchanged.header("etag"), known[0].1);
}

#[tokio::test]
async fn push_streamed_and_monolithic() {
    let server = Server::start().await;
    let uploads = format!("/v2/{R}/blobs/uploads/");
    let octets = [("content-type", "application/octet-stream")];

    let begun = server.post(&uploads).await.is(202);
    let patched = server
        .send("PATCH", begun.header("location"), &octets, "blob a")
        .await
        .is(202);
    let blob = digest::sha256(b"blob a");
    let location = with(patched.header("location"), "digest", &blob);
    let done = server.send("PUT", &location, &octets, "").await.is(201);
    assert_eq!(
        server.get(done.header("location")).await.is(200).body,
        "blob a"
    );

    let blob = digest::sha256(b"at once");
    server.get(&format!("/v2/{R}/blobs/{blob}")).await.is(404);
    let path = with(&uploads, "digest", &blob);
    let done = server.send("POST", &path, &octets, "at once").await.is(201);
    assert_eq!(
        server.get(done.header("location")).await.is(200).body,
        "at once"
    );

    let blob = server.blob(R, b"in two requests").await;
    server.get(&format!("/v2/{R}/blobs/{blob}")).await.is(200);
    // Nothing is a blob too.
    let blob = server.blob(R, b"").await;
    let empty = server.get(&format!("/v2/{R}/blobs/{blob}")).await.is(200);
    assert_eq!(empty.body, "");

    let begun = server.post(&uploads).await.is(202);
    server.delete(begun.header("location")).await.is(204);
    let gone = server.get(begun.header("location")).await;
    gone.fails(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn push_chunked() {
    let server = Server::start().await;
    let (first, second) = ("first chunk, ", "second chunk");
    let blob = digest::sha256(format!("{first}{second}").as_bytes());
    let range_1 = format!("0-{}", first.len() - 1);
    let range_2 = format!("{}-{}", first.len(), first.len() + second.len() - 1);
    let uploads = format!("/v2/{R}/blobs/uploads/");

    let begun = server.post(&uploads).await.is(202);
    let location = begun.header("location");
    let chunk_2 = [("content-range", range_2.as_str())];
    let chunk_1 = [("content-range", range_1.as_str())];
    server
        .send("PATCH", location, &chunk_2, second)
        .await
        .is(416);
    let patched = server
        .send("PATCH", location, &chunk_1, first)
        .await
        .is(202);
    assert_eq!(patched.header("range"), range_1);
    // Once more: it is there already.
    let location = patched.header("location");
    server
        .send("PATCH", location, &chunk_1, first)
        .await
        .is(416);
    let status = server.get(location).await.is(204);
    assert_eq!(status.header("range"), range_1);
    let location = status.header("location");
    let patched = server
        .send("PATCH", location, &chunk_2, second)
        .await
        .is(202);
    let location = with(patched.header("location"), "digest", &blob);
    let done = server.send("PUT", &location, &[], "").await.is(201);
    let got = server.get(done.header("location")).await.is(200);
    assert_eq!(got.body, format!("{first}{second}"));

    // The last chunk with the end.
    let begun = server.post(&uploads).await.is(202);
    let patched = server
        .send("PATCH", begun.header("location"), &chunk_1, first)
        .await
        .is(202);
    let location = with(patched.header("location"), "digest", &blob);
    server
        .send("PUT", &location, &chunk_2, second)
        .await
        .is(201);
}

#[tokio::test]
async fn push_with_a_wrong_digest_leaves_nothing() {
    let server = Server::start().await;
    let uploads = format!("/v2/{R}/blobs/uploads/");
    let wrong = digest::sha256(b"something else");
    let path = with(&uploads, "digest", &wrong);
    let refused = server.send("POST", &path, &[], "content").await;
    refused.fails(400, "DIGEST_INVALID");
    let begun = server.post(&uploads).await.is(202);
    let location = with(begun.header("location"), "digest", &wrong);
    let refused = server.send("PUT", &location, &[], "content").await;
    refused.fails(400, "DIGEST_INVALID");
    server
        .get(begun.header("location"))
        .await
        .fails(404, "BLOB_UPLOAD_UNKNOWN");
    server.head(&format!("/v2/{R}/blobs/{wrong}")).await.is(404);
}

#[tokio::test]
async fn push_by_mount() {
    let server = Server::start().await;
    let other = "conformance/other";
    let mounts = |repository: &str, digest: &Digest, from: Option<&str>| {
        let path = with(&format!("/v2/{repository}/blobs/uploads/"), "mount", digest);
        from.map_or(path.clone(), |from| with(&path, "from", from))
    };
    let blob = server.blob(R, b"to be mounted").await;
    let mounted = server.post(&mounts(other, &blob, Some(R))).await.is(201);
    assert_eq!(
        mounted.header("location"),
        format!("/v2/{other}/blobs/{blob}")
    );
    server.get(mounted.header("location")).await.is(200);
    // Without saying from where.
    let mounted = server
        .post(&mounts("conformance/third", &blob, None))
        .await
        .is(201);
    server.get(mounted.header("location")).await.is(200);
    // One that is nowhere is to be uploaded.
    let missing = digest::sha256(b"nowhere");
    for from in [Some(R), None] {
        let begun = server.post(&mounts(other, &missing, from)).await.is(202);
        assert!(begun.header("location").contains("/blobs/uploads/"));
    }
}

#[tokio::test]
async fn push_manifests() {
    let server = Server::start().await;
    let (manifest_value, _) = server.image(R, "test0", b"layer").await;
    for tag in ["test1", "test2", "test3"] {
        let put = server.put_manifest(R, tag, &manifest_value).await.is(201);
        server.get(put.header("location")).await.is(200);
    }
    // Without layers.
    let config = b"{}";
    server.blob(R, config).await;
    let empty = manifest(config, &[]);
    server.put_manifest(R, "empty", &empty).await.is(201);
    // By its digest, with tags as parameters.
    let by_digest = format!("{}?tag=one&tag=two", digest_of(&empty));
    let put = server.put_manifest(R, &by_digest, &empty).await.is(201);
    let tags: Vec<_> = put.headers.get_all("oci-tag").iter().collect();
    assert_eq!(tags, ["one", "two"]);
    server.get(&format!("/v2/{R}/manifests/two")).await.is(200);
    // Under a digest that it does not have.
    let path = format!("/v2/{R}/manifests/{}", digest_of(&empty));
    let kind = [("content-type", media::OCI_MANIFEST)];
    let refused = server.send("PUT", &path, &kind, format!("{empty}  ")).await;
    refused.fails(400, "DIGEST_INVALID");
    // An index of what is there, and an index of that.
    let index = |manifests: Vec<Value>| json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": manifests });
    let of = |media_type: &str, value: &Value| descriptor(media_type, value.to_string().as_bytes());
    let inner = index(vec![of(media::OCI_MANIFEST, &empty)]);
    server
        .put_manifest(R, digest_of(&inner).as_ref(), &inner)
        .await
        .is(201);
    let outer = index(vec![of(media::OCI_INDEX, &inner)]);
    server.put_manifest(R, "outer", &outer).await.is(201);
    let got = server
        .get(&format!("/v2/{R}/manifests/outer"))
        .await
        .is(200);
    assert_eq!(got.header("content-type"), media::OCI_INDEX);
    server
        .put_manifest(R, "nothing", &index(vec![]))
        .await
        .is(201);
}

#[tokio::test]
async fn push_with_sha512() {
    let server = Server::start().await;
    let mut hasher = mosaic_image::Hasher::new(&"sha512".into()).unwrap();
    hasher.update(b"long digest");
    let blob = hasher.finish();
    let begun = server
        .post(&format!("/v2/{R}/blobs/uploads/"))
        .await
        .is(202);
    let location = with(begun.header("location"), "digest", &blob);
    let done = server
        .send("PUT", &location, &[], "long digest")
        .await
        .is(201);
    let got = server.get(done.header("location")).await.is(200);
    assert_eq!(got.header("docker-content-digest"), blob.to_string());
    let mut named = manifest(b"{}", &[]);
    server.blob(R, b"{}").await;
    named["layers"] = json!([{ "mediaType": media::OCI_LAYER, "digest": blob, "size": 11 }]);
    let mut hasher = mosaic_image::Hasher::new(&"sha512".into()).unwrap();
    hasher.update(named.to_string().as_bytes());
    let digest = hasher.finish();
    let put = server
        .put_manifest(R, digest.as_ref(), &named)
        .await
        .is(201);
    assert_eq!(put.header("docker-content-digest"), digest.to_string());
    server.get(put.header("location")).await.is(200);
}

#[tokio::test]
async fn discovery_of_tags() {
    let server = Server::start().await;
    server
        .get(&format!("/v2/{R}/tags/list"))
        .await
        .fails(404, "NAME_UNKNOWN");
    let (manifest, _) = server.image(R, "test0", b"layer").await;
    for tag in ["test1", "test2", "test3"] {
        server.put_manifest(R, tag, &manifest).await.is(201);
    }
    let list = server
        .get(&format!("/v2/{R}/tags/list"))
        .await
        .is(200)
        .json();
    assert_eq!(
        list,
        json!({ "name": R, "tags": ["test0", "test1", "test2", "test3"] })
    );
    let part = server.get(&format!("/v2/{R}/tags/list?n=2")).await.is(200);
    assert_eq!(part.json()["tags"], json!(["test0", "test1"]));
    let link = part.header("link");
    assert_eq!(
        link,
        format!("</v2/{R}/tags/list?n=2&last=test1>; rel=\"next\"")
    );
    let rest = server
        .get(&format!("/v2/{R}/tags/list?n=2&last=test1"))
        .await
        .is(200);
    assert_eq!(rest.json()["tags"], json!(["test2", "test3"]));
    assert_eq!(rest.header("link"), "");
    let none = server.get(&format!("/v2/{R}/tags/list?n=0")).await.is(200);
    assert_eq!(none.json()["tags"], json!([]));
    let refused = server.get(&format!("/v2/{R}/tags/list?n=-1")).await;
    refused.fails(400, "PAGINATION_NUMBER_INVALID");
}

#[tokio::test]
async fn discovery_of_referrers() {
    let server = Server::start().await;
    let (subject, _) = server.image(R, "subject", b"layer").await;
    let subject = descriptor(media::OCI_MANIFEST, subject.to_string().as_bytes());
    let missing = descriptor(media::OCI_MANIFEST, b"{\"not\":\"pushed\"}");
    server.blob(R, b"{}").await;
    let artifact = |subject: &Value, kind: &str, name: &str| {
        let mut artifact = manifest(b"{}", &[]);
        artifact["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json");
        artifact["artifactType"] = json!(kind);
        artifact["subject"] = subject.clone();
        artifact["annotations"] = json!({ "name": name });
        artifact
    };
    let path =
        |subject: &Value| format!("/v2/{R}/referrers/{}", subject["digest"].as_str().unwrap());
    let none = server.get(&path(&subject)).await.is(200);
    assert_eq!(none.header("content-type"), media::OCI_INDEX);
    assert_eq!(none.json()["manifests"], json!([]));

    for (kind, name) in [("test/a", "1"), ("test/a", "2"), ("test/b", "3")] {
        let artifact = artifact(&subject, kind, name);
        let put = server
            .put_manifest(R, digest_of(&artifact).as_ref(), &artifact)
            .await
            .is(201);
        assert_eq!(
            put.header("oci-subject"),
            subject["digest"].as_str().unwrap()
        );
    }
    // By the type of the config, if it does not say what it is.
    let mut by_config = artifact(&subject, "", "4");
    by_config.as_object_mut().unwrap().remove("artifactType");
    by_config["config"]["mediaType"] = json!("test/config");
    server
        .put_manifest(R, "by-config", &by_config)
        .await
        .is(201);
    // An index refers too.
    let index = json!({
        "schemaVersion": 2, "mediaType": media::OCI_INDEX, "artifactType": "test/a",
        "manifests": [descriptor(media::OCI_MANIFEST, by_config.to_string().as_bytes())],
        "subject": subject, "annotations": { "name": "5" },
    });
    server.put_manifest(R, "an-index", &index).await.is(201);
    // To something that is not there.
    let early = artifact(&missing, "test/a", "6");
    server
        .put_manifest(R, digest_of(&early).as_ref(), &early)
        .await
        .is(201);

    let all = server.get(&path(&subject)).await.is(200).json();
    let all = all["manifests"].as_array().unwrap();
    assert_eq!(all.len(), 5);
    let found = |name: &str| {
        all.iter()
            .find(|one| one["annotations"]["name"] == name)
            .unwrap()
    };
    assert_eq!(found("1")["artifactType"], "test/a");
    assert_eq!(found("4")["artifactType"], "test/config");
    assert_eq!(found("5")["mediaType"], media::OCI_INDEX);
    let only = server
        .get(&with(&path(&subject), "artifactType", "test%2Fa"))
        .await
        .is(200);
    assert_eq!(only.header("oci-filters-applied"), "artifactType");
    assert_eq!(only.json()["manifests"].as_array().unwrap().len(), 3);
    let page = server.get(&with(&path(&subject), "n", 3)).await.is(200);
    assert_eq!(page.json()["manifests"].as_array().unwrap().len(), 3);
    let next = page
        .header("link")
        .trim_start_matches('<')
        .split('>')
        .next()
        .unwrap()
        .to_owned();
    let rest = server.get(&next).await.is(200);
    assert_eq!(rest.json()["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(rest.header("link"), "");
    let early_list = server.get(&path(&missing)).await.is(200).json();
    assert_eq!(early_list["manifests"].as_array().unwrap().len(), 1);
    // A deleted one is not listed.
    server
        .delete(&format!("/v2/{R}/manifests/{}", digest_of(&early)))
        .await
        .is(202);
    let early_list = server.get(&path(&missing)).await.is(200).json();
    assert_eq!(early_list["manifests"], json!([]));
    server
        .get(&format!("/v2/{R}/referrers/latest"))
        .await
        .fails(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn management() {
    let server = Server::start().await;
    let (manifest_value, digest) = server.image(R, "tagtest0", b"layer").await;
    server
        .put_manifest(R, "tagtest1", &manifest_value)
        .await
        .is(201);
    server
        .put_manifest(R, "tagtest2", &manifest_value)
        .await
        .is(201);
    let layer = digest::sha256(b"layer");
    let manifests = format!("/v2/{R}/manifests");

    server
        .delete(&format!("{manifests}/tagtest0"))
        .await
        .is(202);
    server.head(&format!("{manifests}/tagtest0")).await.is(404);
    server
        .delete(&format!("{manifests}/tagtest0"))
        .await
        .fails(404, "MANIFEST_UNKNOWN");
    server.get(&format!("{manifests}/{digest}")).await.is(200);
    // A part of an image stays as long as the image.
    let refused = server.delete(&format!("/v2/{R}/blobs/{layer}")).await;
    refused.fails(405, "UNSUPPORTED");
    // With the manifest, its tags.
    server
        .delete(&format!("{manifests}/{digest}"))
        .await
        .is(202);
    server.get(&format!("{manifests}/{digest}")).await.is(404);
    server.get(&format!("{manifests}/tagtest1")).await.is(404);
    let list = server
        .get(&format!("/v2/{R}/tags/list"))
        .await
        .is(200)
        .json();
    assert_eq!(list["tags"], json!([]));
    server
        .delete(&format!("{manifests}/{digest}"))
        .await
        .fails(404, "MANIFEST_UNKNOWN");

    // A blob that was deleted here is not here, though it is elsewhere.
    server.blob("conformance/other", b"layer").await;
    server
        .delete(&format!("/v2/{R}/blobs/{layer}"))
        .await
        .is(202);
    server.head(&format!("/v2/{R}/blobs/{layer}")).await.is(404);
    server
        .get(&format!("/v2/{R}/blobs/{layer}"))
        .await
        .fails(404, "BLOB_UNKNOWN");
    server
        .delete(&format!("/v2/{R}/blobs/{layer}"))
        .await
        .fails(404, "BLOB_UNKNOWN");
    server
        .get(&format!("/v2/conformance/other/blobs/{layer}"))
        .await
        .is(200);
    server.blob(R, b"layer").await;
    server.get(&format!("/v2/{R}/blobs/{layer}")).await.is(200);
}
