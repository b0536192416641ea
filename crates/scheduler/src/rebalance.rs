//! Which pods are better moved: a plan, round by round, that undoes what time did to good decisions.
//!
//! A pod is only moved if a decision about it now, with itself gone, chooses another host. So what is
//! evicted does not come back, and nothing is moved to and fro. Each move is counted before the next is
//! looked for.

use std::{collections::HashMap, fmt, sync::Arc};

use crate::{
    cluster::{Cluster, Slot},
    decide::place,
    filter::{Change, Failure, one},
    model::{Pod, PodKey},
    profile::{Profile, Strategy},
    slab::{NodeIndex, PodIndex},
};

/// What a plan may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The most moves of one round.
    pub most_moves: usize,
    /// Move pods that would not be allowed where they are now.
    pub violations: bool,
    /// Hosts with a larger share (0 to 1) of processor or memory requested give pods away. 1 means none.
    pub overused: f32,
    /// Hosts with a smaller share (0 to 1) of both requested are emptied, if their pods are packed. 0 means
    /// none.
    pub underused: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            most_moves: 10,
            violations: true,
            overused: 0.9,
            underused: 0.2,
        }
    }
}

/// Why a pod is better elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub enum MoveReason {
    /// It would not be allowed where it is.
    Violation(Failure),
    /// Its host is used too much.
    Overused {
        /// The share that is requested, of processor or memory, whichever is larger.
        share: f32,
    },
    /// Its host can be emptied.
    Emptied {
        /// The share that is requested, of processor or memory, whichever is larger.
        share: f32,
    },
}

/// A pod that is better elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// Which pod.
    pub pod: PodKey,
    /// Where it is.
    pub from: Arc<str>,
    /// Where a decision would put it.
    pub to: Arc<str>,
    /// Why.
    pub reason: MoveReason,
}

impl fmt::Display for MoveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(failure) => write!(f, "its host {failure}"),
            Self::Overused { share } => write!(f, "its host is {:.0}% full", share * 100.0),
            Self::Emptied { share } => {
                write!(
                    f,
                    "its host is {:.0}% full and can be emptied",
                    share * 100.0
                )
            }
        }
    }
}

/// Plans one round of moves. The cluster itself is not changed.
pub fn rebalance(cluster: &Cluster, options: &Options) -> Vec<Move> {
    let mut round = Round {
        cluster: cluster.clone(),
        options,
        disruptions: HashMap::new(),
        moves: Vec::new(),
    };
    if options.violations {
        round.violations();
    }
    if options.overused < 1.0 {
        round.relieve();
    }
    if options.underused > 0.0 {
        round.empty_hosts();
    }
    round.moves
}

struct Round<'a> {
    /// The cluster as it will be after the moves so far.
    cluster: Cluster,
    options: &'a Options,
    /// Evictions so far that count on a budget, by its namespace and name.
    disruptions: HashMap<(Arc<str>, Arc<str>), i64>,
    moves: Vec<Move>,
}

/// What a trial of a move found.
struct Trial {
    to: Arc<str>,
    failure: Option<Failure>,
}

