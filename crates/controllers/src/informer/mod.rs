//! Objects of one kind in memory, for controllers that would otherwise ask for thousands of them at each
//! step: a set of ten thousand pods changes ten thousand times while it starts.
//!
//! ```text
//!   watch ──▶ objects by name, by owner, without owner ──▶ listeners (which key to look at)
//!                 ▲
//!   fence ────────┘  "not before my own last write is in it"
//! ```
//!
//! What is in memory lags behind the store, and a plan made from a state without one's own last write would do it
//! once more: a pod created twice. A [`Fence`] holds a key back until that write has come round. Revisions
//! are ordered (they are the store's), so that it is enough to compare numbers.

mod objects;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

use crate::readable::{Readable, Reader};
use objects::Objects;

/// Namespace (empty for objects without one) and name.
pub(crate) type Key = (Arc<str>, Arc<str>);

/// The key of an object.
pub(crate) fn key_of(metadata: &ObjectMeta) -> Key {
    let text = |text: &Option<String>| Arc::from(text.as_deref().unwrap_or_default());
    (text(&metadata.namespace), text(&metadata.name))
}

/// The reference to the owner that controls an object, if one does.
pub(crate) fn controller_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

/// A change of an object, told to listeners once it is in memory.
#[derive(Debug)]
pub(crate) struct Change<K> {
    /// The object before; none if it is new.
    pub(crate) old: Option<Arc<K>>,
    /// The object now; none if it is gone.
    pub(crate) new: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// The object before and now, as far as there is one.
    pub(crate) fn both(&self) -> impl Iterator<Item = &K> {
        self.old.iter().chain(&self.new).map(|object| &**object)
    }
}

type Listener<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

/// How far an informer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    /// The newest revision of an object that was seen.
    revision: u64,
    /// Which reading of everything was the last to end, counted from 1 in the order in which they began.
    lists: u64,
}

/// A point that an informer has to reach before it shows what somebody wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fence(Option<Progress>);

/// What is reached once everything was read for the first time, and not by any revision.
const FIRST_LIST: Fence = Fence(Some(Progress {
    revision: u64::MAX,
    lists: 0,
}));

impl Fence {
    /// The point at which both are reached.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(one), Some(two)) => Self(Some(Progress {
                revision: one.revision.max(two.revision),
                lists: one.lists.max(two.lists),
            })),
            (one, two) => Self(one.or(two)),
        }
    }

    fn is_reached(self, progress: Progress) -> bool {
        self.0.is_none_or(|point| {
            progress.lists > point.lists
                || (point.revision != u64::MAX && progress.revision >= point.revision)
        })
    }
}

/// Objects of one kind, as far as watches have told.
pub(crate) struct Informer<K> {
    objects: RwLock<Objects<K>>,
    listeners: RwLock<Vec<Listener<K>>>,
    progress: watch::Sender<Progress>,
    /// How many times reading everything was begun.
    begun: AtomicU64,
    anew: Notify,
}

