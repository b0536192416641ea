//! The life of hosts: who is heard and who is silent, and what follows from that.
//!
//! ```text
//!   leases ──▶ hearing ──▶ standing of each host ──▶ plan ──▶ conditions and taints ──▶ scheduler
//!   hosts ───▶ (hearing.rs, zones.rs)               (plan.rs)        │                  taint eviction
//!                                                                    └──▶ its pods are not ready
//! ```
//!
//! A host is heard when its lease in `kube-node-lease` is renewed, or when it posts its status. When it was not heard
//! for the grace period, by the clock of this process, its conditions become `Unknown` and it gets the taint
//! `node.kubernetes.io/unreachable`: at once the one that keeps new pods away, and, unless most of its zone is silent
//! with it, the one that drives its pods away.
//!
//! Nobody is held to be silent because this process did not listen: it begins to count when it begins to work, asks the API
//! for the host's lease once more before it says so, and gives everybody the grace period anew when nobody at
//! all was heard for a while.

mod hearing;
mod plan;
#[cfg(test)]
mod tests;
mod zones;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::watcher::{self, Event},
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

pub(crate) use self::plan::UNREACHABLE;
use self::{
    hearing::{Eviction, Hearing, Moment, Said, Sight, Standing},
    plan::plan,
};
use crate::{
    caches,
    context::Context,
    error::{Absent, Result},
    events::{self, Events},
    informer::{Change, Key},
    readable::Readable,
    runner::{self, Next, Queue},
    views::{Endures, LeaseView, NodeView, PodView},
    watch,
};

/// Where hosts have their leases.
const LEASES: &str = "kube-node-lease";
/// How many hosts, pods and questions are worked on at a time.
const CONCURRENCY: usize = 64;
/// Hosts often change together.
const GATHER: Duration = Duration::from_millis(20);
/// The pause after the API could not be asked.
const RETRY: Duration = Duration::from_millis(500);
/// How long pods wait to be marked as not ready, so that those are gone that leave a lost host at once.
const AFTER_EVICTION: Duration = Duration::from_millis(250);

/// When a host that is not heard counts as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeSettings {
    /// How long a host may be silent before its conditions become `Unknown` and it is tainted. Hosts should
    /// renew their leases at least twice in it, better four times.
    pub grace_period: Duration,
    /// How long a zone of which most hosts are silent is left alone.
    pub zone_eviction_delay: Duration,
    /// How much later the next host of such a zone loses its pods, each time.
    pub zone_eviction_interval: Duration,
}

impl Default for NodeSettings {
    /// 40 s, 5 minutes, and 10 s.
    fn default() -> Self {
        Self {
            grace_period: Duration::from_secs(40),
            zone_eviction_delay: Duration::from_secs(300),
            zone_eviction_interval: Duration::from_secs(10),
        }
    }
}

/// What listeners share; it does not hold what they listen to.
struct Ear {
    hearing: Mutex<Hearing>,
    begun: Instant,
    changed: Notify,
    queue: Queue<Arc<str>>,
}

impl Ear {
    fn now(&self) -> Moment {
        self.begun.elapsed()
    }

    fn saw(&self, change: &Change<NodeView>) {
        let Some(node) = change.both().last() else {
            return;
        };
        let name: Arc<str> = node.name().into();
        let changed = if change.new.is_some() {
            self.hearing.lock().node(&name, said(node), self.now())
        } else {
            self.hearing.lock().forget(&name);
            true
        };
        self.queue.add(name);
        if changed {
            self.changed.notify_one();
        }
    }

    fn leased(&self, lease: &LeaseView, sight: Sight) {
        let (Some(name), Some(renewed)) = (&lease.metadata.name, &lease.spec.renew_time) else {
            return;
        };
        let name: Arc<str> = name.as_str().into();
        if self.hearing.lock().lease(&name, renewed, sight, self.now()) {
            self.queue.add(name);
            self.changed.notify_one();
        }
    }
}

