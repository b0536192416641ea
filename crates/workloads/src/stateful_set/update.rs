//! Rolling updates: pods of another template are deleted, the highest ordinal first, and made anew.

use super::{Planner, REVISION};
use crate::{
    plan::BURST,
    pod::Pod,
    scaled::{Rounding, scaled},
};

impl Planner<'_> {
    /// Deletes pods that are not of the present template, down to the partition, as long as no more than
    /// `maxUnavailable` pods are away or on their way to being available.
    pub(super) fn update(&mut self) {
        if !self.is_rolling() {
            return;
        }
        let set = self.snapshot.set;
        let strategy = set.spec.update_strategy.as_ref();
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        let partition = rolling.and_then(|r| r.partition).unwrap_or(0).max(0);
        let most = rolling.and_then(|r| r.max_unavailable.as_ref());
        let most = most.map_or(1, |most| scaled(most, self.replicas(), Rounding::Up));
        let most = usize::try_from(most.max(1)).unwrap_or(1);
        let first = self.start().saturating_add(partition);

        let desired = || {
            self.pods
                .range(self.start()..self.end())
                .map(|(_, pod)| &***pod)
        };
        let replicas = usize::try_from(self.replicas()).unwrap_or(0);
        let mut unavailable = replicas
            - desired()
                .filter(|pod| self.is_available(pod))
                .count()
                .min(replicas);
        if first >= self.end() {
            return;
        }
        let updatable = || self.pods.range(first..self.end()).map(|(_, pod)| &***pod);
        let is_outdated =
            |pod: &Pod| !pod.is_terminating() && pod.label(REVISION) != Some(&self.update_revision);
        let updated = updatable().filter(|pod| !is_outdated(pod));
        let done = updated.filter(|pod| self.is_available(pod)).count();
        let outdated = updatable().filter(|pod| is_outdated(pod)).count();
        let all = usize::try_from(self.end() - first).unwrap_or(0);
        let under_way = all.saturating_sub(done + outdated);

        let mut chosen = Vec::new();
        let highest_first = self.pods.range(first..self.end()).rev();
        for (_, pod) in highest_first.filter(|(_, pod)| is_outdated(pod)) {
            let serves = self.is_available(pod);
            let deleted = chosen.len();
            if under_way + deleted >= most || (serves && unavailable >= most) || deleted >= BURST {
                break;
            }
            unavailable += usize::from(serves);
            chosen.push(*pod);
        }
        for pod in chosen {
            self.delete(pod, "its template has changed");
        }
    }
}
