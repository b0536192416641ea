//! A client of any Kubernetes API, on objects as JSON.

mod connection;
mod discovery;
mod error;
mod resource;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::core::{Status, WatchEvent};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::Instant;

pub(crate) use connection::{ConnectionArgs, Origin, config, duration, is_configured};
pub(crate) use discovery::Discovery;
pub(crate) use error::{ApiError, Call};
pub(crate) use resource::Resource;

use crate::failure::Failure;
use crate::output::style;

/// An answer larger than this is refused; lists are read in chunks that stay far below it.
const MAX_ANSWER_BYTES: usize = 1 << 30;
/// How a table is asked for; a server without tables answers with the objects.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const JSON: &str = "application/json";
/// What stays readable in a path segment or a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Parameters of a query, in order.
pub(crate) type Query = Vec<(&'static str, String)>;

/// A connection to an API server.
#[derive(Clone)]
pub(crate) struct Client {
    inner: kube::Client,
    origin: Arc<Origin>,
    namespace: String,
    timeout: Option<Duration>,
}

/// A patch's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchKind {
    /// Server-side apply.
    Apply,
    /// JSON merge patch.
    Merge,
    /// JSON patch: a list of operations.
    Operations,
}

impl PatchKind {
    fn content_type(self) -> &'static str {
        match self {
            // JSON is YAML.
            Self::Apply => "application/apply-patch+yaml",
            Self::Merge => "application/merge-patch+json",
            Self::Operations => "application/json-patch+json",
        }
    }
}

/// Whether objects or tables are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects themselves.
    Objects,
    /// Tables with columns for people.
    Table,
}

impl Form {
    fn accept(self) -> &'static str {
        match self {
            Self::Objects => JSON,
            Self::Table => TABLE,
        }
    }
}

impl Client {
    /// Connects as the kubeconfig and the flags say. Nothing is sent yet.
    pub(crate) async fn connect(args: &ConnectionArgs) -> Result<Self, Failure> {
        connection::connect(args).await
    }

    /// The namespace to use where none is given.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Reads what is served: groups, versions, kinds and their names.
    pub(crate) async fn discover(&self) -> Result<Discovery, ApiError> {
        discovery::discover(self).await
    }

    /// Reads one object, or a table of one row.
    pub(crate) async fn get(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        form: Form,
        query: &Query,
    ) -> Result<Value, ApiError> {
        let call = Call::new("get", resource, namespace, Some(name));
        let path = with_query(resource.path(namespace, Some(name)), query);
        self.json(Method::GET, &path, form.accept(), None, call)
            .await
    }

