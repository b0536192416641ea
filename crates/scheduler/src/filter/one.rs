//! One host in every detail, and as it would be with other pods on it.

use mosaic_api::peak::Amounts as _;

use crate::{
    filter::{Failure, fewest},
    memo::{Context, Tally, UNKNOWN},
    memo::{takes_new_pods, untolerated},
    model::Amounts,
    slab::{NodeIndex, PodIndex},
};

/// Pods to be left out of a host, or added to it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change<'a> {
    /// Pods of the host that count as gone.
    pub removed: &'a [PodIndex],
    /// Pods that count as being there.
    pub added: &'a [PodIndex],
}

/// Whether the pod can run on a host.
pub(crate) fn passes(context: &Context<'_>, node: NodeIndex, change: &Change<'_>) -> bool {
    context.volumes.pod_failure().is_none() && examine(context, node, change, &mut |_| false)
}

/// Why the pod cannot run on a host, everything that is in the way.
pub(crate) fn failures(
    context: &Context<'_>,
    node: NodeIndex,
    change: &Change<'_>,
) -> Vec<Failure> {
    let mut found = Vec::new();
    examine(context, node, change, &mut |failure| {
        found.push(failure);
        true
    });
    found
}

/// Tells of every failure until `tell` says that it is enough. Returns whether there was none.
pub(crate) fn examine(
    context: &Context<'_>,
    node: NodeIndex,
    change: &Change<'_>,
    tell: &mut dyn FnMut(Failure) -> bool,
) -> bool {
    let mut passed = true;
    let mut tell = |failure: Failure| {
        passed = false;
        tell(failure)
    };
    let tests = [by_host, resources, spread, pods];
    let _ = tests.iter().try_for_each(|test| {
        if test(context, node, change, &mut tell) {
            Ok(())
        } else {
            Err(())
        }
    });
    passed
}

type Tell<'a> = &'a mut dyn FnMut(Failure) -> bool;

fn by_host(context: &Context<'_>, node: NodeIndex, change: &Change<'_>, tell: Tell<'_>) -> bool {
    let Some(slot) = context.state.nodes.slot(node) else {
        return tell(Failure::NotPinned);
    };
    let Some(host) = &slot.node else {
        return tell(Failure::NotPinned);
    };
    let template = &context.pod.class.template;
    if !takes_new_pods(host, &template.tolerations) && !tell(Failure::Cordoned) {
        return false;
    }
    if context
        .pod
        .pin
        .as_ref()
        .is_some_and(|pin| *pin != host.name)
        && !tell(Failure::NotPinned)
    {
        return false;
    }
    if let Some(taint) = untolerated(host, &template.tolerations)
        && !tell(Failure::Tainted(taint.clone()))
    {
        return false;
    }
    if !template.node_affinity.matches(host) && !tell(Failure::NodeAffinity) {
        return false;
    }
    if !template.ports.is_empty() {
        let gone = |pod: &PodIndex| change.removed.contains(pod);
        let pods = slot
            .pods
            .iter()
            .filter(|pod| !gone(pod))
            .chain(change.added);
        let taken = pods
            .filter_map(|pod| context.state.pods.get(*pod))
            .flat_map(|entry| &entry.pod.class.template.ports);
        let taken: Vec<_> = taken.collect();
        for port in &template.ports {
            if taken.iter().any(|other| port.conflicts(other))
                && !tell(Failure::PortTaken(port.clone()))
            {
                return false;
            }
        }
    }
    match context.volumes.failure(host) {
        Some(failure) => tell(failure),
        None => true,
    }
}

fn resources(context: &Context<'_>, node: NodeIndex, change: &Change<'_>, tell: Tell<'_>) -> bool {
    let Some(slot) = context.state.nodes.slot(node) else {
        return true;
    };
    let Some(host) = &slot.node else {
        return true;
    };
    let mut used = slot.requested.clone();
    let requests_of = |pod: &PodIndex| {
        context
            .state
            .pods
            .get(*pod)
            .map(|entry| entry.pod.class.template.requests.clone())
    };
    change
        .removed
        .iter()
        .filter_map(requests_of)
        .for_each(|amounts| used.sub(&amounts));
    change
        .added
        .iter()
        .filter_map(requests_of)
        .for_each(|amounts| used.add(&amounts));
    let pods = slot.pods.len() + change.added.len() - change.removed.len().min(slot.pods.len());
    if pods as i64 >= host.pods && !tell(Failure::TooManyPods { most: host.pods }) {
        return false;
    }
    let needed = &context.pod.class.template.requests;
    lacks(&host.allocatable, &used, needed).all(tell)
}

/// What there is too little of.
fn lacks(have: &Amounts, used: &Amounts, needed: &Amounts) -> impl Iterator<Item = Failure> {
    let first = [
        ("cpu", have.cpu_millis, used.cpu_millis, needed.cpu_millis),
        ("memory", have.memory, used.memory, needed.memory),
        (
            "ephemeral-storage",
            have.ephemeral,
            used.ephemeral,
            needed.ephemeral,
        ),
    ];
    let first = first
        .into_iter()
        .map(|(name, have, used, needed)| (name.into(), have, used, needed));
    let extended = needed.extended.iter().map(|(name, needed)| {
        (
            name.clone(),
            have.extended(name),
            used.extended(name),
            *needed,
        )
    });
    first
        .chain(extended)
        .filter_map(|(resource, capacity, used, needed)| {
            let free = capacity.wrapping_sub(used);
            (needed > 0 && free < needed).then_some(Failure::Insufficient {
                resource,
                free,
                capacity,
                needed,
            })
        })
}

