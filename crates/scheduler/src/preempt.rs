//! Which less important pods have to go so that a more important one fits.
//!
//! As in Kubernetes: hosts are looked at on which it fits once all less important pods are gone; of those,
//! as many as possible are let stay, the most important first and those first whose disruption budget has
//! nothing left; and the host is chosen where the rest hurts least.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    bits::Bits,
    cluster::{Cluster, Entry, State},
    decide::rotation,
    filter::{Change, one},
    memo::Context,
    model::{Pod, PodKey},
    slab::{NodeIndex, PodIndex},
};

/// At least so many hosts on which room can be made are compared, or a tenth of all.
const CANDIDATES: usize = 100;

/// Room to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Preemption {
    /// The host that the pod is to be nominated for.
    pub host: Arc<str>,
    /// Pods to be evicted, the most important first. Empty if it is enough to wait for pods that are being
    /// deleted.
    pub victims: Vec<PodKey>,
    /// How many of them are evicted against their disruption budget.
    pub violations: usize,
}

struct Candidate {
    node: NodeIndex,
    victims: Vec<PodIndex>,
    violations: usize,
}

/// Finds the host where the fewest and least important pods have to go. Nothing if the pod may not take
/// the place of others, if room is being made for it already, or if no eviction would help.
pub fn preempt(cluster: &Cluster, pod: &Pod) -> Option<Preemption> {
    if !pod.class.template.preempts || !pod.gates.is_empty() || pod.node.is_some() {
        return None;
    }
    cluster.with(pod, |context| {
        if context.volumes.pod_failure().is_some() || is_waiting_for_room(context) {
            return None;
        }
        let best = candidates(context)
            .into_iter()
            .min_by(|a, b| cost(context, a).cmp(&cost(context, b)))?;
        let key = |pod: &PodIndex| Some(context.state.pods.get(*pod)?.pod.key.clone());
        Some(Preemption {
            host: context.state.nodes.slot(best.node)?.name.clone(),
            victims: best.victims.iter().filter_map(key).collect(),
            violations: best.violations,
        })
    })
}

/// Whether pods on the host that it is nominated for are on their way out.
fn is_waiting_for_room(context: &Context<'_>) -> bool {
    let nodes = &context.state.nodes;
    let slot = context
        .pod
        .nominated
        .as_ref()
        .and_then(|host| nodes.slot(nodes.find(host)?));
    let Some(slot) = slot else {
        return false;
    };
    let mut pods = slot
        .pods
        .iter()
        .filter_map(|pod| context.state.pods.get(*pod));
    pods.any(|entry| entry.pod.leaving && entry.pod.priority() < context.pod.priority())
}

fn candidates(context: &Context<'_>) -> Vec<Candidate> {
    let hosts = hosts(context);
    let enough = CANDIDATES.max(hosts.len() / 10);
    let start = usize::try_from(rotation(context.pod) % (hosts.len().max(1) as u64)).unwrap_or(0);
    let order = hosts.iter().cycle().skip(start).take(hosts.len());
    order
        .filter_map(|node| candidate(context, *node))
        .take(enough)
        .collect()
}

/// Hosts that no eviction makes worse than they are: everything that pods have no part in is right.
fn hosts(context: &Context<'_>) -> Vec<NodeIndex> {
    let mut hosts: Bits = context.state.nodes.present().clone();
    if let Some(allowed) = context.memo.affinities.get(context.plan.affinity) {
        hosts.and(allowed);
    }
    if let Some(row) = context.memo.tolerations.get(context.plan.tolerations) {
        hosts.and(&row.schedulable);
        hosts.and(&row.tolerated);
    }
    hosts.iter().collect()
}

fn candidate(context: &Context<'_>, node: NodeIndex) -> Option<Candidate> {
    let state = context.state;
    let slot = state.nodes.slot(node)?;
    let entry = |pod: PodIndex| state.pods.get(pod);
    let lower = slot.pods.iter().copied().filter(|pod| {
        entry(*pod).is_some_and(|entry| entry.pod.priority() < context.pod.priority())
    });
    let mut removed: Vec<PodIndex> = lower.collect();
    if removed.is_empty() {
        return None;
    }
    let added = context.nominated_on(&slot.name);
    let fits = |removed: &[PodIndex]| {
        // Room that is made for others may also stay unused, as they may go elsewhere.
        one::passes(
            context,
            node,
            &Change {
                removed,
                added: &added,
            },
        ) && (added.is_empty()
            || one::passes(
                context,
                node,
                &Change {
                    removed,
                    added: &[],
                },
            ))
    };
    if !fits(&removed) {
        return None;
    }
    removed.sort_by_key(|pod| entry(*pod).map(importance));
    let violating = violating(state, &removed);
    // First those that nobody may disturb, then the others; of each the most important first.
    let (protected, free): (Vec<PodIndex>, Vec<PodIndex>) = removed
        .iter()
        .copied()
        .partition(|pod| violating.contains(pod));
    for pod in protected.into_iter().chain(free) {
        // What is on its way out goes anyhow.
        if entry(pod).is_some_and(|entry| entry.pod.leaving) {
            continue;
        }
        let Some(at) = removed.iter().position(|known| *known == pod) else {
            continue;
        };
        removed.remove(at);
        if !fits(&removed) {
            removed.insert(at, pod);
        }
    }
    removed.retain(|pod| entry(*pod).is_some_and(|entry| !entry.pod.leaving));
    let violations = removed
        .iter()
        .filter(|pod| violating.contains(*pod))
        .count();
    Some(Candidate {
        node,
        victims: removed,
        violations,
    })
}

/// The most important first: by priority, then those that run longest.
fn importance(entry: &Entry) -> (Reverse<i32>, i64, PodKey) {
    (
        Reverse(entry.pod.priority()),
        started(&entry.pod),
        entry.pod.key.clone(),
    )
}

/// A pod that has not started is as new as can be.
fn started(pod: &Pod) -> i64 {
    pod.started.unwrap_or(i64::MAX)
}

/// Pods whose eviction, in this order, would break a disruption budget.
fn violating(state: &State, pods: &[PodIndex]) -> HashSet<PodIndex> {
    let mut violating = HashSet::new();
    let mut left: HashMap<*const crate::model::Budget, i64> = HashMap::new();
    for index in pods {
        let Some(entry) = state.pods.get(*index) else {
            continue;
        };
        for budget in state.budgets_of(&entry.pod) {
            let left = left.entry(budget).or_insert(budget.allowed);
            *left -= 1;
            if *left < 0 {
                violating.insert(*index);
            }
        }
    }
    violating
}

/// What counts, in this order: budgets broken, the most important victim, all victims together, their
/// number, and how long the most important ones have run (the longer, the worse).
fn cost(context: &Context<'_>, candidate: &Candidate) -> impl Ord + use<> {
    let pods = || {
        candidate
            .victims
            .iter()
            .filter_map(|pod| context.state.pods.get(*pod))
            .map(|e| &e.pod)
    };
    let highest = pods().map(Pod::priority).max();
    // Each victim counts for something, however unimportant it is.
    let sum: i64 = pods()
        .map(|pod| i64::from(pod.priority()) - i64::from(i32::MIN) + 1)
        .sum();
    let earliest = pods()
        .filter(|pod| Some(pod.priority()) == highest)
        .map(started)
        .min();
    (
        candidate.violations,
        highest,
        sum,
        candidate.victims.len(),
        Reverse(earliest),
    )
}