impl Round<'_> {
    fn is_full(&self) -> bool {
        self.moves.len() >= self.options.most_moves
    }

    fn violations(&mut self) {
        for key in self.pods(None) {
            if self.is_full() {
                return;
            }
            let Some((from, trial)) = self.try_move(&key) else {
                continue;
            };
            match trial.failure {
                Some(failure) if trial.to != from => {
                    self.go(&key, from, trial.to, MoveReason::Violation(failure));
                }
                _ => self.put_back(&key, &from),
            }
        }
    }

    /// Takes pods from hosts that are too full to hosts that stay less full.
    fn relieve(&mut self) {
        for host in self.hosts(|share, overused, _| share > overused, true) {
            for key in self.pods(Some(host)) {
                let share = self.share(host);
                if self.is_full() || share <= self.options.overused {
                    break;
                }
                let Some((from, trial)) = self.try_move(&key) else {
                    continue;
                };
                let target = self.cluster.state.nodes.find(&trial.to);
                let fuller = target.is_none_or(|target| {
                    let added = self.cluster.pod(&key).cloned();
                    added.is_none_or(|pod| self.share_with(target, &pod) >= share)
                });
                if trial.to == from || fuller {
                    self.put_back(&key, &from);
                } else {
                    self.go(&key, from, trial.to, MoveReason::Overused { share });
                }
            }
        }
    }

    /// Empties hosts that hold little, each altogether or not at all.
    fn empty_hosts(&mut self) {
        let hosts = self.hosts(|share, _, underused| share < underused, false);
        let mut kept: Vec<Arc<str>> = Vec::new();
        for host in hosts {
            let Some(name) = self
                .cluster
                .state
                .nodes
                .slot(host)
                .map(|slot| slot.name.clone())
            else {
                continue;
            };
            // What was just filled is not emptied.
            if kept.contains(&name) {
                continue;
            }
            let share = self.share(host);
            let before = self.moves.len();
            let pods = self.pods(Some(host));
            if pods.is_empty() || !self.all_can_go(host, pods.len()) {
                continue;
            }
            let all = pods.iter().all(|key| {
                let room = self.moves.len() < self.options.most_moves;
                let Some((from, trial)) = room.then(|| self.try_move(key)).flatten() else {
                    return false;
                };
                let target = self.cluster.state.nodes.find(&trial.to);
                let was_empty = target.is_none_or(|target| self.movable_on(target) == 0);
                if trial.to == from || was_empty {
                    self.put_back(key, &from);
                    return false;
                }
                self.go(key, from, trial.to, MoveReason::Emptied { share });
                true
            });
            if all {
                kept.extend(self.moves.iter().skip(before).map(|step| step.to.clone()));
            } else {
                self.undo(before);
            }
        }
    }

    /// Whether every pod of a host that takes part in packing may be moved.
    fn all_can_go(&self, host: NodeIndex, movable: usize) -> bool {
        let stays = |pod: &PodIndex| {
            let entry = self.cluster.state.pods.get(*pod);
            entry.is_some_and(|entry| !is_bound_to_host(&entry.pod))
        };
        let slot = self.cluster.state.nodes.slot(host);
        slot.is_some_and(|slot| slot.pods.iter().filter(|pod| stays(pod)).count() == movable)
            && self.pods(Some(host)).iter().all(|key| {
                self.cluster
                    .pod(key)
                    .is_some_and(|pod| Profile::of(pod).strategy == Strategy::Packing)
            })
    }

    fn movable_on(&self, host: NodeIndex) -> usize {
        self.pods(Some(host)).len()
    }

    /// Hosts by their share, the fullest or the emptiest first.
    fn hosts(&self, chosen: impl Fn(f32, f32, f32) -> bool, fullest_first: bool) -> Vec<NodeIndex> {
        let nodes = self.cluster.state.nodes.iter();
        let shares = nodes.map(|(index, slot, _)| (share(slot, None), slot.name.clone(), index));
        let mut hosts: Vec<_> = shares
            .filter(|(share, ..)| chosen(*share, self.options.overused, self.options.underused))
            .collect();
        hosts.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        if fullest_first {
            hosts.reverse();
        }
        hosts.into_iter().map(|(_, _, index)| index).collect()
    }

    fn share(&self, host: NodeIndex) -> f32 {
        self.cluster
            .state
            .nodes
            .slot(host)
            .map_or(1.0, |slot| share(slot, None))
    }

    fn share_with(&self, host: NodeIndex, pod: &Pod) -> f32 {
        self.cluster
            .state
            .nodes
            .slot(host)
            .map_or(1.0, |slot| share(slot, Some(pod)))
    }

    /// Pods that may be moved, of one host or all, the least important first.
    fn pods(&self, host: Option<NodeIndex>) -> Vec<PodKey> {
        let state = &self.cluster.state;
        let mut pods: Vec<(i32, PodKey)> = Vec::new();
        let mut add = |index: PodIndex| {
            if let Some(entry) = state.pods.get(index)
                && entry
                    .node
                    .is_some_and(|node| state.nodes.node(node).is_some())
                && !entry.assumed
                && is_movable(&entry.pod)
            {
                pods.push((entry.pod.priority(), entry.pod.key.clone()));
            }
        };
        match host.and_then(|host| state.nodes.slot(host)) {
            Some(slot) => slot.pods.iter().copied().for_each(&mut add),
            None => state.pods.iter().map(|(index, _)| index).for_each(&mut add),
        }
        pods.sort();
        pods.into_iter().map(|(_, key)| key).collect()
    }

    /// Takes a pod out, if its budgets allow that, and decides about it anew.
    fn try_move(&mut self, key: &PodKey) -> Option<(Arc<str>, Trial)> {
        let pod = self.cluster.pod(key)?.clone();
        let from = self.cluster.host_of(key)?.clone();
        if !self.may_be_disrupted(&pod) {
            return None;
        }
        let waiting = Pod {
            node: None,
            nominated: None,
            ..pod.clone()
        };
        self.cluster.remove_pod(key);
        self.cluster.upsert_pod(waiting.clone());
        let trial = self.cluster.with(&waiting, |context| {
            let own = context.state.nodes.find(&from)?;
            let failures = one::failures(context, own, &Change::default());
            let placement = place(context, Profile::of(&waiting))?;
            // Too little room is no reason: it was there when the pod came.
            let failure = failures.into_iter().find(|failure| {
                !matches!(
                    failure,
                    Failure::Cordoned | Failure::Insufficient { .. } | Failure::TooManyPods { .. }
                )
            });
            Some(Trial {
                to: placement.host,
                failure,
            })
        });
        match trial {
            Some(trial) => Some((from, trial)),
            None => {
                self.put_back(key, &from);
                None
            }
        }
    }

    fn may_be_disrupted(&self, pod: &Pod) -> bool {
        self.cluster.state.budgets_of(pod).all(|budget| {
            let key = (budget.namespace.clone(), budget.name.clone());
            let spent = self.disruptions.get(&key).copied().unwrap_or(0);
            spent < budget.allowed
        })
    }

    fn spend(&mut self, pod: &PodKey, times: i64) {
        let Some(pod) = self.cluster.pod(pod) else {
            return;
        };
        for budget in self.cluster.state.budgets_of(pod) {
            let key = (budget.namespace.clone(), budget.name.clone());
            *self.disruptions.entry(key).or_default() += times;
        }
    }

    fn put_back(&mut self, key: &PodKey, host: &Arc<str>) {
        self.set_host(key, host);
    }

    fn set_host(&mut self, key: &PodKey, host: &Arc<str>) {
        if let Some(pod) = self.cluster.pod(key).cloned() {
            self.cluster.upsert_pod(Pod {
                node: Some(host.clone()),
                ..pod
            });
        }
    }

    fn go(&mut self, key: &PodKey, from: Arc<str>, to: Arc<str>, reason: MoveReason) {
        self.set_host(key, &to);
        self.spend(key, 1);
        self.moves.push(Move {
            pod: key.clone(),
            from,
            to,
            reason,
        });
    }

    fn undo(&mut self, down_to: usize) {
        while self.moves.len() > down_to {
            if let Some(step) = self.moves.pop() {
                self.spend(&step.pod, -1);
                self.put_back(&step.pod, &step.from);
            }
        }
    }
}

