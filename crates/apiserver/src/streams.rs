//! Logs, commands and tunnels into pods: routes to the host that runs the pod.

use http::Response;
use mosaic_api::{Reason, Status};
use serde_json::Value;

use crate::{
    app::App,
    http::respond::Body,
    verbs::{Call, read},
};

/// Routes a request to the host of its pod.
///
/// # Errors
/// 400 if the pod is on no host, 503 if its host cannot be reached.
pub async fn route(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let object = read::find(app, call).await?.value();
    let what = format!("{} {:?}", call.kind.singular, call.path.name);
    if &*call.kind.kind != "Pod" {
        return Err(Status::new(
            Reason::ServiceUnavailable,
            format!("no endpoints available for {what}: no host answers for it"),
        ));
    }
    let node = object
        .pointer("/spec/nodeName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if node.is_empty() {
        return Err(Status::bad_request(format!(
            "{what} does not have a host assigned"
        )));
    }
    let mut status = Status::new(
        Reason::ServiceUnavailable,
        format!(
            "{what} runs on host {node:?}, which is not connected to this server; check that its node agent is running"
        ),
    );
    status.retry_after_seconds = 5;
    Err(status)
}
