//! get and list.

use std::{sync::Arc, time::Duration};

use base64::Engine;
use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use mosaic_api::Status;
use mosaic_store::{ListOptions, Revision, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Call, select::Selection};
use crate::{
    app::App,
    cache::Object,
    error,
    http::{
        accept::Encoding,
        respond::{self, Body},
    },
    render,
    slow_lane::LONG_LIST,
};

/// How long a read waits for a revision that the server has not seen yet.
const FUTURE_PATIENCE: Duration = Duration::from_secs(3);
/// How many entries are read from the store at once while a page is filled.
const STORE_PAGE: usize = 1_000;

/// One object.
pub async fn get(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let object = find(app, call).await?;
    let json = render::object(&call.kind, call.look(), &object);
    Ok(respond::json_bytes(StatusCode::OK, call.accept, json))
}

/// The object that a call names, as current as the call asks.
///
/// # Errors
/// 404 if there is none.
pub async fn find(app: &App, call: &Call) -> Result<Arc<Object>, Status> {
    settle(app, &call.query.resource_version).await?;
    app.cache
        .kind(&call.kind.prefix)
        .get(&call.key())
        .ok_or_else(|| call.not_found())
}

/// Waits until the cache may answer a read at this `resourceVersion`: empty asks for the latest state,
/// `0` for any, another for at least that revision.
///
/// # Errors
/// 400 for text that is no revision; 504 for a revision that is far ahead.
pub async fn settle(app: &App, resource_version: &str) -> Result<(), Status> {
    match resource_version {
        "" => app.cache.fresh().await.map_err(|e| error::from_store(&e)),
        "0" => Ok(()),
        text => {
            let asked = parse_revision(text)?;
            app.cache
                .reach_within(asked, FUTURE_PATIENCE)
                .await
                .map_err(|_| {
                    error::from_store(&StoreError::Future {
                        asked,
                        current: app.cache.revision(),
                    })
                })
        }
    }
}

/// Reads a `resourceVersion`.
///
/// # Errors
/// 400 for text that is no revision.
pub fn parse_revision(text: &str) -> Result<Revision, Status> {
    text.parse().map_err(|_| {
        Status::bad_request(format!(
            "invalid resource version {text:?}: it is not a number; use one that the server gave"
        ))
    })
}

/// Where the next page starts.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    /// The revision that all pages show.
    rv: Revision,
    /// The last key of the page before.
    after: String,
}

/// The objects of a kind that the call selects.
pub async fn list(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let selection = Selection::new(&call.kind, &call.path, &call.query)?;
    check_list_options(call)?;
    let page = select(app, call, &selection).await?;
    let mut metadata = Map::new();
    metadata.insert(
        "resourceVersion".to_owned(),
        json!(page.revision.to_string()),
    );
    if let Some(token) = page.next {
        metadata.insert("continue".to_owned(), json!(token));
        if let (true, Some(remaining)) = (selection.is_everything(), page.remaining) {
            metadata.insert("remainingItemCount".to_owned(), json!(remaining));
        }
    }
    let render = || render::list(&call.kind, call.look(), &page.objects, metadata);
    let pieces = if page.objects.len() >= LONG_LIST {
        app.slow_lane.compute(render).await
    } else {
        render()
    };
    if call.accept.encoding == Encoding::Yaml {
        return Ok(respond::json_bytes(
            StatusCode::OK,
            call.accept,
            Bytes::from(pieces.concat()),
        ));
    }
    let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
    let mut response = respond::bytes(StatusCode::OK, "application/json", Bytes::new());
    *response.body_mut() = StreamBody::new(stream::iter(frames)).boxed_unsync();
    Ok(response)
}

/// A page of a list.
pub struct Page {
    /// The objects.
    pub objects: Vec<Arc<Object>>,
    /// The revision that they show.
    pub revision: Revision,
    /// The token for the next page, if there is one.
    next: Option<String>,
    remaining: Option<u64>,
}