    /// Reads one page of a list.
    pub(crate) async fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        form: Form,
        query: &Query,
    ) -> Result<Value, ApiError> {
        let call = Call::new("list", resource, namespace, None);
        let path = with_query(resource.path(namespace, None), query);
        self.json(Method::GET, &path, form.accept(), None, call)
            .await
    }

    /// Reads a list to its end, page by page. A list that expires on the way is read anew.
    pub(crate) async fn list_all(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        query: &Query,
    ) -> Result<Vec<Value>, ApiError> {
        let pages = self
            .pages(resource, namespace, Form::Objects, query, 500)
            .await?;
        Ok(pages
            .into_iter()
            .flat_map(|mut page| match page.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            })
            .collect())
    }

    /// Reads every page of a list; `chunk` is the page's size, 0 for one page.
    pub(crate) async fn pages(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        form: Form,
        query: &Query,
        chunk: u32,
    ) -> Result<Vec<Value>, ApiError> {
        let mut pages: Vec<Value> = Vec::new();
        let mut token = String::new();
        loop {
            let mut page_query = query.clone();
            if chunk > 0 {
                page_query.push(("limit", chunk.to_string()));
            }
            if !token.is_empty() {
                page_query.push(("continue", token.clone()));
            }
            let page = match self.list(resource, namespace, form, &page_query).await {
                Ok(page) => page,
                Err(error) if error.is_gone() && !token.is_empty() => {
                    return Ok(vec![self.list(resource, namespace, form, query).await?]);
                }
                Err(error) => return Err(error),
            };
            let next = page
                .pointer("/metadata/continue")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let next = next.to_owned();
            pages.push(page);
            if next.is_empty() {
                return Ok(pages);
            }
            token = next;
        }
    }

    /// Creates an object.
    pub(crate) async fn create(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        object: &Value,
    ) -> Result<Value, ApiError> {
        let call = Call::new("create", resource, namespace, None);
        let body = Some((JSON, object.to_string()));
        self.json(
            Method::POST,
            &resource.path(namespace, None),
            JSON,
            body,
            call,
        )
        .await
    }

    /// Patches an object.
    pub(crate) async fn patch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        kind: PatchKind,
        patch: &Value,
        query: &Query,
    ) -> Result<Value, ApiError> {
        let call = Call::new("patch", resource, namespace, Some(name));
        let path = with_query(resource.path(namespace, Some(name)), query);
        let body = Some((kind.content_type(), patch.to_string()));
        self.json(Method::PATCH, &path, JSON, body, call).await
    }

    /// Reads a part of an object that has a path of its own, such as `scale`.
    pub(crate) async fn get_part(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        part: &'static str,
    ) -> Result<Value, ApiError> {
        let call = Call::of_part("get", resource, namespace, name, part);
        let path = part_path(resource, namespace, name, part);
        self.json(Method::GET, &path, JSON, None, call).await
    }

    /// Changes a part of an object by a merge patch.
    pub(crate) async fn merge_part(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        part: &'static str,
        patch: &Value,
        query: &Query,
    ) -> Result<Value, ApiError> {
        let call = Call::of_part("patch", resource, namespace, name, part);
        let path = with_query(part_path(resource, namespace, name, part), query);
        let body = Some((PatchKind::Merge.content_type(), patch.to_string()));
        self.json(Method::PATCH, &path, JSON, body, call).await
    }

    /// Sends something to a part of an object, such as an eviction.
    pub(crate) async fn create_part(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        part: &'static str,
        object: &Value,
    ) -> Result<Value, ApiError> {
        let call = Call::of_part("create", resource, namespace, name, part);
        let path = part_path(resource, namespace, name, part);
        let body = Some((JSON, object.to_string()));
        self.json(Method::POST, &path, JSON, body, call).await
    }

    /// Deletes an object; the answer is the object or a status.
    pub(crate) async fn delete(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        options: &Value,
    ) -> Result<Value, ApiError> {
        let call = Call::new("delete", resource, namespace, Some(name));
        let body = Some((JSON, options.to_string()));
        self.json(
            Method::DELETE,
            &resource.path(namespace, Some(name)),
            JSON,
            body,
            call,
        )
        .await
    }

    /// Reads a path outside of the objects.
    pub(crate) async fn raw(&self, path: &str) -> Result<Value, ApiError> {
        self.json(Method::GET, path, JSON, None, Call::raw(path))
            .await
    }

    pub(crate) async fn raw_accepting(&self, path: &str, accept: &str) -> Result<Value, ApiError> {
        self.json(Method::GET, path, accept, None, Call::raw(path))
            .await
    }

    /// Whether each request, a watch too, ends after a while.
    pub(crate) fn has_request_timeout(&self) -> bool {
        self.timeout.is_some()
    }

    /// Follows a list from a resource version, until the server ends the watch or its time as a request
    /// is over.
    pub(crate) async fn watch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        form: Form,
        query: &Query,
    ) -> Result<impl Stream<Item = Result<WatchEvent<Value>, ApiError>> + use<>, ApiError> {
        let call = Call::new("watch", resource, namespace, None);
        let mut query = query.clone();
        query.push(("watch", "true".into()));
        query.push(("allowWatchBookmarks", "true".into()));
        let path = with_query(resource.path(namespace, None), &query);
        let request = Request::get(path)
            .header(header::ACCEPT, form.accept())
            .body(Vec::new())
            .map_err(|error| ApiError::malformed(error.to_string()))?;
        let origin = Arc::clone(&self.origin);
        let end = self.timeout.map(|limit| Instant::now() + limit);
        let opening = self.inner.request_events::<Value>(request);
        let events = within(self.timeout, opening)
            .await
            .map_err(|limit| ApiError::timeout(limit, &origin))?
            .map_err(|error| ApiError::from_kube(error, call.clone(), &origin))?;
        let events = StreamExt::map(events, move |event| match event {
            Ok(WatchEvent::Error(status)) => Err(ApiError::refused(*status, call.clone(), &origin)),
            Ok(event) => Ok(event),
            Err(error) => Err(ApiError::from_kube(error, call.clone(), &origin)),
        });
        Ok(events.take_until(async move {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        }))
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, String)>,
        call: Call,
    ) -> Result<Value, ApiError> {
        let (_, bytes) = self.send(method, path, accept, body, call).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::malformed(format!("the answer of {path} is not JSON: {error}"))
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, String)>,
        call: Call,
    ) -> Result<(StatusCode, Bytes), ApiError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept);
        let body = match body {
            Some((content_type, body)) => {
                request = request.header(header::CONTENT_TYPE, content_type);
                body.into_bytes()
            }
            None => Vec::new(),
        };
        let request = request
            .body(Body::from(body))
            .map_err(|error| ApiError::malformed(error.to_string()))?;
        within(self.timeout, self.exchange(request, &call))
            .await
            .unwrap_or_else(|limit| Err(ApiError::timeout(limit, &self.origin)))
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        call: &Call,
    ) -> Result<(StatusCode, Bytes), ApiError> {
        let response = self
            .inner
            .send(request)
            .await
            .map_err(|error| ApiError::from_kube(error, call.clone(), &self.origin))?;
        let (parts, body) = response.into_parts();
        for warning in parts.headers.get_all(header::WARNING) {
            if let Some(text) = warning.to_str().ok().and_then(warning_text) {
                eprintln!(
                    "{} {}",
                    style::stderr().warning("warning:"),
                    style::printable(text)
                );
            }
        }
        let bytes = Limited::new(body, MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| ApiError::interrupted(error.as_ref(), &self.origin))?
            .to_bytes();
        if parts.status.is_success() {
            return Ok((parts.status, bytes));
        }
        let mut status: Status = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&bytes);
            let text: String = text.trim().chars().take(500).collect();
            Status::failure(
                if text.is_empty() {
                    "no reason was given"
                } else {
                    &text
                },
                "",
            )
        });
        status.code = parts.status.as_u16();
        Err(ApiError::refused(status, call.clone(), &self.origin))
    }
}

