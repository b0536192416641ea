//! The garbage collector: objects go with their owners.
//!
//! ```text
//!  metadata of all kinds ──▶ Graph ──▶ queue of UIDs ──▶ ask the API ──▶ plan ──▶ act
//! ```
//!
//! The graph only says what is worth a look. What is done is decided on what the API says of the object
//! and of each of its owners at that moment, and every write names the UID and the version it is about.

mod graph;
mod plan;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy},
    core::{DynamicObject, PartialObjectMeta},
    discovery::{ApiResource, verbs},
    runtime::watcher::{self, Event},
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::{AbortHandle, JoinSet};

use self::{
    graph::{FOREGROUND, Graph, KindId, Place, Uid},
    plan::{Action, OwnerState, Propagation, Snapshot},
};
use crate::{
    caches,
    context::Context,
    discovery::{Kind, Kinds},
    error::{Absent, Result},
    informer::{Change, key_of},
    readable::Readable,
    runner::{self, Next, Queue},
    views::{MetadataView, PodView},
    watch,
};

/// Objects that are looked at at the same time.
const CONCURRENCY: usize = 20;
/// How long the first listings may take before work begins without those that are missing.
const FIRST_LISTINGS: Duration = Duration::from_secs(30);
/// How long a kind that is no longer served is still watched, for the last of its events.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// When an object whose owner nobody knows is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

type Metadata = PartialObjectMeta<DynamicObject>;

struct Collector {
    context: Context,
    graph: Arc<Mutex<Graph>>,
    queue: Queue<Uid>,
}

/// Collects garbage.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue();
    let collector = Collector {
        context,
        graph: Arc::default(),
        queue: queue.clone(),
    };
    let watching = collector.watch_all();
    let working = async {
        collector.first_listings().await;
        runner::work("garbage", CONCURRENCY, &queue, requests, |uid| {
            collector.reconcile(uid)
        })
        .await;
    };
    tokio::join!(watching, working);
}

/// Whether objects of a kind can own and be owned.
fn is_collected(kind: &Kind) -> bool {
    kind.can(&[verbs::LIST, verbs::WATCH, verbs::DELETE]) && !kind.is_event()
}

fn is_pod(resource: &ApiResource) -> bool {
    resource.group.is_empty() && resource.kind == "Pod"
}

