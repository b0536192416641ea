//! The status of a daemon set.

use k8s_openapi::api::apps::v1::DaemonSetStatus;

use super::Planner;
use crate::counts::{count, some};

impl Planner<'_> {
    /// Plans to write the status, if it is not right. Of a host with several pods the oldest that
    /// stays counts, so that an update is not said to be through before the old pod has gone.
    pub(super) fn finish_status(&mut self, collisions: Option<i32>) {
        let old = self.snapshot.set.status.as_ref();
        let (min_ready, now) = (self.min_ready(), self.snapshot.now);
        let (mut desired, mut current, mut misplaced) = (0, 0, 0);
        let (mut ready, mut available, mut updated) = (0, 0, 0);
        let mut again = None;
        for host in &self.hosts {
            let first = host.pods.first();
            if !host.meant.run {
                misplaced += usize::from(first.is_some());
                continue;
            }
            desired += 1;
            for pod in &host.pods {
                again = crate::counts::earlier(again, pod.available_at(min_ready, now));
            }
            let Some(pod) = first else { continue };
            current += 1;
            updated += usize::from(self.is_updated(pod));
            ready += usize::from(pod.ready);
            available += usize::from(pod.is_available(min_ready, now));
        }
        self.plan.look_again(again);
        let status = DaemonSetStatus {
            observed_generation: self.owner.metadata.generation,
            desired_number_scheduled: count(desired),
            current_number_scheduled: count(current),
            number_misscheduled: count(misplaced),
            number_ready: count(ready),
            number_available: some(count(available)),
            number_unavailable: some(count(desired - available)),
            updated_number_scheduled: some(count(updated)),
            collision_count: collisions,
            conditions: old.and_then(|old| old.conditions.clone()),
        };
        if old != Some(&status) {
            self.plan.status = Some(status);
        }
    }
}