impl<K> Informer<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// An informer that knows nothing until it runs.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            objects: RwLock::new(Objects::default()),
            listeners: RwLock::new(Vec::new()),
            progress: watch::Sender::new(Progress::default()),
            begun: AtomicU64::new(0),
            anew: Notify::new(),
        })
    }

    /// Tells this listener of every change from now on; it must not wait.
    pub(crate) fn listen(&self, listener: impl Fn(&Change<K>) + Send + Sync + 'static) {
        self.listeners.write().push(Box::new(listener));
    }

    /// Watches, for as long as it is polled.
    pub(crate) async fn run(&self, api: Api<Readable<K>>, config: watcher::Config) {
        let mut reader = Reader::of(api.resource_url());
        loop {
            let mut events = pin!(watcher::watcher(api.clone(), config.clone()).default_backoff());
            let mut listed = None;
            // Whether everything is to be read once more. What is being read is read to its end first: writes without
            // an answer are frequent when the server has too much to do.
            let mut again = false;
            while !again || listed.is_some() {
                tokio::select! {
                    biased;
                    () = self.anew.notified(), if !again => again = true,
                    event = events.next() => match event {
                        Some(Ok(event)) => self.take(event, &mut reader, &mut listed),
                        Some(Err(error)) => tracing::debug!(%error, "a watch was interrupted"),
                        None => break,
                    },
                }
            }
        }
    }

    /// Returns once everything was read for the first time.
    pub(crate) async fn ready(&self) {
        self.reach(FIRST_LIST).await;
    }

    /// Returns once it shows what was written before the fence.
    pub(crate) async fn reach(&self, fence: Fence) {
        let mut progress = self.progress.subscribe();
        // It fails only when the sender is gone, which is `self`.
        let _ = progress.wait_for(|now| fence.is_reached(*now)).await;
    }

    /// The fence after a write that was answered with this version.
    pub(crate) fn wrote(&self, version: &str) -> Fence {
        // One that is no number is waited for by reading everything anew.
        self.fence(version.parse().unwrap_or(u64::MAX))
    }

    /// The fence after a write of which nobody knows whether it happened: everything is read anew.
    pub(crate) fn may_have_written(&self) -> Fence {
        let fence = self.fence(u64::MAX);
        self.anew.notify_one();
        fence
    }

    /// What is reached by a revision, or by reading everything: by a reading that begins from now on, as one that is under
    /// way may have begun before the write.
    fn fence(&self, revision: u64) -> Fence {
        Fence(Some(Progress {
            revision,
            lists: self.begun.load(Ordering::SeqCst),
        }))
    }

    /// Returns once none of these objects, by key and UID, is shown as one that stays: each is gone, is another one, or is
    /// on its way out.
    pub(crate) async fn left(&self, objects: &[(Key, String)]) {
        let mut progress = self.progress.subscribe();
        for (key, uid) in objects {
            loop {
                // Marked as seen before it is looked at: a change after that is told.
                progress.borrow_and_update();
                let stays = self.get(key).is_some_and(|object| {
                    let metadata = object.meta();
                    metadata.uid.as_deref() == Some(uid) && metadata.deletion_timestamp.is_none()
                });
                if !stays || progress.changed().await.is_err() {
                    break;
                }
            }
        }
    }

    /// The object of that key.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.objects.read().by_key.get(key).cloned()
    }

    /// All objects.
    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.objects.read().by_key.values().cloned().collect()
    }

    /// The objects of a namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.objects.read().in_namespace(namespace)
    }

    /// The objects in a namespace that the owner there with this UID controls. What is elsewhere and says so is nobody's.
    pub(crate) fn controlled_by(&self, namespace: &str, uid: &str) -> Vec<Arc<K>> {
        self.objects.read().controlled_by(namespace, uid)
    }

    /// About how many objects the owner with this UID controls.
    pub(crate) fn count_controlled_by(&self, uid: &str) -> usize {
        let objects = self.objects.read();
        objects.by_controller.get(uid).map_or(0, BTreeSet::len)
    }

    /// The objects of a namespace that nobody controls.
    pub(crate) fn orphans(&self, namespace: &str) -> Vec<Arc<K>> {
        let objects = self.objects.read();
        objects.some(objects.orphans.get(namespace))
    }

    fn take(
        &self,
        event: Event<Readable<K>>,
        reader: &mut Reader,
        listed: &mut Option<BTreeMap<Key, Arc<K>>>,
    ) {
        match event {
            // The API is asked after this.
            Event::Init => {
                self.begun.fetch_add(1, Ordering::SeqCst);
                *listed = Some(BTreeMap::new());
            }
            Event::InitApply(object) => {
                if let (Some(mut object), Some(listed)) = (reader.read(object), listed) {
                    trim(&mut object);
                    listed.insert(key_of(object.meta()), Arc::new(object));
                }
            }
            Event::InitDone => {
                let listed = listed.take().unwrap_or_default();
                let newest = listed.values().map(|object| revision(object.meta())).max();
                // Listeners may read what is in memory: nothing is locked while they are told.
                let changes = self.objects.write().replace(listed);
                for change in changes {
                    self.tell(&change);
                }
                self.progress.send_modify(|progress| {
                    progress.revision = progress.revision.max(newest.unwrap_or(0));
                    progress.lists = self.begun.load(Ordering::SeqCst);
                });
            }
            Event::Apply(object) => {
                let (key, at) = (key_of(object.meta()), revision(object.meta()));
                // Whoever cannot be read is gone, as in a list: what was known of it holds no more.
                let object = reader.read(object).map(|mut object| {
                    trim(&mut object);
                    Arc::new(object)
                });
                let change = self.objects.write().set(key, object);
                self.moved(&change, at);
            }
            Event::Delete(object) => {
                let (key, at) = (key_of(object.meta()), revision(object.meta()));
                let change = self.objects.write().set(key, None);
                self.moved(&change, at);
            }
        }
    }

    /// Listeners hear of a change before anybody who waits for its revision goes on.
    fn moved(&self, change: &Change<K>, at: u64) {
        self.tell(change);
        self.progress
            .send_modify(|progress| progress.revision = progress.revision.max(at));
    }

    fn tell(&self, change: &Change<K>) {
        for listener in self.listeners.read().iter() {
            listener(change);
        }
    }
}

