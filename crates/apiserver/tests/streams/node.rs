//! A host made for tests: dials in, and answers as a node agent does.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    ext::Protocol,
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use crate::{cluster::Cluster, spdy};

type Body = UnsyncBoxBody<Bytes, Infallible>;
pub type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path_and_query: String,
    pub headers: HeaderMap,
}

#[derive(Default)]
struct Seen {
    asked: Mutex<Vec<Asked>>,
    /// How many messages the floods have sent.
    flooded: AtomicU64,
}

pub struct FakeNode {
    seen: Arc<Seen>,
    serving: JoinHandle<()>,
}

impl FakeNode {
    /// Opens a tunnel as this host.
    pub async fn dial(cluster: &Cluster, name: &str) -> Self {
        let certificate = cluster.node_certificate(name);
        let response = cluster.send(Some(&certificate), tunnel_request(name)).await;
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let own = Arc::new(Seen::default());
        let seen = own.clone();
        let serving = tokio::spawn(async move {
            let io = hyper::upgrade::on(response).await.unwrap();
            let service = service_fn(move |request| {
                let seen = seen.clone();
                async move { Ok::<_, Infallible>(answer(request, seen).await) }
            });
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .enable_connect_protocol()
                .max_concurrent_streams(1_000)
                .max_header_list_size(128 << 10);
            let _ = builder.serve_connection(io, service).await;
        });
        Self { seen: own, serving }
    }

    /// Cuts the tunnel, as a host does that loses its power.
    pub fn cut(self) {
        self.serving.abort();
    }

    pub async fn ended(self) {
        self.serving.await.unwrap();
    }

    pub fn was_asked(&self, start: &str) -> bool {
        let asked = self.seen.asked.lock();
        asked
            .iter()
            .any(|asked| asked.path_and_query.starts_with(start))
    }

    pub fn forget(&self) {
        self.seen.asked.lock().clear();
    }

    pub fn flooded(&self) -> u64 {
        self.seen.flooded.load(Ordering::Relaxed)
    }

    /// The latest request.
    pub fn last(&self) -> Asked {
        self.seen.asked.lock().last().cloned().expect("a request")
    }
}

pub fn tunnel_request(name: &str) -> Request<Bytes> {
    Request::post(format!("/api/v1/nodes/{name}/tunnel"))
        .header("connection", "Upgrade")
        .header("upgrade", "mosaic-tunnel")
        .body(Bytes::new())
        .unwrap()
}

fn reply(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    seen.asked.lock().push(Asked {
        method: request.method().clone(),
        path_and_query: request.uri().path_and_query().unwrap().to_string(),
        headers: request.headers().clone(),
    });
    let query = request.uri().query().unwrap_or_default().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["healthz"] => reply(200, "ok"),
        ["containerLogs", ..] if query.contains("previous=true") => {
            let why = "previous terminated container \"app\" in pod \"web\" not found";
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": why, "code": 400});
            reply(400, status.to_string())
        }
        ["containerLogs", ..] if query.contains("follow=true") => {
            let first = stream::iter([Ok(Frame::data(Bytes::from("first line\n")))]);
            let body = StreamBody::new(first.chain(stream::pending()));
            Response::new(body.boxed_unsync())
        }
        ["containerLogs", _, pod, container] => {
            reply(200, format!("{pod}/{container} says hello\n"))
        }
        ["podProxy", ..] if request.method() == Method::CONNECT => {
            upgrade(request, &["chat"], |mut socket| async move {
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() {
                        socket.send(message).await.unwrap();
                    }
                }
            })
        }
        ["podProxy", .., "moved"] => {
            let mut response = reply(302, "");
            let to = HeaderValue::from_static("/elsewhere?a=b");
            response.headers_mut().insert("location", to);
            response
        }
        ["podProxy", .., "broken"] => broken(),
        ["podProxy", ..] => {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let said = json!({"method": parts.method.as_str(), "uri": parts.uri.path_and_query().unwrap().as_str(),
                "body": String::from_utf8_lossy(&body), "bytes": body.len()});
            reply(200, said.to_string())
        }
        ["exec", _, _, _] if query.contains("command=missing") => {
            reply(404, "the container is not running")
        }
        ["exec" | "attach" | "portForward", ..] if request.method() == Method::GET => {
            reply(204, "")
        }
        ["exec" | "attach", ..] => upgrade(request, &["v5.channel.k8s.io"], move |socket| {
            session(socket, query, seen)
        }),
        ["portForward", ..] => upgrade(request, &["SPDY/3.1+portforward.k8s.io"], spdy::forward),
        _ => reply(404, "no such path"),
    }
}

