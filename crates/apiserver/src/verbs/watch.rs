//! watch: a stream of what happens to the objects that a call selects.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use mosaic_api::Status;
use mosaic_store::Revision;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use super::{Call, read, select::Selection};
use crate::{
    app::App,
    cache::{self, Cache, Change, EventType, LineForm, Object, Subscription},
    http::{
        accept::Form,
        respond::{self, Body},
    },
    kinds::{Conversion, Kind},
    render::{self, Look},
};

/// How often a bookmark tells a quiet watcher how far it has come.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts if the client names no time: a random time from this to twice as long, so
/// that clients do not come back all at once.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1_800);
/// How many bytes of events are put into one frame of the response.
const BATCH_BYTES: usize = 64 << 10;

/// Starts a watch.
pub async fn watch(app: &Arc<App>, call: &Call) -> Result<Response<Body>, Status> {
    let selection = Selection::new(&call.kind, &call.path, &call.query)?;
    check_watch_options(call)?;
    let query = &call.query;
    read::settle(app, &query.resource_version).await?;
    let cached = app.cache.kind(&call.kind.prefix);
    let initial = query
        .send_initial_events
        .unwrap_or(matches!(&*query.resource_version, "" | "0"));
    let (objects, subscription, start) = if initial {
        let start = app.cache.revision();
        let (mut objects, subscription) =
            cached.subscribe_from_now(selection.scope.clone(), &selection.prefix);
        objects.retain(|object| selection.matches(object));
        let start = objects
            .iter()
            .map(|object| object.revision)
            .fold(start, Revision::max);
        (objects, subscription, start)
    } else {
        let after = match &*query.resource_version {
            "" | "0" => app.cache.revision(),
            text => read::parse_revision(text)?,
        };
        match cached.subscribe(selection.scope.clone(), after) {
            Ok(subscription) => (Vec::new(), subscription, after),
            Err(too_old) => {
                let oldest = too_old.oldest;
                return Ok(ended_by(&Status::expired(format!(
                    "too old resource version: {after} ({oldest})"
                ))));
            }
        }
    };
    let timeout = query
        .timeout_seconds
        .filter(|seconds| *seconds > 0)
        .map_or_else(
            || DEFAULT_TIMEOUT.mul_f64(1.0 + rand::random::<f64>()),
            |seconds| Duration::from_secs(seconds.min(24 * 3600)),
        );
    let view = View {
        kind: call.kind.clone(),
        look: call.look(),
        bookmarks: query.bookmarks,
        selection,
        columns_sent: false,
    };
    let state = State {
        ready: view_initial(
            view,
            objects,
            query.send_initial_events == Some(true),
            start,
        ),
        subscription,
        cache: app.cache.clone(),
        shutdown: app.shutdown.clone(),
        deadline: Instant::now() + timeout,
        bookmark: {
            let mut interval =
                tokio::time::interval_at(Instant::now() + BOOKMARK_EVERY, BOOKMARK_EVERY);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        },
        ended: false,
    };
    let mut response = respond::bytes(StatusCode::OK, "application/json", Bytes::new());
    *response.body_mut() = StreamBody::new(frames(state)).boxed_unsync();
    Ok(response)
}

/// A watch that tells of an error and ends, as in Kubernetes: clients expect there that a version is too old, and some of
/// them would try with the same version again if the watch were refused instead.
fn ended_by(status: &Status) -> Response<Body> {
    let line = cache::frame("ERROR", status.to_object().to_string().as_bytes());
    respond::bytes(StatusCode::OK, "application/json", line)
}

