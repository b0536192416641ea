//! The cluster as it will be after the moves so far, and what one more would lead to.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Move, Options, Reason,
    measure::{self, Measure, violation},
    movable::is_movable,
};
use crate::{
    bits::Bits,
    cluster::{Cluster, Entry, Slot},
    decide::rotation,
    filter::{Failure, Test, feasible},
    model::{Pod, PodKey, Template},
    profile::Profile,
    score::{self, Candidates},
    slab::NodeIndex,
};

/// Scores that differ by less count as equal: they are sums of rounded numbers.
const EQUAL: f32 = 1e-3;

pub(super) struct Simulation<'a> {
    /// The cluster after the moves so far. Pods of this round are still there, leaving.
    pub(super) cluster: Cluster,
    pub(super) options: &'a Options,
    /// The hosts that pods are taken from and moved to.
    pub(super) pool: Bits,
    pub(super) moves: Vec<Move>,
    round: Round,
}

/// What is under way at the same time.
#[derive(Clone, Default)]
struct Round {
    number: usize,
    /// The pods that were moved, as they are while they leave.
    leaving: Vec<Pod>,
    /// Evictions that count on a budget, by its namespace and name.
    spent: HashMap<(Arc<str>, Arc<str>), i64>,
}

/// A state to go back to.
pub(super) struct Checkpoint {
    moves: usize,
    round: Round,
}

/// A pod on its way, for [`Simulation::try_move`].
pub(super) struct Trip<'a> {
    pub(super) pod: &'a Pod,
    pub(super) from: NodeIndex,
}

impl<'a> Simulation<'a> {
    pub(super) fn new(cluster: &Cluster, options: &'a Options) -> Self {
        let mut pool = cluster.state.nodes.present().clone();
        pool.retain(|index| {
            let node = cluster.state.nodes.node(index);
            node.is_some_and(|node| options.nodes.matches(&node.labels))
        });
        Self {
            cluster: cluster.clone(),
            options,
            pool,
            moves: Vec::new(),
            round: Round::default(),
        }
    }

    /// Moves pods until nothing is left to be won. What is still leaving stands in the way of some moves, so a last look is
    /// taken that begins without; a look that a round ends in has seen some pods too early.
    pub(super) fn run(&mut self) {
        loop {
            let before = self.moves.len();
            let nothing_leaves = self.round.leaving.is_empty();
            self.pass();
            if self.left() == 0 {
                return;
            }
            if self.moves.len() == before {
                if nothing_leaves {
                    return;
                }
                self.end_round();
            }
        }
    }

    /// How many more moves there may be.
    pub(super) fn left(&self) -> usize {
        self.options.most_moves.saturating_sub(self.moves.len())
    }

    pub(super) fn measure(&self) -> Measure {
        measure::measure(&self.cluster, &self.pool)
    }

    pub(super) fn slot(&self, host: NodeIndex) -> Option<&Slot> {
        self.cluster.state.nodes.slot(host)
    }

    /// Pods that may be moved, of one host or of all of the pool: those first that were not moved yet, of these the least
    /// important.
    pub(super) fn pods(&self, host: Option<NodeIndex>) -> Vec<PodKey> {
        let state = &self.cluster.state;
        let one = host.into_iter();
        let all = host.is_none().then(|| self.pool.iter());
        let slots = one
            .chain(all.into_iter().flatten())
            .filter_map(|host| state.nodes.slot(host));
        let entries = slots
            .flat_map(|slot| &slot.pods)
            .filter_map(|pod| state.pods.get(*pod));
        let moved: HashSet<&PodKey> = self.moves.iter().map(|step| &step.pod).collect();
        let mut pods: Vec<(bool, i32, PodKey)> = entries
            .filter(|entry| !entry.assumed && is_movable(&self.cluster, self.options, &entry.pod))
            .map(|Entry { pod, .. }| (moved.contains(&pod.key), pod.priority(), pod.key.clone()))
            .collect();
        pods.sort();
        pods.into_iter().map(|(_, _, key)| key).collect()
    }

