//! Where services are: the `EndpointSlice`s and the `Endpoints` of services with a selector, and slices that
//! show what somebody wrote as `Endpoints` for a service without one.
//!
//! ```text
//!   pods ──▶ index (which services) ─┐
//!   hosts ─▶ pods there ─────────────┤                  ┌▶ plan.rs ──▶ slices.rs (packing.rs) ─┐
//!   services ────────────────────────┼▶ gather ▶ read ──┼▶ legacy.rs ──────────────────────────┼▶ write
//!   slices, Endpoints ▶ ledger ──────┘  (ledger.rs)     └▶ mirror.rs ─▶ slices.rs ─────────────┘
//!                (only what others wrote)
//! ```
//!
//! Pods are read from the memory that all controllers share, and a service finds its own there without looking
//! at others. Slices are not kept: they are read when a service is looked at, which happens at most once a
//! second for a service of thousands. Of each only its version is remembered, so that the watch's echo of a
//! write is not taken for a change.

mod endpoint;
mod index;
mod labels;
mod ledger;
mod legacy;
mod mirror;
mod packing;
mod plan;
mod pod;
mod service;
mod slices;
#[cfg(test)]
mod testing;
mod triggers;
mod write;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use k8s_openapi::api::{core::v1::Endpoints, discovery::v1::EndpointSlice};
use kube::{Api, api::ListParams, runtime::watcher};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    context::Context,
    error::Result,
    informer::{Informer, Key},
    runner::{self, Next, Queue},
    views::{NodeView, PodView},
};
pub(crate) use pod::{NamedPort, address, addresses, named_ports, sidecar_ports};

use endpoint::{Hosts, zone};
use index::Index;
use ledger::{Ledger, Look, Object, Versions};
use service::ServiceView;

/// How many services are looked at at the same time.
const CONCURRENCY: usize = 8;
/// Slices that are read at once: some three megabytes of them.
const PAGE: u32 = 100;

/// The controller.
struct Controller {
    context: Context,
    pods: Arc<Informer<PodView>>,
    nodes: Arc<Informer<NodeView>>,
    services: Arc<Informer<ServiceView>>,
    shared: Mutex<Shared>,
    queue: Queue<Key>,
    hosts: Queue<()>,
}

/// What listeners and the worker share.
#[derive(Default)]
struct Shared {
    /// Nothing before everything was read for the first time.
    index: Option<Index>,
    ledgers: HashMap<Key, Ledger>,
    /// Hosts whose zone changed, that came or that went.
    hosts: HashSet<String>,
}

/// Keeps endpoints up to date. Pods and hosts are watched by whoever runs these informers.
pub(crate) async fn run(
    context: Context,
    pods: Arc<Informer<PodView>>,
    nodes: Arc<Informer<NodeView>>,
) {
    let (queue, requests) = runner::queue::<Key>();
    let (hosts, changed_hosts) = runner::queue::<()>();
    let controller = Arc::new(Controller {
        services: Informer::new(),
        shared: Mutex::default(),
        context,
        pods,
        nodes,
        queue,
        hosts,
    });
    triggers::listen(&controller);
    let this = &*controller;
    let services = Api::all(this.context.client.clone());
    tokio::join!(
        this.services.run(services, watcher::Config::default()),
        this.watch_slices(),
        this.watch_endpoints(),
        async {
            tokio::join!(this.services.ready(), this.pods.ready(), this.nodes.ready());
            this.begin();
            tokio::join!(
                runner::work("endpoints", CONCURRENCY, &this.queue, requests, |key| {
                    this.reconcile(key)
                }),
                runner::work("endpoints-hosts", 1, &this.hosts, changed_hosts, |()| {
                    this.hosts_changed()
                }),
            )
        },
    );
}

impl Controller {
    /// Looks at a service, if there is a reason to.
    async fn reconcile(&self, key: Key) -> Result<Next> {
        let (look, pods) = {
            let shared = &mut *self.shared.lock();
            let Some(ledger) = shared.ledgers.get_mut(&key) else {
                return Ok(Next::Done);
            };
            let Some(look) = ledger.begin() else {
                return Ok(Next::Done);
            };
            (look, shared.index.as_ref().map(|index| index.pods_of(&key)))
        };
        let began = Instant::now();
        let result = self.look_at(&key, pods.unwrap_or_default(), look).await;
        let mut shared = self.shared.lock();
        let ledger = shared.ledgers.entry(key.clone()).or_default();
        match result {
            Ok(versions) => {
                ledger.done(versions, began.elapsed());
                if ledger.is_empty() {
                    shared.ledgers.remove(&key);
                }
                Ok(Next::Done)
            }
            Err(error) => {
                ledger.failed(look);
                Err(error)
            }
        }
    }

