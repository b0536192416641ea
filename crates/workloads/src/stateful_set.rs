//! StatefulSets: pods with an identity, one an ordinal.
//!
//! ```text
//!   ordinals   start … start+replicas-1      others
//!              filled upwards                taken away downwards
//!              each waits for the ones       once all that stay are well
//!              before it (OrderedReady)
//!              updated downwards to the partition, at most maxUnavailable away at a time
//! ```
//!
//! A pod's name is its ordinal's, so there can never be two of one ordinal: the second creation is
//! refused while the first pod exists in any state.
//!
//! With `OrderedReady` nothing goes on past a pod that does not become ready, also not to replace that pod by one of a newer
//! template. As in Kubernetes, whoever takes back a broken template has to delete the pods that were made from it.

mod claims;
mod identity;
mod order;
mod status;
#[cfg(test)]
mod tests;
mod update;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus},
    core::v1::PodTemplateSpec,
};

use crate::{
    owner::{self, Owner, claim},
    plan::{Kind, Plan},
    pod::Pod,
    revision,
};

pub use claims::Claim;
pub use identity::{POD_INDEX, POD_NAME, REVISION};

/// The label of a revision that holds its content's hash.
const REVISION_HASH: &str = "controller.kubernetes.io/hash";

/// A stateful set, and what is to be known for a plan.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The set.
    pub set: &'a StatefulSet,
    /// Pods of its namespace: all that it controls, and those that nobody controls.
    pub pods: &'a [Arc<Pod>],
    /// Revisions of its namespace: all that it controls, and those that nobody controls.
    pub revisions: &'a [Arc<ControllerRevision>],
    /// Claims of its namespace, at least those whose names begin as the set's do. Only needed if it has
    /// `volumeClaimTemplates`.
    pub claims: &'a [Arc<Claim>],
    /// The present moment.
    pub now: Timestamp,
}

/// Whether to go on with what comes after.
type GoesOn = bool;

/// Everything that a plan is made in.
struct Planner<'a> {
    snapshot: Snapshot<'a>,
    owner: Owner<'a>,
    /// The pods of the set, by ordinal.
    pods: BTreeMap<i32, &'a Arc<Pod>>,
    claims: HashMap<&'a str, &'a Arc<Claim>>,
    current_revision: String,
    current_template: PodTemplateSpec,
    update_revision: String,
    plan: Plan<StatefulSetStatus>,
}

/// What is to be done, so that there is a pod of the right template for each ordinal, and for no other.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan<StatefulSetStatus> {
    let set = snapshot.set;
    let owner = Owner::of(set);
    let selector = owner::selector(&set.spec.selector);
    if selector.is_everything() {
        return Plan::default();
    }
    let is_member = |pod: &Pod| identity::ordinal(owner.name(), pod.name()).is_some();
    let pods = claim(&owner, &selector, Kind::Pod, None, snapshot.pods, is_member);
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
    let old = set.status.clone().unwrap_or_default();
    let template = &set.spec.template;
    let update = revision::current(
        &owner,
        template,
        REVISION_HASH,
        &revisions,
        old.collision_count,
    );
    // What goes with its owner is not made again, or neither would ever be gone.
    if !owner.is_terminating() {
        plan.actions.extend(update.action);
    }
    let known = old.current_revision.unwrap_or_default();
    let current = revisions.iter().find(|r| owner::name(&r.metadata) == known);
    let (current_revision, current_template) = match current {
        Some(current) if known != update.name => (
            known,
            revision::template(current).unwrap_or_else(|| template.clone()),
        ),
        _ => (update.name.clone(), template.clone()),
    };
    let by_ordinal = pods.owned.into_iter().filter_map(|pod| {
        let ordinal = identity::ordinal(owner.name(), pod.name())?;
        Some((ordinal, pod))
    });
    let mut planner = Planner {
        snapshot: *snapshot,
        owner,
        pods: by_ordinal.collect(),
        claims: snapshot
            .claims
            .iter()
            .map(|claim| (owner::name(&claim.metadata), claim))
            .collect(),
        current_revision,
        current_template,
        update_revision: update.name,
        plan,
    };
    if !owner.is_terminating() {
        planner.keep_claims();
        if planner.fill() && planner.shrink() {
            planner.update();
        }
        let needed = |revision: &ControllerRevision| planner.needs(owner::name(&revision.metadata));
        let forgotten = revision::forget(&revisions, needed, set.spec.revision_history_limit);
        planner.plan.actions.extend(forgotten);
    }
    planner.wait_for_availability();
    planner.finish_status(update.collisions);
    planner.plan
}

impl<'a> Planner<'a> {
    /// The first ordinal.
    fn start(&self) -> i32 {
        let ordinals = self.snapshot.set.spec.ordinals.as_ref();
        ordinals.and_then(|o| o.start).unwrap_or(0).max(0)
    }

    /// How many pods are desired.
    fn replicas(&self) -> i32 {
        self.snapshot.set.spec.replicas.unwrap_or(1).max(0)
    }

    /// The first ordinal after those that are desired.
    fn end(&self) -> i32 {
        self.start().saturating_add(self.replicas())
    }

    fn is_ordered(&self) -> bool {
        self.snapshot.set.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn is_rolling(&self) -> bool {
        let strategy = self.snapshot.set.spec.update_strategy.as_ref();
        strategy.and_then(|s| s.type_.as_deref()) != Some("OnDelete")
    }

    fn min_ready(&self) -> i32 {
        self.snapshot.set.spec.min_ready_seconds.unwrap_or(0)
    }

    /// Whether a pod of this ordinal is desired.
    fn is_desired(&self, ordinal: i32) -> bool {
        (self.start()..self.end()).contains(&ordinal)
    }

    /// Whether a pod has been ready for long enough, and stays.
    fn is_available(&self, pod: &Pod) -> bool {
        is_ready(pod)
            && !pod.is_terminating()
            && pod.is_available(self.min_ready(), self.snapshot.now)
    }

    /// Whether a revision has pods, or may get some.
    fn needs(&self, name: &str) -> bool {
        name == self.current_revision
            || name == self.update_revision
            || self
                .pods
                .values()
                .any(|pod| pod.label(REVISION) == Some(name))
    }

    fn wait_for_availability(&mut self) {
        let moments = self
            .pods
            .values()
            .filter_map(|pod| pod.available_at(self.min_ready(), self.snapshot.now));
        let earliest = moments.min();
        self.plan.look_again(earliest);
    }
}

/// Whether a pod is at work.
fn is_ready(pod: &Pod) -> bool {
    pod.phase == crate::pod::Phase::Running && pod.ready
}
