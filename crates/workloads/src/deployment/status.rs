//! The status of a deployment: what its sets say, all together.

use k8s_openapi::api::apps::v1::{DeploymentStatus, ReplicaSet};

use super::{
    Planner,
    conditions::{self, AVAILABLE, PROGRESSING, REPLICA_FAILURE},
};
use crate::counts::some;

fn sum(sets: impl Iterator<Item = i32>) -> i32 {
    sets.fold(0, i32::saturating_add)
}

impl Planner<'_> {
    /// The numbers, from the sets as they are.
    pub(super) fn counted(&self) -> DeploymentStatus {
        let total = |count: fn(&ReplicaSet) -> i32| sum(self.all().map(|s| count(s.set)));
        let of = |set: &ReplicaSet| set.status.clone().unwrap_or_default();
        let available = total(|s| {
            s.status
                .as_ref()
                .and_then(|s| s.available_replicas)
                .unwrap_or(0)
        });
        let ready = total(|s| {
            s.status
                .as_ref()
                .and_then(|s| s.ready_replicas)
                .unwrap_or(0)
        });
        let terminating = total(|s| {
            s.status
                .as_ref()
                .and_then(|s| s.terminating_replicas)
                .unwrap_or(0)
        });
        let replicas = total(super::exists);
        let wanted = total(super::wanted);
        let updated = self.new.as_ref().map_or(0, |new| of(new.set).replicas);
        DeploymentStatus {
            observed_generation: self.owner.metadata.generation,
            replicas: some(replicas),
            updated_replicas: some(updated),
            ready_replicas: some(ready),
            available_replicas: some(available),
            unavailable_replicas: some(wanted.saturating_sub(available).max(0)),
            terminating_replicas: some(terminating),
            collision_count: self.status.collision_count,
            conditions: self.status.conditions.clone(),
        }
    }

    /// Plans to write the status, if it is not right. Only while a rollout goes on is its progress judged.
    pub(super) fn finish_status(&mut self, judge: bool) {
        let mut status = self.counted();
        let now = self.snapshot.now;
        let available = status.available_replicas.unwrap_or(0);
        let (value, message) = if available >= self.desired() - self.bounds().1 {
            (
                ("True", "MinimumReplicasAvailable"),
                "Deployment has minimum availability.",
            )
        } else {
            (
                ("False", "MinimumReplicasUnavailable"),
                "Deployment does not have minimum availability.",
            )
        };
        conditions::set(&mut status, AVAILABLE, value, message.to_owned(), now);
        if judge {
            self.judge(&mut status);
        }
        self.tell_failures(&mut status);
        if self.snapshot.deployment.status.as_ref() != Some(&status) {
            self.plan.status = Some(status);
        }
    }

    /// Passes on why the sets cannot create or delete pods, and why sets cannot be created.
    fn tell_failures(&self, status: &mut DeploymentStatus) {
        let now = self.snapshot.now;
        let newest_first = self.new.iter().chain(self.old.iter().rev());
        let failure = newest_first
            .filter_map(|set| set.set.status.as_ref()?.conditions.as_ref())
            .flatten()
            .find(|c| c.type_.as_deref() == Some(REPLICA_FAILURE));
        match failure {
            Some(failure) => {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                let (value, reason) = (text(&failure.status), text(&failure.reason));
                let value = (value.as_str(), reason.as_str());
                conditions::set(status, REPLICA_FAILURE, value, text(&failure.message), now);
            }
            None => conditions::remove(status, REPLICA_FAILURE),
        }
        if let Some(failure) = self
            .snapshot
            .failure
            .filter(|f| f.creating && self.new.is_none())
            && self.deadline().is_some()
        {
            let value = ("False", "ReplicaSetCreateError");
            conditions::set(status, PROGRESSING, value, failure.message.clone(), now);
        }
    }
}
