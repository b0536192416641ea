//! Tunnels: who may open one, and what becomes of streams when one goes.

use bytes::Bytes;
use futures::{AsyncBufReadExt, AsyncReadExt as _, StreamExt};
use http::Request;
use kube::{
    Api,
    api::{AttachParams, DeleteParams, LogParams},
};
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::{
    cluster::{Cluster, until},
    node::{FakeNode, tunnel_request},
};

fn follow() -> LogParams {
    LogParams {
        follow: true,
        ..LogParams::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_host_itself_opens_its_tunnel() {
    let cluster = Cluster::start().await;
    let ask = async |certificate: &_, request| {
        let (status, _, body) = cluster.ask(certificate, request).await;
        (status.as_u16(), body)
    };
    let n1 = cluster.node_certificate("n1");
    let (status, body) = ask(&n1, tunnel_request("n2")).await;
    assert_eq!(status, 403);
    assert!(body.contains("only as itself"), "{body}");
    // The name alone does not make a host.
    let impostor = cluster.certificate("system:node:n1", &[]);
    assert_eq!(ask(&impostor, tunnel_request("n1")).await.0, 403);
    let n3 = cluster.node_certificate("n3");
    assert_eq!(ask(&n3, tunnel_request("n3")).await.0, 404);
    let plain = Request::post("/api/v1/nodes/n1/tunnel");
    let (status, body) = ask(&n1, plain.body(Bytes::new()).unwrap()).await;
    assert_eq!(status, 400);
    assert!(body.contains("Upgrade: mosaic-tunnel"), "{body}");
    assert_eq!(cluster.metric("mosaic_connected_hosts").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_connected_is_named() {
    let cluster = Cluster::start().await;
    let (status, body) = cluster.log("web").await;
    assert_eq!(status, 503);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body["message"],
        "pod \"web\" runs on host \"n1\", which is not connected to this server; check that its node agent is running"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_break_with_their_tunnel_and_a_new_one_serves_again() {
    let cluster = Cluster::start().await;
    let node = cluster.n1().await;
    let pods = cluster.pods();
    let mut session = cluster.exec("web", "wait").await;
    session.next().await.unwrap().unwrap();
    let mut lines = pods.log_stream("web", &follow()).await.unwrap();
    let mut line = String::new();
    lines.read_line(&mut line).await.unwrap();
    node.cut();
    // The command's stream ends, and the log's is seen to be cut off rather than complete.
    assert!(session.next().await.unwrap().is_err());
    let mut left = Vec::new();
    assert!(lines.read_to_end(&mut left).await.is_err());
    until("the host counts as gone", async || {
        cluster.metric("mosaic_connected_hosts").await == 0
    })
    .await;
    assert_eq!(cluster.log("web").await.0, 503);
    let _node = cluster.n1().await;
    let log = pods.logs("web", &LogParams::default()).await.unwrap();
    assert_eq!(log, "web/app says hello\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_tunnel_takes_over_and_the_older_ends_with_its_last_stream() {
    let cluster = Cluster::start().await;
    let older = cluster.n1().await;
    let pods = cluster.pods();
    let interactive = AttachParams::default().stdin(true).stderr(false);
    let mut process = pods.exec("web", ["cat"], &interactive).await.unwrap();
    let _newer = cluster.n1().await;
    older.forget();
    pods.logs("web", &LogParams::default()).await.unwrap();
    assert!(!older.was_asked("/"));
    assert_eq!(cluster.metric("mosaic_connected_hosts").await, 1);
    // The stream on the older one goes on to its own end.
    let mut stdin = process.stdin().unwrap();
    let mut stdout = process.stdout().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"still here")
        .await
        .unwrap();
    let mut back = [0; 10];
    stdout.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"still here");
    drop((stdin, stdout));
    process.abort();
    drop(process);
    older.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_leaves_the_cluster_is_cut_off() {
    let cluster = Cluster::start().await;
    let node = cluster.connect("n2", "far").await;
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(cluster.client.clone());
    nodes.delete("n2", &DeleteParams::default()).await.unwrap();
    node.ended().await;
    until("the host counts as gone", async || {
        cluster.metric("mosaic_connected_hosts").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_speak_as_it_should_is_no_tunnel() {
    let cluster = Cluster::start().await;
    let certificate = cluster.node_certificate("n1");
    let response = cluster.send(Some(&certificate), tunnel_request("n1")).await;
    assert_eq!(response.status(), 101);
    let mut io = hyper_util::rt::TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    tokio::io::AsyncWriteExt::write_all(&mut io, b"HTTP/1.1 200 OK\r\n\r\nthis is not HTTP/2")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _ = io.read_to_end(&mut rest).await;
    assert_eq!(cluster.metric("mosaic_connected_hosts").await, 0);
    // The host itself is none the worse for it.
    let _node = cluster.n1().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_streams_and_tunnels() {
    let cluster = Cluster::start().await;
    let node: FakeNode = cluster.n1().await;
    let mut session = cluster.exec("web", "wait").await;
    session.next().await.unwrap().unwrap();
    let stopping = tokio::spawn(cluster.server.stop());
    assert!(session.next().await.unwrap().is_err());
    stopping.await.unwrap();
    node.ended().await;
}
