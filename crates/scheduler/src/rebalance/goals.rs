//! What is moved for each goal, and which number becomes smaller by it.

use super::{
    Goal, Reason,
    measure::{self, is_occupied, mean, staying, violation},
    movable::is_bound_to_host,
    simulation::Simulation,
};
use crate::{model::Pod, slab::NodeIndex};

/// A move must win more than what rounding makes of nothing.
const LEAST_GAIN: f32 = 1e-3;

impl Simulation<'_> {
    /// Tries every pod that it may be good to move, once.
    pub(super) fn pass(&mut self) {
        match self.options.goal {
            Goal::Constraints => self.put_right(),
            Goal::Packing { max_requested } => self.empty_hosts(max_requested),
            Goal::Spreading { max_deviation } => self.relieve_hosts(max_deviation),
        }
    }

    /// Each move makes the number of misplaced pods smaller, of those in the pool and of all: where one is put right, as
    /// many others must not go wrong.
    fn put_right(&mut self) {
        let mut known = None;
        for key in self.pods(None) {
            if self.left() == 0 {
                return;
            }
            let found = self.cluster.state.pods.index(&key);
            let Some(failure) = found.and_then(|index| violation(&self.cluster, index)) else {
                continue;
            };
            let others = match known {
                Some(others) => others,
                None => self.misplaced_by_others(),
            };
            known = Some(others);
            let before = if self.depends_on_others(&key) {
                others
            } else {
                others.and_one_of_pool()
            };
            let checkpoint = self.checkpoint();
            if !self.try_move(&key, Reason::Misplaced(failure), |_, _, _| true) {
                continue;
            }
            let after = self.misplaced_by_others();
            if after.is_fewer_than(before) {
                known = Some(after);
            } else {
                self.go_back(checkpoint);
            }
        }
    }

    /// Empties hosts that hold little, each altogether or not at all, onto hosts that are in use: each makes the number of
    /// hosts in use smaller.
    fn empty_hosts(&mut self, max_requested: f32) {
        for host in self.hosts_by_share() {
            let share = self.share(host, None);
            let pods = self.pods(Some(host));
            if pods.is_empty()
                || share > max_requested
                || pods.len() > self.left()
                || 1.0 / (pods.len() as f32) < self.options.min_gain
                || pods.len() < self.could_be_elsewhere(host)
            {
                continue;
            }
            let before = self.checkpoint();
            let all = pods.iter().all(|key| {
                self.try_move(key, Reason::Emptied { share }, |simulation, _, to| {
                    let slot = simulation.slot(to);
                    slot.is_some_and(|slot| is_occupied(&simulation.cluster, slot))
                })
            });
            if !all {
                self.go_back(before);
            }
        }
    }

    /// Takes pods from hosts that are fuller than others to hosts that stay less full than they were: each makes the
    /// shares of all hosts, the largest first, smaller at the first place where they differ.
    fn relieve_hosts(&mut self, max_deviation: f32) {
        let hosts = self.hosts_by_share();
        let open = hosts.iter().filter(|host| {
            let node = self.cluster.state.nodes.node(**host);
            node.is_some_and(|node| !node.unschedulable)
        });
        let shares: Vec<f32> = open.map(|host| self.share(*host, None)).collect();
        let average = mean(&shares);
        let least = self.options.min_gain.max(LEAST_GAIN);
        for host in hosts.into_iter().rev() {
            for key in self.pods(Some(host)) {
                let share = self.share(host, None);
                if self.left() == 0 || share <= average + max_deviation {
                    break;
                }
                self.try_move(
                    &key,
                    Reason::Relieved { share, average },
                    |simulation, trip, to| {
                        let there = simulation.share(to, Some((trip.pod, 1)));
                        let here = simulation.share(trip.from, Some((trip.pod, -1)));
                        share - there.max(here) >= least
                    },
                );
            }
        }
    }

    /// The hosts of the pool, the emptiest first.
    fn hosts_by_share(&self) -> Vec<NodeIndex> {
        let named = self.pool.iter().filter_map(|host| {
            let name = self.slot(host)?.name.clone();
            Some((self.share(host, None), name, host))
        });
        let mut hosts: Vec<_> = named.collect();
        hosts.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        hosts.into_iter().map(|(_, _, host)| host).collect()
    }

    pub(super) fn share(&self, host: NodeIndex, change: Option<(&Pod, i64)>) -> f32 {
        let slot = self.slot(host);
        slot.map_or(1.0, |slot| measure::share(&self.cluster, slot, change))
    }

    /// How many pods of a host do not go with it.
    fn could_be_elsewhere(&self, host: NodeIndex) -> usize {
        let slot = self.slot(host);
        slot.map_or(0, |slot| {
            let staying = staying(&self.cluster, slot);
            staying.filter(|pod| !is_bound_to_host(pod)).count()
        })
    }
}