fn said(node: &NodeView) -> Said {
    let ready = node.condition("Ready");
    Said {
        zone: (
            node.label("topology.kubernetes.io/region").into(),
            node.label("topology.kubernetes.io/zone").into(),
        ),
        ready: ready.map(|ready| ready.status.clone()),
        heartbeat: ready.and_then(|ready| ready.last_heartbeat_time.clone()),
    }
}

struct Nodes {
    context: Context,
    ear: Arc<Ear>,
    pods: Queue<Key>,
    events: Events,
}

/// Keeps conditions and taints of hosts as they are heard.
pub(crate) async fn run(context: Context) {
    let (queue, hosts) = runner::queue::<Arc<str>>();
    let (pods, unready) = runner::queue::<Key>();
    let ear = Arc::new(Ear {
        hearing: Mutex::new(Hearing::new(context.options.settings.nodes)),
        begun: Instant::now(),
        changed: Notify::new(),
        queue: queue.clone(),
    });
    let listener = ear.clone();
    caches::follow(&context.nodes, move |change| listener.saw(change));
    let (client, identity) = (context.client.clone(), context.options.identity.clone());
    let (events, writer) = events::events(client, "node-controller", &identity);
    let nodes = Nodes {
        ear,
        pods: pods.clone(),
        events,
        context,
    };
    tokio::join!(
        nodes.watch_leases(),
        nodes.judge(),
        runner::work("nodes", CONCURRENCY, &queue, hosts, |name| nodes
            .reconcile(name)),
        runner::work("pods of lost nodes", CONCURRENCY, &pods, unready, |key| {
            nodes.mark(key)
        }),
        writer.run(),
    );
}

impl Nodes {
    async fn watch_leases(&self) {
        let leases: Api<Readable<LeaseView>> = Api::namespaced(self.context.client.clone(), LEASES);
        watch::events(leases, watcher::Config::default(), |event| match event {
            Event::InitApply(lease) => self.ear.leased(&lease, Sight::Listed),
            Event::Apply(lease) => self.ear.leased(&lease, Sight::Written),
            Event::Delete(lease) => {
                let name = lease.metadata.name.unwrap_or_default();
                self.ear.hearing.lock().forget_lease(&name);
            }
            Event::Init | Event::InitDone => {}
        })
        .await;
    }