/// How many pods of a tally are in the domain of a changed host.
fn changed(
    context: &Context<'_>,
    node: NodeIndex,
    change: &Change<'_>,
    tally: &Tally,
    domain: u32,
) -> (u32, i64) {
    let eligible = context
        .memo
        .scopes
        .get(tally.scope)
        .is_some_and(|scope| scope.eligible.get(node));
    let matching = |pods: &[PodIndex]| {
        if !eligible {
            return 0;
        }
        let entries = pods.iter().filter_map(|pod| context.state.pods.get(*pod));
        let matching = entries
            .filter(|entry| tally.is_about(context.state, &entry.pod.class, entry.pod.leaving));
        matching.count() as i64
    };
    let difference = matching(change.added) - matching(change.removed);
    let pods = i64::from(tally.of(domain)).saturating_add(difference);
    (u32::try_from(pods).unwrap_or(0), difference)
}

fn spread(context: &Context<'_>, node: NodeIndex, change: &Change<'_>, tell: Tell<'_>) -> bool {
    for rule in &context.plan.spread {
        let memo = context.memo;
        let (Some(scope), Some(tally)) =
            (memo.scopes.get(rule.scope), memo.tallies.get(rule.tally))
        else {
            continue;
        };
        let domain = context.domain(rule.topology, node);
        if domain == UNKNOWN {
            if !tell(Failure::NoDomain {
                key: rule.key.clone(),
            }) {
                return false;
            }
            continue;
        }
        let (pods, _) = changed(context, node, change, tally, domain);
        let others = fewest(scope, tally, domain);
        let counted = scope
            .hosts
            .get(domain as usize)
            .is_some_and(|hosts| *hosts > 0);
        let least = match others {
            _ if scope.domains < rule.min_domains => 0,
            Some(others) if counted => others.min(pods),
            Some(others) => others,
            None if counted => pods,
            None => 0,
        };
        let skew = pods
            .saturating_add(u32::from(rule.own))
            .saturating_sub(least);
        if skew > rule.max_skew {
            let name = memo
                .topologies
                .get(rule.topology)
                .map_or("", |t| t.name(domain));
            let failure = Failure::Skewed {
                key: rule.key.clone(),
                domain: name.into(),
                skew,
                most: rule.max_skew,
            };
            if !tell(failure) {
                return false;
            }
        }
    }
    true
}

fn pods(context: &Context<'_>, node: NodeIndex, change: &Change<'_>, tell: Tell<'_>) -> bool {
    let tally_of = |row: u32| context.memo.tallies.get(row);
    let near = &context.plan.near;
    let is_first = context.plan.near_self
        && near
            .iter()
            .filter_map(|term| Some((term, tally_of(term.tally)?)))
            .all(|(term, tally)| {
                let domain = context.domain(term.topology, node);
                let (_, difference) = changed(context, node, change, tally, domain);
                tally.total as i64 + difference <= 0
            });
    for term in near {
        let domain = context.domain(term.topology, node);
        let found = tally_of(term.tally)
            .is_some_and(|tally| changed(context, node, change, tally, domain).0 > 0);
        if (domain == UNKNOWN || !(is_first || found))
            && !tell(Failure::NothingNear {
                key: term.key.clone(),
            })
        {
            return false;
        }
    }
    for term in &context.plan.far {
        let domain = context.domain(term.topology, node);
        let found = tally_of(term.tally)
            .is_some_and(|tally| changed(context, node, change, tally, domain).0 > 0);
        if domain != UNKNOWN
            && found
            && !tell(Failure::TooNear {
                key: term.key.clone(),
            })
        {
            return false;
        }
    }
    kept_away(context, node, change, tell)
}

fn kept_away(context: &Context<'_>, node: NodeIndex, change: &Change<'_>, tell: Tell<'_>) -> bool {
    for blocked in &context.blocked {
        let domain = context.domain(blocked.topology, node);
        let owners = blocked.by_domain.get(domain as usize).copied().unwrap_or(0);
        let gone: u32 = change
            .removed
            .iter()
            .map(|pod| context.keeps_away(*pod, blocked.term))
            .sum();
        if owners > gone {
            let entry = context.state.terms.get(blocked.term);
            let key = entry
                .map(|entry| entry.term.topology_key.clone())
                .unwrap_or_default();
            if !tell(Failure::KeptAway { key }) {
                return false;
            }
        }
    }
    // Pods that would come may keep this one away, too.
    for entry in change
        .added
        .iter()
        .filter_map(|pod| context.state.pods.get(*pod))
    {
        for term in &entry.pod.class.template.anti_affinity {
            let class = context.class();
            let matches = term
                .pods
                .matches(&class.namespace, &class.labels, |namespace| {
                    context.state.namespaces.get(namespace)
                });
            let host = context.state.nodes.node(node);
            if matches
                && host.is_some_and(|host| host.labels.get(&term.topology_key).is_some())
                && !tell(Failure::KeptAway {
                    key: term.topology_key.clone(),
                })
            {
                return false;
            }
        }
    }
    true
}
