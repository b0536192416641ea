//! The status of a stateful set.

use k8s_openapi::api::apps::v1::StatefulSetStatus;

use super::{Planner, REVISION, is_ready};
use crate::{
    counts::{count, some},
    pod::Pod,
};

impl Planner<'_> {
    /// Plans to write the status, if it is not right.
    pub(super) fn finish_status(&mut self, collisions: Option<i32>) {
        let old = self.snapshot.set.status.as_ref();
        let number = |which: &dyn Fn(&Pod) -> bool| {
            count(self.pods.values().filter(|pod| which(pod)).count())
        };
        let is_of = |pod: &Pod, revision: &str| {
            !pod.is_terminating() && pod.label(REVISION) == Some(revision)
        };
        let replicas = count(self.pods.len());
        let ready = number(&|pod| is_ready(pod));
        let available =
            number(&|pod| is_ready(pod) && pod.is_available(self.min_ready(), self.snapshot.now));
        let updated = number(&|pod| is_of(pod, &self.update_revision));
        let mut current = number(&|pod| is_of(pod, &self.current_revision));
        let mut current_revision = self.current_revision.clone();
        // The update is through: what was the update is what holds from now on.
        if self.is_rolling() && updated == replicas && ready == replicas {
            current = updated;
            current_revision.clone_from(&self.update_revision);
        }
        let status = StatefulSetStatus {
            observed_generation: self.owner.metadata.generation,
            replicas,
            ready_replicas: some(ready),
            // Always there: `kubectl` and others take its absence for an older server.
            available_replicas: Some(available),
            current_replicas: some(current),
            updated_replicas: some(updated),
            current_revision: Some(current_revision),
            update_revision: Some(self.update_revision.clone()),
            collision_count: collisions,
            conditions: old.and_then(|old| old.conditions.clone()),
        };
        if old != Some(&status) {
            self.plan.status = Some(status);
        }
    }
}
