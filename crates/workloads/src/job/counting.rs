//! Counting finished pods, each once.

use std::collections::{BTreeSet, HashMap};

use super::{Planner, TRACKING, annotations, policy::Verdict, release};
use crate::{
    counts::count,
    pod::{Phase, Pod},
};

/// The most UIDs of uncounted pods in a status, so that it stays small; those that wait for a replacement come on top.
const MAX_UNCOUNTED: usize = 500;

impl Planner<'_> {
    /// Brings every finished pod one step further on its way into the counters.
    pub(super) fn count(&mut self) {
        self.move_into_counters();
        let waiting = self.waiting_for_replacement();
        let mut room = {
            let uids = self.succeeded_uids.iter().chain(&self.failed_uids);
            let uncounted = uids.filter(|uid| !waiting.contains(uid.as_str())).count();
            MAX_UNCOUNTED.saturating_sub(uncounted)
        };
        for pod in self.pods.clone() {
            if !pod.has_finalizer(TRACKING) {
                continue;
            }
            let uid = pod.uid();
            let is_written = self.succeeded_uids.contains(uid) || self.failed_uids.contains(uid);
            let waits = waiting.contains(uid);
            if is_written {
                if !waits {
                    self.plan.actions.push(release(pod));
                }
                continue;
            }
            if pod.phase == Phase::Succeeded {
                self.count_success(pod, &mut room);
            } else if self.is_failed(pod) {
                self.count_failure(pod, waits, &mut room);
            }
        }
    }

    /// Counts those pods of the status that have lost their finalizer, or are gone.
    fn move_into_counters(&mut self) {
        let pods = self.pods.iter().filter(|pod| pod.has_finalizer(TRACKING));
        let kept: BTreeSet<&str> = pods.map(|pod| pod.uid()).collect();
        let take = |uids: &mut BTreeSet<String>, counter: &mut Option<i32>| {
            let before = uids.len();
            uids.retain(|uid| kept.contains(uid.as_str()));
            let moved = count(before - uids.len());
            if moved > 0 {
                *counter = Some(counter.unwrap_or(0).saturating_add(moved));
            }
        };
        take(&mut self.succeeded_uids, &mut self.status.succeeded);
        take(&mut self.failed_uids, &mut self.status.failed);
    }

    fn count_success(&mut self, pod: &Pod, room: &mut usize) {
        if self.is_indexed() {
            match self.index_of(pod) {
                Some(index) if !self.written_completed.contains(index) => {
                    self.completed.insert(index);
                }
                _ => self.plan.actions.push(release(pod)),
            }
        } else if *room > 0 {
            *room -= 1;
            self.succeeded_uids.insert(pod.uid().to_owned());
        }
    }

    fn count_failure(&mut self, pod: &Pod, waits: bool, room: &mut usize) {
        let verdict = self.verdict(pod);
        if verdict == Verdict::Ignore {
            if !waits {
                self.plan.actions.push(release(pod));
            }
            return;
        }
        if *room == 0 && !waits {
            return;
        }
        *room = room.saturating_sub(usize::from(!waits));
        self.failed_uids.insert(pod.uid().to_owned());
        if let (Some(limit), Some(index)) = (self.limit_per_index(), self.index_of(pod))
            && !self.completed.contains(index)
            && (verdict == Verdict::FailIndex || failures_before(pod) >= limit)
        {
            self.failed_indexes.insert(index);
        }
        if let Verdict::FailJob(why) = verdict {
            self.fails_because.get_or_insert(why);
        }
    }

    /// With a limit for each index: the pods that hold how often their index failed, until a replacement does. They keep
    /// their finalizer for so long, so that this cannot be lost.
    fn waiting_for_replacement(&self) -> BTreeSet<String> {
        let mut newest: HashMap<i32, &Pod> = HashMap::new();
        if self.limit_per_index().is_none() || super::conditions::target(&self.status).is_some() {
            return BTreeSet::new();
        }
        for pod in &self.pods {
            let Some(index) = self.index_of(pod) else {
                continue;
            };
            let entry = newest.entry(index).or_insert(pod);
            if attempts_before(pod) > attempts_before(entry) {
                *entry = pod;
            }
        }
        let open =
            |index: i32| !self.completed.contains(index) && !self.failed_indexes.contains(index);
        newest
            .into_iter()
            .filter(|(index, pod)| open(*index) && self.is_failed(pod))
            .map(|(_, pod)| pod.uid().to_owned())
            .collect()
    }
}

/// How many pods of its index failed before this one, and counted.
pub(super) fn failures_before(pod: &Pod) -> i32 {
    number(pod, annotations::INDEX_FAILURES)
}

/// How many pods of its index failed before this one, whether they counted or not.
pub(super) fn attempts_before(pod: &Pod) -> i32 {
    failures_before(pod).saturating_add(ignored_before(pod))
}

/// How many pods of its index failed before this one, and did not count.
pub(super) fn ignored_before(pod: &Pod) -> i32 {
    number(pod, annotations::INDEX_IGNORED_FAILURES)
}

fn number(pod: &Pod, key: &str) -> i32 {
    let number = pod.annotation(key).and_then(|text| text.parse().ok());
    number.unwrap_or(0).max(0)
}
