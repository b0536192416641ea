//! Preferences for hosts by labels, taints, images, and by the pods that are near.

use super::Candidates;
use crate::memo::Context;

/// The best host gets 100, none of the preferences 0.
pub(super) fn add_node_affinity(
    context: &Context<'_>,
    candidates: &Candidates,
    weight: f32,
    scores: &mut [f32],
) {
    let row = context
        .plan
        .preference
        .and_then(|row| context.memo.preferences.get(row));
    let Some(row) = row else {
        return;
    };
    if let Some((_, high)) = candidates.extremes(row)
        && high > 0.0
    {
        candidates.add_scaled(row, 100.0 * weight / high, 0.0, scores);
    }
}

/// No such taint gives 100, the most of them 0.
pub(super) fn add_taints(
    context: &Context<'_>,
    candidates: &Candidates,
    weight: f32,
    scores: &mut [f32],
) {
    let Some(row) = context.memo.tolerations.get(context.plan.tolerations) else {
        return;
    };
    if row.disliking == 0 {
        return;
    }
    if let Some((_, high)) = candidates.extremes(&row.disliked)
        && high > 0.0
    {
        let scale = 100.0 * weight / high;
        candidates.add_scaled(&row.disliked, -scale, 100.0 * weight, scores);
    }
}

pub(super) fn add_images(
    context: &Context<'_>,
    candidates: &Candidates,
    weight: f32,
    scores: &mut [f32],
) {
    if let Some(row) = context.memo.images.get(context.plan.images)
        && !row.is_empty()
    {
        candidates.add_scaled(row, weight, 0.0, scores);
    }
}

/// The most wanted host gets 100, the least wanted 0.
pub(super) fn add_pod_affinity(
    context: &Context<'_>,
    candidates: &Candidates,
    weight: f32,
    scores: &mut [f32],
) {
    let preferred = &context.plan.preferred;
    if preferred.is_empty() && context.wanted.is_empty() {
        return;
    }
    let mut wanted = vec![0.0f32; scores.len()];
    for (weight, term) in preferred {
        let memo = context.memo;
        let (Some(tally), Some(topology)) = (
            memo.tallies.get(term.tally),
            memo.topologies.get(term.topology),
        ) else {
            continue;
        };
        if tally.total == 0 {
            continue;
        }
        for (sum, domain) in wanted.iter_mut().zip(topology.domains()) {
            *sum += tally.of(*domain) as f32 * *weight as f32;
        }
    }
    for (topology, by_domain) in &context.wanted {
        let Some(topology) = context.memo.topologies.get(*topology) else {
            continue;
        };
        for (sum, domain) in wanted.iter_mut().zip(topology.domains()) {
            *sum += by_domain.get(*domain as usize).copied().unwrap_or(0.0);
        }
    }
    if let Some((low, high)) = candidates.extremes(&wanted)
        && high > low
    {
        let scale = 100.0 * weight / (high - low);
        candidates.add_scaled(&wanted, scale, -low * scale, scores);
    }
}
