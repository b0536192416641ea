//! What Kubernetes documents of workloads and hosts, as kubectl shows it, on simulated hosts: one file a behaviour.
//!
//! The tests share a cluster of twelve hosts in three zones, each in a namespace of its own; those that break
//! hosts start their own.

mod changes;
mod claims_are_bound;
mod command_line;
mod cron_job_concurrency;
mod cron_job_history;
mod cron_job_schedules;
mod daemon_set_follows_hosts;
mod daemon_set_updates;
mod deployment_adopts;
mod deployment_keeps_history;
mod deployment_meets_a_quota;
mod deployment_misses_its_deadline;
mod deployment_name_is_taken;
mod deployment_pauses;
mod deployment_recreates;
mod deployment_replaces_pods;
mod deployment_rolls_out;
mod deployment_scales_while_rolling;
mod deployment_undoes;
mod deployment_waits_for_availability;
mod host_is_cordoned;
mod host_is_drained;
mod host_is_lost;
mod job_cleans_up;
mod job_completes;
mod job_failure_policy;
mod job_indexed;
mod job_retries;
mod job_suspends;
mod manifests;
mod objects;
mod pods_are_told_of;
mod replica_set_adopts;
mod replica_set_counts_its_own;
mod replica_set_releases;
mod replica_set_scales_down;
mod scheduling_chooses_hosts;
mod scheduling_explains;
mod scheduling_groups;
mod scheduling_ports;
mod scheduling_preempts;
mod scheduling_profiles;
mod scheduling_spreads;
mod services_follow_readiness;
mod stateful_set_claims;
mod stateful_set_keeps_names;
mod stateful_set_max_unavailable;
mod stateful_set_on_delete;
mod stateful_set_orders;
mod stateful_set_parallel;
mod stateful_set_partition;
mod stateful_set_rolls;
mod stateful_set_start_ordinal;
mod zone_is_lost;

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mosaic_tests::{
    Kubectl, Outcome, Server, ServerOptions, SimulatedHosts, mos, run, split, wait_until,
};
use serde_json::Value;

/// A server and hosts.
struct Cluster {
    server: Server,
    _hosts: SimulatedHosts,
}

impl Cluster {
    /// A cluster for one test.
    fn start(hosts: usize, arguments: &[&str]) -> Self {
        Self::start_with(&[], hosts, arguments)
    }

    /// A cluster for one test, and further arguments of its server.
    fn start_with(server: &[&str], hosts: usize, arguments: &[&str]) -> Self {
        let server = Server::start_with(ServerOptions {
            arguments: server.iter().map(|&word| word.to_owned()).collect(),
            ..ServerOptions::default()
        });
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
