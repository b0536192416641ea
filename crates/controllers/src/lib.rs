//! The controllers that keep objects consistent. Each is a client of the API like any other: it reads,
//! watches and writes through a [`kube::Client`], in the server's process or far from it.
//!
//! ```text
//!   watches ──▶ queue by key ──▶ reconcile(key) = read a snapshot ─▶ plan(snapshot) ─▶ carry out
//!  (watch.rs)    (runner.rs)                        (pure, tested without a server)
//! ```
//!
//! Of all processes that run them, the one that holds the lease `kube-system/mosaic-controllers` is at
//! work ([`leader`]); the others wait. The scheduler has a lease of its own. A controller that finds nothing to do costs nothing but its
//! watches: no object is kept, except for the few bytes per object that the garbage collector needs.

mod aggregation;
mod api_servers;
mod certificates;
mod cluster_info;
mod context;
mod custom_resources;
mod discovery;
mod disruption;
mod endpoints;
mod error;
mod events;
mod garbage;
mod informer;
mod leader;
mod namespaces;
mod quotas;
mod runner;
mod scheduling;
mod service_accounts;
mod tokens;
mod views;
mod watch;

use std::{net::SocketAddr, sync::Arc};

use kube::runtime::watcher;
use mosaic_auth::pki::Authority;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use api_servers::Presence;
use context::Context;
use leader::Elector;

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
                scheduling::run(client.clone(), &options.identity)
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

/// All controllers; dropping the future stops them. Returns if one of them fails as none should.
async fn controllers(context: Context) {
    let mut tasks = JoinSet::new();
    tasks.spawn(discovery::follow(context.clone()));
    context.discovery.ready().await;
    tasks.spawn(garbage::run(context.clone()));
    tasks.spawn(namespaces::run(context.clone()));
    tasks.spawn(service_accounts::run(context.clone()));
    tasks.spawn(custom_resources::run(context.clone()));
    tasks.spawn(quotas::run(context.clone()));
    tasks.spawn(disruption::run(context.clone()));
    tasks.spawn(certificates::run(context.clone()));
    tasks.spawn(tokens::run(context.clone()));
    tasks.spawn(cluster_info::run(context.clone()));
    tasks.spawn(api_servers::run(context.clone()));
    let (pods, nodes) = (informer::Informer::new(), informer::Informer::new());
    tasks.spawn(endpoints::run(context.clone(), pods.clone(), nodes.clone()));
    let all_pods = kube::Api::<views::PodView>::all(context.client.clone());
    tasks.spawn(async move { pods.run(all_pods, watcher::Config::default()).await });
    let all_nodes = kube::Api::<views::NodeView>::all(context.client.clone());
    tasks.spawn(async move { nodes.run(all_nodes, watcher::Config::default()).await });
    tasks.spawn(aggregation::run(context));
    match tasks.join_next().await {
        Some(Err(failure)) => {
            tracing::error!(%failure, "a controller failed; all are started again")
        }
        _ => tracing::error!("a controller ended; all are started again"),
    }
}
