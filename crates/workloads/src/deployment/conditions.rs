//! Conditions of a deployment.

use jiff::Timestamp;
use k8s_openapi::{
    api::apps::v1::{DeploymentCondition, DeploymentStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::Planner;

pub(super) const AVAILABLE: &str = "Available";
pub(super) const PROGRESSING: &str = "Progressing";
pub(super) const REPLICA_FAILURE: &str = "ReplicaFailure";

pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(super) const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const PAUSED: &str = "DeploymentPaused";
const RESUMED: &str = "DeploymentResumed";

/// The condition of that type.
pub(super) fn find<'a>(
    status: &'a DeploymentStatus,
    type_: &str,
) -> Option<&'a DeploymentCondition> {
    let conditions = status.conditions.iter().flatten();
    conditions
        .into_iter()
        .find(|c| c.type_.as_deref() == Some(type_))
}

/// The reason of the condition of that type.
pub(super) fn reason<'a>(status: &'a DeploymentStatus, type_: &str) -> Option<&'a str> {
    find(status, type_)?.reason.as_deref()
}

/// Takes the condition of that type away.
pub(super) fn remove(status: &mut DeploymentStatus, type_: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|c| c.type_.as_deref() != Some(type_));
        if conditions.is_empty() {
            status.conditions = None;
        }
    }
}

/// Sets a condition. One that has the same status and reason stays as it is.
pub(super) fn set(
    status: &mut DeploymentStatus,
    type_: &str,
    (value, reason): (&str, &str),
    message: String,
    now: Timestamp,
) {
    let is_same = |c: &DeploymentCondition| {
        c.status.as_deref() == Some(value) && c.reason.as_deref() == Some(reason)
    };
    if !find(status, type_).is_some_and(is_same) {
        renew(status, type_, (value, reason), message, now);
    }
}

/// Sets a condition, also if only its message and the moment of its update are new.
pub(super) fn renew(
    status: &mut DeploymentStatus,
    type_: &str,
    (value, reason): (&str, &str),
    message: String,
    now: Timestamp,
) {
    let since = find(status, type_)
        .filter(|c| c.status.as_deref() == Some(value))
        .and_then(|c| c.last_transition_time.clone());
    remove(status, type_);
    let conditions = status.conditions.get_or_insert_default();
    conditions.push(DeploymentCondition {
        type_: Some(type_.to_owned()),
        status: Some(value.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(since.unwrap_or(Time(now))),
    });
}

impl Planner<'_> {
    /// Seconds without progress after which a rollout counts as stuck, if they count at all.
    pub(super) fn deadline(&self) -> Option<i32> {
        self.spec
            .progress_deadline_seconds
            .filter(|s| *s != i32::MAX)
    }

    /// Says that the deployment was paused or goes on; while it is paused, no time passes towards the deadline.
    pub(super) fn note_pause(&mut self, paused: bool) {
        let known = reason(&self.status, PROGRESSING);
        if self.deadline().is_none() || known == Some(TIMED_OUT) {
            return;
        }
        let now = self.snapshot.now;
        match (paused, known == Some(PAUSED)) {
            (true, false) => {
                let message = "Deployment is paused".to_owned();
                set(
                    &mut self.status,
                    PROGRESSING,
                    ("Unknown", PAUSED),
                    message,
                    now,
                );
            }
            (false, true) => {
                let message = "Deployment is resumed".to_owned();
                set(
                    &mut self.status,
                    PROGRESSING,
                    ("Unknown", RESUMED),
                    message,
                    now,
                );
            }
            _ => {}
        }
    }

    /// Says that a set was made for the present template.
    pub(super) fn note_created(&mut self, name: &str) {
        if self.deadline().is_some() {
            let now = self.snapshot.now;
            let message = format!("Created new replica set \"{name}\"");
            set(
                &mut self.status,
                PROGRESSING,
                ("True", "NewReplicaSetCreated"),
                message,
                now,
            );
        }
    }
}
