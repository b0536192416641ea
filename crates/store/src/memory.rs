//! An engine that keeps everything in memory and nothing over a restart: for tests of what stands on a
//! store. It needs no thread and no clock, so that a test in simulated time decides alone what happens when.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::keys::{check_write, list_start};
use crate::{Entry, Event, Expect, ListOptions, Page, Result, Revision, Store, StoreError, Write};

/// A store in memory. Clones are the same store, as several processes see it.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    state: RwLock<State>,
    revision: watch::Sender<Revision>,
}

struct State {
    revision: Revision,
    /// Nothing before this revision can be asked for.
    compacted: Revision,
    /// The versions of each key, oldest first; a deletion has no value.
    keys: BTreeMap<Arc<str>, Vec<(Revision, Option<Bytes>)>>,
    /// Which key was written at a revision.
    log: BTreeMap<Revision, Arc<str>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        let state = State {
            revision: 1,
            compacted: 0,
            keys: BTreeMap::new(),
            log: BTreeMap::new(),
        };
        Self {
            shared: Arc::new(Shared {
                state: RwLock::new(state),
                revision: watch::Sender::new(1),
            }),
        }
    }
}

impl State {
    fn value(&self, key: &str, at: Revision) -> Option<(Revision, &Bytes)> {
        let versions = self.keys.get(key)?;
        let (revision, value) = versions.iter().rev().find(|(written, _)| *written <= at)?;
        value.as_ref().map(|value| (*revision, value))
    }

    fn entry(&self, key: &Arc<str>, at: Revision) -> Option<Entry> {
        self.value(key, at).map(|(revision, value)| Entry {
            key: key.clone(),
            value: value.clone(),
            revision,
        })
    }

    /// Whether a revision can still, and already, be asked for.
    fn check(&self, asked: Revision) -> Result<()> {
        if asked > self.revision {
            let current = self.revision;
            return Err(StoreError::Future { asked, current });
        }
        if asked < self.compacted {
            let oldest = self.compacted;
            return Err(StoreError::Compacted { asked, oldest });
        }
        Ok(())
    }

    fn write(&mut self, write: Write) -> Result<Revision> {
        let actual = self.value(&write.key, self.revision).map(|(at, _)| at);
        let holds = match write.expect {
            Expect::Absent => actual.is_none(),
            Expect::At(revision) => actual == Some(revision),
        };
        if !holds {
            return Err(StoreError::Conflict {
                key: write.key,
                actual,
            });
        }
        self.revision += 1;
        let version = (self.revision, write.value);
        self.log.insert(self.revision, write.key.clone());
        self.keys.entry(write.key).or_default().push(version);
        Ok(self.revision)
    }

    /// What happened to keys with a prefix after a revision: at least how far that is.
    fn events(&self, prefix: &str, after: Revision) -> Result<Vec<Event>> {
        if after < self.compacted {
            let oldest = self.compacted;
            return Err(StoreError::Compacted {
                asked: after,
                oldest,
            });
        }
        let written = self.log.range(after + 1..);
        let written = written.filter(|(_, key)| key.starts_with(prefix));
        let mut events: Vec<Event> = written
            .map(|(revision, key)| match self.entry(key, *revision) {
                Some(entry) => Event::Put(entry),
                None => Event::Delete {
                    key: key.clone(),
                    revision: *revision,
                },
            })
            .collect();
        let reached = events.last().map_or(after, revision_of);
        if reached < self.revision {
            events.push(Event::Progress(self.revision));
        }
        Ok(events)
    }

    fn compact(&mut self, revision: Revision) {
        self.compacted = self.compacted.max(revision.min(self.revision));
        let compacted = self.compacted;
        self.log.retain(|written, _| *written > compacted);
        self.keys.retain(|_, versions| {
            // The last version that is not later is what a list at this revision shows.
            let shown = versions.iter().rposition(|(at, _)| *at <= compacted);
            versions.drain(..shown.unwrap_or(0));
            let only_deleted = versions.len() == 1
                && versions
                    .iter()
                    .any(|(at, value)| *at <= compacted && value.is_none());
            !only_deleted
        });
    }
}

fn revision_of(event: &Event) -> Revision {
    match event {
        Event::Put(entry) => entry.revision,
        Event::Delete { revision, .. } | Event::Progress(revision) => *revision,
    }
}

#[async_trait::async_trait]
impl Store for Memory {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        let state = self.shared.state.read();
        Ok(state.entry(&key.into(), state.revision))
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        let state = self.shared.state.read();
        let at = options.at.unwrap_or(state.revision);
        state.check(at)?;
        let start: Arc<str> = list_start(prefix, options.after.as_deref()).into();
        let mut entries = state
            .keys
            .range(start..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(key, _)| state.entry(key, at));
        let limit = options.limit.unwrap_or(usize::MAX);
        let most = options.bytes.unwrap_or(usize::MAX);
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < limit
            && bytes < most
            && let Some(entry) = entries.next()
        {
            bytes += entry.value.len();
            page.push(entry);
        }
        Ok(Page {
            entries: page,
            revision: at,
            remaining: entries.count() as u64,
        })
    }

    async fn write(&self, write: Write) -> Result<Revision> {
        check_write(&write)?;
        let revision = self.shared.state.write().write(write)?;
        // Of two writers the later may be here first.
        self.shared.revision.send_if_modified(|latest| {
            let grew = revision > *latest;
            *latest = revision.max(*latest);
            grew
        });
        Ok(revision)
    }

    async fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> Result<BoxStream<'static, Result<Event>>> {
        self.shared.state.read().check(after)?;
        let follow = Follow {
            shared: self.shared.clone(),
            changed: self.shared.revision.subscribe(),
            prefix: prefix.into(),
            position: Some(after),
        };
        let batches = futures::stream::unfold(follow, Follow::next);
        Ok(Box::pin(futures::StreamExt::flat_map(
            batches,
            futures::stream::iter,
        )))
    }

    async fn revision(&self) -> Result<Revision> {
        Ok(self.shared.state.read().revision)
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let mut state = self.shared.state.write();
        if revision > state.revision {
            let current = state.revision;
            return Err(StoreError::Future {
                asked: revision,
                current,
            });
        }
        state.compact(revision);
        Ok(())
    }
}

/// A watch under way.
struct Follow {
    shared: Arc<Shared>,
    changed: watch::Receiver<Revision>,
    prefix: Box<str>,
    /// Up to where everything has been told; none when the watch is over.
    position: Option<Revision>,
}

impl Follow {
    async fn next(mut self) -> Option<(Vec<Result<Event>>, Self)> {
        let position = self.position?;
        // The sender is part of what is shared: it cannot be gone.
        let _ = self.changed.wait_for(|now| *now > position).await;
        let events = self.shared.state.read().events(&self.prefix, position);
        match events {
            Ok(events) => {
                self.position = Some(events.last().map_or(position, revision_of));
                Some((events.into_iter().map(Ok).collect(), self))
            }
            Err(error) => {
                self.position = None;
                Some((vec![Err(error)], self))
            }
        }
    }
}
