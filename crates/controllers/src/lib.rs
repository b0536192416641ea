//! The controllers that keep objects consistent. Each is a client of the API like any other: it reads,
//! watches and writes through a [`kube::Client`], in the server's process or far from it.
//!
//! ```text
//!   watches ──▶ queue by key ──▶ reconcile(key) = read a snapshot ─▶ plan(snapshot) ─▶ carry out
//!  (watch.rs)    (runner.rs)                        (pure, tested without a server)
//! ```
//!
//! Of all processes that run them, the one that holds the lease `kube-system/mosaic-controllers` is at
//! work ([`leader`]); the others wait. The scheduler has a lease of its own. A controller that finds
//! nothing to do costs nothing but its watches: of objects, only pods and hosts are kept (`caches`),
//! workloads and what they own, each as far as controllers look at it, and the few bytes per object that
//! the garbage collector needs.

mod aggregation;
mod api_servers;
mod caches;
mod certificates;
mod client;
mod cluster_info;
mod context;
mod custom_resources;
mod discovery;
mod disruption;
mod ending;
mod endpoints;
mod error;
mod event_ttl;
mod events;
mod garbage;
mod informer;
mod leader;
mod namespaces;
mod nodes;
mod pod_gc;
mod quotas;
mod readable;
mod rebalancing;
mod runner;
mod scheduling;
mod service_accounts;
mod taint_eviction;
mod tokens;
mod views;
mod volumes;
mod watch;
mod workloads;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mosaic_auth::pki::Authority;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use api_servers::Presence;
pub use client::client;
use context::Context;
use leader::Elector;
pub use nodes::NodeSettings;

/// What the controllers need besides the API.
#[derive(Clone)]
pub struct Options {
    /// Who this process is among those that may lead: a name that no other process has, such as the
    /// host's with a random suffix.
    pub identity: String,
    /// The cluster's authority: signs approved certificate requests, and every namespace gets its
    /// certificate.
    pub authority: Arc<Authority>,
    /// The address at which others reach the API by this process's server, for the service `kubernetes`
    /// and for `kube-public/cluster-info`; none if nobody else can.
    pub advertised: Option<SocketAddr>,
    /// How the controllers are to behave.
    pub settings: Settings,
}

/// How the controllers are to behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// When a host that is not heard counts as lost.
    pub nodes: NodeSettings,
    /// How many pods that have ended are kept; beyond that the oldest are deleted. 0 keeps all.
    pub ended_pods: usize,
    /// How long events are kept after they were last written.
    pub event_ttl: Duration,
}

impl Default for Settings {
    /// Kubernetes' numbers: 12,500 pods, one hour.
    fn default() -> Self {
        Self {
            nodes: NodeSettings::default(),
            ended_pods: 12_500,
            event_ttl: Duration::from_secs(3600),
        }
    }
}

/// Runs the controllers while this process leads, until shutdown. A lost lease stops them at once. Leading
/// or not, the process's server is told to be there.
pub async fn run(client: kube::Client, options: Options, shutdown: CancellationToken) {
    let elector = |group| Elector::new(client.clone(), group, options.identity.clone());
    let leading = async {
        tokio::join!(
            elector("mosaic-controllers").run(shutdown.clone(), || {
                controllers(Context::new(client.clone(), options.clone()))
            }),
            elector("mosaic-scheduler").run(shutdown.clone(), || {
                scheduler(client.clone(), options.identity.clone())
            }),
        );
    };
    let Some(address) = options.advertised else {
        return leading.await;
    };
    let presence = Presence::new(client.clone(), address, options.identity.clone());
    tokio::select! {
        () = leading => {}
        () = presence.keep() => {}
    }
    presence.end().await;
}

/// The scheduler, in a task of its own: a decision that takes long must not hold up the leases. Dropping the future stops
/// it. Returns if it fails as it should not.
async fn scheduler(client: kube::Client, identity: String) {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { scheduling::run(client, &identity).await });
    if let Some(Err(failure)) = tasks.join_next().await {
        tracing::error!(%failure, "the scheduler failed; it is started again");
    }
}

/// All controllers; dropping the future stops them. Returns if one of them fails as none should.
async fn controllers(context: Context) {
    let mut tasks = JoinSet::new();
    tasks.spawn(discovery::follow(context.clone()));
    context.discovery.ready().await;
    tasks.spawn(caches::run(context.clone()));
    tasks.spawn(nodes::run(context.clone()));
    tasks.spawn(taint_eviction::run(context.clone()));
    tasks.spawn(pod_gc::run(context.clone()));
    tasks.spawn(event_ttl::run(context.clone()));
    tasks.spawn(garbage::run(context.clone()));
    tasks.spawn(namespaces::run(context.clone()));
    tasks.spawn(service_accounts::run(context.clone()));
    tasks.spawn(custom_resources::run(context.clone()));
    tasks.spawn(quotas::run(context.clone()));
    tasks.spawn(volumes::run(context.clone()));
    tasks.spawn(disruption::run(context.clone()));
    tasks.spawn(rebalancing::run(context.clone()));
    tasks.spawn(certificates::run(context.clone()));
    tasks.spawn(tokens::run(context.clone()));
    tasks.spawn(cluster_info::run(context.clone()));
    tasks.spawn(api_servers::run(context.clone()));
    let (pods, nodes) = (context.pods.clone(), context.nodes.clone());
    tasks.spawn(endpoints::run(context.clone(), pods, nodes));
    tasks.spawn(workloads::run(context.clone()));
    tasks.spawn(aggregation::run(context));
    match tasks.join_next().await {
        Some(Err(failure)) => {
            tracing::error!(%failure, "a controller failed; all are started again")
        }
        _ => tracing::error!("a controller ended; all are started again"),
    }
}
