//! The way of a request: who asks, what for, may they, do it, write it down.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Version, request::Parts};
use hyper::body::Body as HttpBody;
use mosaic_api::Status;
use mosaic_auth::{Attributes, User};

use crate::{
    app::App,
    audit::Trail,
    http::{
        accept::Accept,
        body::discard,
        path::{self, ResourcePath, Target},
        query::Query,
        respond::{self, Body},
    },
    identity::{self, Caller, Certificate},
    kinds::Kind,
    metrics::{DurationLabels, RequestLabels},
    paths,
    slow_lane::LARGE_BODY,
    streams::{self, Wire},
    verbs::{Call, change, delete, read, review, subresource, token, watch, write::Part},
};

/// The longest path and query, in bytes.
const MAX_URI: usize = 64 << 10;

/// Answers a request. Connections add their client's [`Certificate`] to the extensions; a [`User`]
/// there stands for a caller inside this process and is trusted as it is.
pub async fn handle<B>(app: Arc<App>, request: Request<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let started = Instant::now();
    app.metrics.in_flight.inc();
    let mut seen = Seen::default();
    let (mut parts, body) = request.into_parts();
    let mut body = Some(body);
    let response = match answer(&app, &mut parts, &mut body, &mut seen).await {
        Ok(response) => response,
        Err(status) => {
            // HTTP/2 ends the one stream; HTTP/1.1 would break the connection under a client that writes.
            if let Some(unread) = body
                && parts.version < Version::HTTP_2
            {
                discard(unread, &parts.headers).await;
            }
            seen.trail.failed(&status);
            respond::status(&status)
        }
    };
    app.metrics.in_flight.dec();
    let mut response = seen.trail.finished(&app, response).await;
    let code = response.status().as_u16();
    if let Ok(id) = HeaderValue::from_str(seen.trail.id()) {
        response.headers_mut().insert("audit-id", id);
    }
    if seen.verb != "watch" {
        let labels = DurationLabels {
            verb: seen.verb.to_owned(),
            resource: seen.resource.clone(),
        };
        app.metrics
            .durations
            .get_or_create(&labels)
            .observe(started.elapsed().as_secs_f64());
    }
    let labels = RequestLabels {
        verb: seen.verb.to_owned(),
        group: seen.group,
        resource: seen.resource,
        code,
    };
    app.metrics.requests.get_or_create(&labels).inc();
    response
}

/// What has become known of a request, for metrics and audit.
#[derive(Default)]
struct Seen {
    verb: &'static str,
    group: String,
    resource: String,
    trail: Trail,
}

async fn answer<B>(
    app: &Arc<App>,
    parts: &mut Parts,
    body: &mut Option<B>,
    seen: &mut Seen,
) -> Result<Response<Body>, Status>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    if parts.uri.path().len() + parts.uri.query().map_or(0, str::len) > MAX_URI {
        return Err(Status::bad_request(
            "the path and query are longer than 64 KiB",
        ));
    }
    let decoded = percent_encoding::percent_decode_str(parts.uri.path())
        .decode_utf8()
        .map_err(|_| Status::bad_request("the path is not UTF-8"))?
        .into_owned();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let target = path::parse(&decoded);
    let verb = path::verb(
        &parts.method,
        &target,
        query.as_ref().unwrap_or(&Query::default()),
    );
    seen.verb = verb;
    seen.trail.begin(app, parts, verb);
    if let Target::Resource(path) = &target {
        seen.trail.about(path);
    }
    let user = who(app, parts, &mut seen.trail)?;
    let mut authorize = |attributes: &Attributes<'_>| {
        let decision = app.identity.authorizer.authorize(attributes);
        seen.trail.decided(&decision);
        identity::require(attributes, &decision)
    };
    match target {
        Target::NonResource => {
            authorize(&Attributes::path(&user, verb, &decoded))?;
            let accept = Accept::negotiate(&parts.headers).unwrap_or_default();
            let response = paths::answer(app, parts, &decoded, accept).await?;
            seen.resource = "-".to_owned();
            Ok(response)
        }
        Target::Resource(path) => {
            let query = query?;
            let selector = &query.field_selector;
            authorize(&identity::resource_attributes(&user, verb, &path, selector))?;
            let snapshot = app.kinds.snapshot();
            let kind = snapshot
                .get(&path.group, &path.version, &path.plural)
                .cloned()
                .ok_or_else(Status::no_such_path)?;
            // Only paths that are served become labels: others could be without number.
            seen.group = path.group.clone();
            seen.resource.clone_from(&path.plural);
            check_path(&kind, &path)?;
            let unread = body.take().ok_or_else(|| Status::internal("no body"))?;
            let (body, wire, _room) = if streams::is_stream(&path) {
                (Bytes::new(), Wire::new(parts, unread), None)
            } else {
                let (body, room) = app.intake.read(unread, &parts.headers).await?;
                (body, Wire::default(), Some(room))
            };
            seen.trail.body(&body);
            let call = Call {
                user: user.clone(),
                path,
                query,
                kind,
                accept: Accept::negotiate(&parts.headers)?,
                method: parts.method.clone(),
                headers: std::mem::take(&mut parts.headers),
                body,
                wire,
            };
            let writes = !matches!(call.method, Method::GET | Method::HEAD);
            let mut response = if writes && call.body.len() >= LARGE_BODY {
                app.slow_lane.run(dispatch(app, &call)).await?
            } else {
                dispatch(app, &call).await?
            };
            if let Some(warning) = call
                .kind
                .custom()
                .and_then(|custom| custom.deprecation.as_ref())
            {
                respond::add_warnings(&mut response, std::slice::from_ref(warning));
            }
            Ok(response)
        }
    }
}

