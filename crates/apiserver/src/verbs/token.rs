//! Tokens of service accounts: what a `TokenRequest` asks for, and its answer.

use http::{Response, StatusCode};
use jiff::Timestamp;
use mosaic_api::{Status, meta};
use mosaic_auth::authn::{BoundKind, BoundObjects, BoundRef, IssuedToken, TokenSpec};
use mosaic_schema::FieldError;
use serde_json::{Value, json};

use super::{Call, body, read};
use crate::{
    admission,
    app::App,
    cache::Cache,
    http::respond::{self, Body},
    identity::Bound,
};

/// POST of a `TokenRequest`: issues a token for a service account.
///
/// # Errors
/// 422 for what cannot be issued, 404 for an account or a bound object that is not there, 409 if the
/// bound object is another than the one that is meant.
pub async fn create(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let mut request = body::read(call, &mut Vec::new())?;
    body::check_kind(&mut request, "authentication.k8s.io/v1", "TokenRequest")?;
    admission::check_token(app, call, &request)?;
    let account = read::find(app, call).await?.value();
    let spec = requested(&app.cache, call, &account, &request)?;
    let now = Timestamp::now();
    let issued = app
        .identity
        .issuer
        .issue(&spec, now.as_second())
        .map_err(|error| {
            let asked = spec.expiration_seconds.unwrap_or_default();
            let path = "spec.expirationSeconds";
            invalid(call, FieldError::invalid(path, asked, error.to_string()))
        })?;
    let answer = answered(request, call, &issued, now);
    Ok(respond::json(StatusCode::CREATED, call.accept, &answer))
}

/// The token that a request asks for.
fn requested(
    cache: &Cache,
    call: &Call,
    account: &Value,
    request: &Value,
) -> Result<TokenSpec, Status> {
    let audiences = request.pointer("/spec/audiences").and_then(Value::as_array);
    let mut spec = TokenSpec {
        namespace: call.path.namespace.clone(),
        name: call.path.name.clone(),
        uid: meta::uid(account).to_owned(),
        audiences: audiences
            .into_iter()
            .flatten()
            .filter_map(|audience| audience.as_str().map(str::to_owned))
            .collect(),
        expiration_seconds: request
            .pointer("/spec/expirationSeconds")
            .and_then(Value::as_i64),
        ..TokenSpec::default()
    };
    let reference = request.pointer("/spec/boundObjectRef");
    if let Some(reference) = reference.filter(|reference| reference.is_object()) {
        let (kind, name, object) = bound_object(cache, call, reference)?;
        if kind == BoundKind::Pod {
            check_account(call, name, &object)?;
            spec.node = node_of(cache, &object);
        }
        let bound = BoundRef {
            name: name.to_owned(),
            uid: meta::uid(&object).to_owned(),
        };
        spec.bound = Some((kind, bound));
    }
    Ok(spec)
}

/// The object that a token is to be bound to, with its kind and name.
fn bound_object<'a>(
    cache: &Cache,
    call: &Call,
    reference: &'a Value,
) -> Result<(BoundKind, &'a str, Value), Status> {
    let text = |field: &str| {
        let value = reference.get(field).and_then(Value::as_str);
        value.unwrap_or_default()
    };
    let (kind_name, name, uid) = (text("kind"), text("name"), text("uid"));
    let kind = BoundKind::from_kind(kind_name).filter(|kind| *kind != BoundKind::ServiceAccount);
    let Some(kind) = kind else {
        let known = ["Pod", "Secret", "Node"];
        let error = FieldError::not_supported("spec.boundObjectRef.kind", kind_name, &known);
        return Err(invalid(call, error));
    };
    let plural = format!("{}s", kind_name.to_lowercase());
    let Some(object) = Bound(cache).find(kind, &call.path.namespace, name) else {
        return Err(Status::not_found("", &plural, name));
    };
    let is = meta::uid(&object);
    if !uid.is_empty() && uid != is {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict("", &plural, name, &why));
    }
    Ok((kind, name, object))
}

/// A token is bound to pods of its own service account only.
fn check_account(call: &Call, name: &str, pod: &Value) -> Result<(), Status> {
    let account = pod
        .pointer("/spec/serviceAccountName")
        .and_then(Value::as_str);
    if account.unwrap_or_default() == call.path.name {
        return Ok(());
    }
    let why = format!(
        "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
        call.path.name
    );
    let path = "spec.boundObjectRef.name";
    Err(invalid(call, FieldError::invalid(path, name, why)))
}

/// The node that a pod is on.
fn node_of(cache: &Cache, pod: &Value) -> Option<BoundRef> {
    let node = pod.pointer("/spec/nodeName").and_then(Value::as_str);
    let name = node.filter(|node| !node.is_empty())?;
    let uid = Bound(cache).uid_of(BoundKind::Node, "", name);
    Some(BoundRef {
        name: name.to_owned(),
        uid: uid.unwrap_or_default(),
    })
}

/// The request with the token in its status.
fn answered(mut request: Value, call: &Call, issued: &IssuedToken, now: Timestamp) -> Value {
    let expires = Timestamp::from_second(issued.expires_at).unwrap_or(Timestamp::MAX);
    meta::set(&mut request, "name", call.path.name.as_str());
    meta::set(&mut request, "namespace", call.path.namespace.as_str());
    let created = mosaic_api::time::format(now);
    meta::set(&mut request, "creationTimestamp", created);
    if let Some(request) = request.as_object_mut() {
        let expires = mosaic_api::time::format(expires);
        let status = json!({"token": issued.token, "expirationTimestamp": expires});
        request.insert("status".to_owned(), status);
    }
    request
}

fn invalid(call: &Call, error: FieldError) -> Status {
    let (group, kind) = ("authentication.k8s.io", "TokenRequest");
    Status::invalid(group, kind, &call.path.name, &[error])
}
