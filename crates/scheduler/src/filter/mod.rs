//! On which hosts a pod can run.
//!
//! Each test is written twice: for all hosts at once, as fast as can be ([`feasible`]), and for one host,
//! which may be looked at as if some of its pods were gone or others there, and which says in words why
//! not ([`one::examine`]). A property test holds the two to each other.

mod failure;
pub(crate) mod one;
mod volumes;

pub use self::failure::{Failure, Test};
pub(crate) use self::{one::Change, volumes::VolumeNeeds};
use crate::{
    bits::Bits,
    cluster::{Block, LANES},
    memo::{Context, Scope, Tally, UNKNOWN},
};

/// The hosts on which the pod can run now.
pub(crate) fn feasible(context: &Context<'_>) -> Bits {
    let mut hosts = context.state.nodes.present().clone();
    if context.volumes.pod_failure().is_some() {
        return Bits::default();
    }
    own(context, &mut hosts);
    resources(context, &mut hosts);
    ports_and_volumes(context, &mut hosts);
    spread(context, &mut hosts);
    near(context, &mut hosts);
    far(context, &mut hosts);
    nominated(context, &mut hosts);
    hosts
}

/// Keeps hosts of which everything is right that no pod has a part in.
pub(crate) fn own(context: &Context<'_>, hosts: &mut Bits) {
    pinned(context, hosts);
    by_host(context, hosts);
}

fn pinned(context: &Context<'_>, hosts: &mut Bits) {
    let Some(pin) = &context.pod.pin else {
        return;
    };
    let host = context
        .state
        .nodes
        .find(pin)
        .filter(|host| hosts.get(*host));
    hosts.words_mut().fill(0);
    if let Some(host) = host {
        hosts.set(host, true);
    }
}

/// What depends on the host only.
fn by_host(context: &Context<'_>, hosts: &mut Bits) {
    if let Some(allowed) = context.memo.affinities.get(context.plan.affinity) {
        hosts.and(allowed);
    }
    if let Some(row) = context.memo.tolerations.get(context.plan.tolerations) {
        hosts.and(&row.schedulable);
        hosts.and(&row.tolerated);
    }
}

fn resources(context: &Context<'_>, hosts: &mut Bits) {
    let requests = &context.pod.class.template.requests;
    let blocks = context.state.nodes.blocks();
    retain_with_free(hosts, blocks, 1, |block| &block.free_pods);
    if requests.cpu_millis > 0 {
        retain_with_free(hosts, blocks, requests.cpu_millis, |block| &block.free_cpu);
    }
    if requests.memory > 0 {
        retain_with_free(hosts, blocks, requests.memory, |block| &block.free_memory);
    }
    if requests.ephemeral > 0 {
        retain_with_free(hosts, blocks, requests.ephemeral, |block| {
            &block.free_ephemeral
        });
    }
    if !requests.extended.is_empty() {
        hosts.retain(|host| {
            context.state.nodes.slot(host).is_some_and(|slot| {
                let mut wanted = requests.extended.iter().filter(|(_, amount)| *amount > 0);
                wanted.all(|(name, amount)| slot.free_extended(name) >= *amount)
            })
        });
    }
}

fn retain_with_free(
    hosts: &mut Bits,
    blocks: &[Block],
    needed: i64,
    column: impl Fn(&Block) -> &[i64; LANES],
) {
    for (word, block) in hosts.words_mut().iter_mut().zip(blocks) {
        if *word == 0 {
            continue;
        }
        let mut enough = [0u8; LANES];
        for (enough, free) in enough.iter_mut().zip(column(block)) {
            *enough = u8::from(*free >= needed);
        }
        *word &= pack(&enough);
    }
}

fn ports_and_volumes(context: &Context<'_>, hosts: &mut Bits) {
    let ports = &context.pod.class.template.ports;
    if !ports.is_empty() {
        hosts.retain(|host| {
            context.state.nodes.slot(host).is_some_and(|slot| {
                !ports
                    .iter()
                    .any(|port| slot.ports.iter().any(|taken| port.conflicts(taken)))
            })
        });
    }
    if !context.volumes.is_empty() {
        hosts.retain(|host| {
            let node = context.state.nodes.node(host);
            node.is_some_and(|node| context.volumes.failure(node).is_none())
        });
    }
}

/// A word of bytes that are each 0 or 1. A product gathers eight of them at a time, for which the compiler
/// has vector instructions before, other than for bits.
fn pack(bytes: &[u8; LANES]) -> u64 {
    let (rows, _) = bytes.as_chunks::<8>();
    let rows = rows.iter().zip((0u32..).step_by(8));
    rows.fold(0, |word, (row, shift)| {
        let gathered = u64::from_le_bytes(*row).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word | gathered << shift
    })
}

