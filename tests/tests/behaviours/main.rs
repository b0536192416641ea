//! What Kubernetes documents of workloads and hosts, as kubectl shows it, on simulated hosts: one file a behaviour.
//!
//! The tests share a cluster of twelve hosts in three zones, each in a namespace of its own; those that break
//! hosts start their own.

mod command_line;
mod cron_job_concurrency;
mod cron_job_history;
mod cron_job_schedules;
mod daemon_set_follows_hosts;
mod daemon_set_updates;
mod deployment_rolls_out;
mod job_cleans_up;
mod job_completes;
mod job_failure_policy;
mod job_indexed;
mod job_retries;
mod job_suspends;
mod objects;
mod scheduling_chooses_hosts;
mod scheduling_explains;
mod scheduling_groups;
mod scheduling_ports;
mod scheduling_preempts;
mod scheduling_profiles;
mod scheduling_spreads;
mod services_follow_readiness;

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mosaic_tests::{Kubectl, Outcome, Server, SimulatedHosts, mos, run, split, wait_until};
use serde_json::Value;

/// A server and hosts.
struct Cluster {
    server: Server,
    _hosts: SimulatedHosts,
}

impl Cluster {
    /// A cluster for one test.
    fn start(hosts: usize, arguments: &[&str]) -> Self {
        let server = Server::start();
        let hosts = SimulatedHosts::start(&server, hosts, arguments);
        Self {
            server,
            _hosts: hosts,
        }
    }

    /// The cluster that tests share. It ends with the last of them.
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Self::start(12, &[]));
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    /// kubectl in a new namespace.
    fn namespace(&self, name: &str) -> Kubectl {
        let kubectl = self.server.kubectl();
        kubectl.run(&format!("create namespace {name}")).ok();
        kubectl.in_namespace(name)
    }
}

/// Objects as `kubectl get … -o json` shows them.
fn get(kubectl: &Kubectl, what: &str) -> Value {
    let outcome = kubectl.run(&format!("get {what} -o json"));
    let text = outcome.ok();
    serde_json::from_str(text).unwrap_or_else(|error| panic!("get {what}: {error}: {text}"))
}

/// Waits until an object is as expected.
fn until(kubectl: &Kubectl, what: &str, expected: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Value::Null;
    wait_until(what, || {
        let outcome = kubectl.run(&format!("get {what} -o json"));
        seen = serde_json::from_str(&outcome.stdout).unwrap_or_default();
        outcome.code == 0 && expected(&seen)
    });
    seen
}

/// `mos` with the administrator's kubeconfig.
fn mos_with(server: &Server, line: &str) -> Outcome {
    let mut command = Command::new(mos());
    command.args(split(line));
    run(command.env("KUBECONFIG", server.kubeconfig()), "")
}
