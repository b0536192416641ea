//! The cache of one kind: its objects, its latest changes, and who watches.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use mosaic_store::Revision;
use parking_lot::RwLock;
use tokio::sync::mpsc;

use super::{
    extract::Paths,
    object::{Change, Object},
};

/// How many changes a kind remembers for watches that resume.
const HISTORY_CHANGES: usize = 16_384;
/// How much memory the remembered changes of a kind may hold, in bytes.
const HISTORY_BYTES: usize = 16 << 20;
/// How many changes a watcher may lag behind before it is cut off.
const WATCHER_BACKLOG: usize = 4_096;
/// And how many bytes; a single change may be larger.
const WATCHER_BYTES: usize = 16 << 20;

/// The part of a kind that a watcher can see at most. A change is handed only to the watchers whose
/// scope it touches; finer selectors are the watcher's own work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every object.
    All,
    /// The objects of a namespace.
    Namespace(Box<str>),
    /// The objects whose indexed field (a pod's `spec.nodeName`) has this value.
    Indexed(Box<str>),
    /// The one object at a key.
    Key(Box<str>),
}

/// The cache of one kind.
#[derive(Debug)]
pub struct Kind {
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    paths: Arc<Paths>,
    /// Which of the selectable fields is indexed for watchers.
    indexed: Option<usize>,
    objects: BTreeMap<Arc<str>, Arc<Object>>,
    history: VecDeque<Change>,
    history_bytes: usize,
    /// Every change after this revision is in the history.
    floor: Revision,
    watchers: HashMap<Scope, Vec<Watcher>>,
    next_watcher: u64,
}

/// Where a watcher's changes go.
#[derive(Debug)]
struct Watcher {
    id: u64,
    changes: mpsc::Sender<Arc<Change>>,
    /// The size of what was sent and not yet taken.
    waiting: Arc<AtomicUsize>,
}

impl Watcher {
    /// Whether the watcher could take a change.
    fn send(&self, change: &Arc<Change>) -> bool {
        let size = size(change);
        let before = self.waiting.fetch_add(size, Ordering::Relaxed);
        (before == 0 || before + size <= WATCHER_BYTES)
            && self.changes.try_send(change.clone()).is_ok()
    }
}

/// What a change that waits for a watcher holds, in bytes.
fn size(change: &Change) -> usize {
    256 + change.object.wire.len()
}

/// A watcher's place in a kind. Dropping it ends the watch.
#[derive(Debug)]
pub struct Subscription {
    kind: Arc<Kind>,
    scope: Scope,
    id: u64,
    /// Changes that happened before the subscription, oldest first.
    pub backlog: VecDeque<Arc<Change>>,
    changes: mpsc::Receiver<Arc<Change>>,
    waiting: Arc<AtomicUsize>,
}

impl Subscription {
    /// The next change since; none when the watcher fell too far behind.
    pub async fn next(&mut self) -> Option<Arc<Change>> {
        let change = self.changes.recv().await?;
        self.taken(&change);
        Some(change)
    }

    /// The next change, if it is there already.
    pub fn next_now(&mut self) -> Option<Arc<Change>> {
        let change = self.changes.try_recv().ok()?;
        self.taken(&change);
        Some(change)
    }

    fn taken(&self, change: &Change) {
        self.waiting.fetch_sub(size(change), Ordering::Relaxed);
    }
}

/// A revision that the history does not reach back to.
#[derive(Debug, PartialEq, Eq)]
pub struct TooOld {
    /// The oldest revision that can be resumed from.
    pub oldest: Revision,
}

impl Kind {
    pub(super) fn new(paths: Paths, indexed: Option<usize>, floor: Revision) -> Self {
        Self {
            state: RwLock::new(State {
                paths: Arc::new(paths),
                indexed,
                objects: BTreeMap::new(),
                history: VecDeque::new(),
                history_bytes: 0,
                floor,
                watchers: HashMap::new(),
                next_watcher: 0,
            }),
        }
    }

