//! DaemonSets: one pod on each host that is meant.
//!
//! ```text
//!   host ──▶ meant? ──▶ no pod: create       pods of an older template:
//!                       several: keep one      maxSurge 0: delete, at most maxUnavailable away
//!                       ended: delete, later   maxSurge n: create beside, then delete
//!            not meant: delete
//! ```
//!
//! A pod is bound to its host by an affinity for the host's name, so the scheduler places it like any other. Its own
//! name is made from the host's name and a number: the first that no pod of the set has. The pod that is created
//! twice because the first was not seen is the same pod.

mod hosts;
mod manage;
mod pods;
mod status;
#[cfg(test)]
mod tests;
mod update;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus},
    core::v1::Toleration,
};

use crate::{
    counts::after,
    node::Node,
    owner::{self, Owner, claim},
    plan::{BURST, Kind, Plan},
    pod::Pod,
    revision,
};

/// The label with the hash of the template that a pod was made from.
pub const REVISION_HASH: &str = "controller-revision-hash";

/// A daemon set, and what is to be known for a plan.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The set.
    pub set: &'a DaemonSet,
    /// Pods of its namespace: all that it controls, and those that nobody controls. If a pod could not be created
    /// because its name is taken, the one that has the name belongs to them, too.
    pub pods: &'a [Arc<Pod>],
    /// All hosts.
    pub nodes: &'a [Arc<Node>],
    /// Revisions of its namespace: all that it controls, and those that nobody controls.
    pub revisions: &'a [Arc<ControllerRevision>],
    /// Pods that failed on hosts, as far as it is known.
    pub backoff: &'a Backoff,
    /// The present moment.
    pub now: Timestamp,
}

/// How often a set's pods failed on each host lately: the loop notes each failed pod that it deletes. It may be lost without
/// harm; pods are then replaced sooner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backoff(BTreeMap<String, (u32, Timestamp)>);

/// The wait after the first failure, in seconds; it doubles with each further one.
const FIRST_WAIT: i64 = 1;
/// The longest wait, in seconds. After twice that without a failure the count begins anew.
const LAST_WAIT: i64 = 15 * 60;

impl Backoff {
    /// Notes that a pod failed on this host, and is deleted now.
    pub fn note(&mut self, node: &str, now: Timestamp) {
        self.0
            .retain(|_, (_, last)| after(*last, 2 * LAST_WAIT) > now);
        let entry = self.0.entry(node.to_owned()).or_insert((0, now));
        *entry = (entry.0.saturating_add(1), now);
    }

    /// When a pod that failed on this host may be deleted, so that another one takes its place.
    pub fn until(&self, node: &str) -> Timestamp {
        let Some((failures, last)) = self.0.get(node) else {
            return Timestamp::MIN;
        };
        let doublings = failures.saturating_sub(1).min(16);
        after(*last, (FIRST_WAIT << doublings).min(LAST_WAIT))
    }
}

/// What a plan would do on a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Meant {
    /// A pod is to run there.
    run: bool,
    /// A pod that runs there already may stay.
    stay: bool,
}

/// A host, and the set's pods on it: the oldest first, and last those that are on their way out.
struct Host<'a> {
    name: &'a str,
    meant: Meant,
    pods: Vec<&'a Arc<Pod>>,
}

/// Everything that a plan is made in.
struct Planner<'a> {
    snapshot: Snapshot<'a>,
    owner: Owner<'a>,
    tolerations: Vec<Toleration>,
    hosts: Vec<Host<'a>>,
    /// Names that a new pod cannot have.
    taken: BTreeSet<&'a str>,
    /// The hash of the present template.
    hash: String,
    /// Hosts that get a pod.
    create: Vec<&'a str>,
    /// Pods that go, and why.
    delete: Vec<(&'a Arc<Pod>, &'static str)>,
    plan: Plan<DaemonSetStatus>,
}

/// What is to be done, so that each host that is meant has one pod of the present template.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan<DaemonSetStatus> {
    let set = snapshot.set;
    let owner = Owner::of(set);
    let selector = owner::selector(&set.spec.selector);
    if selector.is_everything() {
        return Plan::default();
    }
    let pods = claim(&owner, &selector, Kind::Pod, None, snapshot.pods, |_| true);
    let revisions = claim(
        &owner,
        &selector,
        Kind::ControllerRevision,
        None,
        snapshot.revisions,
        |_| true,
    );
    let mut plan = Plan::default();
    plan.actions.extend(pods.actions);
    plan.actions.extend(revisions.actions);
    let revisions = revision::sorted(&revisions.owned);
    let collisions = set.status.as_ref().and_then(|s| s.collision_count);
    let current = revision::current(
        &owner,
        &set.spec.template,
        REVISION_HASH,
        &revisions,
        collisions,
    );
    let mut planner = Planner {
        snapshot: *snapshot,
        owner,
        tolerations: hosts::tolerations(&set.spec.template),
        hosts: Vec::new(),
        taken: snapshot.pods.iter().map(|pod| pod.name()).collect(),
        hash: current.hash,
        create: Vec::new(),
        delete: Vec::new(),
        plan,
    };
    planner.find_hosts(&pods.owned);
    if !owner.is_terminating() {
        planner.plan.actions.extend(current.action);
        planner.manage();
        planner.update();
        planner.carry_out();
        let is_needed = |revision: &ControllerRevision| {
            let hash = owner::label(&revision.metadata, REVISION_HASH);
            owner::name(&revision.metadata) == current.name
                || pods
                    .owned
                    .iter()
                    .any(|pod| pod.label(REVISION_HASH) == hash)
        };
        let forgotten = revision::forget(&revisions, is_needed, set.spec.revision_history_limit);
        planner.plan.actions.extend(forgotten);
    }
    planner.finish_status(current.collisions);
    planner.plan
}

impl<'a> Planner<'a> {
    fn min_ready(&self) -> i32 {
        self.snapshot.set.spec.min_ready_seconds.unwrap_or(0)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        !pod.is_terminating() && pod.is_available(self.min_ready(), self.snapshot.now)
    }

    /// Whether a pod was made from the present template.
    fn is_updated(&self, pod: &Pod) -> bool {
        pod.label(REVISION_HASH) == Some(&self.hash)
    }

    /// Plans what was decided on.
    fn carry_out(&mut self) {
        let excess = self.create.len().max(self.delete.len()) > BURST;
        for (pod, why) in self.delete.iter().take(BURST) {
            self.plan
                .actions
                .push(crate::plan::Action::delete_pod(pod, why));
        }
        let hosts: Vec<&'a str> = self.create.iter().copied().take(BURST).collect();
        for host in hosts {
            let pod = self.new_pod(host);
            self.plan.actions.push(crate::plan::Action::create_pod(pod));
        }
        if excess {
            self.plan.look_again(Some(self.snapshot.now));
        }
    }
}
