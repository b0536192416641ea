//! The loop that all kinds of workloads share.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    Metadata, NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Client, core::Resource};
use mosaic_api::LabelSelector;
use mosaic_workloads::{Failure, Kind, Plan, Pod, daemon_set::Backoff};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::{
    Caches, Pending,
    caches::planned,
    carry_out::{CarryOut, Failed},
    rest::Resting,
    triggers::Selectors,
};
use crate::{
    context::Context,
    error::{Error, Result},
    events::{self, Events},
    informer::{Fence, Informer, Key, controller_of},
    runner::{self, Next, Queue},
};

/// How many objects of one kind are looked at at the same time.
const CONCURRENCY: usize = 64;

/// When to plan anew after names of children turned out to be taken.
const TAKEN_RETRY: Duration = Duration::from_millis(50);

/// A kind of workload: which objects a plan for one is made from, and which changes ask for a plan.
pub(super) trait Workload: Sized + Send + Sync + 'static {
    /// The kind's objects.
    type Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + k8s_openapi::Resource
        + Metadata<Ty = ObjectMeta>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync;
    /// The kind's status.
    type Status: Serialize + Sync + Send;

    /// The controller's name, as events have it.
    const CONTROLLER: &'static str;

    /// Where its objects are.
    fn objects(caches: &Caches) -> &Arc<Informer<Self::Object>>;

    /// Which orphans an object of the kind would adopt; none for kinds that adopt nothing.
    fn selector(_object: &Self::Object) -> Option<LabelSelector> {
        None
    }

    /// How long changes of an object's children are gathered, so that what comes together is planned at once.
    fn gather(_caches: &Caches, _uid: &str) -> Duration {
        Duration::ZERO
    }

    /// Lets changes of other objects ask for plans.
    fn listen(controller: &Arc<Controller<Self>>);

    /// The plan for an object.
    fn plan(look: &Look<'_, Self>) -> Plan<Self::Status>;

    /// Remembers what the next plan has to know of one that was carried out.
    fn remember(_look: &Look<'_, Self>, _plan: &Plan<Self::Status>, _backoff: &mut Backoff) {}
}

/// What a plan is made from.
pub(super) struct Look<'a, W: Workload> {
    pub(super) caches: &'a Caches,
    pub(super) object: &'a W::Object,
    /// Whether there may be orphans that the object's selector matches. Otherwise nobody needs to look through all
    /// orphans of the namespace, of which there may be tens of thousands.
    pub(super) adopts: bool,
    /// What is known from earlier plans.
    pub(super) memory: &'a Memory,
    pub(super) now: Timestamp,
}

impl<W: Workload> Look<'_, W> {
    /// The children of this kind: those that the object controls, and orphans if there may be some.
    pub(super) fn children<K>(&self, informer: &Informer<K>) -> Vec<Arc<K>>
    where
        K: kube::Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let uid = self.object.meta().uid.as_deref().unwrap_or_default();
        let mut children = informer.controlled_by(self.namespace(), uid);
        if self.adopts {
            children.extend(informer.orphans(self.namespace()));
        }
        children
    }

    /// The namespace that it is in, and all that belongs to it.
    pub(super) fn namespace(&self) -> &str {
        self.object.meta().namespace.as_deref().unwrap_or_default()
    }

    /// The pods among the children.
    pub(super) fn pods(&self) -> Vec<Arc<Pod>> {
        planned(self.children(&self.caches.pods))
    }

    /// Pods that are none of the children and have names which children were to have.
    pub(super) fn taken_pods(&self) -> Vec<Arc<Pod>> {
        planned(self.taken(Kind::Pod, &self.caches.pods))
    }

    /// Objects that are none of the children and have names which children were to have.
    pub(super) fn taken<K>(&self, kind: Kind, informer: &Informer<K>) -> Vec<Arc<K>>
    where
        K: kube::Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let own = self.object.meta().uid.as_deref();
        let taken = self.memory.taken.iter().filter(|(of, _)| *of == kind);
        taken
            .filter_map(|(_, key)| informer.get(key))
            // Own ones are among the children, and so are orphans if there may be some.
            .filter(|found| match controller_of(found.meta()) {
                Some(owner) => Some(owner.uid.as_str()) != own,
                None => !self.adopts,
            })
            .collect()
    }
}

/// What is remembered of an object between plans. All of it may be lost.
#[derive(Default)]
pub(super) struct Memory {
    /// What has to be in memory before the next plan.
    pending: Pending,
    /// The same for the object itself.
    own: Fence,
    /// Why the last plan failed.
    pub(super) failure: Option<Failure>,
    /// Names of children that others have.
    pub(super) taken: Vec<(Kind, Key)>,
    /// Hosts on which pods failed.
    pub(super) backoff: Backoff,
}

/// The controller of one kind.
pub(super) struct Controller<W: Workload> {
    pub(super) caches: Arc<Caches>,
    pub(super) selectors: Selectors,
    pub(super) queue: Queue<Key>,
    /// Objects whose children were refused.
    pub(super) resting: Resting,
    client: Client,
    events: Events,
    memories: Mutex<HashMap<Key, Memory>>,
    /// Objects that may have orphans to adopt.
    adopting: Mutex<HashSet<Key>>,
    kind: std::marker::PhantomData<W>,
}

