//! What is free, and whether it is free alike.

use super::Candidates;
use crate::{
    cluster::{Block, LANES},
    memo::Context,
    profile::{Profile, Strategy},
};

/// Runs over the blocks in which any host would do.
fn blocks<'a>(
    context: &'a Context<'_>,
    candidates: &Candidates,
    scores: &'a mut [f32],
) -> impl Iterator<Item = (&'a Block, &'a mut [f32; LANES])> {
    let (sums, _) = scores.as_chunks_mut::<LANES>();
    let blocks = context.state.nodes.blocks().iter().zip(sums);
    let words: Vec<bool> = candidates
        .hosts
        .words()
        .iter()
        .map(|word| *word != 0)
        .collect();
    blocks
        .zip(words)
        .filter(|(_, any)| *any)
        .map(|(pair, _)| pair)
}

pub(super) fn add_free(
    context: &Context<'_>,
    candidates: &Candidates,
    profile: &Profile,
    weight: f32,
    scores: &mut [f32],
) {
    let (cpu, memory) = context.pod.class.template.weight;
    let (cpu, memory) = (cpu as f32, memory as f32);
    let total = profile.cpu + profile.memory;
    if total <= 0.0 {
        return;
    }
    let spreading = profile.strategy == Strategy::Spreading;
    // A share that is taken counts for or against a host.
    let sign = if spreading { -1.0 } else { 1.0 };
    let base = if spreading { 100.0 * weight } else { 0.0 };
    let cpu_scale = sign * 100.0 * weight * profile.cpu / total;
    let memory_scale = sign * 100.0 * weight * profile.memory / total;
    for (block, sums) in blocks(context, candidates, scores) {
        let cpu_shares = block.cpu_weight.iter().zip(&block.cpu_inverse);
        let memory_shares = block.memory_weight.iter().zip(&block.memory_inverse);
        for ((sum, (cpu_used, cpu_inverse)), (memory_used, memory_inverse)) in
            sums.iter_mut().zip(cpu_shares).zip(memory_shares)
        {
            let cpu_share = at_most_one(cpu_used + cpu * cpu_inverse);
            let memory_share = at_most_one(memory_used + memory * memory_inverse);
            *sum += base + cpu_share * cpu_scale + memory_share * memory_scale;
        }
    }
}

pub(super) fn add_balance(
    context: &Context<'_>,
    candidates: &Candidates,
    weight: f32,
    scores: &mut [f32],
) {
    let requests = &context.pod.class.template.requests;
    // A pod that takes nothing balances nothing.
    if requests.cpu_millis == 0 && requests.memory == 0 {
        return;
    }
    let (cpu, memory) = (requests.cpu_millis as f32, requests.memory as f32);
    for (block, sums) in blocks(context, candidates, scores) {
        let cpu_shares = block.cpu_used.iter().zip(&block.cpu_inverse);
        let memory_shares = block.memory_used.iter().zip(&block.memory_inverse);
        for ((sum, (cpu_used, cpu_inverse)), (memory_used, memory_inverse)) in
            sums.iter_mut().zip(cpu_shares).zip(memory_shares)
        {
            let cpu_share = at_most_one(cpu_used + cpu * cpu_inverse);
            let memory_share = at_most_one(memory_used + memory * memory_inverse);
            // The standard deviation of two numbers is half of their difference.
            *sum += weight * 100.0 * (1.0 - (cpu_share - memory_share).abs() / 2.0);
        }
    }
}

/// One instruction, which `f32::min` is not.
fn at_most_one(share: f32) -> f32 {
    if share < 1.0 { share } else { 1.0 }
}
