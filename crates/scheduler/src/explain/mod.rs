//! Why a pod is nowhere, and why it is where it is.

mod placement;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

pub use self::placement::{PlacementReport, ScoredHost, explain_placement};
use crate::{
    cluster::Cluster,
    filter::{Change, Failure, Test, one},
    memo::Context,
    model::Pod,
    slab::NodeIndex,
};

/// Why no host will do for a pod.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Explanation {
    /// How many hosts there are.
    pub hosts: usize,
    /// What is wrong wherever the pod would be. Then no host was looked at.
    pub pod: Option<String>,
    /// How many hosts failed which test first; together as many as there are hosts.
    pub failed: BTreeMap<Test, usize>,
    /// Every test that some host failed, first or not.
    pub every: BTreeSet<Test>,
    /// What hosts failed for in the test that they failed first, in Kubernetes' words, and on how many hosts. One that has
    /// too little of several resources is there with each, as in Kubernetes: these may be together more than there are.
    pub reasons: BTreeMap<String, usize>,
    /// The host that is closest to passing.
    pub nearest: Option<NearMiss>,
}

/// A host that almost passed.
#[derive(Debug, Clone, PartialEq)]
pub struct NearMiss {
    /// Its name.
    pub host: Arc<str>,
    /// What is in the way.
    pub failures: Vec<Failure>,
}

/// Why no host will do for a pod, or nothing if one does.
pub fn explain(cluster: &Cluster, pod: &Pod) -> Option<Explanation> {
    cluster.with(pod, |context| {
        let explanation = unschedulable(context);
        let passed = explanation.failed.values().sum::<usize>() < explanation.hosts;
        (explanation.pod.is_some() || explanation.hosts == 0 || !passed).then_some(explanation)
    })
}

pub(crate) fn unschedulable(context: &Context<'_>) -> Explanation {
    let nodes = &context.state.nodes;
    let mut explanation = Explanation {
        hosts: nodes.len(),
        ..Explanation::default()
    };
    if let Some(failure) = context.volumes.pod_failure() {
        explanation.pod = Some(failure.to_owned());
        return explanation;
    }
    // Many hosts fail for the same reason; its words are made once.
    let mut counts: Vec<(Failure, usize)> = Vec::new();
    let mut nearest: Option<(f64, NearMiss)> = None;
    for (index, slot, node) in nodes.iter() {
        let failures = failures(context, index, &slot.name);
        let Some(first) = failures.first() else {
            continue;
        };
        *explanation.failed.entry(first.test()).or_default() += 1;
        explanation.every.extend(failures.iter().map(Failure::test));
        // As in Kubernetes, a host counts for the test that it failed first: for everything that it has too little of,
        // and otherwise for one reason.
        let counted = failures.iter().enumerate().take_while(|(at, failure)| {
            *at == 0 || failure.test() == first.test() && first.test() == Test::Resources
        });
        for (_, failure) in counted {
            match counts.iter_mut().find(|(known, _)| known.is_alike(failure)) {
                Some((_, count)) => *count += 1,
                None => counts.push((failure.clone(), 1)),
            }
        }
        let distance: f64 = failures
            .iter()
            .map(|failure| failure.distance() + 1.0)
            .sum();
        let closer = nearest.as_ref().is_none_or(|(known, miss)| {
            distance < *known || distance == *known && node.name < miss.host
        });
        if closer {
            nearest = Some((
                distance,
                NearMiss {
                    host: node.name.clone(),
                    failures,
                },
            ));
        }
    }
    for (failure, count) in counts {
        *explanation.reasons.entry(failure.kubernetes()).or_default() += count;
    }
    explanation.nearest = nearest.map(|(_, miss)| miss);
    explanation
}

fn failures(context: &Context<'_>, index: NodeIndex, host: &Arc<str>) -> Vec<Failure> {
    // Of hosts that a pod is not made for, no more is to be said.
    if context.pod.pin.as_ref().is_some_and(|pin| pin != host) {
        return vec![Failure::NotPinned];
    }
    let failures = one::failures(context, index, &Change::default());
    if !failures.is_empty() {
        return failures;
    }
    let added = context.nominated_on(host);
    let change = Change {
        removed: &[],
        added: &added,
    };
    one::failures(context, index, &change)
}

impl Explanation {
    /// The message that Kubernetes' scheduler has for it: `0/3 nodes are available: 3 Insufficient cpu.`
    pub fn kubernetes(&self) -> String {
        if self.hosts == 0 && self.pod.is_none() {
            return "no nodes available to schedule pods".to_owned();
        }
        let start = format!("0/{} nodes are available: ", self.hosts);
        if let Some(failure) = &self.pod {
            return format!("{start}{failure}.");
        }
        let mut reasons: Vec<String> = self
            .reasons
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        reasons.sort_unstable();
        format!("{start}{}.", reasons.join(", "))
    }
}

impl Explanation {
    /// Which resources and which taints it is about, and on how many hosts.
    fn details(&self, test: Test) -> Vec<String> {
        let details = self.reasons.iter().filter_map(|(reason, count)| {
            let what = match test {
                Test::Resources => reason.strip_prefix("Insufficient ").or_else(|| {
                    (*reason == Failure::TooManyPods { most: 0 }.kubernetes()).then_some("pods")
                }),
                Test::Taints => reason.strip_prefix("node(s) had untolerated taint "),
                _ => None,
            };
            what.map(|what| format!("{what} on {count}"))
        });
        details.collect()
    }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures: Vec<String> = self.failures.iter().map(ToString::to_string).collect();
        write!(f, "{} {}", self.host, failures.join(", and "))
    }
}

impl fmt::Display for Explanation {
    /// What a person can act on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(failure) = &self.pod {
            return f.write_str(failure);
        }
        if self.hosts == 0 {
            return f.write_str("there are no hosts");
        }
        write!(f, "none of {} hosts will do: ", self.hosts)?;
        let mut failed: Vec<(&Test, &usize)> = self.failed.iter().collect();
        failed.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
        for (index, (test, count)) in failed.into_iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{count} {}", words(*test, *count))?;
            let details = self.details(*test);
            if !details.is_empty() {
                write!(f, " ({})", details.join(", "))?;
            }
        }
        match &self.nearest {
            Some(nearest) => write!(f, ". The nearest: {nearest}"),
            None => Ok(()),
        }
    }
}

/// What hosts that failed a test have in common, of one host and of several.
fn words(test: Test, count: usize) -> &'static str {
    let (one, several) = match test {
        Test::Schedulable => ("is cordoned", "are cordoned"),
        Test::Pin => (
            "is not the one that the pod is made for",
            "are not the one that the pod is made for",
        ),
        Test::Taints => (
            "has a taint that the pod does not tolerate",
            "have taints that the pod does not tolerate",
        ),
        Test::NodeAffinity => (
            "does not match its node selector or affinity",
            "do not match its node selector or affinity",
        ),
        Test::Ports => (
            "has a port taken that it needs",
            "have a port taken that it needs",
        ),
        Test::Resources => ("has too little free", "have too little free"),
        Test::Volumes => ("cannot have its volumes", "cannot have its volumes"),
        Test::Spread => (
            "would break its topology spread",
            "would break its topology spread",
        ),
        Test::PodAffinity => (
            "is not near the pods that it must be near",
            "are not near the pods that it must be near",
        ),
        Test::PodAntiAffinity => (
            "is near pods that it keeps away from",
            "are near pods that it keeps away from",
        ),
        Test::ExistingAntiAffinity => (
            "is near pods that keep it away",
            "are near pods that keep it away",
        ),
    };
    if count == 1 { one } else { several }
}
