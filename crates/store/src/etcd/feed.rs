//! What happens in the cluster, brought to the hub.
//!
//! ```text
//! etcd ── one watch of the prefix ──► feed ─► hub ─► the watches of this process
//!   ▲                                           │
//!   └──── tick, when the hub lags behind ◄──────┘
//! ```
//!
//! A watch must reach the revision that [`crate::Store::revision`] tells. The revision of a write to
//! this prefix is reached by the write's own event. One that came from a write elsewhere in a shared
//! cluster is reached by a *tick*: a write of a key that the store keeps for itself, whose event comes
//! after all that was before it. etcd's own answer to a request for progress will not do: before
//! 3.4.25 and 3.5.8 it can overtake events that are still under way, and later ones may not answer at
//! all while a watch catches up. What etcd tells by itself from time to time is in order, and is used.
//!
//! A watch starts at the last revision that was seen, not after it, so that etcd refuses exactly what
//! the embedded engine refuses, and a deletion at the compacted revision is not lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use etcd_client::{EventType, GetOptions, WatchClient, WatchOptions, WatchResponse, WatchStream};
use tokio::time::{Instant, timeout};

use super::fault::{Fault, fault};
use super::members::Repeat;
use super::{Inner, failed, header_revision, revision, to_etcd};
use crate::keys::{RESERVED, key_from_bytes, prefix_end};
use crate::{Entry, Event, Result, Revision, StoreError, replay};

/// How long an event may be under way before a tick is sent after it.
const TICK_AFTER: Duration = Duration::from_millis(30);
/// A replay in which nothing comes for so long may wait for an event that there is not.
const QUIET: Duration = Duration::from_millis(150);
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What one message of etcd's says.
struct Told {
    events: Vec<Event>,
    /// The revision that the watch has reached with it.
    reached: Revision,
}

/// Why a watch of etcd's ended.
enum Ended {
    Compacted { oldest: Revision },
    Broken(String),
}