    /// Makes a service's objects what they should be, and returns their versions.
    async fn look_at(&self, key: &Key, pods: Vec<Arc<str>>, look: Look) -> Result<Versions> {
        let (namespace, name) = key;
        let slices = self.slices(key).await?;
        let api: Api<Endpoints> = Api::namespaced(self.context.client.clone(), namespace);
        let endpoints = api.get_opt(name).await?;
        let pods = pods.into_iter();
        let pods: Vec<_> = pods
            .filter_map(|pod| self.pods.get(&(namespace.clone(), pod)))
            .collect();
        let plan = match self.services.get(key) {
            // Its slices went with it, or will: the garbage collector's business.
            None => Plan {
                slices: slices::remove(labels::MIRROR_MANAGER, &slices),
                endpoints: endpoints
                    .as_ref()
                    .filter(|endpoints| legacy::is_ours(endpoints) || look.gone)
                    .and_then(legacy::remove),
            },
            Some(service) => plan(
                &service,
                &pods,
                &self.hosts_of(&pods),
                &slices,
                endpoints.as_ref(),
            ),
        };
        let mut versions = Versions::new();
        for slice in &slices {
            let name = slice.metadata.name.clone().unwrap_or_default();
            versions.insert(Object::Slice(name), triggers::version(&slice.metadata));
        }
        if let Some(endpoints) = &endpoints {
            versions.insert(Object::Endpoints, triggers::version(&endpoints.metadata));
        }
        write::slices(&self.context, namespace, plan.slices, &mut versions).await?;
        write::endpoints(&self.context, namespace, plan.endpoints, &mut versions).await?;
        Ok(versions)
    }

    /// The slices of a service, whoever keeps them.
    async fn slices(&self, (namespace, name): &Key) -> Result<Vec<EndpointSlice>> {
        let api: Api<EndpointSlice> = Api::namespaced(self.context.client.clone(), namespace);
        let of_service = format!("{}={name}", labels::SERVICE_NAME);
        let mut page = ListParams::default().labels(&of_service).limit(PAGE);
        let mut slices = Vec::new();
        loop {
            let list = api.list(&page).await?;
            slices.extend(list.items);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(slices),
            }
        }
    }

    /// The hosts of these pods, as far as they exist.
    fn hosts_of(&self, pods: &[Arc<PodView>]) -> Hosts {
        let mut hosts = Hosts::new();
        let mut looked_for: HashSet<&str> = HashSet::new();
        for name in pods.iter().filter_map(|pod| pod.node.as_deref()) {
            if !looked_for.insert(name) {
                continue;
            }
            if let Some(node) = self.nodes.get(&("".into(), name.into())) {
                hosts.insert(name.to_owned(), zone(&node).map(str::to_owned));
            }
        }
        hosts
    }
}

/// What is to be done about a service.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    slices: Vec<slices::Action>,
    endpoints: Option<legacy::Action>,
}

fn plan(
    service: &ServiceView,
    pods: &[Arc<PodView>],
    hosts: &Hosts,
    slices: &[EndpointSlice],
    endpoints: Option<&Endpoints>,
) -> Plan {
    if service.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    if service.selector().is_some() {
        let mut actions = plan::plan(service, pods, hosts, slices);
        actions.extend(slices::remove(labels::MIRROR_MANAGER, slices));
        return Plan {
            slices: actions,
            endpoints: legacy::plan(service, pods, hosts, endpoints),
        };
    }
    // Nobody keeps what was made for a selector that it has no more: the addresses will be others' one day.
    let mut actions = slices::remove(labels::SLICE_MANAGER, slices);
    if service.is_external() {
        actions.extend(slices::remove(labels::MIRROR_MANAGER, slices));
        let ours = endpoints.filter(|endpoints| legacy::is_ours(endpoints));
        return Plan {
            slices: actions,
            endpoints: ours.and_then(legacy::remove),
        };
    }
    // What is there as `Endpoints` is whoever removed the selector's from now on.
    let mut mirrored = mirror::plan(service, endpoints, slices);
    mirrored.append(&mut actions);
    Plan {
        slices: mirrored,
        endpoints: None,
    }
}
