//! Logs and commands, as a client library uses them.

use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use futures::{AsyncBufReadExt, SinkExt, StreamExt};
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::api::{AttachParams, LogParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use tokio_tungstenite::tungstenite::Message;

use crate::cluster::{Cluster, until, websocket};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_comes_from_the_pods_host() {
    let cluster = Cluster::start().await;
    let node = cluster.n1().await;
    let pods = cluster.pods();
    let tail = LogParams {
        tail_lines: Some(5),
        timestamps: true,
        ..LogParams::default()
    };
    let log = pods.logs("web", &tail).await.unwrap();
    assert_eq!(log, "web/app says hello\n");
    let asked = node.last();
    assert_eq!(
        asked.path_and_query,
        "/containerLogs/default/web/app?timestamps=true&tailLines=5"
    );
    let uid = pods.get("web").await.unwrap().metadata.uid.unwrap();
    assert_eq!(asked.headers["mosaic-pod-uid"], uid);
    assert!(asked.headers.get("authorization").is_none());

    let failed = |result: Result<String, kube::Error>| result.unwrap_err().to_string();
    let message = failed(pods.logs("pair", &LogParams::default()).await);
    assert!(
        message
            .contains("a container name must be specified for pod pair, choose one of: [one two]"),
        "{message}"
    );
    let other = LogParams {
        container: Some("c".to_owned()),
        ..LogParams::default()
    };
    let message = failed(pods.logs("web", &other).await);
    assert!(
        message.contains("container c is not valid for pod web"),
        "{message}"
    );
    let previous = LogParams {
        previous: true,
        ..LogParams::default()
    };
    let message = failed(pods.logs("web", &previous).await);
    assert!(
        message.contains("previous terminated container"),
        "{message}"
    );
    // It runs nowhere, so it has said nothing.
    assert_eq!(
        pods.logs("waiting", &LogParams::default()).await.unwrap(),
        ""
    );
    assert_eq!(cluster.log("waiting").await, (204, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_followed_arrives_as_it_is_written_and_ends_with_its_client() {
    let cluster = Cluster::start().await;
    let _node = cluster.n1().await;
    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let mut lines = cluster.pods().log_stream("web", &follow).await.unwrap();
    let mut line = String::new();
    lines.read_line(&mut line).await.unwrap();
    assert_eq!(line, "first line\n");
    assert_eq!(cluster.metric("mosaic_open_streams").await, 1);
    drop(lines);
    until("the stream ends", async || {
        cluster.metric("mosaic_open_streams").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_its_input_and_gives_its_output_whole() {
    let cluster = Cluster::start().await;
    let node = cluster.n1().await;
    let pods = cluster.pods();
    let interactive = AttachParams::default().stdin(true).stderr(false);
    let mut process = pods
        .exec("web", ["cat", "a b"], &interactive)
        .await
        .unwrap();
    assert_eq!(
        node.last().path_and_query,
        "/exec/default/web/app?command=cat&command=a%20b&input=1&output=1"
    );
    let input: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut stdin = process.stdin().unwrap();
    let mut stdout = process.stdout().unwrap();
    let sent = input.clone();
    let writing = tokio::spawn(async move {
        stdin.write_all(&sent).await.unwrap();
        stdin.shutdown().await.unwrap();
    });
    let mut output = Vec::new();
    stdout.read_to_end(&mut output).await.unwrap();
    writing.await.unwrap();
    assert!(output == input, "{} of {} bytes", output.len(), input.len());

    let mut process = pods
        .exec("web", ["fail"], &AttachParams::default())
        .await
        .unwrap();
    let status = process.take_status().unwrap().await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_run_says_why() {
    let cluster = Cluster::start().await;
    let _node = cluster.n1().await;
    let pods = cluster.pods();
    let run = async |pod: &str, command: &str, params: AttachParams| match pods
        .exec(pod, [command], &params)
        .await
    {
        Ok(_) => panic!("{pod} runs {command}"),
        Err(error) => error.to_string(),
    };
    let default = AttachParams::default;
    for (pod, command, params, why) in [
        ("waiting", "cat", default(), "does not have a host assigned"),
        ("pair", "cat", default(), "choose one of: [one two]"),
        (
            "web",
            "cat",
            default().container("x"),
            "container x is not valid for pod web",
        ),
        ("web", "missing", default(), "the container is not running"),
        ("none", "cat", default(), "pods \"none\" not found"),
    ] {
        let message = run(pod, command, params).await;
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_refused_before_the_host_hears_of_it() {
    let cluster = Cluster::start().await;
    let node = cluster.n1().await;
    let nobody = cluster.certificate("nobody", &[]);
    let pod = "/api/v1/namespaces/default/pods/web";
    for (method, path) in [
        (Method::GET, format!("{pod}/log")),
        (Method::GET, format!("{pod}/exec?command=cat&stdout=1")),
        (Method::POST, format!("{pod}/attach?stdout=1")),
        (Method::GET, format!("{pod}/portforward")),
        (Method::GET, format!("{pod}/proxy/x")),
        (Method::DELETE, format!("{pod}/proxy/x")),
        (Method::POST, "/api/v1/nodes/n1/tunnel".to_owned()),
    ] {
        let request = Request::builder().method(&method).uri(&path);
        let request = request.body(Bytes::new()).unwrap();
        let (status, _, body) = cluster.ask(&nobody, request).await;
        assert_eq!(status, 403, "{method} {path}: {body}");
        // Without a credential.
        let request = Request::builder().method(&method).uri(&path);
        let response = cluster
            .send(None, request.body(Bytes::new()).unwrap())
            .await;
        assert_eq!(response.status(), 403, "{method} {path}");
    }
    assert!(!node.was_asked("/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_among_the_protocols_opens_the_stream_and_goes_nowhere_else() {
    let cluster = Cluster::start().await;
    let node = cluster.n1().await;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "robots"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]});
    cluster
        .create(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            &role,
        )
        .await;
    let request = Request::post("/api/v1/namespaces/default/serviceaccounts/default/token")
        .header("content-type", "application/json")
        .body(Bytes::from("{}"))
        .unwrap();
    let (_, _, answer) = cluster.admin(request).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let token = answer["status"]["token"].as_str().unwrap();
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token);
    let protocols = format!("base64url.bearer.authorization.k8s.io.{encoded}, v5.channel.k8s.io");
    let path = "/api/v1/namespaces/default/pods/web/exec?command=cat&stdout=1";
    let response = cluster.send(None, websocket(path, &protocols)).await;
    assert_eq!(response.status(), 101);
    assert_eq!(
        response.headers()["sec-websocket-protocol"],
        "v5.channel.k8s.io"
    );
    assert_eq!(
        response.headers()["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    let asked = node.last();
    assert_eq!(asked.headers["sec-websocket-protocol"], "v5.channel.k8s.io");
    assert!(!format!("{asked:?}").contains(&encoded));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_ways_to_open_a_stream_are_told_what_to_do() {
    let cluster = Cluster::start().await;
    let node = cluster.n1().await;
    let path = "/api/v1/namespaces/default/pods/web/exec?stdout=1";
    let ask = async |command: &str, upgrade: Option<&str>| {
        let mut request = Request::post(format!("{path}&command={command}"));
        if let Some(upgrade) = upgrade {
            request = request
                .header("connection", "Upgrade")
                .header("upgrade", upgrade);
        }
        let request = request.body(Bytes::new()).unwrap();
        let (status, _, body) = cluster.admin(request).await;
        (status.as_u16(), body)
    };
    let (status, body) = ask("cat", Some("SPDY/3.1")).await;
    assert_eq!(status, 400);
    assert!(body.contains("WebSocket"), "{body}");
    // The question that was put to the host starts nothing.
    assert_eq!(node.last().method, Method::GET);
    let (status, body) = ask("missing", Some("SPDY/3.1")).await;
    assert_eq!(status, 404);
    assert!(body.contains("the container is not running"), "{body}");
    let (status, body) = ask("cat", None).await;
    assert_eq!(status, 400);
    assert!(body.contains("Upgrade request required"), "{body}");
    let request = Request::put("/api/v1/namespaces/default/pods/web/exec");
    let response = cluster.admin(request.body(Bytes::new()).unwrap()).await;
    assert_eq!(response.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_hold_up_nobody() {
    let cluster = Cluster::start().await;
    let node = cluster.n1().await;
    let mut stuck = Vec::new();
    for _ in 0..8 {
        stuck.push(cluster.exec("web", "flood").await);
    }
    let mut before = 0;
    until("every buffer on the way is full", async || {
        let last = std::mem::replace(&mut before, node.flooded());
        tokio::time::sleep(Duration::from_millis(500)).await;
        last > 0 && before == node.flooded()
    })
    .await;
    // More than the windows hold: were they shared, nothing would be left for this one.
    let mut session = cluster.exec("web", "cat").await;
    let mut message = vec![b'a'; 10_000];
    message[0] = 0;
    for _ in 0..100 {
        session
            .send(Message::binary(message.clone()))
            .await
            .unwrap();
        let back = session.next().await.unwrap().unwrap().into_data();
        assert_eq!((back[0], back.len()), (1, message.len()));
    }
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_a_limit_of_streams() {
    let cluster = Cluster::start().await;
    let _node = cluster.n1().await;
    let admin = cluster.certificate("admin", &["system:masters"]);
    let follow = || {
        let path = "/api/v1/namespaces/default/pods/web/log?follow=true";
        Request::get(path).body(Bytes::new()).unwrap()
    };
    let mut open = Vec::new();
    for _ in 0..mosaic_apiserver::streams::STREAMS_PER_HOST {
        let mut response = cluster.send(Some(&admin), follow()).await;
        assert_eq!(response.status(), 200);
        response.body_mut().frame().await.unwrap().unwrap();
        open.push(response);
    }
    let (status, headers, body) = cluster.admin(follow()).await;
    assert_eq!(status, 429, "{body}");
    assert_eq!(headers["retry-after"], "1");
    open.truncate(1);
    until("there is room again", async || {
        cluster.send(Some(&admin), follow()).await.status() == 200
    })
    .await;
}
