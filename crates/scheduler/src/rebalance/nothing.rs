//! Why a plan is empty.

use super::{
    Goal, Options,
    measure::{mean, violation},
    simulation::Simulation,
};
use crate::cluster::Cluster;

/// What a move needs.
const SURE: &str = "a pod is moved only if another host is sure to be chosen for its replacement, and too little room, or a \
                    tie with the host that it is on, may be in the way";

/// Why a run would move nothing, for people; of a cluster and options whose plan is empty.
pub fn why_nothing(cluster: &Cluster, options: &Options) -> String {
    let simulation = Simulation::new(cluster, options);
    if simulation.pool.is_empty() {
        return "no host matches spec.nodeSelector".to_owned();
    }
    let movable = simulation.pods(None);
    if movable.is_empty() {
        return nothing_movable(cluster, options);
    }
    let percent = |share: f32| (share * 100.0).round();
    match options.goal {
        Goal::Constraints => {
            let is_misplaced = |index| violation(cluster, index).is_some();
            let found = movable
                .iter()
                .filter_map(|key| cluster.state.pods.index(key));
            match found.filter(|index| is_misplaced(*index)).count() {
                0 => format!(
                    "each of the {} pods that may be moved would be allowed where it is",
                    movable.len()
                ),
                some => format!(
                    "{some} pods would not be allowed where they are; but no other may go wrong by a move, and {SURE}"
                ),
            }
        }
        Goal::Packing { max_requested } => {
            let most = percent(max_requested);
            match hosts(&simulation, |share| share <= max_requested) {
                0 => format!("no host with pods that may be moved is at most {most}% full"),
                some => format!(
                    "{some} hosts are at most {most}% full; but a host is emptied only if all of its pods can go, and {SURE}"
                ),
            }
        }
        Goal::Spreading { max_deviation } => {
            let shares: Vec<f32> = simulation
                .pool
                .iter()
                .map(|host| simulation.share(host, None))
                .collect();
            let limit = mean(&shares) + max_deviation;
            let deviation = percent(max_deviation);
            match hosts(&simulation, |share| share > limit) {
                0 => format!(
                    "no host with pods that may be moved is more than {deviation}% fuller than the average"
                ),
                some => format!(
                    "{some} hosts are more than {deviation}% fuller than the average; but each move has to win {}% of a host, \
                     and {SURE}",
                    percent(options.min_gain)
                ),
            }
        }
    }
}

/// How many hosts with pods that may be moved are as full as that.
fn hosts(simulation: &Simulation<'_>, is: impl Fn(f32) -> bool) -> usize {
    let pool = simulation.pool.iter();
    pool.filter(|host| {
        is(simulation.share(*host, None)) && !simulation.pods(Some(*host)).is_empty()
    })
    .count()
}

fn nothing_movable(cluster: &Cluster, options: &Options) -> String {
    let anything = Options {
        goal: Goal::Constraints,
        ..options.clone()
    };
    let others = Simulation::new(cluster, &anything).pods(None).len();
    let profile = match options.goal {
        Goal::Packing { .. } => "packing",
        Goal::Spreading { .. } => "spreading",
        Goal::Constraints => "",
    };
    if others > 0 {
        return format!(
            "none of the {others} pods that may be moved has a profile that goes for {profile}: the scheduler would undo it"
        );
    }
    "no pod of these hosts may be moved: one has to be ready, to match the selectors, and to have a controller that makes \
     it anew and is no Job or DaemonSet"
        .to_owned()
}
