//! A server as a whole: watches over its restart, and when it is ready.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use mosaic_apiserver::admission::ImagePolicy;
use mosaic_apiserver::{Options, Server, TolerationSeconds};
use mosaic_auth::{User, groups};
use mosaic_store::Memory;
use tower::Service;

async fn server(store: &Memory, registry: bool) -> (Server, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        data_dir: directory.path().to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        names: Vec::new(),
        anonymous: false,
        service_range: "10.96.0.0/16".parse().unwrap(),
        toleration_seconds: TolerationSeconds::default(),
        registry,
        audit: None,
    };
    let server = Server::start(options, Arc::new(store.clone())).await;
    (server.unwrap(), directory)
}

/// Clients of Kubernetes expect it as an event. Some of them go on with the same version for ever where the request is
/// refused.
#[tokio::test]
async fn that_a_version_is_too_old_is_an_event_of_the_watch() {
    let store = Memory::new();
    let (first, _directory) = server(&store, false).await;
    first.stop().await;
    let (second, _directory) = server(&store, false).await;
    let mut api = second.local(User::new("test", [groups::MASTERS]));
    let path = "/api/v1/namespaces?watch=true&resourceVersion=2";
    let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
    let answer = api.call(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["code"]),
        (&"ERROR".into(), &410.into())
    );
    assert_eq!(event["object"]["reason"], "Expired");
    second.stop().await;
}

#[tokio::test]
async fn a_server_that_is_to_have_a_registry_is_ready_once_it_has() {
    let (server, _directory) = server(&Memory::new(), true).await;
    let status = async |path: &str| {
        let mut api = server.local(User::new("test", [groups::MASTERS]));
        let request = Request::get(path).body(Full::<Bytes>::default());
        api.call(request.unwrap()).await.unwrap().status()
    };
    assert_eq!(status("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status("/livez").await, StatusCode::OK);
    let policy = ImagePolicy {
        key: |_| Ok(()),
        judge: Box::new(|wanted| Box::pin(async { Ok(wanted.image) })),
    };
    server.has_registry("registry.example.com", policy);
    assert_eq!(status("/readyz").await, StatusCode::OK);
    server.stop().await;
}
