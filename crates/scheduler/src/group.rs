//! Groups of pods, of which all are placed or none.

use std::sync::Arc;

use crate::{
    cluster::Cluster,
    decide::{Decision, decide},
    explain::Explanation,
    model::{Pod, PodKey},
    profile::{Profile, Strategy},
};

/// What was decided about a group.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupDecision {
    /// Each pod has a host.
    Place(Vec<(PodKey, Arc<str>)>),
    /// Not all of them can be placed.
    Unschedulable {
        /// How many found a host, which stands for nothing as the others did not.
        placed: usize,
        /// The first pod that found none.
        pod: PodKey,
        /// Why, with the others counted as placed.
        explanation: Arc<Explanation>,
    },
    /// The group is not complete, or some of it is gated.
    Incomplete {
        /// How many pods there are.
        present: usize,
        /// How many there have to be.
        wanted: usize,
    },
}

/// Decides about all pods of a group at once, largest first. The cluster is left as it was; whoever carries
/// the decision out assumes each pod.
///
/// A group that does not fit when its pods are spread is tried again packed; still, that a way exists does
/// not mean that it is found.
pub fn decide_group(cluster: &mut Cluster, pods: &[Pod], profile: &Profile) -> GroupDecision {
    let ready = pods.iter().filter(|pod| pod.gates.is_empty()).count();
    let size = pods
        .iter()
        .filter_map(|pod| pod.group.as_ref())
        .map(|group| group.size as usize)
        .max();
    let bound = pods
        .first()
        .map_or(0, |pod| already_placed(cluster, pod, pods));
    let wanted = size.unwrap_or(0).saturating_sub(bound).max(pods.len());
    if ready < wanted {
        return GroupDecision::Incomplete {
            present: ready,
            wanted,
        };
    }
    let mut order: Vec<&Pod> = pods.iter().collect();
    order.sort_by(|a, b| {
        let size = |pod: &Pod| pod.class.template.weight;
        (size(b), &a.key).cmp(&(size(a), &b.key))
    });
    let first = attempt(cluster, &order, profile);
    if matches!(first, GroupDecision::Place(_)) || profile.strategy == Strategy::Packing {
        return first;
    }
    match attempt(cluster, &order, &Profile::PACKING) {
        packed @ GroupDecision::Place(_) => packed,
        _ => first,
    }
}

/// How many of a group, other than these, have a host from an earlier decision.
fn already_placed(cluster: &Cluster, member: &Pod, pods: &[Pod]) -> usize {
    let Some(group) = &member.group else {
        return 0;
    };
    let others = cluster.state.pods.iter().filter(|(_, entry)| {
        let pod = &entry.pod;
        entry.node.is_some()
            && !pod.leaving
            && pod
                .group
                .as_ref()
                .is_some_and(|other| other.name == group.name)
            && pod.namespace() == member.namespace()
            && !pods.iter().any(|own| own.key == pod.key)
    });
    others.count()
}

fn attempt(cluster: &mut Cluster, pods: &[&Pod], profile: &Profile) -> GroupDecision {
    let mut placed: Vec<(PodKey, Arc<str>)> = Vec::new();
    let mut failure = None;
    // Pods that the cluster does not know yet are there for as long as this takes.
    let mut lent: Vec<PodKey> = Vec::new();
    for pod in pods {
        if cluster.pod(&pod.key).is_none() {
            cluster.upsert_pod(Pod {
                node: None,
                ..Pod::clone(pod)
            });
            lent.push(pod.key.clone());
        }
        let failed = match decide(cluster, pod, profile) {
            Decision::Place(placement) if cluster.assume(&pod.key, &placement.host).is_ok() => {
                placed.push((pod.key.clone(), placement.host));
                continue;
            }
            Decision::Unschedulable(explanation) => explanation,
            Decision::Place(_) | Decision::Gated(_) => Arc::default(),
        };
        failure = Some((pod.key.clone(), failed));
        break;
    }
    for (key, _) in &placed {
        cluster.forget(key);
    }
    for key in &lent {
        cluster.remove_pod(key);
    }
    match failure {
        None => GroupDecision::Place(placed),
        Some((pod, explanation)) => GroupDecision::Unschedulable {
            placed: placed.len(),
            pod,
            explanation,
        },
    }
}