/// Who changed which field is no controller's business, and often most of an object.
fn trim(object: &mut impl Resource) {
    object.meta_mut().managed_fields = None;
}

fn revision(metadata: &ObjectMeta) -> u64 {
    let version = metadata.resource_version.as_deref();
    version.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn at(revision: u64, lists: u64) -> Fence {
        Fence(Some(Progress { revision, lists }))
    }

    fn progress(revision: u64, lists: u64) -> Progress {
        Progress { revision, lists }
    }

    #[test]
    fn a_fence_is_reached_by_its_revision_or_by_reading_everything_anew() {
        assert!(Fence::default().is_reached(progress(0, 0)));
        assert!(!at(7, 1).is_reached(progress(6, 1)));
        assert!(at(7, 1).is_reached(progress(7, 1)));
        assert!(at(7, 1).is_reached(progress(6, 2)));
        // Nobody knows the revision of a write without an answer.
        assert!(!at(u64::MAX, 2).is_reached(progress(u64::MAX, 2)));
        assert!(at(u64::MAX, 2).is_reached(progress(0, 3)));
    }

    #[test]
    fn an_informer_is_ready_only_when_everything_was_read() {
        assert!(!FIRST_LIST.is_reached(Progress::default()));
        assert!(!FIRST_LIST.is_reached(progress(7, 0)));
        assert!(FIRST_LIST.is_reached(progress(0, 1)));
    }

    #[tokio::test]
    async fn a_write_without_an_answer_is_waited_for_by_one_reading_that_begins_after_it() {
        let informer = Informer::<ConfigMap>::new();
        let mut reader = Reader::of("");
        let (mut old, mut new) = (None, None);
        let is_reached = |fence: Fence| fence.is_reached(*informer.progress.borrow());
        informer.take(Event::Init, &mut reader, &mut old);
        let fence = informer.may_have_written();
        let answered = informer.wrote("7");
        informer.take(Event::InitDone, &mut reader, &mut old);
        assert!(
            !is_reached(fence) && !is_reached(answered),
            "begun before the write"
        );
        informer.take(Event::Init, &mut reader, &mut new);
        assert!(!is_reached(fence));
        informer.take(Event::InitDone, &mut reader, &mut new);
        assert!(is_reached(fence) && is_reached(answered));
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_all_else_goes_on() {
        let informer = Informer::<ConfigMap>::new();
        let (mut reader, mut listed) = (Reader::of(""), None);
        let object = |name: &str, version: u32, data: &str| {
            let json = format!(
                r#"{{"metadata":{{"name":"{name}","resourceVersion":"{version}"}},"data":{data}}}"#
            );
            serde_json::from_str::<Readable<ConfigMap>>(&json).unwrap()
        };
        let shown = || -> Vec<String> {
            let all = informer.all();
            all.iter().filter_map(|o| o.metadata.name.clone()).collect()
        };
        let mut take = |event| informer.take(event, &mut reader, &mut listed);
        take(Event::Init);
        take(Event::InitApply(object("a", 1, "7")));
        take(Event::InitApply(object("b", 2, "{}")));
        take(Event::InitDone);
        assert_eq!(shown(), ["b"]);
        take(Event::Apply(object("a", 3, "{}")));
        assert_eq!(shown(), ["a", "b"]);
        // Whoever waits for this write does not do so for ever.
        take(Event::Apply(object("b", 4, "[]")));
        assert_eq!(shown(), ["a"]);
        assert_eq!(informer.progress.borrow().revision, 4);
        take(Event::Delete(object("a", 5, "[]")));
        assert_eq!(shown(), [""; 0]);
    }

    #[test]
    fn two_fences_are_reached_together() {
        let both = at(7, 1).and(Fence::default()).and(at(5, 1));
        assert_eq!(both, at(7, 1));
        assert_eq!(at(7, 1).and(at(u64::MAX, 2)), at(u64::MAX, 2));
    }
}
