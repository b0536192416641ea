//! Simulated hosts: they register with a server, renew their leases, watch their pods and run them as real
//! hosts do, by the same state machine ([`mosaic_node::lifecycle`]), but without a container.
//!
//! ```text
//!              one process
//!   ┌───────────────────────────────────────────────────────────────┐
//!   │ watch of host 1 ─┐                       ┌─▶ lifecycle (pure)  │
//!   │ watch of host 2 ─┼─▶ engine ◀─ timers ───┤                     │
//!   │ …                │     │                 └─▶ simulated runtime │
//!   │ watch of Nodes ──┘     └─▶ writes, so many at a time ──────────┼──▶ API
//!   └───────────────────────────────────────────────────────────────┘
//! ```
//!
//! Each host has a watch of its own, as real agents do, so that a server is loaded as by real hosts. All
//! else is shared: one task decides for all of them, one queue of timers wakes it, pods of one template
//! share their spec. A pod is a few kilobytes, a host with its watch is too.
//!
//! How pods behave is annotated; hosts break by plan ([`Fault`]) or by the annotation `mosaic/sim` of their Node.
//! `docs/simulation.md` has the annotations of both.

mod addresses;
mod api;
mod duration;
mod engine;
mod faults;
mod holders;
mod objects;
mod resources;
mod script;
mod simulation;
mod timers;
mod transport;

use std::time::Duration;

use ipnet::Ipv4Net;
use mosaic_api::Quantity;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use faults::{Fault, FaultError, FaultKind, Hosts};
pub use transport::client;

/// Which hosts there are, and how they behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many.
    pub count: u32,
    /// What names begin with: `sim-` for `sim-1`, `sim-2`, ….
    pub prefix: String,
    /// The number of the first one, at least 1. Processes with hosts of different numbers do not get into
    /// each other's way.
    pub first: u32,
    /// How many zones they are in: `zone-1`, `zone-2`, …, by turns. At least 1.
    pub zones: u32,
    /// Processors of each.
    pub cpu: Quantity,
    /// Memory of each, in bytes.
    pub memory: Quantity,
    /// Local storage of each, in bytes.
    pub storage: Quantity,
    /// How many pods each takes.
    pub pods: u32,
    /// How long a container takes to start, unless its pod's script says otherwise.
    pub start: Duration,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// How often leases are renewed.
    pub lease_interval: Duration,
    /// For how many seconds a lease says that it holds.
    pub lease_seconds: i64,
    /// How often the status of a Node is written though nothing changed.
    pub heartbeat: Duration,
    /// The wait before the second restart of a container that crashes.
    pub back_off: Duration,
    /// Where addresses of pods come from.
    pub pod_range: Ipv4Net,
    /// Where addresses of hosts come from.
    pub host_range: Ipv4Net,
    /// Whether each host acts as `system:node:NAME` (by impersonation) and not as the caller.
    pub as_nodes: bool,
    /// Whether Nodes and leases are deleted at the end.
    pub remove_on_exit: bool,
    /// Whether hosts are taken that another process simulates.
    pub take_over: bool,
    /// How many writes are under way at a time, at least 1.
    pub writes: usize,
    /// Who is told when something breaks as planned.
    pub tell: fn(&str),
}

impl Default for Options {
    /// One host of 32 processors and 128 GiB, with the intervals of Kubernetes.
    fn default() -> Self {
        use mosaic_api::quantity::Format;
        Self {
            count: 1,
            prefix: "sim-".to_owned(),
            first: 1,
            zones: 1,
            cpu: Quantity::from_units(32, Format::DecimalSi),
            memory: Quantity::from_units(128 << 30, Format::BinarySi),
            storage: Quantity::from_units(1 << 40, Format::BinarySi),
            pods: 110,
            start: Duration::from_millis(100),
            faults: Vec::new(),
            lease_interval: Duration::from_secs(10),
            lease_seconds: 40,
            heartbeat: Duration::from_secs(300),
            back_off: Duration::from_secs(10),
            pod_range: Ipv4Net::new_assert([10, 128, 0, 0].into(), 9),
            host_range: Ipv4Net::new_assert([172, 16, 0, 0].into(), 12),
            as_nodes: false,
            remove_on_exit: false,
            take_over: false,
            writes: 64,
            tell: |_| {},
        }
    }
}

/// How far hosts and pods are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Hosts that are registered, hold their lease and know their pods.
    pub ready: u32,
    /// Pods that are bound to these hosts.
    pub pods: u32,
    /// Pods that run.
    pub running: u32,
    /// Pods that ran, since the start.
    pub started: u64,
    /// Pods that a host refused for want of room.
    pub refused: u64,
    /// Statuses of pods written.
    pub writes: u64,
    /// Calls that failed, among them those that are tried again.
    pub failures: u64,
}

/// Why hosts cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The options do not go together.
    #[error("{0}")]
    Options(String),
    /// A host cannot be registered.
    #[error("host {host} cannot be registered: {why}")]
    Register {
        /// The host's name.
        host: String,
        /// What the API said.
        why: String,
    },
    /// Another process simulates hosts of these names.
    #[error("{hosts}: simulated by {by} already")]
    Held {
        /// Which.
        hosts: String,
        /// By whom.
        by: String,
    },
}

/// Hosts that wait to be run.
pub struct SimulatedHosts {
    engine: engine::Engine,
    progress: watch::Receiver<Progress>,
}

impl SimulatedHosts {
    /// Prepares hosts. Nothing is sent yet.
    ///
    /// # Errors
    /// If the options do not go together.
    pub fn new(client: kube::Client, options: Options) -> Result<Self, LabError> {
        check(&options).map_err(LabError::Options)?;
        let (sender, progress) = watch::channel(Progress::default());
        let engine = engine::Engine::new(client, options, sender)?;
        Ok(Self { engine, progress })
    }

    /// How far they are, as it changes.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Registers the hosts and runs them until shutdown.
    ///
    /// # Errors
    /// If a host cannot be registered for a reason that does not pass.
    pub async fn run(self, shutdown: CancellationToken) -> Result<Progress, LabError> {
        self.engine.run(shutdown).await
    }
}

fn check(options: &Options) -> Result<(), String> {
    let at_least = |name: &str, value: u64| {
        if value == 0 {
            Err(format!("{name} has to be at least 1"))
        } else {
            Ok(())
        }
    };
    at_least("the number of hosts", options.count.into())?;
    at_least("the first number", options.first.into())?;
    at_least("the number of zones", options.zones.into())?;
    at_least("the number of pods", options.pods.into())?;
    at_least("the number of writes", options.writes as u64)?;
    for fault in &options.faults {
        fault.check(options.count, options.zones)?;
    }
    let last = u64::from(options.first) + u64::from(options.count) - 1;
    let longest = format!("{}{last}", options.prefix);
    if let Some(wrong) = mosaic_api::names::dns_label(&longest).first() {
        return Err(format!("`{longest}` is no name of a host: {wrong}"));
    }
    let size = addresses::block_size(options.pods);
    if addresses::blocks(options.pod_range, size) < last {
        return Err(format!(
            "{} is too small for {last} hosts of {} pods",
            options.pod_range, options.pods
        ));
    }
    // The range's own first address belongs to no host.
    if addresses::blocks(options.host_range, 1) <= last {
        return Err(format!(
            "{} is too small for {last} hosts",
            options.host_range
        ));
    }
    let short = [options.lease_interval, options.heartbeat];
    if short.iter().any(|time| *time < Duration::from_millis(100)) {
        return Err("leases and heartbeats need 100 ms between them".to_owned());
    }
    Ok(())
}