impl Collector {
    /// Watches all kinds, as they come and go.
    async fn watch_all(&self) {
        let mut changes = self.context.discovery.changes();
        let mut tasks = JoinSet::new();
        let mut watched: HashMap<(String, String), (ApiResource, KindId, AbortHandle)> =
            HashMap::new();
        loop {
            let kinds = changes.borrow_and_update().clone().unwrap_or_default();
            watched.retain(|(group, name), (resource, id, task)| {
                let now = kinds.find(group, name).filter(|kind| is_collected(kind));
                if now.is_some_and(|now| now.resource == *resource) {
                    return true;
                }
                let (task, graph, id) = (task.clone(), self.graph.clone(), *id);
                let (discovery, group, name) =
                    (self.context.discovery.clone(), group.clone(), name.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(LAST_EVENTS).await;
                    task.abort();
                    // It may be back by now, and its new watch with it.
                    if discovery.kinds().find(&group, &name).is_none() {
                        graph.lock().forget(id);
                    }
                });
                false
            });
            for kind in kinds.0.iter().filter(|kind| is_collected(kind)) {
                let key = (kind.resource.group.clone(), kind.resource.kind.clone());
                if watched.contains_key(&key) {
                    continue;
                }
                let Some(id) = self.graph.lock().kind(kind) else {
                    continue;
                };
                let task = if is_pod(&kind.resource) {
                    tasks.spawn(self.follow_pods(id))
                } else {
                    tasks.spawn(self.watch(&kind.resource, id))
                };
                watched.insert(key, (kind.resource.clone(), id, task));
            }
            let awaiting = self.graph.lock().take_awaiting_kind();
            awaiting.into_iter().for_each(|uid| self.queue.add(uid));
            while tasks.try_join_next().is_some() {}
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Watches one kind.
    fn watch(&self, resource: &ApiResource, id: KindId) -> impl Future<Output = ()> + Send + use<> {
        let (graph, queue) = (self.graph.clone(), self.queue.clone());
        let api: Api<Readable<MetadataView>> = Api::all_with(self.context.client.clone(), resource);
        watch::events(api, watcher::Config::default(), move |event| {
            let mut graph = graph.lock();
            let look_at = match &event {
                Event::Init => {
                    graph.begin(id);
                    Vec::new()
                }
                Event::InitApply(object) | Event::Apply(object) => {
                    graph.apply(id, &object.metadata)
                }
                Event::InitDone => graph.complete(id),
                Event::Delete(object) => match &object.metadata.uid {
                    Some(uid) => graph.remove(Uid::new(uid)),
                    None => Vec::new(),
                },
            };
            drop(graph);
            look_at.into_iter().for_each(|uid| queue.add(uid));
        })
    }

    /// Follows the pods, which are in memory anyway.
    fn follow_pods(&self, id: KindId) -> impl Future<Output = ()> + Send + use<> {
        let (graph, queue) = (self.graph.clone(), self.queue.clone());
        let pods = self.context.pods.clone();
        async move {
            let listener = {
                let (graph, queue) = (graph.clone(), queue.clone());
                let pods = Arc::downgrade(&pods);
                move |change: &Change<PodView>| {
                    let (Some(pods), Some(pod)) = (pods.upgrade(), change.both().next()) else {
                        return;
                    };
                    let uid = |pod: &PodView| pod.metadata.uid.as_deref().map(Uid::new);
                    let mut graph = graph.lock();
                    // What is told may be older than what was told before; what is in memory now is not.
                    let now = pods.get(&key_of(&pod.metadata));
                    let stays = now.as_deref().and_then(uid);
                    let gone = change.both().filter_map(uid);
                    let mut look_at: Vec<Uid> = gone
                        .filter(|uid| Some(*uid) != stays)
                        .flat_map(|uid| graph.remove(uid))
                        .collect();
                    if let Some(pod) = now {
                        look_at.extend(graph.apply(id, &pod.metadata));
                    }
                    drop(graph);
                    look_at.into_iter().for_each(|uid| queue.add(uid));
                }
            };
            caches::follow(&pods, listener);
            pods.ready().await;
            let look_at = graph.lock().complete(id);
            look_at.into_iter().for_each(|uid| queue.add(uid));
            std::future::pending().await
        }
    }

    /// Waits until every kind was listed once, but not for ever.
    async fn first_listings(&self) {
        let all_listed = async {
            loop {
                let kinds = self.context.discovery.kinds();
                let mut collected = kinds.0.iter().filter(|kind| is_collected(kind));
                if collected.all(|kind| self.graph.lock().is_listed(kind)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(FIRST_LISTINGS, all_listed)
            .await
            .is_err()
        {
            tracing::warn!("some kinds cannot be listed; garbage is collected without them");
        }
    }

    fn api(&self, resource: &ApiResource, namespace: Option<&str>) -> Api<Metadata> {
        let client = self.context.client.clone();
        match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, resource),
            None => Api::all_with(client, resource),
        }
    }

    fn api_of(&self, place: &Place) -> Api<Metadata> {
        self.api(
            &place.resource,
            place.namespaced.then_some(&*place.namespace),
        )
    }

    /// Looks at an object.
    async fn reconcile(&self, uid: Uid) -> Result<Next> {
        let Some(place) = self.graph.lock().place(uid) else {
            return Ok(Next::Done);
        };
        let api = self.api_of(&place);
        let live = match api.get(&place.name).await {
            Ok(live) => Some(live),
            Err(error) if is_not_found(&error, &place.name) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(live) = live.filter(|live| is(&live.metadata, uid)) else {
            let look_at = self.graph.lock().remove(uid);
            look_at.into_iter().for_each(|uid| self.queue.add(uid));
            return Ok(Next::Done);
        };
        let snapshot = self.snapshot(uid, &place, &live.metadata).await?;
        let mut next = Next::Done;
        for action in plan::plan(&snapshot) {
            if action == Action::LookAgain {
                next = Next::After(LOOK_AGAIN);
            } else {
                tracing::debug!(
                    kind = place.resource.kind,
                    namespace = &*place.namespace,
                    name = place.name,
                    ?action
                );
                self.carry_out(action, uid, &api, &live.metadata).await?;
            }
        }
        Ok(next)
    }

    async fn snapshot(&self, uid: Uid, place: &Place, live: &ObjectMeta) -> Result<Snapshot> {
        let deleting = live.deletion_timestamp.is_some();
        let mut owners = Vec::new();
        if !deleting {
            let kinds = self.context.discovery.kinds();
            for owner in live.owner_references.iter().flatten() {
                owners.push((
                    owner.uid.clone(),
                    self.owner_state(uid, place, live, owner, &kinds).await?,
                ));
            }
        }
        let graph = self.graph.lock();
        let dependents = graph.dependents(uid);
        Ok(Snapshot {
            deleting,
            finalizers: live.finalizers.clone().unwrap_or_default(),
            owners,
            has_dependents: !dependents.is_empty(),
            has_blocking_dependents: !graph.blocking(uid).is_empty(),
            has_waiting_dependents: graph.any_waits(&dependents),
        })
    }

    /// Asks the API what became of an owner.
    async fn owner_state(
        &self,
        dependent: Uid,
        place: &Place,
        live: &ObjectMeta,
        owner: &OwnerReference,
        kinds: &Kinds,
    ) -> Result<OwnerState> {
        let uid = Uid::new(&owner.uid);
        if self.graph.lock().is_absent(uid) {
            return Ok(OwnerState::Absent);
        }
        let Some(kind) = kinds.find_by_api_version(&owner.api_version, &owner.kind) else {
            // Perhaps not yet: a definition and its objects can be younger than what is known here.
            self.graph.lock().await_kind(dependent);
            // Or it came while this was asked.
            let now = self.context.discovery.kinds();
            if now
                .find_by_api_version(&owner.api_version, &owner.kind)
                .is_some()
            {
                self.queue.add(dependent);
            }
            return Ok(OwnerState::Unknown);
        };
        if kind.namespaced && !place.namespaced {
            self.report(
                place,
                live,
                owner,
                "is in a namespace, and this object is in none".to_owned(),
            )
            .await;
            return Ok(OwnerState::Unknown);
        }
        let namespace = kind.namespaced.then_some(&*place.namespace);
        let found = match self.api(&kind.resource, namespace).get(&owner.name).await {
            Ok(found) => Some(found.metadata).filter(|found| is(found, uid)),
            Err(error) if is_not_found(&error, &owner.name) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(found) = found else {
            let elsewhere = self
                .graph
                .lock()
                .place(uid)
                .filter(|other| other.namespace != place.namespace);
            if elsewhere.is_some() {
                let note = format!("does not exist in namespace {:?}", place.namespace);
                self.report(place, live, owner, note).await;
            }
            return Ok(OwnerState::Absent);
        };
        let waits = found
            .finalizers
            .iter()
            .flatten()
            .any(|name| name == FOREGROUND);
        Ok(if found.deletion_timestamp.is_some() && waits {
            OwnerState::Waiting
        } else {
            OwnerState::Present
        })
    }

    /// Tells people about an owner reference that cannot be right.
    async fn report(&self, place: &Place, live: &ObjectMeta, owner: &OwnerReference, note: String) {
        let about = ObjectReference {
            api_version: Some(place.resource.api_version.clone()),
            kind: Some(place.resource.kind.clone()),
            namespace: live.namespace.clone(),
            name: live.name.clone(),
            uid: live.uid.clone(),
            ..ObjectReference::default()
        };
        let OwnerReference {
            api_version,
            kind,
            name,
            uid,
            ..
        } = owner;
        let note = format!("ownerRef [{api_version}/{kind}, name: {name}, uid: {uid}] {note}");
        self.context
            .warn(
                &about,
                "OwnerRefInvalidNamespace",
                "GarbageCollection",
                note,
            )
            .await;
    }

    async fn carry_out(
        &self,
        action: Action,
        uid: Uid,
        api: &Api<Metadata>,
        live: &ObjectMeta,
    ) -> Result<()> {
        match action {
            Action::LookAgain => {}
            Action::LookAtBlockingDependents => {
                let blocking = self.graph.lock().blocking(uid);
                blocking.into_iter().for_each(|uid| self.queue.add(uid));
            }
            Action::OrphanDependents => {
                let owner = live.uid.clone().unwrap_or_default();
                self.rewrite_dependents(uid, |owners| {
                    owners.retain(|reference| reference.uid != owner)
                })
                .await?;
            }
            Action::UnblockDependents => {
                let owner = live.uid.clone().unwrap_or_default();
                self.rewrite_dependents(uid, |owners| {
                    for reference in owners.iter_mut().filter(|reference| reference.uid == owner) {
                        reference.block_owner_deletion = Some(false);
                    }
                })
                .await?;
            }
            Action::RemoveFinalizer(finalizer) => {
                let mut finalizers = live.finalizers.clone().unwrap_or_default();
                finalizers.retain(|name| name != finalizer);
                write(api, live, json!({ "finalizers": finalizers })).await?;
            }
            Action::RemoveOwnerReferences(uids) => {
                let mut owners = live.owner_references.clone().unwrap_or_default();
                owners.retain(|owner| !uids.contains(&owner.uid));
                write(api, live, json!({ "ownerReferences": owners })).await?;
            }
            Action::Delete(propagation) => {
                let options = DeleteParams {
                    propagation_policy: Some(match propagation {
                        Propagation::Orphan => PropagationPolicy::Orphan,
                        Propagation::Background => PropagationPolicy::Background,
                        Propagation::Foreground => PropagationPolicy::Foreground,
                    }),
                    preconditions: Some(Preconditions {
                        uid: live.uid.clone(),
                        resource_version: live.resource_version.clone(),
                    }),
                    ..DeleteParams::default()
                };
                api.delete(live.name.as_deref().unwrap_or_default(), &options)
                    .await
                    .or_absent()?;
            }
        }
        Ok(())
    }

    /// Changes the owner references of everything that an object owns.
    async fn rewrite_dependents(
        &self,
        owner: Uid,
        change: impl Fn(&mut Vec<OwnerReference>),
    ) -> Result<()> {
        let dependents = self.graph.lock().dependents(owner);
        for dependent in dependents {
            let Some(place) = self.graph.lock().place(dependent) else {
                continue;
            };
            let api = self.api_of(&place);
            let Some(live) = api.get(&place.name).await.or_absent()? else {
                continue;
            };
            if !is(&live.metadata, dependent) {
                continue;
            }
            let old = live.metadata.owner_references.clone().unwrap_or_default();
            let mut owners = old.clone();
            change(&mut owners);
            if owners != old {
                write(&api, &live.metadata, json!({ "ownerReferences": owners })).await?;
            }
        }
        Ok(())
    }
}

fn is(metadata: &ObjectMeta, uid: Uid) -> bool {
    metadata.uid.as_deref().map(Uid::new) == Some(uid)
}

/// Whether the API says of this very object that it is not there. That its kind is not served is not an
/// answer.
fn is_not_found(error: &kube::Error, name: &str) -> bool {
    match error {
        kube::Error::Api(status) => {
            status.code == 404
                && status
                    .details
                    .as_ref()
                    .is_some_and(|details| details.name == name)
        }
        _ => false,
    }
}

/// Changes the metadata of an object, if it is still as it was seen.
async fn write(
    api: &Api<Metadata>,
    seen: &ObjectMeta,
    mut metadata: serde_json::Value,
) -> Result<()> {
    if let Some(fields) = metadata.as_object_mut() {
        for list in fields.values_mut() {
            if list.as_array().is_some_and(Vec::is_empty) {
                *list = serde_json::Value::Null;
            }
        }
        fields.insert("uid".to_owned(), json!(seen.uid));
        fields.insert("resourceVersion".to_owned(), json!(seen.resource_version));
    }
    let name = seen.name.as_deref().unwrap_or_default();
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    api.patch(name, &PatchParams::default(), &patch)
        .await
        .or_absent()?;
    Ok(())
}
