//! What makes the controller look at a service.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    api::{core::v1::Endpoints, discovery::v1::EndpointSlice},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Resource,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;

use super::{
    Controller, Shared,
    endpoint::{is_reachable, zone},
    index::Index,
    labels::{MANAGED_BY, MIRROR_MANAGER, SERVICE_NAME, SLICE_MANAGER},
    ledger::Object,
    service::ServiceView,
};
use crate::{
    error::Result,
    informer::{Change, Key, key_of},
    readable::Readable,
    runner::Next,
    views::{NodeView, PodView},
    watch,
};

/// Hosts often come together.
const HOSTS_SETTLE: Duration = Duration::from_millis(200);
/// Until then the answer to a write of one's own that the watch told of is there.
const ECHO: Duration = Duration::from_millis(500);

/// The version of an object.
pub(super) fn version(metadata: &ObjectMeta) -> u64 {
    let version = metadata.resource_version.as_deref();
    version.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Hears of services, pods and hosts from now on. Informers may outlive the controller.
pub(super) fn listen(controller: &Arc<Controller>) {
    let this = Arc::downgrade(controller);
    controller.services.listen(move |change| {
        if let Some(this) = this.upgrade() {
            this.service_changed(change);
        }
    });
    let this = Arc::downgrade(controller);
    controller.pods.listen(move |change| {
        if let Some(this) = this.upgrade() {
            this.pod_changed(change);
        }
    });
    let this = Arc::downgrade(controller);
    controller.nodes.listen(move |change| {
        if let Some(this) = this.upgrade() {
            this.host_changed(change);
        }
    });
}

impl Controller {
    /// Takes in what there is, and looks at every service.
    pub(super) fn begin(&self) {
        let shared = &mut *self.shared.lock();
        let index = shared.index.insert(Index::default());
        let services = self.services.all();
        for service in &services {
            index.set_service(&key_of(&service.metadata), service.selector(), []);
        }
        for pod in self.pods.all() {
            index.pod_changed(&key_of(&pod.metadata), None, Some(pod.labels()));
        }
        for service in services {
            self.request(shared, key_of(&service.metadata));
        }
    }

    fn request(&self, shared: &mut Shared, key: Key) {
        let pods = shared.index.as_ref().map_or(0, |index| index.count(&key));
        let ledger = shared.ledgers.entry(key.clone()).or_default();
        ledger.request();
        self.queue.add_after(key, ledger.settle(pods));
    }

    fn service_changed(&self, change: &Change<ServiceView>) {
        let Some(some) = change.both().next() else {
            return;
        };
        let key = key_of(&some.metadata);
        let shared = &mut *self.shared.lock();
        let Some(index) = &mut shared.index else {
            return;
        };
        let old = change.old.as_deref();
        let new = change.new.as_deref();
        let selector = new.and_then(ServiceView::selector);
        if old.and_then(ServiceView::selector) != selector {
            let pods = match selector {
                Some(_) => self.pods.in_namespace(&key.0),
                None => Vec::new(),
            };
            let pods: Vec<_> = pods
                .iter()
                .map(|pod| (key_of(&pod.metadata).1, Some(pod.labels())))
                .collect();
            let pods = pods.iter().map(|(name, labels)| (name, *labels));
            index.set_service(&key, selector, pods);
        }
        if old.is_none() || new.is_none() {
            let ledger = shared.ledgers.entry(key.clone()).or_default();
            ledger.set_gone(new.is_none());
        } else if old.map(what_matters) == new.map(what_matters) {
            return;
        }
        self.request(shared, key);
    }

    fn pod_changed(&self, change: &Change<PodView>) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        if let (Some(old), Some(new)) = (old, new)
            && is_same_to_services(old, new)
        {
            return;
        }
        let Some(some) = old.or(new) else {
            return;
        };
        let key = key_of(&some.metadata);
        let shared = &mut *self.shared.lock();
        let Some(index) = &mut shared.index else {
            return;
        };
        let services = index.pod_changed(&key, labels(old), labels(new));
        if change.both().any(is_reachable) {
            self.request_all(shared, &key.0, services);
        }
    }

    fn request_all(&self, shared: &mut Shared, namespace: &Arc<str>, names: BTreeSet<Arc<str>>) {
        for name in names {
            self.request(shared, (namespace.clone(), name));
        }
    }

    fn host_changed(&self, change: &Change<NodeView>) {
        let zone_of =
            |node: &Option<Arc<NodeView>>| node.as_ref().map(|node| zone(node).map(str::to_owned));
        if zone_of(&change.old) == zone_of(&change.new) {
            return;
        }
        let name = change
            .both()
            .next()
            .and_then(|node| node.metadata.name.clone());
        self.shared.lock().hosts.extend(name);
        self.hosts.add_after((), HOSTS_SETTLE);
    }

    /// Looks at the services of the pods on hosts that changed: rare enough to look at all pods for it.
    pub(super) async fn hosts_changed(&self) -> Result<Next> {
        let hosts = std::mem::take(&mut self.shared.lock().hosts);
        let there = |pod: &Arc<PodView>| {
            let host = pod.node.as_deref();
            host.is_some_and(|host| hosts.contains(host))
        };
        let mut pods = self.pods.all();
        pods.retain(there);
        let shared = &mut *self.shared.lock();
        let mut services: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
        for pod in pods {
            let namespace = key_of(&pod.metadata).0;
            let index = shared.index.as_ref();
            let theirs = index.map(|index| index.selecting(&namespace, Some(pod.labels())));
            services
                .entry(namespace)
                .or_default()
                .extend(theirs.into_iter().flatten());
        }
        for (namespace, names) in services {
            self.request_all(shared, &namespace, names);
        }
        Ok(Next::Done)
    }

    /// Follows the slices that are kept here, for what others do to them.
    pub(super) async fn watch_slices(&self) {
        let kept = format!("{MANAGED_BY} in ({SLICE_MANAGER},{MIRROR_MANAGER})");
        let config = watcher::Config::default().labels(&kept);
        let object = |metadata: &ObjectMeta| {
            let service = metadata.labels.as_ref()?.get(SERVICE_NAME)?;
            let namespace = metadata.namespace.as_deref()?;
            let key = (namespace.into(), service.as_str().into());
            Some((key, Object::Slice(metadata.name.clone()?)))
        };
        let is_slice = |object: &Object| matches!(object, Object::Slice(_));
        self.watch_objects::<EndpointSlice>(config, object, is_slice)
            .await;
    }

    /// Follows `Endpoints`.
    pub(super) async fn watch_endpoints(&self) {
        let object = |metadata: &ObjectMeta| Some((key_of(metadata), Object::Endpoints));
        let is_endpoints = |object: &Object| *object == Object::Endpoints;
        let config = watcher::Config::default();
        self.watch_objects::<Endpoints>(config, object, is_endpoints)
            .await;
    }

    async fn watch_objects<K>(
        &self,
        config: watcher::Config,
        object: impl Fn(&ObjectMeta) -> Option<(Key, Object)>,
        is_one: impl Fn(&Object) -> bool,
    ) where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    {
        let api: Api<Readable<PartialObjectMeta<K>>> = Api::all(self.context.client.clone());
        let mut listed: HashSet<(Key, Object)> = HashSet::new();
        watch::events(api, config, |event| match event {
            Event::Init => listed.clear(),
            Event::InitApply(one) => {
                if let Some((key, object)) = object(&one.metadata) {
                    self.told(&key, object.clone(), Some(version(&one.metadata)));
                    listed.insert((key, object));
                }
            }
            Event::InitDone => self.told_all(&std::mem::take(&mut listed), &is_one),
            Event::Apply(one) => {
                if let Some((key, object)) = object(&one.metadata) {
                    self.told(&key, object, Some(version(&one.metadata)));
                }
            }
            Event::Delete(one) => {
                if let Some((key, object)) = object(&one.metadata) {
                    self.told(&key, object, None);
                }
            }
        })
        .await;
    }

    fn told(&self, key: &Key, object: Object, version: Option<u64>) {
        let mut shared = self.shared.lock();
        let ledger = shared.ledgers.entry(key.clone()).or_default();
        if ledger.tell(object, version) {
            self.queue.add_after(key.clone(), ECHO);
        } else if ledger.is_empty() {
            shared.ledgers.remove(key);
        }
    }

    /// These are all that there are: others went while nobody looked.
    fn told_all(&self, there: &HashSet<(Key, Object)>, is_one: impl Fn(&Object) -> bool) {
        let shared = &mut *self.shared.lock();
        for (key, ledger) in &mut shared.ledgers {
            let is_there =
                |object: &Object| !is_one(object) || there.contains(&(key.clone(), object.clone()));
            for object in ledger.missing(is_there) {
                if ledger.tell(object, None) {
                    self.queue.add_after(key.clone(), ECHO);
                }
            }
        }
    }
}

fn labels(pod: Option<&PodView>) -> Option<&BTreeMap<String, String>> {
    pod.map(|pod| pod.labels())
}

/// What endpoints are made of, besides pods and hosts.
fn what_matters(service: &ServiceView) -> impl PartialEq + '_ {
    let metadata = &service.metadata;
    let is_going = metadata.deletion_timestamp.is_some();
    (&metadata.uid, &metadata.labels, is_going, &service.spec)
}

/// Whether no service would tell two states of a pod apart.
fn is_same_to_services(old: &PodView, new: &PodView) -> bool {
    old.metadata.labels == new.metadata.labels
        && old.metadata.uid == new.metadata.uid
        && old.node == new.node
        && old.spec == new.spec
        && old.status.address == new.status.address
        && old.status.addresses == new.status.addresses
        && old.is_terminating() == new.is_terminating()
        && old.has_ended() == new.has_ended()
        && old.ready == new.ready
}
