//! Waiting for an object to be ready, or gone.

use std::time::Duration;

use futures::StreamExt;
use kube::core::WatchEvent;
use mosaic_api::meta;
use serde_json::Value;

use crate::client::{ApiError, Client, Form, Query};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::readiness::{Readiness, readiness};
use crate::selection::Target;

/// What a wait sees.
pub(super) enum Seen<'a> {
    /// The object as it is.
    Present(&'a Value),
    /// It is not there.
    Absent,
}

/// Waits until every object is ready.
pub(crate) async fn until_ready(
    client: &Client,
    targets: &[Target],
    limit: Duration,
) -> Result<(), Failure> {
    let progress = Progress::new(targets.len(), "ready");
    let deadline = tokio::time::Instant::now() + limit;
    for target in targets {
        let mut last = String::from("nothing was heard of it");
        let wait = until(client, target, |seen| match seen {
            Seen::Absent => Some(Err(Failure::new(format!(
                "{} is gone",
                target.object_name()
            )))),
            Seen::Present(object) => match readiness(object) {
                Readiness::Ready => Some(Ok(())),
                Readiness::Failed(why) => Some(Err(Failure::new(format!(
                    "{} will not be ready: {why}",
                    target.object_name()
                ))
                .hint(format!(
                    "`mos describe {}{}` shows more",
                    target.object_name(),
                    namespace_flag(target)
                )))),
                Readiness::Waiting(what) => {
                    progress.message(&format!("{}: {what}", target.object_name()));
                    last = what;
                    None
                }
            },
        });
        let result = tokio::time::timeout_at(deadline, wait).await;
        match result {
            Ok(result) => result?,
            Err(_) => return Err(timed_out(target, limit, &format!("was not ready ({last})"))),
        }
        progress.step();
    }
    Ok(())
}

/// Waits until every object, as it was known by its uid, is gone.
pub(crate) async fn until_gone(
    client: &Client,
    targets: &[(Target, Option<String>)],
    limit: Option<Duration>,
) -> Result<(), Failure> {
    let progress = Progress::new(targets.len(), "gone");
    let deadline = limit.map(|limit| tokio::time::Instant::now() + limit);
    for (target, uid) in targets {
        progress.message(&target.object_name());
        let mut finalizers = String::new();
        let wait = until(client, target, |seen| match seen {
            Seen::Absent => Some(Ok(())),
            Seen::Present(object) => {
                let current = object.pointer("/metadata/uid").and_then(Value::as_str);
                if uid
                    .as_deref()
                    .is_some_and(|uid| current.is_some_and(|current| current != uid))
                {
                    return Some(Ok(()));
                }
                finalizers = meta::finalizers(object).collect::<Vec<_>>().join(", ");
                None
            }
        });
        match deadline {
            None => wait.await?,
            Some(deadline) => {
                let result = tokio::time::timeout_at(deadline, wait).await;
                if let Ok(result) = result {
                    result?;
                } else {
                    let limit = limit.unwrap_or_default();
                    let why = if finalizers.is_empty() {
                        "was still there".to_owned()
                    } else {
                        format!("was still there (finalizers: {finalizers})")
                    };
                    return Err(timed_out(target, limit, &why));
                }
            }
        }
        progress.step();
    }
    Ok(())
}

fn namespace_flag(target: &Target) -> String {
    target
        .namespace
        .as_ref()
        .map(|name| format!(" -n {name}"))
        .unwrap_or_default()
}

fn timed_out(target: &Target, limit: Duration, what: &str) -> Failure {
    Failure::new(format!("{} {what} after {limit:?}", target.object_name())).hint(format!(
        "`mos describe {}{}` shows more; --timeout waits longer",
        target.object_name(),
        namespace_flag(target)
    ))
}

/// Looks at an object now and at each change, until `decide` decides.
pub(super) async fn until(
    client: &Client,
    target: &Target,
    mut decide: impl FnMut(Seen<'_>) -> Option<Result<(), Failure>>,
) -> Result<(), Failure> {
    let Target {
        resource,
        namespace,
        name,
    } = target;
    let namespace = namespace.as_deref();
    loop {
        let mut query: Query = vec![("fieldSelector", format!("metadata.name={name}"))];
        let list = client
            .list(resource, namespace, Form::Objects, &query)
            .await?;
        let found = list
            .get("items")
            .and_then(Value::as_array)
            .and_then(|items| items.first());
        let found = found.map(|object| with_type(object, target));
        if let Some(result) = decide(found.as_ref().map_or(Seen::Absent, Seen::Present)) {
            return result;
        }
        query.push(("resourceVersion", meta::resource_version(&list).to_owned()));
        match watch(client, target, &query, &mut decide).await {
            Ok(Some(result)) => return result,
            Ok(None) => {}
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn watch(
    client: &Client,
    target: &Target,
    query: &Query,
    decide: &mut impl FnMut(Seen<'_>) -> Option<Result<(), Failure>>,
) -> Result<Option<Result<(), Failure>>, ApiError> {
    let events = client
        .watch(
            &target.resource,
            target.namespace.as_deref(),
            Form::Objects,
            query,
        )
        .await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let decision = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                decide(Seen::Present(&with_type(&object, target)))
            }
            WatchEvent::Deleted(_) => decide(Seen::Absent),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
        };
        if decision.is_some() {
            return Ok(decision);
        }
    }
    Ok(None)
}

fn with_type(object: &Value, target: &Target) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.entry("apiVersion")
            .or_insert_with(|| target.resource.api_version().into());
        map.entry("kind")
            .or_insert_with(|| target.resource.kind.clone().into());
    }
    object
}
