//! delete and deletecollection.

use futures::future::{BoxFuture, join_all};
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use mosaic_api::{Reason, Status, meta};
use mosaic_patch::managed::Ledger;
use mosaic_schema::FieldError;
use mosaic_store::{Expect, StoreError, Write};
use serde_json::{Value, json};

use super::{Call, body, conditions, read, select::Selection, write};
use crate::{
    admission::{self, Attempt},
    app::App,
    cache::Object,
    convert, error,
    http::respond::{self, Body},
    kinds::Kind,
    render,
};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// How many objects of a collection are deleted at the same time.
const DELETED_AT_ONCE: usize = 64;
/// How often a deletion is tried again when the object changed under it.
const TRIES: usize = 8;

/// `DeleteOptions` of `meta.k8s.io/v1`.
#[derive(Debug, Default, Clone)]
pub struct DeleteOptions {
    grace_period_seconds: Option<i64>,
    propagation: Option<Propagation>,
    uid: Option<String>,
    resource_version: Option<String>,
    /// Only try out what would happen.
    pub dry_run: bool,
    /// A condition that the object gets in the same write in which it is marked to be deleted, if it stays for
    /// a while: it says why.
    pub condition: Option<Value>,
}

/// What becomes of the objects that an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    Orphan,
    Background,
    Foreground,
}

