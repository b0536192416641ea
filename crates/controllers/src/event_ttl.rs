//! Events go when they are old: an hour after they were last written, by default.
//!
//! Events are the one kind that is written and never deleted by anybody. Kubernetes leaves that to etcd, whose keys can
//! end by themselves; here all of them are looked through now and then, a page at a time and only their metadata,
//! and nothing of them is kept.

use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::Event,
    apimachinery::pkg::apis::meta::v1::{ListMeta, Time},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, Preconditions, Request},
};
use serde::Deserialize;
use tokio::time::sleep;

use crate::{
    context::Context,
    error::{Absent, Error, Result},
};

/// Events that are read at once.
const PAGE: u32 = 500;
/// How many are deleted at a time: there is no hurry.
const CONCURRENCY: usize = 8;
/// The shortest and the longest pause between two sweeps.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// A page of events, as far as it matters here.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: ListMeta,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    resource_version: String,
    creation_timestamp: Option<Time>,
    /// Of these only the time is read: who wrote what is the larger part of an event.
    managed_fields: Option<Vec<Written>>,
}

#[derive(Debug, Deserialize)]
struct Written {
    time: Option<Time>,
}

/// When an event was last written.
fn written(metadata: &Metadata) -> Option<Timestamp> {
    let managed = metadata.managed_fields.iter().flatten();
    let times = managed.filter_map(|written| written.time.as_ref());
    times
        .chain(&metadata.creation_timestamp)
        .map(|time| time.0)
        .max()
}

/// Whether an event is to go.
fn is_old(metadata: &Metadata, ttl: SignedDuration, now: Timestamp) -> bool {
    written(metadata).is_some_and(|written| now.duration_since(written) >= ttl)
}

/// How long to wait between two sweeps: events stay at most a twelfth longer than they should.
fn pause(ttl: Duration) -> Duration {
    (ttl / 12).clamp(PAUSE.0, PAUSE.1)
}

/// Deletes old events.
pub(crate) async fn run(context: Context) {
    let ttl = context.options.settings.event_ttl;
    loop {
        match sweep(&context.client, ttl).await {
            Ok(0) => {}
            Ok(gone) => tracing::debug!(gone, "old events were deleted"),
            Err(error) => tracing::warn!(%error, "old events could not be deleted"),
        }
        sleep(pause(ttl)).await;
    }
}

/// Deletes the events that are old now, and tells how many.
async fn sweep(client: &Client, ttl: Duration) -> Result<usize> {
    let other = |error: &dyn std::error::Error| Error::Other(error.to_string());
    let lifetime = SignedDuration::try_from(ttl).map_err(|error| other(&error))?;
    let path = Request::new(Event::url_path(&(), None));
    let mut options = ListParams::default().limit(PAGE);
    let mut gone = 0;
    loop {
        let request = path
            .list_metadata(&options)
            .map_err(|error| other(&error))?;
        let page: Page = client.request(request).await?;
        let now = Timestamp::now();
        let old = page.items.into_iter().map(|item| item.metadata);
        let old = old.filter(|metadata| is_old(metadata, lifetime, now));
        let mut deletions = stream::iter(old)
            .map(|metadata| delete(client, metadata))
            .buffer_unordered(CONCURRENCY);
        while let Some(deleted) = deletions.next().await {
            gone += usize::from(deleted?);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => options = options.continue_token(&token),
            None => return Ok(gone),
        }
    }
}

/// Deletes an event as it was seen: one that was written meanwhile is not old.
async fn delete(client: &Client, metadata: Metadata) -> Result<bool> {
    let events: Api<Event> = Api::namespaced(client.clone(), &metadata.namespace);
    let seen = Preconditions {
        uid: None,
        resource_version: Some(metadata.resource_version),
    };
    let params = DeleteParams::default().preconditions(seen);
    match events.delete(&metadata.name, &params).await.or_absent() {
        Ok(answer) => Ok(answer.is_some()),
        Err(error) if error.is_conflict() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_event_is_old_an_hour_after_it_was_last_written() {
        let hour = SignedDuration::from_hours(1);
        let is_old = |metadata: Value, now: &str| {
            is_old(
                &serde_json::from_value(metadata).unwrap(),
                hour,
                now.parse().unwrap(),
            )
        };
        let created = json!({ "creationTimestamp": "2020-01-01T00:00:00Z" });
        assert!(!is_old(created.clone(), "2020-01-01T00:59:59Z"));
        assert!(is_old(created, "2020-01-01T01:00:00Z"));
        let again = json!({ "creationTimestamp": "2020-01-01T00:00:00Z",
            "managedFields": [{ "time": "2020-01-01T00:30:00Z", "fieldsV1": {} }, { "manager": "m" }] });
        assert!(!is_old(again.clone(), "2020-01-01T01:29:59Z"));
        assert!(is_old(again, "2020-01-01T01:30:00Z"));
        assert!(
            !is_old(json!({}), "2020-01-01T01:30:00Z"),
            "nobody knows how old it is"
        );
    }

    #[test]
    fn sweeps_are_rare_but_not_too_rare() {
        assert_eq!(pause(Duration::from_secs(3600)), Duration::from_secs(300));
        assert_eq!(pause(Duration::from_secs(60)), Duration::from_secs(5));
        assert_eq!(pause(Duration::from_secs(1)), Duration::from_secs(1));
    }
}