/// Told once somebody has read the first half of the [`broken`] answer.
pub static HALF_IS_READ: Notify = Notify::const_new();

/// An answer that breaks off in the middle, when its first half has arrived: a connection that is given up takes along what
/// it has not sent yet.
fn broken() -> Response<Body> {
    let half = stream::once(async { Ok(Frame::data(Bytes::from("half"))) });
    let end = stream::once(async {
        HALF_IS_READ.notified().await;
        Ok(Frame::data(Bytes::new()))
    });
    let mut response = Response::new(StreamBody::new(half.chain(end)).boxed_unsync());
    response
        .headers_mut()
        .insert("content-length", HeaderValue::from_static("8"));
    response
}

fn upgrade<F>(
    mut request: Request<Incoming>,
    known: &[&'static str],
    then: impl FnOnce(Socket) -> F + Send + 'static,
) -> Response<Body>
where
    F: Future<Output = ()> + Send,
{
    assert_eq!(request.method(), Method::CONNECT);
    let protocol = request.extensions().get::<Protocol>().expect("a protocol");
    assert_eq!(protocol.as_str(), "websocket");
    let offered = request.headers().get("sec-websocket-protocol");
    let offered = offered.map_or("", |value| value.to_str().unwrap());
    let chosen = offered
        .split(',')
        .map(str::trim)
        .find(|protocol| known.contains(protocol));
    let mut response = Response::new(Empty::new().boxed_unsync());
    if let Some(chosen) = chosen {
        let value = HeaderValue::from_str(chosen).unwrap();
        response
            .headers_mut()
            .insert("sec-websocket-protocol", value);
    }
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let io = TokioIo::new(upgraded.await.unwrap());
        then(WebSocketStream::from_raw_socket(io, Role::Server, None).await).await;
    });
    response
}

/// The end of a session that went well; clients take any other for a failure.
fn normal() -> CloseFrame {
    CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    }
}

/// What commands do: `cat` gives its input back, `fail` exits with 3, `flood` writes for ever, and
/// anything else, or an attachment, greets and waits.
async fn session(mut socket: Socket, query: String, seen: Arc<Seen>) {
    let send = |channel: u8, bytes: &[u8]| {
        let mut message = vec![channel];
        message.extend_from_slice(bytes);
        Message::binary(message)
    };
    let success =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    if query.contains("command=fail") {
        let failure = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "reason": "NonZeroExitCode", "message": "command terminated with non-zero exit code",
            "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}});
        let _ = socket.send(send(2, b"it failed\n")).await;
        let _ = socket.send(send(3, failure.to_string().as_bytes())).await;
        let _ = socket.close(Some(normal())).await;
        return;
    }
    if query.contains("command=flood") {
        while socket.send(send(1, &[b'x'; 4096])).await.is_ok() {
            seen.flooded.fetch_add(1, Ordering::Relaxed);
        }
        return;
    }
    if !query.contains("command=cat") {
        let _ = socket.send(send(1, b"waiting\n")).await;
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
        return;
    }
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else {
            continue;
        };
        match bytes.split_first() {
            Some((0, input)) => socket.send(send(1, input)).await.unwrap(),
            // The input has ended.
            Some((255, [0])) => break,
            _ => {}
        }
    }
    let _ = socket.send(send(3, success.to_string().as_bytes())).await;
    let _ = socket.close(Some(normal())).await;
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
}
