//! What the tests of both engines share.
#![allow(dead_code)]

pub mod etcd;
pub mod suite;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use mosaic_store::{Event, Expect, ListOptions, Page, Result, Revision, Store, Write};

/// Long enough for anything that is going to happen at all.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub type Events = BoxStream<'static, Result<Event>>;

pub fn put(key: &str, expect: Expect, value: impl Into<Bytes>) -> Write {
    Write {
        key: key.into(),
        expect,
        value: Some(value.into()),
    }
}

pub fn delete(key: &str, revision: Revision) -> Write {
    Write {
        key: key.into(),
        expect: Expect::At(revision),
        value: None,
    }
}

pub async fn create(store: &Arc<dyn Store>, key: &str, value: &str) -> Revision {
    store
        .write(put(key, Expect::Absent, value.to_owned()))
        .await
        .unwrap_or_else(|error| panic!("creating {key}: {error}"))
}

pub async fn list(store: &Arc<dyn Store>, prefix: &str) -> Page {
    store.list(prefix, ListOptions::default()).await.unwrap()
}

pub fn keys(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| &*entry.key).collect()
}

/// The next event; fails the test if there is none.
pub async fn next(events: &mut Events) -> Result<Event> {
    tokio::time::timeout(PATIENCE, events.next())
        .await
        .expect("an event in time")
        .expect("the watch goes on")
}

pub fn revision_of(event: &Event) -> Revision {
    match event {
        Event::Put(entry) => entry.revision,
        Event::Delete { revision, .. } | Event::Progress(revision) => *revision,
    }
}

/// The changes up to a revision, in the order in which they came. Checks that no revision goes back
/// and that nothing comes twice.
pub async fn changes_until(events: &mut Events, after: Revision, goal: Revision) -> Vec<Event> {
    let mut changes = Vec::new();
    let mut last = after;
    let mut progress = after;
    while last < goal {
        let event = next(events).await.unwrap();
        let revision = revision_of(&event);
        match event {
            Event::Progress(_) => progress = progress.max(revision),
            change => {
                assert!(
                    revision > last && revision > progress,
                    "{change:?} came after {last} (progress {progress})"
                );
                changes.push(change);
            }
        }
        last = last.max(revision);
    }
    changes
}

/// A short text of an event, to compare with.
pub fn show(event: &Event) -> String {
    match event {
        Event::Put(entry) => format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value)),
        Event::Delete { key, .. } => format!("{key} deleted"),
        Event::Progress(_) => "progress".into(),
    }
}