/// Keeps the hub up to date, through any failure, until it is aborted.
pub(super) async fn run(inner: Arc<Inner>, from: Revision) {
    let mut position = from;
    let mut lost_since: Option<Instant> = None;
    let mut backoff = BACKOFF_MIN;
    loop {
        let started = position;
        let ended = follow(&inner, &mut position, &mut lost_since).await;
        match ended {
            Ended::Compacted { oldest } => {
                tracing::warn!(position, oldest, "the watch of etcd fell behind compaction");
                if let Ok(current) = inner.current_revision().await {
                    let asked = position;
                    inner
                        .hub
                        .restart(current, || StoreError::Compacted { asked, oldest });
                    position = current;
                    continue;
                }
            }
            Ended::Broken(reason) => {
                tracing::debug!(reason, "the watch of etcd broke and is opened again");
                let since = *lost_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= inner.options.watch_patience {
                    tracing::warn!(reason, "etcd cannot be watched; open watches end");
                    inner.hub.restart(position, || {
                        StoreError::Unavailable(format!("etcd cannot be watched: {reason}"))
                    });
                    lost_since = None;
                }
            }
        }
        if position > started {
            backoff = BACKOFF_MIN;
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Publishes what one watch of etcd's tells, until it ends.
async fn follow(inner: &Inner, position: &mut Revision, lost_since: &mut Option<Instant>) -> Ended {
    let Some((member, client)) = inner.members.watch_client() else {
        return Ended::Broken("no etcd endpoint is given".into());
    };
    let resumed_at = *position;
    let mut stream = match open(inner, client, resumed_at).await {
        Ok(stream) => stream,
        Err(reason) => {
            inner.members.watch_failed(member);
            return Ended::Broken(reason);
        }
    };
    loop {
        let message = tokio::select! {
            message = stream.message() => message,
            () = inner.reopen.notified() => {
                inner.members.watch_failed(member);
                return Ended::Broken("it no longer tells what happens".into());
            }
        };
        match read(inner, message, resumed_at) {
            Ok(told) => {
                *lost_since = None;
                *position = (*position).max(told.reached);
                inner.hub.publish(&told.events, *position);
            }
            Err(ended) => {
                if matches!(ended, Ended::Broken(_)) {
                    inner.members.watch_failed(member);
                }
                return ended;
            }
        }
    }
}

/// Opens a watch of everything under the prefix.
async fn open(
    inner: &Inner,
    mut client: WatchClient,
    position: Revision,
) -> std::result::Result<WatchStream, String> {
    let options = WatchOptions::new()
        .with_range(prefix_end(inner.prefix.as_bytes()))
        .with_start_revision(to_etcd(position.max(1)))
        .with_progress_notify()
        .with_fragment();
    let opening = client.watch(inner.prefix.as_bytes(), Some(options));
    match timeout(inner.options.request_timeout / 2, opening).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("etcd did not answer in time".into()),
    }
}

/// Reads a message: the events after `resumed_at`, and how far it is with them.
fn read(
    inner: &Inner,
    message: std::result::Result<Option<WatchResponse>, etcd_client::Error>,
    resumed_at: Revision,
) -> std::result::Result<Told, Ended> {
    let response = match message {
        Ok(Some(response)) => response,
        Ok(None) => return Err(Ended::Broken("etcd ended the watch".into())),
        Err(error) => return Err(Ended::Broken(fault(&error).text())),
    };
    if response.canceled() {
        let oldest = revision(response.compact_revision());
        return Err(if oldest > 0 {
            Ended::Compacted { oldest }
        } else {
            Ended::Broken(response.cancel_reason().to_owned())
        });
    }
    let mut told = Told {
        events: Vec::with_capacity(response.events().len()),
        reached: 0,
    };
    // A message without events that is not the first one tells progress, and comes in its turn.
    if response.events().is_empty() && !response.created() && response.watch_id() >= 0 {
        told.reached = header_revision(response.header());
    }
    for event in response.events() {
        let Some(kv) = event.kv() else { continue };
        let at = revision(kv.mod_revision());
        if at <= resumed_at {
            continue;
        }
        told.reached = told.reached.max(at);
        let Some(key) = kv.key().get(inner.prefix.len()..) else {
            continue;
        };
        if key.first() == Some(&(RESERVED as u8)) {
            continue;
        }
        let key = match key_from_bytes(key.to_vec()) {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!(%error, "a foreign key under the store's prefix is passed over");
                continue;
            }
        };
        told.events.push(match event.event_type() {
            EventType::Put => Event::Put(Entry {
                key,
                value: bytes::Bytes::copy_from_slice(kv.value()),
                revision: at,
            }),
            EventType::Delete => Event::Delete { key, revision: at },
        });
    }
    Ok(told)
}

/// Waits until the feed follows. A watch of etcd's that starts in the past takes a moment to catch up,
/// and a compaction in that moment would end it.
pub(super) async fn settle(inner: &Inner) {
    match tick(inner).await {
        Ok(revision) => {
            inner.wanted.fetch_max(revision, Ordering::AcqRel);
            if !reaches(inner, inner.options.request_timeout).await {
                tracing::warn!("etcd answers, but does not tell what happens");
            }
        }
        // Without room or the right to write there is something to read nevertheless.
        Err(error) => tracing::warn!(%error, "the store can be read but not written"),
    }
}

/// Writes the store's own key, so that its event moves every watch of the prefix on. Answers with the
/// event's revision.
async fn tick(inner: &Inner) -> Result<Revision> {
    let key = inner.tick_key();
    inner
        .members
        .call(inner.brief(), Repeat::Always, |mut kv| {
            let key = key.clone();
            async move { kv.put(key, "", None).await }
        })
        .await
        .map(|answer| header_revision(answer.header()))
        .map_err(failed)
}

/// Sends ticks when a revision was told that the hub does not reach by itself, until it is aborted.
pub(super) async fn run_ticks(inner: Arc<Inner>) {
    loop {
        inner.wants.notified().await;
        if reaches(&inner, TICK_AFTER).await {
            continue;
        }
        match tick(&inner).await {
            Ok(_) => {
                if !reaches(&inner, inner.options.request_timeout / 2).await {
                    inner.reopen.notify_waiters();
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a tick failed");
                tokio::time::sleep(QUIET).await;
            }
        }
        // Whatever was wanted meanwhile.
        if !reached(&inner) {
            inner.wants.notify_one();
        }
    }
}

fn reached(inner: &Inner) -> bool {
    inner.hub.revision() >= inner.wanted.load(Ordering::Acquire)
}

/// Whether the hub reaches what is wanted now, in a given time.
async fn reaches(inner: &Inner, time: Duration) -> bool {
    let wanted = inner.wanted.load(Ordering::Acquire);
    let deadline = Instant::now() + time;
    while inner.hub.revision() < wanted {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(TICK_AFTER / 3).await;
    }
    true
}

/// Fails unless a watch can start after a revision; answers with the cluster's current one.
pub(super) async fn check_start(inner: &Arc<Inner>, after: Revision) -> Result<Revision> {
    let key = inner.tick_key();
    let options = GetOptions::new()
        .with_revision(to_etcd(after.max(1)))
        .with_count_only();
    let answer = inner
        .members
        .call(inner.brief(), Repeat::Always, |mut kv| {
            let (key, options) = (key.clone(), options.clone());
            async move { kv.get(key, Some(options)).await }
        })
        .await;
    match answer {
        Ok(answer) => Ok(header_revision(answer.header())),
        Err(Fault::Compacted) => Err(inner.compacted(after).await),
        Err(Fault::Future) => Err(inner.future(after).await),
        Err(fault) => Err(failed(fault)),
    }
}

/// The past of one prefix, as a watch of etcd's tells it.
///
/// It watches all of the store's prefix: so the event at which the past ends, whatever its key, is
/// seen, and that is how the end is known.
pub(super) struct History {
    inner: Arc<Inner>,
    prefix: Arc<str>,
    open: Option<Open>,
}

struct Open {
    stream: WatchStream,
    member: usize,
    resumed_at: Revision,
}

impl History {
    pub(super) fn new(inner: Arc<Inner>, prefix: Arc<str>) -> Self {
        Self {
            inner,
            prefix,
            open: None,
        }
    }

    /// The next message in which something happened; none if there was none for a while.
    async fn message(&mut self, position: Revision) -> std::result::Result<Option<Told>, Ended> {
        let mut opened = match self.open.take() {
            Some(open) => open,
            None => {
                let Some((member, client)) = self.inner.members.watch_client() else {
                    return Err(Ended::Broken("no etcd endpoint is given".into()));
                };
                match open(&self.inner, client, position).await {
                    Ok(stream) => Open {
                        stream,
                        member,
                        resumed_at: position,
                    },
                    Err(reason) => {
                        self.inner.members.watch_failed(member);
                        return Err(Ended::Broken(reason));
                    }
                }
            }
        };
        loop {
            let Ok(message) = timeout(QUIET, opened.stream.message()).await else {
                self.open = Some(opened);
                return Ok(None);
            };
            match read(&self.inner, message, opened.resumed_at) {
                Ok(told) if told.reached == 0 => {}
                Ok(told) => {
                    self.open = Some(opened);
                    return Ok(Some(told));
                }
                Err(ended) => {
                    if matches!(ended, Ended::Broken(_)) {
                        self.inner.members.watch_failed(opened.member);
                    }
                    return Err(ended);
                }
            }
        }
    }
}

#[async_trait::async_trait]
impl replay::History for History {
    async fn read(&mut self, position: Revision, _: Revision) -> Result<(Vec<Event>, Revision)> {
        let deadline = Instant::now() + self.inner.options.watch_patience;
        loop {
            match self.message(position).await {
                Ok(Some(mut told)) => {
                    told.events.retain(|event| match event {
                        Event::Put(Entry { key, .. }) | Event::Delete { key, .. } => {
                            key.starts_with(&*self.prefix)
                        }
                        Event::Progress(_) => false,
                    });
                    return Ok((told.events, told.reached));
                }
                Ok(None) => {
                    tick(&self.inner).await?;
                }
                Err(Ended::Compacted { oldest }) => {
                    return Err(StoreError::Compacted {
                        asked: position,
                        oldest,
                    });
                }
                Err(Ended::Broken(reason)) => {
                    if Instant::now() >= deadline {
                        return Err(StoreError::Unavailable(format!(
                            "etcd cannot be watched: {reason}"
                        )));
                    }
                    tokio::time::sleep(BACKOFF_MIN).await;
                }
            }
        }
    }
}
