//! A tunnel's life: a host asks for it, the server turns the connection around and keeps it up.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{client::conn::http2, rt::Executor, upgrade::OnUpgrade};
use hyper_util::rt::TokioTimer;
use mosaic_api::{Status, meta};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    hosts::STREAMS_PER_HOST,
    wire::{self, RequestBody},
};
use crate::{
    app::App,
    http::respond::{self, Body},
    verbs::{Call, read},
};

/// What the connection is upgraded to.
const PROTOCOL: &str = "mosaic-tunnel";
/// How long a host has to answer for the first time.
const SETUP: Duration = Duration::from_secs(10);
/// How often a host is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long it has to say so.
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// How often the server looks whether the host is still one of the cluster.
const MEMBER_EVERY: Duration = Duration::from_secs(10);
/// How many bytes of a stream the server takes before its client has.
const STREAM_WINDOW: u32 = 64 << 10;
/// How many bytes of all a host's streams: enough for each to fill its own, so that slow clients cannot
/// use up what others need.
const TUNNEL_WINDOW: u32 = STREAM_WINDOW * STREAMS_PER_HOST as u32;
/// The largest head of a host's answer, in bytes.
const MAX_HEAD: u32 = 32 << 10;

/// Takes a connection as the tunnel to the host that the path names.
///
/// # Errors
/// 400 if the connection is not to be upgraded, 404 for a host that is not of the cluster.
pub async fn open(app: &Arc<App>, call: &Call) -> Result<Response<Body>, Status> {
    if call.method != Method::POST {
        return Err(
            Status::method_not_allowed("a tunnel is opened by a POST with an upgrade").about(
                &call.kind.group,
                &call.kind.plural,
                &call.path.name,
            ),
        );
    }
    let node = read::find(app, call).await?.value();
    let wanted = call
        .headers
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(PROTOCOL.as_bytes()));
    let Some(upgrade) = call.wire.take_upgrade().filter(|_| wanted) else {
        return Err(Status::bad_request(format!(
            "a tunnel needs HTTP/1.1 with Connection: Upgrade and Upgrade: {PROTOCOL}"
        )));
    };
    let host = Host {
        name: call.path.name.clone(),
        key: call.key(),
        uid: meta::uid(&node).to_owned(),
    };
    let closed = app.streams.begin(&host.name);
    tokio::spawn(run(app.clone(), host, upgrade, closed));
    let mut response = Response::new(respond::full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    Ok(response)
}

/// The host at a tunnel's other end.
struct Host {
    name: String,
    key: String,
    uid: String,
}

async fn run(app: Arc<App>, host: Host, upgrade: OnUpgrade, closed: CancellationToken) {
    let serving = closed
        .run_until_cancelled(serve(&app, &host, upgrade, &closed))
        .await;
    match serving {
        None => {
            app.streams.end(&host.name, &closed, None);
            tracing::debug!(host = host.name, "a tunnel was given up");
        }
        Some(Err(why)) => {
            app.streams.end(&host.name, &closed, None);
            closed.cancel();
            tracing::warn!(host = host.name, why, "a host's tunnel cannot be used");
        }
        Some(Ok(())) => {}
    }
}

/// Sets a tunnel up and keeps it until it ends.
async fn serve(
    app: &Arc<App>,
    host: &Host,
    upgrade: OnUpgrade,
    closed: &CancellationToken,
) -> Result<(), String> {
    let text = |error: hyper::Error| error.to_string();
    let late = |_| "the host took too long".to_owned();
    let io = timeout(SETUP, upgrade).await.map_err(late)?.map_err(text)?;
    let mut builder = http2::Builder::new(UntilClosed(closed.clone()));
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(TUNNEL_WINDOW)
        .max_header_list_size(MAX_HEAD)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        .keep_alive_while_idle(true);
    let handshake = builder.handshake::<_, RequestBody>(io);
    let (mut send, connection) = timeout(SETUP, handshake)
        .await
        .map_err(late)?
        .map_err(text)?;
    let mut connection = std::pin::pin!(connection);
    // An answer shows that the other end speaks HTTP/2, and its settings come before it.
    let probe = Request::builder()
        .uri(format!("http://{}/healthz", host.name))
        .body(wire::empty())
        .map_err(|error| error.to_string())?;
    let probe = timeout(SETUP, send.send_request(probe));
    tokio::select! {
        answered = probe => drop(answered.map_err(late)?.map_err(text)?),
        ended = connection.as_mut() => {
            return Err(ended.err().map_or_else(|| "it ended".to_owned(), text));
        }
    }
    if !connection.is_extended_connect_protocol_enabled() {
        return Err("the host does not take extended CONNECT (RFC 8441)".to_owned());
    }
    let Some(tunnel) = app.streams.ready(&host.name, closed, send) else {
        return Ok(());
    };
    tracing::info!(host = host.name, "a host has connected");
    let mut members = tokio::time::interval(MEMBER_EVERY);
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            _ = members.tick() => {}
        }
        if !is_member(app, host) {
            tracing::info!(
                host = host.name,
                "a host has left the cluster; its tunnel ends"
            );
            closed.cancel();
            break Ok(());
        }
    };
    // After a newer tunnel has taken over, this one ends when its last stream does.
    app.streams.end(&host.name, closed, Some(&tunnel));
    match ended {
        Ok(()) => tracing::info!(host = host.name, "a host's tunnel has ended"),
        Err(error) => tracing::info!(host = host.name, %error, "a host's tunnel broke"),
    }
    Ok(())
}

/// Whether the object that the tunnel was opened for is still there.
fn is_member(app: &App, host: &Host) -> bool {
    app.cache
        .get(&host.key)
        .is_some_and(|node| meta::uid(&node.value()) == host.uid)
}

/// Runs the parts of a tunnel until it is closed, and no longer.
#[derive(Clone)]
struct UntilClosed(CancellationToken);

impl<F> Executor<F> for UntilClosed
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(self.0.clone().run_until_cancelled_owned(future));
    }
}
