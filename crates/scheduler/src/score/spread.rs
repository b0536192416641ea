//! Topology spread, where it should but need not hold.

use super::Candidates;
use crate::{
    bits::Bits,
    memo::{Context, HOSTNAME, UNKNOWN},
    profile::{Profile, Strategy},
};

pub(super) fn add(
    context: &Context<'_>,
    candidates: &Candidates,
    profile: &Profile,
    weight: f32,
    scores: &mut [f32],
) {
    let plan = &context.plan;
    let rules = &plan.soft_spread;
    if rules.is_empty() || plan.default_spread && profile.strategy == Strategy::Packing {
        return;
    }
    let mut crowd = vec![0.0f32; scores.len()];
    // Hosts without one of the labels come last, unless nobody asked for the labels.
    let mut unlabelled: Option<Bits> = None;
    let mut hosts_that_would_do = None;
    for rule in rules {
        let memo = context.memo;
        let (Some(scope), Some(tally), Some(topology)) = (
            memo.scopes.get(rule.scope),
            memo.tallies.get(rule.tally),
            memo.topologies.get(rule.topology),
        ) else {
            continue;
        };
        let domains = if *rule.key == *HOSTNAME {
            *hosts_that_would_do.get_or_insert_with(|| candidates.hosts.count())
        } else {
            scope.domains as usize
        };
        // Many domains have few pods each; so that large and small topologies count alike.
        let scale = ((domains + 2) as f32).ln();
        let offset = rule.max_skew.saturating_sub(1) as f32;
        if tally.total == 0 && topology.is_complete() {
            for sum in &mut crowd {
                *sum += offset;
            }
            continue;
        }
        let by_domain: Vec<f32> = (0..topology.end())
            .map(|domain| tally.of(domain as u32) as f32 * scale + offset)
            .collect();
        for (sum, domain) in crowd.iter_mut().zip(topology.domains()) {
            *sum += by_domain.get(*domain as usize).copied().unwrap_or(0.0);
        }
        if !plan.default_spread && !topology.is_complete() {
            let missing = unlabelled.get_or_insert_with(|| Bits::new(scores.len()));
            for (host, domain) in (0u32..).zip(topology.domains()) {
                if *domain == UNKNOWN && candidates.hosts.get(host) {
                    missing.set(host, true);
                }
            }
        }
    }
    let labelled = unlabelled.as_ref().map(|missing| {
        let mut hosts = candidates.hosts.clone();
        hosts.retain(|host| !missing.get(host));
        Candidates::new(hosts)
    });
    let counted = labelled.as_ref().unwrap_or(candidates);
    let Some((low, high)) = counted.extremes(&crowd) else {
        return;
    };
    if high <= 0.0 {
        candidates.add_scaled(&crowd, 0.0, 100.0 * weight, scores);
    } else {
        let scale = 100.0 * weight / high;
        candidates.add_scaled(&crowd, -scale, (high + low) * scale, scores);
    }
    for host in unlabelled.iter().flat_map(Bits::iter) {
        if let (Some(score), Some(crowd)) =
            (scores.get_mut(host as usize), crowd.get(host as usize))
        {
            // Takes back what was just added.
            *score -= if high <= 0.0 {
                100.0 * weight
            } else {
                (high + low - crowd) * 100.0 * weight / high
            };
        }
    }
}
