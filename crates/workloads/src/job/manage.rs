//! As many pods at work as wanted.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Planner, TRACKING,
    counting::{attempts_before, failures_before, ignored_before},
    policy::Verdict,
};
use crate::{
    counts::{earlier, length},
    plan::{Action, BURST, Change, Kind, Target},
    pod::Pod,
    replica_set::{Ranking, deletion_order},
    template::{Slot, free_names},
};

/// How often an index failed before its next pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Failures {
    pub(super) counted: i32,
    pub(super) ignored: i32,
}

impl<'a> Planner<'a> {
    /// Stops everything that is at work, without counting it.
    pub(super) fn suspend(&mut self) {
        let active = self.active();
        self.stop(&active, "the job is suspended");
    }

    /// Creates or stops pods.
    pub(super) fn scale(&mut self) {
        let mut active = self.active();
        let superfluous = self.superfluous(&active);
        self.stop(&superfluous, "the job has no use for it");
        let gone: HashSet<&str> = superfluous.iter().map(|pod| pod.uid()).collect();
        active.retain(|pod| !gone.contains(pod.uid()));
        let at_work = active.len();
        let wanted = self.wanted(at_work);
        if at_work > wanted {
            let order = deletion_order(
                &active,
                &HashMap::new(),
                Ranking::StateAndAge,
                self.snapshot.now,
            );
            let excess: Vec<_> = order.into_iter().take(at_work - wanted).collect();
            self.stop(&excess, "more than wanted");
            return;
        }
        let leaving = if self.replaces_only_ended() {
            self.terminating()
        } else {
            0
        };
        let missing = (wanted - at_work).saturating_sub(leaving);
        if missing == 0 {
            return;
        }
        if self.limit_per_index().is_none() {
            let until = self.backoff_until();
            if until > self.snapshot.now {
                self.plan.look_again(Some(until));
                return;
            }
        }
        if missing > BURST {
            self.plan.look_again(Some(self.snapshot.now));
        }
        if self.is_indexed() {
            self.create_indexed(&active, missing.min(BURST));
        } else {
            self.create(missing.min(BURST));
        }
    }

    /// How many pods should be at work.
    fn wanted(&self, at_work: usize) -> usize {
        let parallelism = length(self.spec.parallelism.unwrap_or(1));
        match self.spec.completions {
            None if self.succeeded() > 0 => at_work.min(parallelism),
            None => parallelism,
            Some(completions) => {
                let failed = if self.limit_per_index().is_some() {
                    self.failed_indexes.len()
                } else {
                    0
                };
                let open = completions
                    .saturating_sub(self.succeeded())
                    .saturating_sub(failed);
                parallelism.min(length(open))
            }
        }
    }

    /// The pods at work that would not be counted, because they were to be stopped before; and those whose
    /// index is none of the job's, is done, or has another pod at work.
    fn superfluous(&self, active: &[&'a Arc<Pod>]) -> Vec<&'a Arc<Pod>> {
        let order = deletion_order(
            active,
            &HashMap::new(),
            Ranking::StateAndAge,
            self.snapshot.now,
        );
        let mut seen = HashSet::new();
        let mut superfluous: Vec<&'a Arc<Pod>> = Vec::new();
        for pod in order.into_iter().rev() {
            let is_lost = self.owner.controls(&pod.metadata) && !pod.has_finalizer(TRACKING);
            let is_needed = !self.is_indexed()
                || self.index_of(pod).is_some_and(|index| {
                    !self.completed.contains(index)
                        && !self.failed_indexes.contains(index)
                        && !is_lost
                        && seen.insert(index)
                });
            if is_lost || !is_needed {
                superfluous.push(pod);
            }
        }
        superfluous
    }

    /// Deletes pods that are not to be counted: first they lose their finalizer, unless they have changed since. One
    /// may have ended meanwhile, and counts then.
    fn stop(&mut self, pods: &[&'a Arc<Pod>], why: &'static str) {
        let pods = || pods.iter().take(BURST);
        let releases = pods().filter(|pod| pod.has_finalizer(TRACKING)).map(|pod| {
            let target = Target::unchanged(Kind::Pod, &pod.metadata);
            Action::patch(target, Change::RemoveFinalizer(TRACKING.to_owned()))
        });
        self.plan.actions.extend(releases);
        let deletions = pods().map(|pod| Action::delete_pod(pod, why));
        self.plan.actions.extend(deletions);
    }

    fn create(&mut self, missing: usize) {
        let seen: BTreeSet<&str> = self.snapshot.pods.iter().map(|pod| pod.name()).collect();
        let taken = |name: &str| seen.contains(name);
        for name in free_names(&self.owner, self.pods.len(), missing, taken) {
            let pod = self.new_pod(name);
            self.plan.actions.push(Action::create_pod(pod));
        }
    }

    /// Creates pods for the lowest indexes that are open.
    fn create_indexed(&mut self, active: &[&'a Arc<Pod>], missing: usize) {
        let seen: BTreeSet<&str> = self.snapshot.pods.iter().map(|pod| pod.name()).collect();
        let mut busy: HashSet<i32> = active.iter().filter_map(|pod| self.index_of(pod)).collect();
        let mut last_failed: HashMap<i32, &'a Arc<Pod>> = HashMap::new();
        for pod in &self.pods {
            let Some(index) = self.index_of(pod) else {
                continue;
            };
            let leaves = !pod.has_ended() && pod.is_terminating();
            if leaves && self.replaces_only_ended() && !self.is_failed(pod) {
                busy.insert(index);
            }
            if self.is_failed(pod) {
                let entry = last_failed.entry(index).or_insert(pod);
                if attempts_before(pod) >= attempts_before(entry) {
                    *entry = pod;
                }
            }
        }
        let mut created = 0;
        let mut again = None;
        let mut index = 0;
        let completions = self.spec.completions.unwrap_or(0);
        while created < missing {
            index = self.next_open(index);
            if index >= completions {
                break;
            }
            let this = index;
            index += 1;
            if busy.contains(&this) {
                continue;
            }
            let mut failures = Failures::default();
            if self.limit_per_index().is_some()
                && let Some(last) = last_failed.get(&this)
            {
                let until = self.backoff_after(last);
                if until > self.snapshot.now {
                    again = earlier(again, Some(until));
                    continue;
                }
                let ignored = self.verdict(last) == Verdict::Ignore;
                failures.counted = failures_before(last).saturating_add(i32::from(!ignored));
                failures.ignored = ignored_before(last).saturating_add(i32::from(ignored));
            }
            let base = format!("{}-{this}", self.owner.name());
            let slot = Slot::new(&self.owner, &base, &this.to_string());
            let name = slot.free_name(|name| seen.contains(name));
            let pod = self.new_indexed_pod(name, this, failures);
            self.plan.actions.push(Action::create_pod(pod));
            created += 1;
        }
        self.plan.look_again(again);
    }

    /// The first index from this one on that has neither succeeded nor failed for good.
    fn next_open(&self, index: i32) -> i32 {
        let mut open = index;
        loop {
            let next = self
                .failed_indexes
                .next_absent(self.completed.next_absent(open));
            if next == open {
                return open;
            }
            open = next;
        }
    }
}
