//! Which pods go first when there are too many.

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::pod::{Phase, Pod};

/// What decides which pods go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// All that replica sets look at.
    Full,
    /// Without the cost of deletion and the hosts' crowdedness, as jobs do.
    StateAndAge,
}

/// Pods in the order in which they are to go, first those that are missed least: as Kubernetes ranks them,
/// those that are not bound to a host; that are pending, then unknown; that are not ready; that cost less to
/// delete; whose host has more of their kind (`on_node`); that became ready later; that were restarted
/// more often; that are younger. Ages are compared by powers of two, and what is equal then by UID, which is as good
/// as random, so that not always the youngest pods go.
pub fn deletion_order<'a>(
    pods: &[&'a Arc<Pod>],
    on_node: &HashMap<&str, usize>,
    ranking: Ranking,
    now: Timestamp,
) -> Vec<&'a Arc<Pod>> {
    let full = ranking == Ranking::Full;
    let mut ranked: Vec<(Rank<'a>, &'a Arc<Pod>)> = pods
        .iter()
        .map(|pod| {
            let node = pod.node.as_deref();
            let crowd = node.and_then(|node| on_node.get(node)).copied();
            let rank = Rank {
                bound: node.is_some(),
                phase: pod.phase,
                ready: pod.ready,
                cost: if full { pod.deletion_cost() } else { 0 },
                crowd: if full { crowd.unwrap_or(0) } else { 0 },
                ready_for: if pod.ready {
                    magnitude(pod.ready_since, now)
                } else {
                    0
                },
                restarts: pod.most_restarts,
                age: magnitude(pod.created(), now),
                uid: pod.uid(),
            };
            (rank, *pod)
        })
        .collect();
    ranked.sort_by(|(a, _), (b, _)| a.compare(b));
    ranked.into_iter().map(|(_, pod)| pod).collect()
}

struct Rank<'a> {
    bound: bool,
    phase: Phase,
    ready: bool,
    cost: i32,
    crowd: usize,
    ready_for: u32,
    restarts: u32,
    age: u32,
    uid: &'a str,
}

impl Rank<'_> {
    /// Less means to go earlier.
    fn compare(&self, other: &Self) -> Ordering {
        (self.bound, self.phase, self.ready, self.cost)
            .cmp(&(other.bound, other.phase, other.ready, other.cost))
            .then_with(|| other.crowd.cmp(&self.crowd))
            .then_with(|| self.ready_for.cmp(&other.ready_for))
            .then_with(|| other.restarts.cmp(&self.restarts))
            .then_with(|| self.age.cmp(&other.age))
            .then_with(|| self.uid.cmp(other.uid))
    }
}

/// The power of two of a span until now, in seconds. A span without a beginning is the shortest.
fn magnitude(since: Option<Timestamp>, now: Timestamp) -> u32 {
    let seconds = since.map_or(0, |since| now.as_second().saturating_sub(since.as_second()));
    u64::try_from(seconds).map_or(0, |seconds| u64::BITS - seconds.leading_zeros())
}
