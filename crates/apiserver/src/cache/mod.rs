//! The watch cache: every object in memory as the bytes that clients get, fed by one watch of the store.
//!
//! ```text
//!   store ──watch──▶ feed ──▶ Kind (objects, history) ──▶ observers (kind table, RBAC, …)
//!                                   │
//!                                   └──▶ watchers, by scope ──▶ selectors ──▶ client
//! ```
//!
//! A write is answered once the cache has taken it in, so that whoever wrote sees the write in every
//! later read. Where other servers write to the same store, a read that must be current first asks the
//! store for its revision and waits for the cache to reach it; many readers share one question.

pub mod extract;
mod feed;
mod kind;
mod object;

use std::{collections::HashMap, sync::Arc, time::Duration};

use mosaic_store::{Revision, Store, StoreError};
use parking_lot::RwLock;
use tokio::sync::watch;

pub use kind::{Kind, Scope, Subscription, TooOld};
pub use object::{Change, EventType, LineForm, Object, frame};

use extract::Paths;

/// Called with every change of the kinds under a prefix, before any write to them is answered.
pub type Observer = Box<dyn Fn(&Change) + Send + Sync>;

/// How long a read waits for the cache to reach the revision that it needs.
const CATCH_UP: Duration = Duration::from_secs(10);

/// The watch cache.
pub struct Cache {
    store: Arc<dyn Store>,
    kinds: RwLock<HashMap<Box<str>, Arc<Kind>>>,
    observers: RwLock<Vec<(Box<str>, Observer)>>,
    applied: watch::Sender<Revision>,
}

impl Cache {
    /// An empty cache over a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            kinds: RwLock::default(),
            observers: RwLock::default(),
            applied: watch::Sender::new(0),
        }
    }

    /// Says which fields of a kind selectors may name, and which of them (by its place) watchers are
    /// indexed by.
    pub fn declare(
        &self,
        prefix: &str,
        fields: impl IntoIterator<Item = Arc<str>>,
        indexed: Option<usize>,
    ) {
        let paths = Paths::new(fields);
        let mut kinds = self.kinds.write();
        match kinds.get(prefix) {
            Some(kind) => kind.set_paths(paths, indexed),
            None => {
                kinds.insert(
                    prefix.into(),
                    Arc::new(Kind::new(paths, indexed, *self.applied.borrow())),
                );
            }
        }
    }

    /// Calls `observer` with every change under a prefix from now on.
    pub fn observe(&self, prefix: &str, observer: Observer) {
        self.observers.write().push((prefix.into(), observer));
    }

    /// The cache of the kind whose keys start with `prefix`.
    pub fn kind(&self, prefix: &str) -> Arc<Kind> {
        if let Some(kind) = self.kinds.read().get(prefix) {
            return kind.clone();
        }
        let mut kinds = self.kinds.write();
        let floor = *self.applied.borrow();
        kinds
            .entry(prefix.into())
            .or_insert_with(|| Arc::new(Kind::new(Paths::default(), None, floor)))
            .clone()
    }

    /// The object at a key of the store, as far as the cache has come.
    pub fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.kind(prefix_of(key)?).get(key)
    }

    /// The revision that the cache has taken in.
    pub fn revision(&self) -> Revision {
        *self.applied.borrow()
    }

    /// Waits until the cache has taken in a revision.
    ///
    /// # Errors
    /// If that takes longer than ten seconds.
    pub async fn reach(&self, revision: Revision) -> Result<(), StoreError> {
        self.reach_within(revision, CATCH_UP).await
    }

    /// The same with another patience.
    ///
    /// # Errors
    /// If it takes longer.
    pub async fn reach_within(
        &self,
        revision: Revision,
        patience: Duration,
    ) -> Result<(), StoreError> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|now| *now >= revision);
        match tokio::time::timeout(patience, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(StoreError::Unavailable(format!(
                "revision {revision} was not seen in time; the cache is at {}",
                self.revision()
            ))),
        }
    }

    /// Waits until the cache shows every write that any server acknowledged before the call.
    ///
    /// # Errors
    /// If the store cannot be reached, or the cache cannot follow it.
    pub async fn fresh(&self) -> Result<(), StoreError> {
        if self.store.exclusive() {
            return Ok(());
        }
        // The store asks once for all who come at the same time.
        let revision = self.store.revision().await?;
        self.reach(revision).await
    }
}

/// What the keys of the image registry start with, which keeps its own memory of them.
const REGISTRY: &str = "/mosaic-registry/";

/// The prefix `/group/plural/` of a key; none if the key is not an object's.
fn prefix_of(key: &str) -> Option<&str> {
    if key.starts_with(REGISTRY) {
        return None;
    }
    let (end, _) = key.match_indices('/').nth(2)?;
    key.get(..=end)
}
