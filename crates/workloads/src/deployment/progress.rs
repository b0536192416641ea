//! Whether a rollout goes on, is done, or is stuck.

use k8s_openapi::api::apps::v1::DeploymentStatus;

use super::{
    Planner,
    conditions::{self, NEW_SET_AVAILABLE, PROGRESSING, TIMED_OUT},
};
use crate::counts::after;

/// Whether all pods are of the present template, as many as desired, and available.
pub(super) fn is_complete(desired: i32, status: &DeploymentStatus) -> bool {
    let number = |n: Option<i32>| n.unwrap_or(0);
    number(status.updated_replicas) == desired
        && number(status.replicas) == desired
        && number(status.available_replicas) == desired
}

/// Whether there is more that is new, less that is old, or more that works than before.
fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let number = |n: Option<i32>| n.unwrap_or(0);
    let outdated = |s: &DeploymentStatus| number(s.replicas) - number(s.updated_replicas);
    number(new.updated_replicas) > number(old.updated_replicas)
        || outdated(new) < outdated(old)
        || number(new.ready_replicas) > number(old.ready_replicas)
        || number(new.available_replicas) > number(old.available_replicas)
}

impl Planner<'_> {
    /// Brings the condition `Progressing` up to date.
    pub(super) fn judge(&mut self, status: &mut DeploymentStatus) {
        let Some(deadline) = self.deadline() else {
            conditions::remove(status, PROGRESSING);
            return;
        };
        let now = self.snapshot.now;
        let new = self.new.as_ref().map(|new| new.name());
        let subject = new.map_or_else(
            || format!("Deployment \"{}\"", self.owner.name()),
            |name| format!("ReplicaSet \"{name}\""),
        );
        if conditions::find(status, PROGRESSING).is_none()
            && let Some(name) = new
        {
            let message = format!("Found new replica set \"{name}\"");
            conditions::set(
                status,
                PROGRESSING,
                ("True", "FoundNewReplicaSet"),
                message,
                now,
            );
        }
        // A rollout that is done stays done, also if pods break afterwards.
        let was_done = conditions::reason(status, PROGRESSING) == Some(NEW_SET_AVAILABLE);
        if was_done && status.replicas == status.updated_replicas {
            return;
        }
        if is_complete(self.desired(), status) {
            let message = format!("{subject} has successfully progressed.");
            conditions::set(
                status,
                PROGRESSING,
                ("True", NEW_SET_AVAILABLE),
                message,
                now,
            );
        } else if has_progressed(
            self.snapshot
                .deployment
                .status
                .as_ref()
                .unwrap_or(&DeploymentStatus::default()),
            status,
        ) {
            let message = format!("{subject} is progressing.");
            conditions::renew(
                status,
                PROGRESSING,
                ("True", "ReplicaSetUpdated"),
                message,
                now,
            );
        } else if !was_done && conditions::reason(status, PROGRESSING) != Some(TIMED_OUT) {
            let since =
                conditions::find(status, PROGRESSING).and_then(|c| c.last_update_time.clone());
            let end = after(since.map_or(now, |time| time.0), i64::from(deadline));
            if end < now {
                let message = format!("{subject} has timed out progressing.");
                conditions::set(status, PROGRESSING, ("False", TIMED_OUT), message, now);
            }
        }
        let waits = !matches!(
            conditions::reason(status, PROGRESSING),
            Some(NEW_SET_AVAILABLE | TIMED_OUT)
        );
        if waits && let Some(condition) = conditions::find(status, PROGRESSING) {
            let since = condition
                .last_update_time
                .as_ref()
                .map_or(now, |time| time.0);
            self.plan
                .look_again(Some(after(since, i64::from(deadline).saturating_add(1))));
        }
    }
}