    /// Looks who is silent, when the first host may be, and when something changed.
    async fn judge(&self) {
        self.context.nodes.ready().await;
        let ear = &self.ear;
        let mut next = None;
        loop {
            let until = async {
                match next {
                    // A moment that is too far away to be told is never.
                    Some(moment) if let Some(at) = ear.begun.checked_add(moment) => {
                        sleep_until(at).await;
                    }
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = until => {}
                () = ear.changed.notified() => sleep(GATHER).await,
            }
            let now = ear.now();
            let due = ear.hearing.lock().due(now);
            if let Err(error) = self.ask(due).await {
                tracing::warn!(%error, "hosts are silent, but the API cannot be asked whether they are");
                next = Some(ear.now() + RETRY);
                continue;
            }
            let assessment = ear.hearing.lock().assess(now);
            for name in assessment.changed {
                ear.queue.add(name);
            }
            next = assessment.next;
        }
    }

    /// Asks the API whether something was heard of these hosts.
    async fn ask(&self, hosts: Vec<Arc<str>>) -> Result<()> {
        let client = &self.context.client;
        let leases: &Api<LeaseView> = &Api::namespaced(client.clone(), LEASES);
        let nodes: &Api<NodeView> = &Api::all(client.clone());
        let mut answers = stream::iter(hosts)
            .map(async |name| -> Result<()> {
                if let Some(lease) = leases.get_opt(&name).await? {
                    self.ear.leased(&lease, Sight::Written);
                } else if let Some(node) = nodes.get_opt(&name).await? {
                    self.ear
                        .hearing
                        .lock()
                        .node(&name, said(&node), self.ear.now());
                }
                Ok(())
            })
            .buffer_unordered(CONCURRENCY);
        while let Some(answer) = answers.next().await {
            answer?;
        }
        Ok(())
    }

    async fn reconcile(&self, name: Arc<str>) -> Result<Next> {
        let standing = self.ear.hearing.lock().standing(&name);
        let node = self.context.nodes.get(&(Arc::from(""), name.clone()));
        let (Some(standing), Some(node)) = (standing, node) else {
            return Ok(Next::Done);
        };
        let plan = plan(&node, standing, Timestamp::now());
        let api: Api<NodeView> = Api::all(self.context.client.clone());
        // Plans are for the state that they were made from: a host that has just posted its status is heard.
        let mut version = node.metadata.resource_version.clone();
        if let Some(taints) = &plan.taints {
            let patch =
                json!({ "metadata": { "resourceVersion": version }, "spec": { "taints": taints } });
            let patched = api
                .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await;
            match patched.or_absent()? {
                Some(node) => version = node.metadata.resource_version,
                None => return Ok(Next::Done),
            }
        }
        if !plan.conditions.is_empty() {
            let patch = json!({ "metadata": { "resourceVersion": version },
                "status": { "conditions": plan.conditions } });
            let patched = api
                .patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch))
                .await;
            if patched.or_absent()?.is_some() {
                self.tell(&node, &plan);
            }
        }
        let silent = matches!(standing, Standing::Silent(_));
        let changed = plan.taints.is_some() || !plan.conditions.is_empty();
        if silent || (changed && matches!(standing, Standing::NotReady(_))) {
            for pod in self.context.pods_by_node.on(&name) {
                self.pods.add_after(pod, AFTER_EVICTION);
            }
        }
        Ok(Next::Done)
    }

    fn tell(&self, node: &NodeView, plan: &plan::Plan) {
        let Some(ready) = plan.conditions.iter().find(|one| one.type_ == "Ready") else {
            return;
        };
        let name = node.name();
        tracing::info!(node = name, taints = ?plan.taints, "a host is silent");
        let note = format!("Node {name} status is now: NodeNotReady ({})", ready.status);
        let about = events::about("v1", "Node", &node.metadata);
        self.events
            .tell(about, "NodeNotReady", "RecordingNodeStatus", note);
    }

    /// Marks a pod as not ready: nobody can say that it is while its host is silent.
    async fn mark(&self, key: Key) -> Result<Next> {
        let Some(pod) = self.context.pods.get(&key) else {
            return Ok(Next::Done);
        };
        let Some(node) = pod.node.clone() else {
            return Ok(Next::Done);
        };
        let standing = self.ear.hearing.lock().standing(&node);
        let node = self.context.nodes.get(&(Arc::from(""), node));
        let (Some(standing), Some(node)) = (standing, node) else {
            return Ok(Next::Done);
        };
        if !has_to_be_marked(&pod, &node, standing) {
            return Ok(Next::Done);
        }
        let now = mosaic_api::time::format(Timestamp::now());
        let condition = json!({ "type": "Ready", "status": "False", "lastTransitionTime": now });
        let patch = json!({ "metadata": { "resourceVersion": pod.metadata.resource_version },
            "status": { "conditions": [condition] } });
        let pods: Api<PodView> = Api::namespaced(self.context.client.clone(), &key.0);
        pods.patch_status(&key.1, &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .or_absent()?;
        Ok(Next::Done)
    }
}

/// Whether a pod on a host of which this holds must be marked as not ready.
fn has_to_be_marked(pod: &PodView, node: &NodeView, standing: Standing) -> bool {
    let eviction = match standing {
        Standing::Silent(eviction) | Standing::NotReady(eviction) => eviction,
        Standing::Heard | Standing::Unclear => return false,
    };
    // It is about to be deleted anyway.
    let leaves = eviction == Eviction::Go
        && pod.spec.tolerations.endure(&node.spec.taints) == Endures::For(Duration::ZERO);
    pod.ready && !pod.is_terminating() && !pod.has_ended() && !leaves
}
