//! Where a pod shall run.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use crate::{
    cluster::Cluster,
    explain::{self, Explanation},
    filter::feasible,
    memo::Context,
    model::Pod,
    profile::Profile,
    score::{self, Candidates},
};

/// What was decided about a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It shall run here.
    Place(Placement),
    /// No host will do.
    Unschedulable(Arc<Explanation>),
    /// Nothing is decided before its scheduling gates are gone, of which these are left.
    Gated(Vec<Box<str>>),
}

/// A host for a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// The host's name.
    pub host: Arc<str>,
    /// Its score, which compares only to others of the same decision.
    pub score: f32,
    /// How many hosts would do.
    pub possible: usize,
}

/// Decides where a pod shall run. The same state gives the same decision; of equally good hosts, the
/// pod's name chooses. Where the pod is now, if it is anywhere, counts as any other pod.
pub fn decide(cluster: &Cluster, pod: &Pod, profile: &Profile) -> Decision {
    if !pod.gates.is_empty() {
        return Decision::Gated(pod.gates.to_vec());
    }
    if let Some(explanation) = cluster.known_failure(pod) {
        return Decision::Unschedulable(explanation);
    }
    let decided = cluster.with(pod, |context| {
        place(context, profile).ok_or_else(|| Arc::new(explain::unschedulable(context)))
    });
    match decided {
        Ok(placement) => Decision::Place(placement),
        Err(explanation) => {
            cluster.note_failure(pod, &explanation);
            Decision::Unschedulable(explanation)
        }
    }
}

/// The best host, without a word about the others.
pub(crate) fn place(context: &Context<'_>, profile: &Profile) -> Option<Placement> {
    let hosts = feasible(context);
    if hosts.is_empty() {
        return None;
    }
    let candidates = Candidates::new(hosts);
    let scores = score::scores(context, &candidates, profile);
    let (host, score) = score::best(&candidates, &scores, rotation(context.pod))?;
    Some(Placement {
        host: context.state.nodes.slot(host)?.name.clone(),
        score,
        possible: candidates.hosts().count(),
    })
}

/// Differs from pod to pod, and never for one pod.
pub(crate) fn rotation(pod: &Pod) -> u64 {
    let mut hasher = DefaultHasher::new();
    pod.key.hash(&mut hasher);
    hasher.finish()
}
