//! How good the hosts are that would do.
//!
//! Each part of the score gives each host 0 to 100, by Kubernetes' rules; the profile says how much each
//! counts. Parts that say the same of every host are not looked at.

mod lanes;
mod pods;
mod resources;
mod spread;

pub(crate) use self::lanes::Candidates;
use crate::{memo::Context, profile::Profile};

/// A part of a host's score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// What is free, or taken, by strategy.
    Resources,
    /// Processor and memory used alike.
    Balance,
    /// Preferred node affinity.
    NodeAffinity,
    /// Taints by which the pod should rather stay away.
    Taints,
    /// Images that are there already.
    Images,
    /// Topology spread.
    Spread,
    /// Preferred pods near, or far away.
    PodAffinity,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 7] = [
        Self::Resources,
        Self::Balance,
        Self::NodeAffinity,
        Self::Taints,
        Self::Images,
        Self::Spread,
        Self::PodAffinity,
    ];

    /// What it is about, in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Resources => "free resources",
            Self::Balance => "balance of CPU and memory",
            Self::NodeAffinity => "preferred node affinity",
            Self::Taints => "taints to avoid",
            Self::Images => "images already there",
            Self::Spread => "spread over zones and hosts",
            Self::PodAffinity => "preferred pods near or far",
        }
    }

    fn weight(self, profile: &Profile) -> f32 {
        let weights = &profile.weights;
        match self {
            Self::Resources => weights.resources,
            Self::Balance => weights.balance,
            Self::NodeAffinity => weights.node_affinity,
            Self::Taints => weights.taints,
            Self::Images => weights.images,
            Self::Spread => weights.spread,
            Self::PodAffinity => weights.pod_affinity,
        }
    }

    /// Adds this part, weighed, to the scores of hosts. Hosts outside may get anything.
    pub(crate) fn add(
        self,
        context: &Context<'_>,
        candidates: &Candidates,
        profile: &Profile,
        scores: &mut [f32],
    ) {
        let weight = self.weight(profile);
        if weight == 0.0 {
            return;
        }
        match self {
            Self::Resources => resources::add_free(context, candidates, profile, weight, scores),
            Self::Balance => resources::add_balance(context, candidates, weight, scores),
            Self::NodeAffinity => pods::add_node_affinity(context, candidates, weight, scores),
            Self::Taints => pods::add_taints(context, candidates, weight, scores),
            Self::Images => pods::add_images(context, candidates, weight, scores),
            Self::Spread => spread::add(context, candidates, profile, weight, scores),
            Self::PodAffinity => pods::add_pod_affinity(context, candidates, weight, scores),
        }
    }
}

/// The scores of all hosts of a set.
pub(crate) fn scores(
    context: &Context<'_>,
    candidates: &Candidates,
    profile: &Profile,
) -> Vec<f32> {
    let mut scores = vec![0.0; candidates.len()];
    for part in Part::ALL {
        part.add(context, candidates, profile, &mut scores);
    }
    scores
}

/// The best host of a set. Of equally good ones it is the first from `rotation` on, so that pods do not all
/// choose the same.
pub(crate) fn best(candidates: &Candidates, scores: &[f32], rotation: u64) -> Option<(u32, f32)> {
    let (_, most) = candidates.extremes(scores)?;
    let words = candidates.hosts.words();
    let start = usize::try_from(rotation % (words.len().max(1) as u64)).unwrap_or(0);
    let turn = (rotation >> 32) as u32 % 64;
    let (blocks, _) = scores.as_chunks::<64>();
    let order = (start..words.len()).chain(0..start);
    for index in order {
        let (Some(word), Some(block)) = (words.get(index), blocks.get(index)) else {
            continue;
        };
        if *word == 0 {
            continue;
        }
        let mut equal = 0u64;
        for (lane, score) in block.iter().enumerate() {
            equal |= u64::from(*score >= most) << lane;
        }
        equal &= word;
        if equal != 0 {
            let lane = (equal.rotate_right(turn).trailing_zeros() + turn) % 64;
            return Some((index as u32 * 64 + lane, most));
        }
    }
    None
}
