//! HTTP to pods and services.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Method, Request};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::cluster::{Cluster, websocket};
use crate::node;

const BASE: &str = "/api/v1/namespaces/default";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_pod_as_it_was_sent() {
    let cluster = Cluster::start().await;
    let node = cluster.n1().await;
    let ask = async |method: Method, path: &str, body: Bytes| {
        let request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .header("authorization-free", "1")
            .header("impersonate-user", "admin")
            .header("cookie", "a=b");
        let (status, headers, body) = cluster.admin(request.body(body).unwrap()).await;
        let body: Value = serde_json::from_str(&body).unwrap_or(Value::String(body));
        (status.as_u16(), headers, body)
    };
    // Impersonation is the server's own affair; who is impersonated here has no rights.
    assert_eq!(
        ask(Method::GET, "/pods/web/proxy/", Bytes::new()).await.0,
        403
    );

    let ask = async |method: Method, path: &str, body: Bytes| {
        let request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .header("cookie", "a=b");
        let (status, headers, body) = cluster.admin(request.body(body).unwrap()).await;
        let body: Value = serde_json::from_str(&body).unwrap_or(Value::String(body));
        (status.as_u16(), headers, body)
    };
    let (status, _, said) = ask(
        Method::GET,
        "/pods/web/proxy/a%2Fb//c?watch=1&q=%20",
        Bytes::new(),
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(
        said["uri"],
        "/podProxy/default/web/http/8080/a%2Fb//c?watch=1&q=%20"
    );
    let headers = node.last().headers;
    assert_eq!(headers["cookie"], "a=b");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert!(headers.contains_key("mosaic-pod-uid"));

    let (_, _, said) = ask(
        Method::POST,
        "/pods/https:web:8443/proxy/form",
        Bytes::from("field=1"),
    )
    .await;
    assert_eq!(said["uri"], "/podProxy/default/web/https/8443/form");
    assert_eq!(
        (&said["method"], &said["body"]),
        (&json!("POST"), &json!("field=1"))
    );
    // More than the API itself takes in one body.
    let large = Bytes::from(vec![b'x'; 5 << 20]);
    let (_, _, said) = ask(Method::PUT, "/pods/web/proxy/large", large).await;
    assert_eq!(said["bytes"], 5 << 20);

    let (status, headers, _) = ask(Method::GET, "/pods/web/proxy?a=b", Bytes::new()).await;
    assert_eq!(status, 301);
    assert_eq!(headers["location"], format!("{BASE}/pods/web/proxy/?a=b"));
    let (status, headers, _) = ask(Method::GET, "/pods/web/proxy/moved", Bytes::new()).await;
    assert_eq!(status, 302);
    assert_eq!(
        headers["location"],
        format!("{BASE}/pods/web/proxy/elsewhere?a=b")
    );
    for (path, code) in [
        ("/pods/web/proxy/%2e%2e/exec", 400),
        ("/pods/web:x/proxy/", 400),
        ("/pods/ftp:web:1/proxy/", 400),
        ("/pods/none/proxy/", 404),
        ("/pods/waiting/proxy/", 400),
        ("/pods/far/proxy/", 503),
    ] {
        assert_eq!(ask(Method::GET, path, Bytes::new()).await.0, code, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_leads_to_a_pod_that_is_ready() {
    let cluster = Cluster::start().await;
    let _node = cluster.n1().await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
        "spec": {"ports": [{"name": "http", "port": 80}]}});
    cluster.create(&format!("{BASE}/services"), &service).await;
    let get = async |name: &str| {
        let request = Request::get(format!("{BASE}/services/{name}/proxy/x"));
        let (status, _, body) = cluster.admin(request.body(Bytes::new()).unwrap()).await;
        (status.as_u16(), body)
    };
    let (status, body) = get("shop:http").await;
    assert_eq!(status, 503);
    assert!(
        body.contains("no endpoints available for service"),
        "{body}"
    );
    let endpoint = |pod: &str, ready: bool| json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": pod}});
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "shop-1", "labels": {"kubernetes.io/service-name": "shop"}},
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [endpoint("pair", false), endpoint("web", true), endpoint("far", true)]});
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    cluster.create(slices, &slice).await;
    for name in ["shop:http", "shop:80"] {
        // The host of `far` is not connected: `web` it is, every time.
        for _ in 0..5 {
            let (status, body) = get(name).await;
            assert_eq!(status, 200, "{body}");
            assert!(body.contains("/podProxy/default/web/http/8080/x"), "{body}");
        }
    }
    let (status, body) = get("shop:81").await;
    assert_eq!(status, 503);
    assert!(
        body.contains("no service port 81 found for service"),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_goes_through_to_the_pod() {
    let cluster = Cluster::start().await;
    let _node = cluster.n1().await;
    let admin = cluster.certificate("admin", &["system:masters"]);
    let request = websocket(&format!("{BASE}/pods/web/proxy/socket"), "chat");
    let response = cluster.send(Some(&admin), request).await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    let io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    socket.send(Message::text("hello")).await.unwrap();
    let back = socket.next().await.unwrap().unwrap();
    assert_eq!(back.into_text().unwrap().as_str(), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_does_not_pass_for_a_whole_one() {
    let cluster = Cluster::start().await;
    let _node = cluster.n1().await;
    let admin = cluster.certificate("admin", &["system:masters"]);
    let request = Request::get(format!("{BASE}/pods/web/proxy/broken"));
    let response = cluster
        .send(Some(&admin), request.body(Bytes::new()).unwrap())
        .await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let half = body.frame().await.unwrap().unwrap();
    assert_eq!(half.into_data().unwrap(), "half");
    node::HALF_IS_READ.notify_one();
    assert!(body.collect().await.is_err());
}