impl DeleteOptions {
    /// Reads the options from the body and the query.
    ///
    /// # Errors
    /// 400 or 422 for options that make no sense.
    pub fn read(call: &Call) -> Result<Self, Status> {
        let mut complaints = Vec::new();
        let sent = if call.body.iter().all(u8::is_ascii_whitespace) {
            json!({})
        } else {
            let mut sent = body::read(call, &mut complaints)?;
            if let Some(ty) =
                mosaic_schema::builtin("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
            {
                mosaic_schema::decode(&ty, &mut sent, mosaic_schema::DecodeOptions::default())
                    .map_err(|e| Status::bad_request(e.to_string()))?;
            }
            sent
        };
        Self::from_value(&sent, call)
    }

    /// Reads the options from a `DeleteOptions` object and the query.
    ///
    /// # Errors
    /// 422 for options that make no sense.
    pub fn from_value(sent: &Value, call: &Call) -> Result<Self, Status> {
        let query = &call.query;
        let invalid = |error| Err(Status::invalid_option("DeleteOptions", error));
        let text = |path: &str| {
            sent.pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let grace = sent
            .get("gracePeriodSeconds")
            .and_then(Value::as_i64)
            .or(query.grace_period_seconds);
        let policy = text("/propagationPolicy")
            .or_else(|| Some(query.propagation_policy.clone()))
            .filter(|policy| !policy.is_empty());
        let orphan = sent
            .get("orphanDependents")
            .and_then(Value::as_bool)
            .or(query.orphan_dependents);
        let propagation = match (policy.as_deref(), orphan) {
            (Some(_), Some(_)) => {
                return invalid(FieldError::invalid(
                    "propagationPolicy",
                    policy.unwrap_or_default(),
                    "orphanDependents and deletionPropagation cannot be both set",
                ));
            }
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some(other), _) => {
                return invalid(FieldError::not_supported(
                    "propagationPolicy",
                    other,
                    &["Foreground", "Background", "Orphan", "nil"],
                ));
            }
            (None, None) => None,
        };
        let mut dry_run = query.is_dry_run()?;
        match sent
            .get("dryRun")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
        {
            None | Some([]) => {}
            Some(values) if values.iter().all(|value| value == "All") => dry_run = true,
            Some(values) => {
                let value = values.first().cloned().unwrap_or_default();
                return invalid(FieldError::not_supported("dryRun", value, &["All"]));
            }
        }
        Ok(Self {
            grace_period_seconds: grace,
            propagation,
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
            dry_run,
            condition: None,
        })
    }
}

/// What became of an object that was to be deleted.
pub enum Deleted {
    /// It is gone; this was its last state.
    Gone(Value),
    /// It waits for its node or for finalizers; this is its state now.
    Waiting(Value),
}

/// DELETE of one object.
pub async fn delete(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let options = DeleteOptions::read(call)?;
    let key = call.key();
    let deleted = delete_object(app, call, &key, &options).await?;
    Ok(match deleted {
        Deleted::Waiting(object) => {
            let json = render::value(&call.kind, call.accept.form, call.include(), object);
            respond::json_bytes(StatusCode::OK, call.accept, json)
        }
        // Kinds with a grace period are answered with the object itself, as in Kubernetes.
        Deleted::Gone(object) if call.kind.is("", "Pod") => {
            let json = render::value(&call.kind, call.accept.form, call.include(), object);
            respond::json_bytes(StatusCode::OK, call.accept, json)
        }
        Deleted::Gone(object) => {
            let mut details = json!({"name": call.path.name, "kind": &*call.kind.plural,
                "uid": meta::uid(&object).to_owned()});
            if let (false, Some(details)) = (call.kind.group.is_empty(), details.as_object_mut()) {
                details.insert("group".to_owned(), json!(&*call.kind.group));
            }
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": details});
            respond::json(StatusCode::OK, call.accept, &status)
        }
    })
}

/// DELETE of a collection: every object that the call selects.
pub async fn delete_collection(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let options = DeleteOptions::read(call)?;
    let selection = Selection::new(&call.kind, &call.path, &call.query)?;
    let page = read::select(app, call, &selection).await?;
    // Several at a time, so that the store makes many durable at once.
    for objects in page.objects.chunks(DELETED_AT_ONCE) {
        let mut deletions: Vec<BoxFuture<'_, Result<Deleted, Status>>> =
            Vec::with_capacity(objects.len());
        for object in objects {
            deletions.push(Box::pin(delete_object(app, call, &object.key, &options)));
        }
        for deleted in join_all(deletions).await {
            match deleted {
                Err(status) if status.reason == Reason::NotFound => {}
                other => drop(other?),
            }
        }
    }
    let metadata = json!({"resourceVersion": page.revision.to_string()});
    let metadata = metadata.as_object().cloned().unwrap_or_default();
    let pieces = render::list(&call.kind, call.look(), &page.objects, metadata);
    Ok(respond::json_bytes(
        StatusCode::OK,
        call.accept,
        bytes::Bytes::from(pieces.concat()),
    ))
}

/// Deletes the object at a key, or marks it to be deleted once its node and its finalizers let it go.
///
/// # Errors
/// 404 if there is none, 409 if a precondition does not hold, and what admission refuses.
pub async fn delete_object(
    app: &App,
    call: &Call,
    key: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let kind = &call.kind;
    // A collection's deletion has no name in its path.
    let name = key.rsplit('/').next().unwrap_or_default();
    let mut current = app.cache.get(key);
    for attempt in 0..TRIES {
        if attempt > 0 || (current.is_none() && !app.store.exclusive()) {
            current = write::reread(app, kind, key).await?;
        }
        let Some(object) = current.as_deref() else {
            return Err(Status::not_found(&kind.group, &kind.plural, name));
        };
        let old = convert::value(kind, object);
        check_preconditions(kind, object, &old, options)?;
        let attempt = Attempt {
            call,
            part: write::Part::Main,
            namespace: object.namespace(),
            name: object.name(),
            old: Some(&old),
            dry_run: options.dry_run,
        };
        admission::check_delete(app, &attempt)?;
        let next = next_state(kind, &old, options, Timestamp::now());
        let (value, unchanged) = match &next {
            None => (None, false),
            Some(next) => (
                Some(write::encode(kind, next, &Ledger::default())?),
                *next == old,
            ),
        };
        if options.dry_run || unchanged {
            return Ok(next.map_or_else(|| Deleted::Gone(old), Deleted::Waiting));
        }
        let write = Write {
            key: object.key.clone(),
            expect: Expect::At(object.revision),
            value,
        };
        match app.commit(write).await {
            Ok(revision) => {
                return Ok(match next {
                    Some(mut next) => {
                        meta::set(&mut next, "resourceVersion", json!(revision.to_string()));
                        Deleted::Waiting(next)
                    }
                    None => {
                        admission::released(app, kind, &old).await;
                        Deleted::Gone(old)
                    }
                });
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(other) => return Err(error::from_store(&other)),
        }
    }
    Err(Status::conflict(
        &kind.group,
        &kind.plural,
        name,
        "it changes too often; try again",
    ))
}

fn check_preconditions(
    kind: &Kind,
    object: &Object,
    old: &Value,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let failed = |why: String| {
        Err(Status::conflict(
            &kind.group,
            &kind.plural,
            object.name(),
            &why,
        ))
    };
    if let Some(asked) = &options.uid {
        let is = meta::uid(old).to_owned();
        if *asked != is {
            return failed(format!(
                "Precondition failed: UID in precondition: {asked}, UID in object meta: {is}"
            ));
        }
    }
    if let Some(asked) = &options.resource_version
        && *asked != object.revision.to_string()
    {
        return failed(format!(
            "Precondition failed: ResourceVersion in precondition: {asked}, ResourceVersion in object meta: {}",
            object.revision
        ));
    }
    Ok(())
}

/// What a deletion makes of an object; none if it is gone at once.
fn next_state(kind: &Kind, old: &Value, options: &DeleteOptions, now: Timestamp) -> Option<Value> {
    let mut next = old.clone();
    let mut finalizers: Vec<&str> = meta::finalizers(old).collect();
    if let Some(propagation) = options.propagation {
        finalizers.retain(|name| ![FOREGROUND, ORPHAN].contains(name));
        match propagation {
            Propagation::Foreground => finalizers.push(FOREGROUND),
            Propagation::Orphan => finalizers.push(ORPHAN),
            Propagation::Background => {}
        }
    }
    let deleting = meta::is_being_deleted(old);
    let left = meta::deletion_grace_period_seconds(old).filter(|_| deleting);
    // A second deletion may shorten the time that is left, never lengthen it.
    let asked = grace_period(kind, old, options);
    let grace = left.map_or(asked, |left| asked.min(left));
    let held = is_held_namespace(kind, old);
    if finalizers.is_empty() && grace == 0 && !held {
        return None;
    }
    if finalizers.is_empty() {
        meta::remove(&mut next, "finalizers");
    } else {
        meta::set(&mut next, "finalizers", finalizers);
    }
    if left.is_none_or(|left| grace < left) {
        let at = now
            .saturating_add(SignedDuration::from_secs(grace))
            .unwrap_or(now);
        let at = mosaic_api::time::format(at);
        meta::set(&mut next, "deletionTimestamp", at);
        meta::set(&mut next, "deletionGracePeriodSeconds", grace);
    }
    if !deleting && meta::generation(old) > 0 {
        meta::set(&mut next, "generation", meta::generation(old) + 1);
    }
    if !deleting
        && !has_ended(old)
        && let Some(condition) = &options.condition
    {
        conditions::set(&mut next, condition.clone());
    }
    if held && let Some(status) = next.as_object_mut() {
        let status = status.entry("status").or_insert_with(|| json!({}));
        if let Some(status) = status.as_object_mut() {
            status.insert("phase".to_owned(), json!("Terminating"));
        }
    }
    Some(next)
}

/// Whether an object is a pod that has ended: nothing can disrupt it any more.
fn has_ended(object: &Value) -> bool {
    let phase = object.pointer("/status/phase").and_then(Value::as_str);
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// How long a pod on a host has to end, in seconds; 0 for everything else.
fn grace_period(kind: &Kind, old: &Value, options: &DeleteOptions) -> i64 {
    let text = |path: &str| {
        old.pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if !kind.is("", "Pod") || text("/spec/nodeName").is_empty() || has_ended(old) {
        return 0;
    }
    let of_spec = old
        .pointer("/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_i64);
    match options.grace_period_seconds.or(of_spec) {
        None => 0,
        // Kubernetes takes what is less than nothing for the least that is not at once.
        Some(..0) => 1,
        Some(seconds) => seconds,
    }
}

/// Whether the finalizers of a namespace's spec hold it, which are not those of its metadata.
fn is_held_namespace(kind: &Kind, object: &Value) -> bool {
    kind.is("", "Namespace")
        && object
            .pointer("/spec/finalizers")
            .and_then(Value::as_array)
            .is_some_and(|finalizers| !finalizers.is_empty())
}

/// Whether an object that waits for deletion is held back by nothing any more.
pub fn is_released(kind: &Kind, object: &Value) -> bool {
    meta::is_being_deleted(object)
        && meta::deletion_grace_period_seconds(object).unwrap_or(0) == 0
        && meta::finalizers(object).next().is_none()
        && !is_held_namespace(kind, object)
}
