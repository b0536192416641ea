//! ReplicaSets: so many pods, whichever they are.
//!
//! Pods are counted if they are neither ended nor on their way out; those in creation count already. The pods of
//! a set have names from a sequence that begins at how many there are, so that two plans of one state, such as those
//! of an old leader and its successor, ask for the same pods.

mod rank;
mod status;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};

use crate::{
    counts::length,
    owner::{self, Owner, claim},
    plan::{Action, BURST, Failure, Kind, Plan},
    pod::Pod,
    template,
};

pub use rank::{Ranking, deletion_order};

/// A replica set, and what is to be known for a plan.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The set.
    pub set: &'a ReplicaSet,
    /// Pods of its namespace: all that it controls, and those that nobody controls. If a pod could not be created
    /// because its name is taken, the one that has the name belongs to them, too.
    pub pods: &'a [Arc<Pod>],
    /// Pods of the other sets of the same Deployment. They matter for which pods go first when there are too
    /// many: those on hosts with many of their kind.
    pub siblings: &'a [Arc<Pod>],
    /// Why the last plan failed, if it did.
    pub failure: Option<&'a Failure>,
    /// The present moment.
    pub now: Timestamp,
}

/// What is to be done, so that there are as many pods as asked for.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan<ReplicaSetStatus> {
    let Snapshot { set, now, .. } = *snapshot;
    let mut plan = Plan::default();
    let owner = Owner::of(set);
    let spec = &set.spec;
    let selector = owner::selector(&spec.selector);
    if selector.is_everything() {
        return plan;
    }
    let claimed = claim(
        &owner,
        &selector,
        Kind::Pod,
        None,
        snapshot.pods,
        Pod::is_active,
    );
    plan.actions = claimed.actions;
    if !owner.is_terminating() {
        scale(snapshot, &owner, &claimed.owned, &mut plan);
    }
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    for pod in &claimed.owned {
        if pod.is_active() {
            plan.look_again(pod.available_at(min_ready, now));
        }
    }
    let status = status::status(snapshot, &claimed.owned);
    if set.status.as_ref() != Some(&status) {
        plan.status = Some(status);
    }
    plan
}

fn scale(
    snapshot: &Snapshot<'_>,
    owner: &Owner<'_>,
    owned: &[&Arc<Pod>],
    plan: &mut Plan<ReplicaSetStatus>,
) {
    let Snapshot { set, now, .. } = *snapshot;
    let spec = &set.spec;
    let wanted = length(spec.replicas.unwrap_or(1));
    let active: Vec<&Arc<Pod>> = owned
        .iter()
        .copied()
        .filter(|pod| pod.is_active())
        .collect();
    let have = active.len();
    if have < wanted {
        let Some(template) = &spec.template else {
            return;
        };
        let missing = wanted - have;
        // Pods that were let go keep their names.
        let seen: BTreeSet<&str> = snapshot.pods.iter().map(|pod| pod.name()).collect();
        let taken = |name: &str| seen.contains(name);
        for name in template::free_names(owner, owned.len(), missing.min(BURST), taken) {
            plan.actions
                .push(Action::create_pod(template::pod(owner, template, name)));
        }
        if missing > BURST {
            plan.look_again(Some(now));
        }
    } else if have > wanted {
        let excess = have - wanted;
        let mut on_node: HashMap<&str, usize> = HashMap::new();
        let siblings = snapshot.siblings.iter().filter(|pod| pod.is_active());
        for node in siblings
            .chain(active.iter().copied())
            .filter_map(|pod| pod.node.as_deref())
        {
            *on_node.entry(node).or_default() += 1;
        }
        let order = deletion_order(&active, &on_node, Ranking::Full, now);
        for pod in order.into_iter().take(excess.min(BURST)) {
            plan.actions
                .push(Action::delete_pod(pod, "more than wanted"));
        }
        if excess > BURST {
            plan.look_again(Some(now));
        }
    }
}
