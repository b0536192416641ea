//! A server with simulated hosts, and waiting for what becomes of its pods.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Sizes;
use crate::bench::client::{Connection, Endpoint};
use crate::bench::process::{self, Process};
use crate::bench::{load, objects};
use crate::failure::Failure;

/// Whoever makes no progress for this long never will.
const STUCK: Duration = Duration::from_secs(120);
/// How often what is waited for is looked at. No time is taken then: what happens carries its own.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A server with hosts; both end with this value.
pub(super) struct Cluster {
    pub(super) server: Process,
    hosts: Process,
    pub(super) endpoint: Endpoint,
    /// Clients, ready to create.
    pub(super) connections: Vec<Connection>,
}

impl Cluster {
    /// Starts both, with what they keep in this directory.
    pub(super) async fn start(directory: &Path, sizes: Sizes) -> Result<Self, Failure> {
        let flags = [
            format!("--node-monitor-grace-period={}s", sizes.grace.as_secs()),
            // What is lost is to be replaced at once, however the server's defaults are.
            "--default-unreachable-toleration-seconds=0".to_owned(),
        ];
        let (server, _) = process::start_server(directory, "sqlite", &flags).await?;
        let kubeconfig = directory.join("admin.kubeconfig");
        let endpoint = Endpoint::read(&kubeconfig).await?;
        let flags = [
            format!("--count={}", sizes.hosts),
            format!("--start-ms={}", sizes.start_ms),
            format!("--lease-interval={}s", sizes.lease_interval.as_secs()),
            format!("--lease-seconds={}", sizes.grace.as_secs()),
            "--zones=3".to_owned(),
        ];
        let (hosts, _) = process::start_hosts(&kubeconfig, &flags).await?;
        let mut connections = load::connect(&endpoint, sizes.clients).await?;
        let Some(first) = connections.first_mut() else {
            return Err(Failure::new("no clients"));
        };
        objects::prepare_namespace(first).await?;
        Ok(Self {
            server,
            hosts,
            endpoint,
            connections,
        })
    }

    /// Waits until it is done, as `look` says, which also tells how far it is: more of that is progress.
    pub(super) async fn wait(
        &mut self,
        what: &str,
        mut look: impl FnMut() -> Result<(bool, usize), Failure>,
    ) -> Result<(), Failure> {
        let (mut last, mut since) = (usize::MAX, Instant::now());
        loop {
            let (done, far) = look()?;
            if done {
                return Ok(());
            }
            if far != last {
                (last, since) = (far, Instant::now());
            }
            for process in [&mut self.server, &mut self.hosts] {
                if !process.is_running() {
                    return Err(Failure::new(format!("{} has ended", process.name())));
                }
            }
            if since.elapsed() > STUCK {
                return Err(Failure::new(format!(
                    "waiting until {what}: it stays at {far}"
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends both: first the hosts, which could only complain about a server that is gone.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        drop(self.connections);
        self.hosts.stop().await?;
        self.server.stop().await
    }
}