impl<W: Workload> Controller<W> {
    /// Runs for as long as it is polled.
    pub(super) async fn run(context: &Context, caches: &Arc<Caches>) {
        let (queue, requests) = runner::queue::<Key>();
        let (events, writer) = events::events(
            context.client.clone(),
            W::CONTROLLER,
            &context.options.identity,
        );
        let controller = Arc::new(Self {
            caches: caches.clone(),
            selectors: Selectors::default(),
            queue,
            resting: Resting::default(),
            client: context.client.clone(),
            events,
            memories: Mutex::default(),
            adopting: Mutex::default(),
            kind: std::marker::PhantomData,
        });
        controller.listen();
        tokio::join!(writer.run(), async {
            caches.ready().await;
            runner::work(
                W::CONTROLLER,
                CONCURRENCY,
                &controller.queue,
                requests,
                |key| controller.reconcile(key),
            )
            .await;
        });
    }

    /// Notes that there may be orphans for an object, and asks for a plan.
    pub(super) fn may_adopt(&self, key: Key) {
        self.adopting.lock().insert(key.clone());
        self.queue.add(key);
    }

    async fn reconcile(&self, key: Key) -> Result<Next> {
        // The runner never works on a key twice at a time: its memory can be taken out meanwhile.
        let mut memory = self.memories.lock().remove(&key).unwrap_or_default();
        memory.pending.settled(&self.caches).await;
        let informer = W::objects(&self.caches);
        informer.reach(std::mem::take(&mut memory.own)).await;
        let adopts = self.adopting.lock().remove(&key);
        let Some(object) = informer.get(&key) else {
            self.resting.forget(&key);
            return Ok(Next::Done);
        };
        self.resting.begins(&key);
        let result = self.look_at(&key, &object, adopts, &mut memory).await;
        self.resting.ended(&key);
        if result.is_err() && adopts {
            self.adopting.lock().insert(key.clone());
        }
        self.memories.lock().insert(key, memory);
        result
    }

    async fn look_at(
        &self,
        key: &Key,
        object: &W::Object,
        adopts: bool,
        memory: &mut Memory,
    ) -> Result<Next> {
        let rests = self.resting.left(key, Instant::now());
        let look = Look::<W> {
            caches: &self.caches,
            object,
            adopts,
            memory,
            now: Timestamp::now(),
        };
        let plan = W::plan(&look);
        let mut backoff = memory.backoff.clone();
        W::remember(&look, &plan, &mut backoff);
        let mut work = CarryOut::new(
            &self.client,
            &self.caches,
            &self.events,
            object,
            &memory.taken,
            rests.is_some(),
        );
        let result = work.carry_out(&plan).await;
        let done = work.done();
        memory.backoff = backoff;
        memory.pending.extend(done.pending);
        memory.own = match &done.version {
            None => Fence::default(),
            Some(Some(version)) => W::objects(&self.caches).wrote(version),
            Some(None) => W::objects(&self.caches).may_have_written(),
        };
        let has_found_taken = !done.taken.is_empty();
        if result.is_ok() && !has_found_taken {
            memory.taken.clear();
        }
        let is_new = |taken: &(Kind, Key)| !memory.taken.contains(taken);
        let found: Vec<_> = done.taken.into_iter().filter(is_new).collect();
        memory.taken.extend(found);
        let again = plan.again.map(until);
        match result {
            // Nothing has changed about why the last creations failed.
            Ok(()) if done.held => Ok(Next::After(
                again.into_iter().chain(rests).min().unwrap_or_default(),
            )),
            Ok(()) => {
                memory.failure = None;
                self.resting.forget(key);
                // The next plan chooses other names, once those that have them are in memory.
                if has_found_taken {
                    return Ok(Next::After(TAKEN_RETRY));
                }
                Ok(again.map_or(Next::Done, Next::After))
            }
            // Everything in it goes: there is nothing to do any more, and nobody to tell.
            Err(failed) if failed.namespace_goes() => Ok(Next::Done),
            Err(failed) if failed.is_refused_creation() => {
                let wait = self.resting.refused(key, Instant::now());
                tell_refusal(W::CONTROLLER, key, &failed, memory.failure.is_none(), wait);
                memory.failure = failed.failure();
                Ok(Next::After(wait))
            }
            Err(failed) => {
                memory.failure = failed.failure();
                Err(Error::from(failed))
            }
        }
    }
}

/// Says that children were refused: once, and not at each further try.
fn tell_refusal(controller: &str, key: &Key, failed: &Failed, first: bool, wait: Duration) {
    let (namespace, name) = key;
    let message = failed.message();
    if first {
        tracing::warn!(controller, %namespace, %name, message, "refused; tried again until it is not");
    } else {
        tracing::debug!(controller, %namespace, %name, message, again_in = ?wait, "still refused");
    }
}

/// How long it is until that moment.
fn until(moment: Timestamp) -> Duration {
    let left = moment.duration_since(Timestamp::now());
    Duration::try_from(left).unwrap_or(Duration::ZERO)
}
