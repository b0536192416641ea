//! Why a pod is where it is.

use std::{fmt, sync::Arc};

use super::{Explanation, unschedulable};
use crate::{
    cluster::Cluster,
    filter::{Change, Failure, feasible, one},
    memo::Context,
    model::{Pod, PodKey},
    profile::Profile,
    score::{Candidates, Part},
};

/// A host and what its score is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredHost {
    /// Its name.
    pub host: Arc<str>,
    /// Its score.
    pub score: f32,
    /// What each part gave, weighed; parts that give every host the same are left out.
    pub parts: Vec<(Part, f32)>,
}

/// Why a pod is where it is, as things are now.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacementReport {
    /// Which pod.
    pub pod: PodKey,
    /// Where it is.
    pub host: Arc<str>,
    /// The profile by which hosts were compared.
    pub profile: &'static str,
    /// How many hosts there are.
    pub hosts: usize,
    /// How many would do.
    pub possible: usize,
    /// What would keep it from its own host if it came now; empty if nothing does.
    pub now_failing: Vec<Failure>,
    /// Its host, as it would be scored now; nothing if it would not do now.
    pub own: Option<ScoredHost>,
    /// The best of the others.
    pub runner_up: Option<ScoredHost>,
    /// Why others will not do.
    pub others: Explanation,
}

/// Why a placed pod is where it is: as if it was not there and decided about now. Nothing if the cluster
/// has no such pod, or it is nowhere.
pub fn explain_placement(cluster: &Cluster, key: &PodKey) -> Option<PlacementReport> {
    let host = cluster.host_of(key)?.clone();
    let pod = cluster.pod(key)?.clone();
    let mut without = cluster.clone();
    without.remove_pod(key);
    Some(without.with(&pod, |context| report(context, &pod, host)))
}

fn report(context: &Context<'_>, pod: &Pod, host: Arc<str>) -> PlacementReport {
    let profile = Profile::of(pod);
    let hosts = feasible(context);
    let candidates = Candidates::new(hosts);
    let hosts = candidates.hosts();
    let parts = parts(context, &candidates, profile);
    let scored = |index: u32| {
        let part = |(part, row): &(Part, Vec<f32>)| Some((*part, *row.get(index as usize)?));
        let parts: Vec<(Part, f32)> = parts.iter().filter_map(part).collect();
        Some(ScoredHost {
            host: context.state.nodes.slot(index)?.name.clone(),
            score: parts.iter().map(|(_, score)| score).sum(),
            parts,
        })
    };
    let own = context.state.nodes.find(&host);
    let others = hosts
        .iter()
        .filter(|index| Some(*index) != own)
        .filter_map(scored);
    let runner_up = others.reduce(|best, other| {
        let better =
            other.score > best.score || other.score == best.score && other.host < best.host;
        if better { other } else { best }
    });
    let failing = own.map(|own| one::failures(context, own, &Change::default()));
    PlacementReport {
        pod: pod.key.clone(),
        profile: profile.name,
        hosts: context.state.nodes.len(),
        possible: hosts.count(),
        now_failing: failing.unwrap_or_default(),
        own: own.filter(|own| hosts.get(*own)).and_then(scored),
        runner_up,
        others: unschedulable(context),
        host,
    }
}

/// What each part gives each host, of parts that tell hosts apart.
fn parts(
    context: &Context<'_>,
    candidates: &Candidates,
    profile: &Profile,
) -> Vec<(Part, Vec<f32>)> {
    let all = Part::ALL.into_iter().map(|part| {
        let mut row = vec![0.0; candidates.len()];
        part.add(context, candidates, profile, &mut row);
        (part, row)
    });
    let telling = all.filter(|(_, row)| {
        let mut scores = candidates
            .hosts()
            .iter()
            .filter_map(|host| row.get(host as usize));
        let first = scores.next();
        scores.any(|score| Some(score) != first)
    });
    telling.collect()
}

impl fmt::Display for PlacementReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pod,
            host,
            possible,
            hosts,
            profile,
            ..
        } = self;
        write!(
            f,
            "{pod} is on {host}; {possible} of {hosts} hosts would do (profile {profile})."
        )?;
        if !self.now_failing.is_empty() {
            let failures: Vec<String> = self.now_failing.iter().map(ToString::to_string).collect();
            write!(
                f,
                " It could not come there now: {host} {}.",
                failures.join(", and ")
            )?;
        }
        let (Some(own), Some(other)) = (&self.own, &self.runner_up) else {
            return Ok(());
        };
        write!(
            f,
            " Its score now is {:.1}, that of {} is {:.1}",
            own.score, other.host, other.score
        )?;
        for (index, (part, score)) in own.parts.iter().enumerate() {
            let against = other.parts.iter().find(|(other, _)| other == part);
            let against = against.map_or(0.0, |(_, score)| *score);
            let start = if index == 0 { ": " } else { ", " };
            write!(f, "{start}{} {score:.1} to {against:.1}", part.words())?;
        }
        f.write_str(".")
    }
}