fn check_watch_options(call: &Call) -> Result<(), Status> {
    let query = &call.query;
    let invalid = |path: &str, detail: &str| {
        let error = mosaic_schema::FieldError::forbidden(path, detail);
        Err(Status::invalid_option("ListOptions", error))
    };
    match (
        query.send_initial_events,
        query.resource_version_match.as_str(),
    ) {
        (Some(_), "NotOlderThan") | (None, "") => {}
        (Some(_), _) => {
            return invalid(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            );
        }
        (None, _) => {
            return invalid(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
    }
    if query.send_initial_events == Some(true) && !query.bookmarks {
        return invalid(
            "sendInitialEvents",
            "sendInitialEvents requires allowWatchBookmarks",
        );
    }
    Ok(())
}

/// How one watcher sees changes.
struct View {
    kind: Arc<Kind>,
    look: Look,
    bookmarks: bool,
    selection: Selection,
    columns_sent: bool,
}

struct Ready {
    view: View,
    /// Lines that wait to be sent.
    lines: VecDeque<Bytes>,
}

fn view_initial(
    mut view: View,
    objects: Vec<Arc<Object>>,
    mark_end: bool,
    revision: Revision,
) -> Ready {
    let mut lines: VecDeque<Bytes> = objects
        .into_iter()
        .map(|object| view.line(EventType::Added, &object))
        .collect();
    if mark_end {
        lines.push_back(view.bookmark(revision, true));
    }
    Ready { view, lines }
}

impl View {
    fn change(&mut self, change: &Change) -> Option<Bytes> {
        let event = change.event_for(|object| self.selection.matches(object))?;
        let form = match (self.look.form, self.look.lean) {
            (Form::Object, false) => LineForm::Object,
            (Form::Object, true) => LineForm::Lean,
            (Form::Metadata, false) => LineForm::Metadata,
            (Form::Metadata, true) => LineForm::LeanMetadata,
            (Form::Table, _) => return Some(self.line(event, &change.object)),
        };
        if self.kind.conversion != Conversion::None {
            return Some(self.line(event, &change.object));
        }
        let show = || render::object(&self.kind, self.look, &change.object);
        Some(change.line(form, event, show))
    }

    fn line(&mut self, event: EventType, object: &Object) -> Bytes {
        match self.look.form {
            Form::Object | Form::Metadata => {
                let shown = render::object(&self.kind, self.look, object);
                cache::frame(event.as_str(), &shown)
            }
            Form::Table => {
                let mut metadata = Map::new();
                metadata.insert(
                    "resourceVersion".to_owned(),
                    json!(object.revision.to_string()),
                );
                let value = render::parsed(&self.kind, self.look.lean, object);
                let mut table = render::table_of(&self.kind, self.look.include, &[value], metadata);
                // The columns stand in the first event of a watch only.
                if let (true, Some(map)) = (self.columns_sent, table.as_object_mut()) {
                    map.insert("columnDefinitions".to_owned(), Value::Array(Vec::new()));
                }
                self.columns_sent = true;
                cache::frame(event.as_str(), table.to_string().as_bytes())
            }
        }
    }

    fn bookmark(&self, revision: Revision, initial_end: bool) -> Bytes {
        let mut metadata =
            json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if let (true, Some(map)) = (initial_end, metadata.as_object_mut()) {
            map.insert(
                "annotations".to_owned(),
                json!({"k8s.io/initial-events-end": "true"}),
            );
        }
        let object = match self.look.form {
            Form::Object => {
                json!({"kind": &*self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata})
            }
            Form::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Form::Table => {
                json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "columnDefinitions": [], "rows": []})
            }
        };
        cache::frame("BOOKMARK", object.to_string().as_bytes())
    }
}

struct State {
    ready: Ready,
    subscription: Subscription,
    cache: Arc<Cache>,
    shutdown: tokio_util::sync::CancellationToken,
    deadline: Instant,
    bookmark: tokio::time::Interval,
    ended: bool,
}

/// The lines of a watch, several to a frame where several wait. Ends at the deadline, when the server
/// stops, or when the watcher could not follow; the client then resumes from the last revision it saw.
fn frames(state: State) -> impl Stream<Item = Result<Frame<Bytes>, respond::BodyError>> + Send {
    stream::unfold(state, |mut state| async move {
        loop {
            if let Some(batch) = state.take_batch() {
                return Some((Ok(Frame::data(batch)), state));
            }
            if state.ended {
                return None;
            }
            state.wait().await;
        }
    })
}

impl State {
    fn take_batch(&mut self) -> Option<Bytes> {
        while self.ready.lines.len() < 64 {
            let Some(change) = self.subscription.backlog.pop_front() else {
                break;
            };
            self.ready.lines.extend(self.ready.view.change(&change));
        }
        let first = self.ready.lines.pop_front()?;
        if self.ready.lines.is_empty() {
            return Some(first);
        }
        let mut batch = bytes::BytesMut::from(&first[..]);
        while batch.len() < BATCH_BYTES {
            let Some(line) = self.ready.lines.pop_front() else {
                break;
            };
            batch.extend_from_slice(&line);
        }
        Some(batch.freeze())
    }

    async fn wait(&mut self) {
        if !self.subscription.backlog.is_empty() {
            return;
        }
        tokio::select! {
            biased;
            change = self.subscription.next() => match change {
                Some(change) => {
                    self.ready.lines.extend(self.ready.view.change(&change));
                    while self.ready.lines.len() < 64 {
                        let Some(change) = self.subscription.next_now() else { break };
                        self.ready.lines.extend(self.ready.view.change(&change));
                    }
                }
                None => self.ended = true,
            },
            () = self.shutdown.cancelled() => self.ended = true,
            () = tokio::time::sleep_until(self.deadline) => self.ended = true,
            _ = self.bookmark.tick(), if self.ready.view.bookmarks => {
                // Every change up to this revision has been handed to the channel already.
                let revision = self.cache.revision();
                while let Some(change) = self.subscription.next_now() {
                    self.ready.lines.extend(self.ready.view.change(&change));
                }
                self.ready.lines.push_back(self.ready.view.bookmark(revision, false));
            }
        }
    }
}