/// The larger of the shares of processor and memory that are requested.
fn share(slot: &Slot, more: Option<&Pod>) -> f32 {
    let Some(node) = &slot.node else {
        return 1.0;
    };
    let more = more.map(|pod| &pod.class.template.requests);
    let of = |used: i64, more: Option<i64>, have: i64| {
        if have > 0 {
            used.saturating_add(more.unwrap_or(0)) as f32 / have as f32
        } else {
            0.0
        }
    };
    let cpu = of(
        slot.requested.cpu_millis,
        more.map(|m| m.cpu_millis),
        node.allocatable.cpu_millis,
    );
    let memory = of(
        slot.requested.memory,
        more.map(|m| m.memory),
        node.allocatable.memory,
    );
    cpu.max(memory)
}

/// Whether it belongs to its host and goes with it.
fn is_bound_to_host(pod: &Pod) -> bool {
    pod.mirror
        || pod.pin.is_some()
        || pod
            .class
            .owner
            .as_ref()
            .is_some_and(|o| &*o.kind == "DaemonSet")
}

/// Whether somebody makes it anew, on another host, when it is evicted.
fn is_movable(pod: &Pod) -> bool {
    pod.class
        .owner
        .as_ref()
        .is_some_and(|owner| &*owner.kind != "Node")
        && !is_bound_to_host(pod)
        && !pod.leaving
        && pod.group.is_none()
}