/// The fewest pods that a counted domain has, without those in one domain. Nothing if there is no such
/// domain.
pub(crate) fn fewest(scope: &Scope, tally: &Tally, except: u32) -> Option<u32> {
    let domains = (0u32..)
        .zip(&scope.hosts)
        .filter(|(domain, hosts)| **hosts > 0 && *domain != except);
    domains.map(|(domain, _)| tally.of(domain)).min()
}

fn spread(context: &Context<'_>, hosts: &mut Bits) {
    for rule in &context.plan.spread {
        let memo = context.memo;
        let (Some(scope), Some(tally), Some(topology)) = (
            memo.scopes.get(rule.scope),
            memo.tallies.get(rule.tally),
            memo.topologies.get(rule.topology),
        ) else {
            continue;
        };
        let fewest = if scope.domains < rule.min_domains {
            0
        } else {
            lowest(scope, tally)
        };
        let own = u32::from(rule.own);
        retain_by_domain(hosts, topology.domains(), |domain| {
            let skew = tally.of(domain).saturating_add(own).saturating_sub(fewest);
            domain != UNKNOWN && skew <= rule.max_skew
        });
    }
}

/// The same for all domains, in one pass without branches.
fn lowest(scope: &Scope, tally: &Tally) -> u32 {
    let counted = scope.hosts.iter().zip(&tally.counts);
    let known = counted
        .map(|(hosts, pods)| if *hosts > 0 { *pods } else { u32::MAX })
        .min();
    let rest = scope.hosts.get(tally.counts.len()..).unwrap_or_default();
    if rest.iter().any(|hosts| *hosts > 0) {
        return 0;
    }
    known.filter(|fewest| *fewest != u32::MAX).unwrap_or(0)
}

fn retain_by_domain(hosts: &mut Bits, domains: &[u32], keep: impl Fn(u32) -> bool) {
    let (blocks, _) = domains.as_chunks::<LANES>();
    for (word, block) in hosts.words_mut().iter_mut().zip(blocks) {
        if *word == 0 {
            continue;
        }
        let mut kept = [0u8; LANES];
        for (kept, domain) in kept.iter_mut().zip(block) {
            *kept = u8::from(keep(*domain));
        }
        *word &= pack(&kept);
    }
}

fn near(context: &Context<'_>, hosts: &mut Bits) {
    let near = &context.plan.near;
    let tallies = || near.iter().map(|term| context.memo.tallies.get(term.tally));
    // The first of pods that want to be near each other has nobody to be near to.
    let is_first =
        context.plan.near_self && tallies().all(|tally| tally.is_none_or(|tally| tally.total == 0));
    for (term, tally) in near.iter().zip(tallies()) {
        let (Some(tally), Some(topology)) = (tally, context.memo.topologies.get(term.topology))
        else {
            continue;
        };
        retain_by_domain(hosts, topology.domains(), |domain| {
            domain != UNKNOWN && (is_first || tally.of(domain) > 0)
        });
    }
}

fn far(context: &Context<'_>, hosts: &mut Bits) {
    for term in &context.plan.far {
        let tally = context.memo.tallies.get(term.tally);
        let topology = context.memo.topologies.get(term.topology);
        if let (Some(tally), Some(topology)) = (tally, topology)
            && tally.total > 0
        {
            retain_by_domain(hosts, topology.domains(), |domain| tally.of(domain) == 0);
        }
    }
    for blocked in &context.blocked {
        if let Some(topology) = context.memo.topologies.get(blocked.topology) {
            retain_by_domain(hosts, topology.domains(), |domain| {
                blocked
                    .by_domain
                    .get(domain as usize)
                    .is_none_or(|owners| *owners == 0)
            });
        }
    }
}

/// Room that is made for other pods is not there for this one.
fn nominated(context: &Context<'_>, hosts: &mut Bits) {
    for (host, pods) in context.state.pods.nominated() {
        let Some(index) = context
            .state
            .nodes
            .find(host)
            .filter(|index| hosts.get(*index))
        else {
            continue;
        };
        let added: Vec<u32> = pods
            .iter()
            .copied()
            .filter(|pod| context.respects(*pod))
            .collect();
        if !added.is_empty() {
            let change = Change {
                removed: &[],
                added: &added,
            };
            hosts.set(index, one::passes(context, index, &change));
        }
    }
}