/// What comes of a future, or the limit if it takes longer than that.
async fn within<F: Future>(limit: Option<Duration>, future: F) -> Result<F::Output, Duration> {
    match limit {
        None => Ok(future.await),
        Some(limit) => tokio::time::timeout(limit, future).await.map_err(|_| limit),
    }
}

/// The text of a `Warning` header: `299 - "text"`.
fn warning_text(header: &str) -> Option<&str> {
    let start = header.find('"')?;
    header.get(start + 1..)?.strip_suffix('"')
}

fn part_path(resource: &Resource, namespace: Option<&str>, name: &str, part: &str) -> String {
    format!("{}/{part}", resource.path(namespace, Some(name)))
}

/// A path with a query.
pub(crate) fn with_query(mut path: String, query: &Query) -> String {
    let mut separator = if path.contains('?') { '&' } else { '?' };
    for (name, value) in query {
        path.push(separator);
        path.push_str(name);
        path.push('=');
        path.push_str(&encode(value));
        separator = '&';
    }
    path
}

/// A text as it may stand in a path segment or a query.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_lose_their_code_and_agent() {
        assert_eq!(
            warning_text("299 - \"v1 is deprecated\""),
            Some("v1 is deprecated")
        );
        assert_eq!(warning_text("nonsense"), None);
    }

    #[test]
    fn queries_are_encoded() {
        let query = vec![
            ("labelSelector", "a in (b,c)".to_owned()),
            ("limit", "5".to_owned()),
        ];
        assert_eq!(
            with_query("/api/v1/pods".into(), &query),
            "/api/v1/pods?labelSelector=a%20in%20%28b%2Cc%29&limit=5"
        );
    }
}