    /// Moves a pod if every host that its replacement may come to is in the pool and accepted. Returns whether it did.
    pub(super) fn try_move(
        &mut self,
        key: &PodKey,
        reason: Reason,
        accepts: impl Fn(&Self, &Trip<'_>, NodeIndex) -> bool,
    ) -> bool {
        let Some((pod, from)) = self.placed(key) else {
            return false;
        };
        if !self.make_way(&pod) {
            return false;
        }
        let waiting = Pod {
            node: None,
            nominated: None,
            ..pod.clone()
        };
        let leaving = Pod {
            key: leaving_key(&pod.key),
            leaving: true,
            ..pod.clone()
        };
        self.cluster.upsert_pod(waiting.clone());
        let when_gone = self.choices(&waiting);
        self.cluster.upsert_pod(leaving.clone());
        let while_leaving = self.choices(&waiting);
        self.cluster.remove_pod(&leaving.key);
        self.cluster.upsert_pod(pod.clone());

        let trip = Trip { pod: &pod, from };
        let serves =
            |host: &NodeIndex| *host != from && self.pool.get(*host) && accepts(self, &trip, *host);
        let is_sure = |choices: &[NodeIndex]| !choices.is_empty() && choices.iter().all(serves);
        if !is_sure(&when_gone) || !is_sure(&while_leaving) {
            return false;
        }
        let name = |host: NodeIndex| self.slot(host).map(|slot| slot.name.clone());
        let (Some(from), Some(to)) = (name(from), while_leaving.first().copied().and_then(name))
        else {
            return false;
        };
        self.go(pod, leaving, from, to, reason);
        true
    }

    /// The hosts of which the scheduler takes one for a pod, that which it would take by its name first. Nothing if none will
    /// do.
    fn choices(&self, pod: &Pod) -> Vec<NodeIndex> {
        self.cluster.with(pod, |context| {
            let candidates = Candidates::new(feasible(context));
            if candidates.hosts().is_empty() {
                return Vec::new();
            }
            let scores = score::scores(context, &candidates, Profile::of(pod));
            let Some((best, most)) = score::best(&candidates, &scores, rotation(pod)) else {
                return Vec::new();
            };
            let as_good = candidates.hosts().iter().filter(|host| {
                let score = scores.get(*host as usize);
                *host != best && score.is_some_and(|score| *score >= most - EQUAL)
            });
            std::iter::once(best).chain(as_good).collect()
        })
    }

    fn placed(&self, key: &PodKey) -> Option<(Pod, NodeIndex)> {
        let (_, entry) = self.cluster.state.pods.find(key)?;
        Some((entry.pod.clone(), entry.node?))
    }

    /// Sees to it that one more pod may be moved: ends the round if it is full, has spent the pod's budgets or has moved the pod
    /// already. False if its budgets allow nothing at all.
    fn make_way(&mut self, pod: &Pod) -> bool {
        let budgets = self.cluster.state.budgets_of(pod);
        let budgets: Vec<_> = budgets
            .map(|budget| {
                let key = (budget.namespace.clone(), budget.name.clone());
                (
                    budget.allowed,
                    self.round.spent.get(&key).copied().unwrap_or(0),
                )
            })
            .collect();
        if budgets.iter().any(|(allowed, _)| *allowed < 1) {
            return false;
        }
        let leaving = leaving_key(&pod.key);
        if self.round.leaving.len() >= self.options.at_a_time.max(1)
            || self.round.leaving.iter().any(|pod| pod.key == leaving)
            || budgets.iter().any(|(allowed, spent)| spent >= allowed)
        {
            self.end_round();
        }
        true
    }

    fn go(&mut self, pod: Pod, leaving: Pod, from: Arc<str>, to: Arc<str>, reason: Reason) {
        for budget in self.cluster.state.budgets_of(&pod) {
            let key = (budget.namespace.clone(), budget.name.clone());
            *self.round.spent.entry(key).or_default() += 1;
        }
        let owner = pod.class.owner.as_ref();
        self.moves.push(Move {
            pod: pod.key.clone(),
            uid: pod.uid.clone(),
            controller: owner.map_or_else(Box::default, |owner| owner.uid.clone()),
            from,
            to: to.clone(),
            reason,
            round: self.round.number,
        });
        self.cluster.upsert_pod(Pod {
            node: Some(to),
            ..pod
        });
        self.cluster.upsert_pod(leaving.clone());
        self.round.leaving.push(leaving);
    }

    /// All replacements serve, and what was moved is gone.
    pub(super) fn end_round(&mut self) {
        for pod in std::mem::take(&mut self.round.leaving) {
            self.cluster.remove_pod(&pod.key);
        }
        self.round.spent.clear();
        self.round.number = self.moves.last().map_or(0, |last| last.round + 1);
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            moves: self.moves.len(),
            round: self.round.clone(),
        }
    }

