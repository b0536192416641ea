//! Paths that are not about objects: discovery, health, metrics, version, OpenAPI.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use mosaic_api::{Status, openapi};
use serde_json::json;

use crate::{
    app::App,
    discovery,
    documents::Document,
    http::{
        accept::Accept,
        respond::{self, Body},
    },
    kinds::Snapshot,
};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// How long the store has to answer before the server counts as not ready.
const STORE_ANSWERS: std::time::Duration = std::time::Duration::from_secs(2);

/// Answers a request for a path.
///
/// # Errors
/// 404 for paths that are not served.
pub async fn answer(
    app: &Arc<App>,
    parts: &Parts,
    path: &str,
    accept: Accept,
) -> Result<Response<Body>, Status> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed("only GET is served here"));
    }
    let kinds = app.kinds.snapshot();
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let found = match segments.as_slice() {
        [] => Some(json!({"paths": root_paths(&kinds)})),
        ["version"] => Some(version()),
        ["healthz" | "livez" | "readyz", check @ ..] => return health(app, parts, check).await,
        ["metrics"] => return Ok(metrics(app)),
        ["api"] if wants_aggregated(parts) => return aggregated(app, &kinds, parts, true),
        ["apis"] if wants_aggregated(parts) => return aggregated(app, &kinds, parts, false),
        ["api"] => Some(discovery::core_versions(host_of(parts))),
        ["api", version] => discovery::resource_list(&kinds, "", version),
        ["apis"] => Some(discovery::group_list(&kinds)),
        ["apis", group] => discovery::group(&kinds, group),
        ["apis", group, version] => discovery::resource_list(&kinds, group, version),
        ["openapi", "v3"] => {
            return document(
                app,
                &kinds,
                parts,
                "/openapi/v3",
                "application/json",
                || {
                    let rows = kinds.rows.iter().map(|kind| &kind.row);
                    Some(openapi::v3_index(rows).to_string().into_bytes())
                },
            );
        }
        ["openapi", "v3", rest @ ..] => {
            let rows = rows_of(&kinds, rest);
            let render =
                || (!rows.is_empty()).then(|| openapi::v3_document(&rows).to_string().into_bytes());
            return document(app, &kinds, parts, path, "application/json", render);
        }
        ["openapi", "v2"] => return openapi_v2(app, &kinds, parts),
        [".well-known", "openid-configuration"] => {
            let issuer = crate::ISSUER;
            let keys = format!("https://{}/openid/v1/jwks", host_of(parts));
            Some(mosaic_auth::pki::Authority::openid_configuration(
                issuer, &keys,
            ))
        }
        ["openid", "v1", "jwks"] => Some(app.identity.authority.jwks()),
        _ => None,
    };
    let object = found.ok_or_else(Status::no_such_path)?;
    Ok(respond::json(StatusCode::OK, accept, &object))
}

fn host_of(parts: &Parts) -> &str {
    parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
        .unwrap_or_default()
}

