//! What keeps the cache up with the store.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::StreamExt;
use mosaic_store::{Event, ListOptions, Revision, StoreError};

use super::{Cache, prefix_of};

/// How many entries are read from the store at once.
const PAGE: usize = 2_000;
/// How many events are taken in before waiting readers are told.
const BATCH: usize = 256;

impl Cache {
    /// Reads the whole store into the cache.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn load(&self) -> Result<(), StoreError> {
        let revision = self.load_prefix("/").await?;
        self.applied.send_replace(revision);
        Ok(())
    }

    /// Reads the part of the store under a prefix, and tells the observers.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn load_prefix(&self, prefix: &str) -> Result<Revision, StoreError> {
        let mut options = ListOptions {
            limit: Some(PAGE),
            ..ListOptions::default()
        };
        loop {
            let page = self.store.list(prefix, options.clone()).await?;
            for entry in &page.entries {
                let Some(prefix) = prefix_of(&entry.key) else {
                    continue;
                };
                let object = self.kind(prefix).fill(entry);
                self.tell(&super::Change::new(object, None, false));
            }
            if page.remaining == 0 {
                for kind in self.kinds.read().values() {
                    kind.cut(page.revision);
                }
                return Ok(page.revision);
            }
            options.at = Some(page.revision);
            options.after = page.entries.last().map(|entry| entry.key.clone());
        }
    }

    /// Follows the store for ever.
    pub async fn follow(self: Arc<Self>) {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.follow_once().await {
                Ok(()) => pause = Duration::from_millis(50),
                Err(StoreError::Compacted { .. }) => {
                    tracing::warn!(
                        "the store was compacted past what the cache had seen; reading it again"
                    );
                    if let Err(error) = self.reload().await {
                        tracing::warn!(%error, "the store cannot be read; trying again");
                    }
                }
                Err(error) => tracing::warn!(%error, "lost the store's watch; trying again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn follow_once(&self) -> Result<(), StoreError> {
        let events = self.store.watch("/", self.revision()).await?;
        let mut batches = events.ready_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let mut reached = self.revision();
            for event in batch {
                match event {
                    Ok(event) => reached = reached.max(self.apply(event)),
                    Err(error) => {
                        self.applied.send_replace(reached);
                        return Err(error);
                    }
                }
            }
            self.applied.send_if_modified(|applied| {
                let grew = reached > *applied;
                *applied = reached.max(*applied);
                grew
            });
        }
        Ok(())
    }

    fn apply(&self, event: Event) -> Revision {
        let (change, revision) = match event {
            Event::Progress(revision) => return revision,
            Event::Put(entry) => {
                let change = prefix_of(&entry.key).map(|prefix| self.kind(prefix).put(&entry));
                (change, entry.revision)
            }
            Event::Delete { key, revision } => {
                let change =
                    prefix_of(&key).and_then(|prefix| self.kind(prefix).delete(&key, revision));
                (change, revision)
            }
        };
        if let Some(change) = change {
            self.tell(&change);
        }
        revision
    }

    fn tell(&self, change: &super::Change) {
        for (prefix, observer) in self.observers.read().iter() {
            if change.object.key.starts_with(&**prefix) {
                observer(change);
            }
        }
    }

    /// Reads the store again after the watch could not be resumed: what differs becomes changes, and
    /// every watch ends, since the order of what happened is lost.
    async fn reload(&self) -> Result<(), StoreError> {
        let mut options = ListOptions {
            limit: Some(PAGE),
            ..ListOptions::default()
        };
        let mut seen: HashSet<Arc<str>> = HashSet::new();
        let revision = loop {
            let page = self.store.list("/", options.clone()).await?;
            for entry in page.entries.iter() {
                seen.insert(entry.key.clone());
                if self
                    .get(&entry.key)
                    .is_none_or(|known| known.revision < entry.revision)
                {
                    self.apply(Event::Put(entry.clone()));
                }
            }
            if page.remaining == 0 {
                break page.revision;
            }
            options.at = Some(page.revision);
            options.after = page.entries.last().map(|entry| entry.key.clone());
        };
        let kinds: Vec<_> = self.kinds.read().values().cloned().collect();
        for kind in kinds {
            for object in kind
                .list("/")
                .iter()
                .filter(|object| !seen.contains(&object.key))
            {
                self.apply(Event::Delete {
                    key: object.key.clone(),
                    revision,
                });
            }
            kind.cut(revision);
        }
        self.applied.send_replace(revision);
        Ok(())
    }
}