    /// Changes which fields are selectable, and reads them from every object again.
    pub(super) fn set_paths(&self, paths: Paths, indexed: Option<usize>) {
        let mut state = self.state.write();
        for object in state.objects.values_mut() {
            *object = Arc::new(object.with_paths(&paths));
        }
        state.paths = Arc::new(paths);
        state.indexed = indexed;
    }

    /// The paths of the selectable fields.
    pub fn paths(&self) -> Arc<Paths> {
        self.state.read().paths.clone()
    }

    /// The object at a key.
    pub fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.state.read().objects.get(key).cloned()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Whether there are no objects.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The objects whose keys start with `prefix`, in the order of their keys.
    pub fn list(&self, prefix: &str) -> Vec<Arc<Object>> {
        let state = self.state.read();
        from(&state.objects, prefix)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Whether any object's key starts with `prefix`.
    pub fn any(&self, prefix: &str) -> bool {
        from(&self.state.read().objects, prefix).next().is_some()
    }

    /// Starts a watch of what happens after `after`.
    ///
    /// # Errors
    /// If the history does not reach back that far.
    pub fn subscribe(
        self: &Arc<Self>,
        scope: Scope,
        after: Revision,
    ) -> Result<Subscription, TooOld> {
        let mut state = self.state.write();
        if after < state.floor {
            return Err(TooOld {
                oldest: state.floor,
            });
        }
        let start = state
            .history
            .partition_point(|change| change.object.revision <= after);
        let backlog = state
            .history
            .range(start..)
            .filter(|c| state.touches(c, &scope))
            .map(|change| Arc::new(change.to_remember()))
            .collect();
        Ok(state.register(self.clone(), scope, backlog))
    }

    /// Starts a watch of what happens from now on, with every object that is there now.
    pub fn subscribe_from_now(
        self: &Arc<Self>,
        scope: Scope,
        prefix: &str,
    ) -> (Vec<Arc<Object>>, Subscription) {
        let mut state = self.state.write();
        let objects = from(&state.objects, prefix)
            .map(|(_, object)| object.clone())
            .collect();
        let subscription = state.register(self.clone(), scope, VecDeque::new());
        (objects, subscription)
    }

    /// Takes in a write.
    pub(super) fn put(&self, entry: &mosaic_store::Entry) -> Arc<Change> {
        // Read before the lock is taken, so that nobody waits for it.
        let paths = self.paths();
        let mut object = Object::from_entry(entry, &paths);
        let mut state = self.state.write();
        if !Arc::ptr_eq(&paths, &state.paths) {
            object = object.with_paths(&state.paths);
        }
        let object = Arc::new(object);
        let previous = state.objects.insert(entry.key.clone(), object.clone());
        let change = Arc::new(Change::new(object, previous, false));
        state.publish(&change);
        change
    }

    /// Takes in a deletion; none if the key was not there.
    pub(super) fn delete(&self, key: &str, revision: Revision) -> Option<Arc<Change>> {
        let mut state = self.state.write();
        let previous = state.objects.remove(key)?;
        let last = Arc::new(previous.deleted_at(revision));
        let change = Arc::new(Change::new(last, Some(previous), true));
        state.publish(&change);
        Some(change)
    }

    /// Takes in an object without telling anyone, while the cache is being filled.
    pub(super) fn fill(&self, entry: &mosaic_store::Entry) -> Arc<Object> {
        let mut state = self.state.write();
        let object = Arc::new(Object::from_entry(entry, &state.paths));
        state.objects.insert(entry.key.clone(), object.clone());
        object
    }

    /// Forgets the history up to `revision` and ends every watch: what happened meanwhile is not known.
    pub(super) fn cut(&self, revision: Revision) {
        let mut state = self.state.write();
        state.history.clear();
        state.history_bytes = 0;
        state.floor = revision;
        state.watchers.clear();
    }

    fn unsubscribe(&self, scope: &Scope, id: u64) {
        let mut state = self.state.write();
        if let Some(list) = state.watchers.get_mut(scope) {
            list.retain(|watcher| watcher.id != id);
            if list.is_empty() {
                state.watchers.remove(scope);
            }
        }
    }
}

/// The part of a sorted map whose keys start with a prefix.
fn from<'a>(
    objects: &'a BTreeMap<Arc<str>, Arc<Object>>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Object>)> {
    objects
        .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
}

