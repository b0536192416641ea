//! What one namespace takes from the others: bytes, and room for manifests.

use std::sync::Arc;

use futures::StreamExt;
use mosaic_image::{digest, media};
use mosaic_registry::Identity;
use serde_json::json;

use super::common::{Server, manifest};
use super::users::{bearer, owned};

#[tokio::test]
async fn a_namespace_has_as_many_bytes_as_it_may() {
    let server = owned().await;
    let small = bearer("small");
    let small = [("authorization", small.as_str())];
    let kind = [small[0], ("content-type", media::OCI_MANIFEST)];
    let layer = [7; 300];
    let more = [8; 300];
    for bytes in [&layer[..], &more[..], b"{}"] {
        let path = format!(
            "/v2/small/app/blobs/uploads/?digest={}",
            digest::sha256(bytes)
        );
        server
            .send("POST", &path, &small, bytes.to_vec())
            .await
            .is(201);
    }
    let first = manifest(b"{}", &[&layer]).to_string();
    let path = "/v2/small/app/manifests/first";
    server.send("PUT", path, &kind, first.clone()).await.is(201);
    // The same once more is nothing new, also under another name.
    let path = "/v2/small/other/manifests/first";
    server.send("PUT", path, &kind, first).await.is(201);
    let second = manifest(b"{}", &[&layer, &more]).to_string();
    let path = "/v2/small/app/manifests/second";
    let refused = server.send("PUT", path, &kind, second).await;
    refused.fails(403, "DENIED");
    server.send("GET", path, &small, "").await.is(404);
}

#[tokio::test]
async fn of_images_that_come_at_once_those_are_made_that_fit() {
    let server = owned().await;
    let small = bearer("small");
    let small = [("authorization", small.as_str())];
    for bytes in [&[7; 300][..], b"{}"] {
        let path = format!(
            "/v2/small/app/blobs/uploads/?digest={}",
            digest::sha256(bytes)
        );
        let post = server.send("POST", &path, &small, bytes.to_vec());
        post.await.is(201);
    }
    let pushes = (0..8).map(|number| {
        let mut image = manifest(b"{}", &[&[7; 300]]);
        image["annotations"] = json!({ "number": number.to_string() });
        let request = http::Request::put(format!("/v2/small/app/manifests/v{number}"))
            .header("content-type", media::OCI_MANIFEST)
            .body(http_body_util::Full::new(image.to_string().into()));
        // Without connections, so that all of them are begun before one goes on.
        let registry = server.registry.clone();
        let who = Identity {
            name: Some("small".into()),
            groups: Arc::new([]),
        };
        async move { registry.handle(request.unwrap(), &who).await.status() }
    });
    let replies = futures::future::join_all(pushes).await;
    let made = replies.iter().filter(|status| **status == 201);
    assert_eq!(made.count(), 1);
}

#[tokio::test]
async fn what_is_uploaded_counts_before_it_is_an_image() {
    let server = owned().await;
    let small = bearer("small");
    let small = [("authorization", small.as_str())];
    let begin = || async {
        let path = "/v2/small/app/blobs/uploads/";
        let begun = server.send("POST", path, &small, "").await.is(202);
        begun.header("location").to_owned()
    };
    let (one, other) = (begin().await, begin().await);
    let add = |location: String, bytes: Vec<u8>| {
        let (server, small) = (&server, &small);
        async move { server.send("PATCH", &location, small, bytes).await }
    };
    add(one.clone(), vec![1; 600]).await.is(202);
    add(other.clone(), vec![2; 600]).await.fails(403, "DENIED");
    server.send("GET", &other, &small, "").await.is(404);
    // What was given up counts no more; what became a blob does.
    server.send("DELETE", &one, &small, "").await.is(204);
    let blob = [3; 600];
    let path = format!(
        "/v2/small/app/blobs/uploads/?digest={}",
        digest::sha256(&blob)
    );
    let post = server.send("POST", &path, &small, blob.to_vec()).await;
    post.is(201);
    add(begin().await, vec![4; 600]).await.fails(403, "DENIED");
    add(begin().await, vec![5; 300]).await.is(202);
}

#[tokio::test]
async fn who_announces_a_manifest_and_sends_none_is_in_nobodys_way() {
    use futures::stream::FuturesUnordered;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    let server = Server::start().await;
    server.blob("r/app", b"{}").await;
    let waiting = |repository: &str, sent: usize| {
        let first = Ok::<_, std::io::Error>(Frame::data(vec![b' '; sent].into()));
        let body = futures::stream::iter([first]).chain(futures::stream::pending());
        let request = http::Request::put(format!("/v2/{repository}/manifests/waits"))
            .header("content-type", media::OCI_MANIFEST)
            .header("content-length", 4 << 20)
            .body(StreamBody::new(body));
        let registry = server.registry.clone();
        async move {
            let who = Identity::anonymous();
            registry.handle(request.unwrap(), &who).await.status()
        }
    };
    let mut idle: FuturesUnordered<_> = (0..40).map(|_| waiting("r/app", 1)).collect();
    idle.extend((0..3).map(|_| waiting("other/app", 1 << 20)));
    assert!(futures::poll!(idle.next()).is_pending());
    let mut large = manifest(b"{}", &[]);
    large["annotations"] = json!({ "large": "x".repeat(1 << 20) });
    for (tag, manifest) in [("small", manifest(b"{}", &[])), ("large", large)] {
        tokio::select! {
            put = server.put_manifest("r/app", tag, &manifest) => drop(put.is(201)),
            status = idle.next() => panic!("{status:?} came first"),
        }
    }
    // They are given up in the end.
    assert_eq!(idle.next().await.unwrap(), 408);
}