/// `/version`
fn version() -> serde_json::Value {
    json!({
        "major": "1",
        "minor": "37",
        "gitVersion": format!("{}+mosaic-{}", openapi::KUBERNETES_VERSION, env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

fn root_paths(kinds: &Snapshot) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/api",
        "/api/v1",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ]
    .map(str::to_owned)
    .to_vec();
    for kind in kinds.rows.iter().filter(|kind| !kind.group.is_empty()) {
        paths.push(format!("/apis/{}", kind.group));
        paths.push(format!("/apis/{}/{}", kind.group, kind.version));
    }
    paths.sort();
    paths.dedup();
    paths
}

/// `/livez` says whether the process lives; `/readyz` and `/healthz` also whether it can serve: whether it
/// is not stopping, its image registry is there, if it is to have one, and the store answers.
async fn health(app: &App, parts: &Parts, check: &[&str]) -> Result<Response<Body>, Status> {
    if !check.is_empty() && !matches!(check, ["ping" | "store" | "etcd"]) {
        return Err(Status::no_such_path());
    }
    let path = parts.uri.path().trim_start_matches('/');
    let query = parts.uri.query().unwrap_or_default();
    let asks_store = check != ["ping"] && (!path.starts_with("livez") || !check.is_empty());
    let store = if asks_store {
        match tokio::time::timeout(STORE_ANSWERS, app.cache.fresh()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", STORE_ANSWERS.as_secs())),
        }
    } else {
        Ok(())
    };
    let stopping = app.shutdown.is_cancelled();
    let awaits_registry = !path.starts_with("livez")
        && check.is_empty()
        && app.registry_awaited
        && app.registry.get().is_none();
    if stopping || awaits_registry || store.is_err() {
        let mut text = String::new();
        if stopping {
            text.push_str("[-]shutdown: the server is stopping\n");
        }
        if awaits_registry {
            text.push_str("[-]registry: the image registry is being started\n");
        }
        if let Err(why) = store {
            text.push_str(&format!("[-]store failed: {why}\n"));
        }
        text.push_str(&format!("{path} check failed\n"));
        return Ok(respond::text(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    let text = if query.contains("verbose") {
        format!(
            "[+]ping ok\n[+]store ok at revision {}\n{path} check passed\n",
            app.cache.revision(),
        )
    } else {
        "ok".to_owned()
    };
    Ok(respond::text(StatusCode::OK, text))
}

fn metrics(app: &App) -> Response<Body> {
    let (hosts, streams) = app.streams.counts();
    let moment = [
        (
            "mosaic_store_revision",
            "The latest revision that the cache has taken in",
            app.cache.revision(),
        ),
        (
            "mosaic_connected_hosts",
            "Hosts that have a tunnel to this server",
            hosts as u64,
        ),
        (
            "mosaic_open_streams",
            "Logs, commands, forwarded ports and proxied requests that are open",
            streams as u64,
        ),
    ];
    respond::bytes(
        StatusCode::OK,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        app.metrics.render(&moment),
    )
}

fn wants_aggregated(parts: &Parts) -> bool {
    parts
        .headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|text| text.contains("as=APIGroupDiscoveryList") && text.contains("v=v2"))
}

fn aggregated(
    app: &App,
    kinds: &Snapshot,
    parts: &Parts,
    core: bool,
) -> Result<Response<Body>, Status> {
    let key = if core {
        "aggregated/api"
    } else {
        "aggregated/apis"
    };
    document(app, kinds, parts, key, AGGREGATED, || {
        Some(discovery::aggregated(kinds, core).to_string().into_bytes())
    })
}

fn rows_of<'a>(kinds: &'a Snapshot, path: &[&str]) -> Vec<&'a mosaic_api::Resource> {
    let (group, version) = match path {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return Vec::new(),
    };
    kinds
        .rows
        .iter()
        .filter(|kind| *kind.group == *group && *kind.version == *version)
        .map(|kind| &kind.row)
        .collect()
}

fn openapi_v2(app: &App, kinds: &Snapshot, parts: &Parts) -> Result<Response<Body>, Status> {
    let protobuf = parts
        .headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|text| text.contains("proto-openapi.spec.v2"));
    let rows: Vec<&mosaic_api::Resource> = kinds.rows.iter().map(|kind| &kind.row).collect();
    if protobuf {
        let render = || Some(openapi::v2_protobuf(&openapi::v2_document(&rows)));
        return document(
            app,
            kinds,
            parts,
            "v2/protobuf",
            openapi::V2_PROTOBUF,
            render,
        );
    }
    document(app, kinds, parts, "v2/json", "application/json", || {
        Some(openapi::v2_document(&rows).to_string().into_bytes())
    })
}

/// A rendered document, compressed if the client takes that, and not at all if it has it already.
fn document(
    app: &App,
    kinds: &Snapshot,
    parts: &Parts,
    key: &str,
    media_type: &'static str,
    render: impl FnOnce() -> Option<Vec<u8>>,
) -> Result<Response<Body>, Status> {
    let document = app
        .documents
        .get(kinds.generation, key, render)
        .ok_or_else(Status::no_such_path)?;
    let tag = format!("\"{}\"", document.hash);
    let known = parts
        .headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known {
        respond::bytes(StatusCode::NOT_MODIFIED, media_type, Bytes::new())
    } else {
        respond::bytes(StatusCode::OK, media_type, body_of(parts, &document)?)
    };
    let headers = response.headers_mut();
    if !known && takes_gzip(parts) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(
        header::VARY,
        HeaderValue::from_static("Accept-Encoding, Accept"),
    );
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

fn takes_gzip(parts: &Parts) -> bool {
    parts
        .headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|text| text.contains("gzip"))
}

fn body_of(parts: &Parts, document: &Document) -> Result<Bytes, Status> {
    if takes_gzip(parts) {
        return Ok(document.gzip.clone());
    }
    let mut text = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(&document.gzip[..]),
        &mut text,
    )
    .map_err(|error| Status::internal(error.to_string()))?;
    Ok(text.into())
}