impl State {
    fn register(
        &mut self,
        kind: Arc<Kind>,
        scope: Scope,
        backlog: VecDeque<Arc<Change>>,
    ) -> Subscription {
        let id = self.next_watcher;
        self.next_watcher += 1;
        let (sender, changes) = mpsc::channel(WATCHER_BACKLOG);
        let waiting = Arc::new(AtomicUsize::new(0));
        self.watchers
            .entry(scope.clone())
            .or_default()
            .push(Watcher {
                id,
                changes: sender,
                waiting: waiting.clone(),
            });
        Subscription {
            kind,
            scope,
            id,
            backlog,
            changes,
            waiting,
        }
    }

    /// The indexed field's value in an object.
    fn index_of<'a>(&self, object: &'a Object) -> Option<&'a str> {
        object.facts.fields.get(self.indexed?)?.as_deref()
    }

    fn touches(&self, change: &Change, scope: &Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Namespace(namespace) => change.object.namespace() == &**namespace,
            Scope::Key(key) => change.object.key == (**key).into(),
            Scope::Indexed(value) => {
                self.index_of(&change.object) == Some(value)
                    || change.previous.as_deref().and_then(|p| self.index_of(p)) == Some(value)
            }
        }
    }

    fn publish(&mut self, change: &Arc<Change>) {
        self.history_bytes += change.weight();
        self.history.push_back(change.to_remember());
        while self.history.len() > HISTORY_CHANGES || self.history_bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else {
                break;
            };
            self.history_bytes -= oldest.weight();
            self.floor = oldest.object.revision;
        }
        if self.watchers.is_empty() {
            return;
        }
        let now = self.index_of(&change.object).map(Box::from);
        let before = change
            .previous
            .as_deref()
            .and_then(|p| self.index_of(p))
            .map(Box::from);
        let before = if before == now { None } else { before };
        let scopes = [
            Some(Scope::All),
            Some(Scope::Namespace(change.object.namespace().into())),
            Some(Scope::Key((*change.object.key).into())),
            now.map(Scope::Indexed),
            before.map(Scope::Indexed),
        ];
        for scope in scopes.into_iter().flatten() {
            let Some(watchers) = self.watchers.get_mut(&scope) else {
                continue;
            };
            // One that cannot take the change is too slow: its channel closes, and it resumes from the
            // last revision that it saw.
            watchers.retain(|watcher| watcher.send(change));
            if watchers.is_empty() {
                self.watchers.remove(&scope);
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.kind.unsubscribe(&self.scope, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(revision: Revision, size: usize) -> mosaic_store::Entry {
        let text = format!(
            r#"{{"metadata":{{"name":"a","namespace":"n"}},"data":"{}"}}"#,
            "x".repeat(size)
        );
        mosaic_store::Entry {
            key: "/core/configmaps/n/a".into(),
            value: text.into(),
            revision,
        }
    }

    #[tokio::test]
    async fn a_watcher_that_does_not_read_is_cut_off_before_it_holds_much() {
        let kind = Arc::new(Kind::new(Paths::default(), None, 0));
        let mut slow = kind.subscribe(Scope::All, 0).unwrap();
        let mut quick = kind.subscribe(Scope::All, 0).unwrap();
        for revision in 1..=40 {
            kind.put(&entry(revision, 1 << 20));
            assert_eq!(
                quick.next().await.unwrap().object.revision,
                revision,
                "one that reads sees everything"
            );
        }
        let mut seen = 0;
        while let Some(change) = slow.next().await {
            seen += 1;
            assert_eq!(change.object.revision, seen);
        }
        assert_eq!(
            seen, 15,
            "16 MiB hold fifteen changes of a little over 1 MiB"
        );
    }

    #[tokio::test]
    async fn one_change_of_any_size_reaches_a_watcher() {
        let kind = Arc::new(Kind::new(Paths::default(), None, 0));
        let mut watcher = kind.subscribe(Scope::All, 0).unwrap();
        kind.put(&entry(1, WATCHER_BYTES * 2));
        assert_eq!(watcher.next().await.unwrap().object.revision, 1);
    }
}
