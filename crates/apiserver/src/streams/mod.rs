//! The way to hosts: logs, commands and ports of pods, and what they serve.
//!
//! Hosts dial in. The agent of a host opens a tunnel, an upgraded connection on which the server is the
//! client and speaks HTTP/2; so a host needs no open port and no address that the server can reach.
//!
//! ```text
//!  client ── WebSocket, HTTP ──▶ server ── HTTP/2 over the tunnel ──▶ node agent
//!                                  │  which pod, which container, may they: decided here
//!                                  └─ what is said on the stream: passed on, never read
//! ```
//!
//! * [`hosts`]: which hosts are connected, and how much each may carry; [`tunnel`]: a tunnel's life.
//! * [`ask`]: what is asked of a host, from the query and the pod; pure.
//! * [`handshake`]: WebSocket's opening; pure.
//! * [`relay`]: bytes from one side to the other, no faster than the slower side takes them.
//! * [`proxy`]: HTTP to pods and services; [`failure`]: a host's errors as `Status`.

mod ask;
mod failure;
mod handshake;
mod hosts;
mod proxy;
mod relay;
mod tunnel;
mod wire;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::ext::Protocol;
use mosaic_api::Status;

use self::{
    ask::Ask,
    handshake::{Opening, WebSocket},
};
use crate::{
    app::App,
    http::{
        path::ResourcePath,
        respond::{self, Body},
    },
    verbs::{Call, read},
};

pub use self::{
    hosts::{Hosts, STREAMS_PER_HOST},
    wire::Wire,
};

/// How long a host has to say whether it does what it is asked.
const ANSWER: Duration = Duration::from_secs(30);
/// Tells the host which pod of the name is meant.
const POD_UID: &str = "mosaic-pod-uid";

/// Whether a request's connection or body is needed as it is, rather than read and parsed first.
pub fn is_stream(path: &ResourcePath) -> bool {
    matches!(
        &*path.subresource,
        "log" | "exec" | "attach" | "portforward" | "proxy" | "tunnel"
    )
}

/// Answers a request to a host, or by way of one.
///
/// # Errors
/// 400 for what cannot be asked, 429 when too much is open, 503 if the host cannot be reached, 504 if it
/// does not answer, and what the host itself says.
pub async fn route(app: &Arc<App>, call: &Call) -> Result<Response<Body>, Status> {
    match &*call.path.subresource {
        "tunnel" => tunnel::open(app, call).await,
        "proxy" => proxy::answer(app, call).await,
        "log" if call.method == Method::GET => log(app, call).await,
        "exec" | "attach" | "portforward" if matches!(call.method, Method::GET | Method::POST) => {
            session(app, call).await
        }
        _ => Err(Status::method_not_allowed(
            "the server does not allow this method on the requested resource",
        )
        .about(&call.kind.group, &call.kind.plural, &call.path.name)),
    }
}

/// The tunnel to a host, for a request about `what`.
fn reached(app: &App, host: &str, what: &str) -> Result<Arc<hosts::Tunnel>, Status> {
    app.streams.host(host, what).map_err(|unreachable| {
        let node = app.kept_object("", "Node", "", host);
        let is_simulated = node.is_some_and(|node| {
            let label = node.pointer("/metadata/labels/mosaic~1simulated");
            label.is_some_and(|value| value == "true")
        });
        // Nothing that anybody could start would change it.
        if is_simulated {
            Status::bad_request(format!(
                "{what} is on host {host:?}, which is simulated: simulated hosts run no containers, so there is nothing to \
                 read from or to connect to"
            ))
        } else {
            unreachable
        }
    })
}

/// The log of a container.
async fn log(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let pod = read::find(app, call).await?.value();
    let ask = ask::log(&call.path, &pod, &call.query.others)?;
    if ask.host.is_empty() {
        // What is on no host has said nothing yet; Kubernetes answers without content, too.
        let mut nothing = Response::new(respond::full(""));
        *nothing.status_mut() = StatusCode::NO_CONTENT;
        return Ok(nothing);
    }
    let host = reached(app, &ask.host, &ask.what)?;
    let request = request(&ask, Method::GET)?;
    let (response, permit) = host.send(request, Some(ANSWER)).await?;
    if response.status() != StatusCode::OK {
        return Err(failure::status(&ask.host, response).await);
    }
    // The host does not choose what a browser takes this for.
    let mut answer = respond::text(StatusCode::OK, "");
    answer.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    *answer.body_mut() = relay::body(response.into_body(), permit);
    Ok(answer)
}

/// A command, an attachment or ports: a stream in both directions.
async fn session(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let pod = read::find(app, call).await?.value();
    let ask = ask::session(&call.path, &pod, &call.query.others)?;
    if ask.host.is_empty() {
        return Err(Status::bad_request(format!(
            "pod {} does not have a host assigned",
            call.path.name
        )));
    }
    let host = reached(app, &ask.host, &ask.what)?;
    let opening = Opening::read(&call.method, &call.headers)?;
    let Opening::WebSocket(websocket) = opening else {
        // Clients fall back to SPDY when a WebSocket was refused, and show what they hear then: the
        // host's reason, if it has one, rather than the protocol's.
        let (response, _permit) = host.send(request(&ask, Method::GET)?, Some(ANSWER)).await?;
        return Err(match response.status() {
            status if status.is_success() => opening.refusal(),
            _ => failure::status(&ask.host, response).await,
        });
    };
    let request = request(&ask, Method::CONNECT)?;
    connect(call, &host, websocket, request, Some(ANSWER)).await
}

/// Opens a WebSocket to a host (RFC 8441) and lets the client through to it.
async fn connect(
    call: &Call,
    host: &hosts::Tunnel,
    websocket: WebSocket,
    mut request: Request<wire::RequestBody>,
    patience: Option<Duration>,
) -> Result<Response<Body>, Status> {
    let Some(upgrade) = call.wire.take_upgrade() else {
        return Err(Status::bad_request(
            "a WebSocket can be opened on an HTTP/1.1 connection to the server only",
        ));
    };
    request
        .extensions_mut()
        .insert(Protocol::from_static("websocket"));
    let headers = request.headers_mut();
    headers.insert(
        header::SEC_WEBSOCKET_VERSION,
        HeaderValue::from_static("13"),
    );
    if let Some(protocols) = websocket.offered() {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols);
    }
    let (response, permit) = host.send(request, patience).await?;
    if response.status() != StatusCode::OK {
        return Err(failure::status(&host.name, response).await);
    }
    let answer = websocket.accept(response.headers())?;
    tokio::spawn(async move {
        let sides = tokio::time::timeout(ANSWER, async {
            tokio::try_join!(upgrade, hyper::upgrade::on(response))
        });
        match sides.await {
            Ok(Ok((client, node))) => relay::splice(client, node, permit).await,
            Ok(Err(error)) => tracing::debug!(%error, "a stream to a host was not taken up"),
            Err(_) => tracing::debug!("a stream to a host was not taken up in time"),
        }
    });
    Ok(answer)
}

/// A request to a host's agent. Nothing of the client's headers goes along.
fn request(ask: &Ask, method: Method) -> Result<Request<wire::RequestBody>, Status> {
    Request::builder()
        .method(method)
        .uri(format!("http://{}{}", ask.host, ask.path_and_query))
        .header(POD_UID, &ask.uid)
        .body(wire::empty())
        .map_err(|error| Status::internal(format!("the request to host {:?}: {error}", ask.host)))
}