/// The objects that a list selects.
///
/// # Errors
/// 410 when a page of a list is asked for too late.
pub async fn select(app: &App, call: &Call, selection: &Selection) -> Result<Page, Status> {
    let query = &call.query;
    let limit = query.limit;
    if !query.continue_token.is_empty() {
        let token = read_token(&query.continue_token)?;
        if !token.after.starts_with(&selection.prefix) {
            return Err(Status::bad_request(
                "continue key is not valid: it belongs to another list",
            ));
        }
        return from_store(
            app,
            call,
            selection,
            Some(token.rv),
            Some(token.after),
            limit,
        )
        .await;
    }
    if query.resource_version_match == "Exact" {
        let revision = parse_revision(&query.resource_version)?;
        return from_store(app, call, selection, Some(revision), None, limit).await;
    }
    settle(app, &query.resource_version).await?;
    let revision = app.cache.revision();
    let mut objects = app.cache.kind(&call.kind.prefix).list(&selection.prefix);
    objects.retain(|object| selection.matches(object));
    // A later page reads the store at this revision: nothing newer may be in this one.
    let (mut next, mut remaining) = (None, None);
    if limit > 0 && objects.len() > limit {
        if objects
            .iter()
            .take(limit)
            .any(|object| object.revision > revision)
        {
            return from_store(app, call, selection, None, None, limit).await;
        }
        remaining = Some((objects.len() - limit) as u64);
        objects.truncate(limit);
        next = objects.last().map(|last| write_token(revision, &last.key));
    }
    Ok(Page {
        objects,
        revision,
        next,
        remaining,
    })
}

async fn from_store(
    app: &App,
    call: &Call,
    selection: &Selection,
    at: Option<Revision>,
    after: Option<String>,
    limit: usize,
) -> Result<Page, Status> {
    let paths = app.cache.kind(&call.kind.prefix).paths();
    let mut options = ListOptions {
        at,
        after: after.map(Into::into),
        limit: Some(STORE_PAGE),
        ..ListOptions::default()
    };
    let mut objects = Vec::new();
    loop {
        let page = app.store.list(&selection.prefix, options.clone()).await.map_err(|e| match e {
            StoreError::Compacted { .. } => Status::expired(
                "The provided continue parameter is too old to display a consistent list result. Start a new list without the continue parameter.",
            ),
            other => error::from_store(&other),
        })?;
        let read = page.entries.len() as u64;
        for (at, entry) in page.entries.iter().enumerate() {
            let object = Object::from_entry(entry, &paths);
            if !selection.matches(&object) {
                continue;
            }
            objects.push(Arc::new(object));
            let left = page.remaining + read.saturating_sub(at as u64 + 1);
            if objects.len() == limit && left > 0 {
                let next = Some(write_token(page.revision, &entry.key));
                return Ok(Page {
                    objects,
                    revision: page.revision,
                    next,
                    remaining: Some(left),
                });
            }
        }
        if page.remaining == 0 {
            return Ok(Page {
                objects,
                revision: page.revision,
                next: None,
                remaining: None,
            });
        }
        options.at = Some(page.revision);
        options.after = page.entries.last().map(|entry| entry.key.clone());
    }
}

fn write_token(rv: Revision, after: &str) -> String {
    let token = json!({"rv": rv, "after": after}).to_string();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token)
}

fn read_token(text: &str) -> Result<Continue, Status> {
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| {
            Status::bad_request(
                "continue key is not valid: use the one that the previous page gave",
            )
        })
}

/// The rules for `resourceVersionMatch` (Kubernetes API concepts, "Semantics for get and list").
fn check_list_options(call: &Call) -> Result<(), Status> {
    let query = &call.query;
    let invalid = |path: &str, detail: &str| {
        let error = mosaic_schema::FieldError::forbidden(path, detail);
        Err(Status::invalid_option("ListOptions", error))
    };
    if query.send_initial_events.is_some() && !query.watch {
        return invalid(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        );
    }
    match query.resource_version_match.as_str() {
        "" => Ok(()),
        _ if query.resource_version.is_empty() => invalid(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        _ if !query.continue_token.is_empty() => invalid(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden when continue is provided",
        ),
        "Exact" if query.resource_version == "0" => invalid(
            "resourceVersionMatch",
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        "Exact" | "NotOlderThan" => Ok(()),
        other => {
            let error = mosaic_schema::FieldError::not_supported(
                "resourceVersionMatch",
                Value::from(other),
                &["Exact", "NotOlderThan", ""],
            );
            Err(Status::invalid_option("ListOptions", error))
        }
    }
}