    /// Takes back all moves since.
    pub(super) fn go_back(&mut self, to: Checkpoint) {
        for pod in &self.round.leaving {
            self.cluster.remove_pod(&pod.key);
        }
        while self.moves.len() > to.moves {
            if let Some(step) = self.moves.pop()
                && let Some(pod) = self.cluster.pod(&step.pod).cloned()
            {
                self.cluster.upsert_pod(Pod {
                    node: Some(step.from),
                    ..pod
                });
            }
        }
        for pod in &to.round.leaving {
            self.cluster.upsert_pod(pod.clone());
        }
        self.round = to.round;
    }

    /// How many pods are misplaced, when those that leave are gone, of those for which it depends on where others are: of
    /// the rest, a move changes nothing but for the pod that it moves.
    pub(super) fn misplaced_by_others(&mut self) -> Misplaced {
        for pod in &self.round.leaving {
            self.cluster.remove_pod(&pod.key);
        }
        let all = self.keeps_away();
        let pods = self.cluster.state.pods.iter();
        let found = pods
            .filter(|(_, entry)| all || is_about_others(&entry.pod.class.template))
            .filter(|(index, _)| violation(&self.cluster, *index).is_some());
        let mut misplaced = Misplaced::default();
        for (_, entry) in found {
            misplaced.everywhere += 1;
            misplaced.in_pool += usize::from(entry.node.is_some_and(|host| self.pool.get(host)));
        }
        for pod in &self.round.leaving {
            self.cluster.upsert_pod(pod.clone());
        }
        misplaced
    }

    /// Whether a pod is one of those of which [`Simulation::misplaced_by_others`] counts.
    pub(super) fn depends_on_others(&self, key: &PodKey) -> bool {
        let pod = self.cluster.pod(key);
        self.keeps_away() || pod.is_some_and(|pod| is_about_others(&pod.class.template))
    }

    /// Whether any pod keeps others away: it makes a rule for all of them.
    fn keeps_away(&self) -> bool {
        let mut classes = self.cluster.state.classes.iter();
        classes.any(|(_, entry)| !entry.class.template.anti_affinity.is_empty())
    }
}

/// How many pods would not be allowed where they are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Misplaced {
    in_pool: usize,
    everywhere: usize,
}

impl Misplaced {
    pub(super) fn and_one_of_pool(self) -> Self {
        Self {
            in_pool: self.in_pool + 1,
            everywhere: self.everywhere + 1,
        }
    }

    /// Fewer in the pool, for that is what is to be put right, and not at the cost of pods elsewhere.
    pub(super) fn is_fewer_than(self, other: Self) -> bool {
        self.in_pool < other.in_pool && self.everywhere < other.everywhere
    }
}

/// Whether a pod's own rules are about what other pods are where.
fn is_about_others(template: &Template) -> bool {
    !(template.affinity.is_empty() && template.spread.is_empty() && template.ports.is_empty())
}

/// A key that no pod has: names have no spaces.
fn leaving_key(key: &PodKey) -> PodKey {
    PodKey::new(key.namespace(), &format!("{} leaving", key.name()))
}

/// Too little room is no reason to move: it was there when the pod came. Nor is it that no new pods are taken.
pub(super) fn is_violation(failure: &Failure) -> bool {
    !matches!(failure.test(), Test::Schedulable | Test::Resources)
}