/// The user that a request goes on as.
fn who(app: &App, parts: &mut Parts, trail: &mut Trail) -> Result<Arc<User>, Status> {
    let certificate = parts.extensions.remove::<Certificate>();
    let caller = match parts.extensions.remove::<Arc<User>>() {
        Some(user) => Caller {
            user,
            impersonator: None,
        },
        None => {
            let headers = &parts.headers;
            let identity = &app.identity;
            let user = identity.authenticate(&app.cache, certificate.as_ref(), headers)?;
            trail.caller(&Caller {
                user: user.clone(),
                impersonator: None,
            });
            identity.impersonate(user, headers)?
        }
    };
    trail.caller(&caller);
    Ok(caller.user)
}

/// Whether a path fits its kind's scope.
fn check_path(kind: &Kind, path: &ResourcePath) -> Result<(), Status> {
    let in_namespace = !path.namespace.is_empty();
    let fits = if kind.is("", "Namespace") {
        // Rights are asked for in the namespace of the path: another's object must not be in reach of them.
        !in_namespace || path.namespace == path.name
    } else if kind.namespaced {
        in_namespace || path.name.is_empty()
    } else {
        !in_namespace
    };
    let known = path.subresource.is_empty()
        || (path.subresource == "status" && kind.status)
        || (path.subresource == "scale" && kind.scale.is_some())
        || kind
            .subresources
            .iter()
            .any(|sub| sub.name == path.subresource);
    let rest_fits = path.rest.is_empty() || path.subresource == "proxy";
    if fits && known && rest_fits {
        Ok(())
    } else {
        Err(Status::no_such_path())
    }
}

async fn dispatch(app: &Arc<App>, call: &Call) -> Result<Response<Body>, Status> {
    let kind = &call.kind;
    if !call.path.subresource.is_empty() {
        return dispatch_subresource(app, call).await;
    }
    let collection = call.path.name.is_empty();
    let verb = match (&call.method, collection) {
        (&Method::GET | &Method::HEAD, true) if call.query.watch => "watch",
        (&Method::GET | &Method::HEAD, true) => "list",
        (&Method::GET | &Method::HEAD, false) => "get",
        (&Method::POST, true) => "create",
        (&Method::PUT, false) => "update",
        (&Method::PATCH, false) => "patch",
        (&Method::DELETE, false) => "delete",
        (&Method::DELETE, true) => "deletecollection",
        _ => return Err(method_not_allowed(call)),
    };
    if !kind.can_by(verb, &call.user.name) {
        let Some(keeper) = &kind.keeper else {
            return Err(method_not_allowed(call));
        };
        let why = format!(
            "the server does not allow this method on the requested resource: {} only show what {keeper} has",
            kind.plural
        );
        let refused = Status::method_not_allowed(why);
        return Err(refused.about(&kind.group, &kind.plural, &call.path.name));
    }
    if kind.namespaced
        && call.path.namespace.is_empty()
        && matches!(verb, "create" | "deletecollection")
    {
        return Err(if verb == "create" {
            Status::bad_request("an empty namespace may not be set during creation")
        } else {
            method_not_allowed(call)
        });
    }
    match verb {
        "watch" => watch::watch(app, call).await,
        "list" => read::list(app, call).await,
        "get" => read::get(app, call).await,
        "create" if is_question(kind) => review::create(app, call).await,
        "create" if kind.is("", "Binding") => subresource::bind_named(app, call).await,
        "create" => change::create(app, call).await,
        "update" => change::update(app, call, Part::Main).await,
        "patch" => change::patch(app, call, Part::Main).await,
        "delete" => delete::delete(app, call).await,
        _ => delete::delete_collection(app, call).await,
    }
}

/// Kinds of which nothing is stored.
fn is_question(kind: &Kind) -> bool {
    matches!(
        &*kind.group,
        "authentication.k8s.io" | "authorization.k8s.io"
    ) || kind.is("mosaic", "RegistryToken")
}

async fn dispatch_subresource(app: &Arc<App>, call: &Call) -> Result<Response<Body>, Status> {
    let method = &call.method;
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let part = match &*call.path.subresource {
        "scale" if reads => return subresource::get_scale(app, call).await,
        "scale" if matches!(*method, Method::PUT | Method::PATCH) => {
            return subresource::put_scale(app, call).await;
        }
        "binding" if *method == Method::POST => return subresource::bind(app, call).await,
        "eviction" if *method == Method::POST => return subresource::evict(app, call).await,
        "token" if *method == Method::POST => return token::create(app, call).await,
        "finalize" if *method == Method::PUT => return subresource::finalize(app, call).await,
        _ if streams::is_stream(&call.path) => return streams::route(app, call).await,
        "status" => Part::Status,
        "approval" => Part::Approval,
        "resize" => Part::Resize,
        "ephemeralcontainers" => Part::EphemeralContainers,
        _ => return Err(method_not_allowed(call)),
    };
    match *method {
        Method::GET | Method::HEAD => read::get(app, call).await,
        Method::PUT => change::update(app, call, part).await,
        Method::PATCH => change::patch(app, call, part).await,
        _ => Err(method_not_allowed(call)),
    }
}

fn method_not_allowed(call: &Call) -> Status {
    Status::method_not_allowed("the server does not allow this method on the requested resource")
        .about(&call.kind.group, &call.kind.plural, &call.path.name)
}
