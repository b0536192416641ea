//! Which pods may be moved at all.

use crate::{
    cluster::Cluster,
    model::Pod,
    profile::{Profile, Strategy},
    rebalance::{Goal, Options},
};

/// From here on pods are what the cluster itself runs on (`system-cluster-critical`).
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

/// Whether it belongs to its host and goes with it.
pub(super) fn is_bound_to_host(pod: &Pod) -> bool {
    let owner = pod.class.owner.as_ref();
    pod.mirror
        || pod.pin.is_some()
        || owner.is_some_and(|owner| matches!(&*owner.kind, "DaemonSet" | "Node"))
}

/// Whether it may be moved: it serves, somebody makes it anew when it is evicted, this scheduler decides where, and
/// nobody objects.
pub(super) fn is_movable(cluster: &Cluster, options: &Options, pod: &Pod) -> bool {
    let class = &pod.class;
    let owner = class.owner.as_ref();
    // What a job has done so far would be lost.
    let keeps_nothing =
        pod.movable == Some(true) || owner.is_none_or(|owner| &*owner.kind != "Job");
    let wanted = || {
        let namespaces = &cluster.state.namespaces;
        options.pods.matches(&class.labels)
            && options
                .namespaces
                .matches(&namespaces.get(&class.namespace))
    };
    owner.is_some()
        && keeps_nothing
        && pod.movable != Some(false)
        && !is_bound_to_host(pod)
        && pod.ready
        && !pod.leaving
        && pod.group.is_none()
        && pod.priority() < SYSTEM_CRITICAL
        && Profile::is_ours(pod)
        && serves(options.goal, pod)
        && wanted()
}

/// Whether moving it can serve the goal: the scheduler undoes what is against the pod's profile.
fn serves(goal: Goal, pod: &Pod) -> bool {
    let strategy = Profile::of(pod).strategy;
    match goal {
        Goal::Constraints => true,
        Goal::Packing { .. } => strategy == Strategy::Packing,
        Goal::Spreading { .. } => strategy == Strategy::Spreading,
    }
}
