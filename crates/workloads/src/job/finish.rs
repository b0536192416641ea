//! Whether a job is to end, and its end.

use super::{
    Planner,
    conditions::{self, COMPLETE, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET, SUSPENDED},
};
use crate::{
    counts::after,
    job::Indexes,
    plan::{Action, BURST, Event},
    pod::Pod,
};

impl Planner<'_> {
    /// Notes when the job began, or that it waits.
    pub(super) fn start_or_suspend(&mut self) {
        let now = self.snapshot.now;
        if conditions::target(&self.status).is_some() {
            return;
        }
        let was_suspended = conditions::holds(&self.status, SUSPENDED).is_some();
        if self.is_suspended() {
            if !was_suspended {
                let (reason, message) = ("JobSuspended", "Job suspended");
                conditions::set(&mut self.status, SUSPENDED, true, reason, message, now);
                self.plan.event(Event::normal("Suspended", message));
            }
            return;
        }
        if was_suspended {
            let (reason, message) = ("JobResumed", "Job resumed");
            conditions::set(&mut self.status, SUSPENDED, false, reason, message, now);
            self.plan.event(Event::normal("Resumed", message));
        }
        if was_suspended || self.status.start_time.is_none() {
            self.status.start_time = self.time();
        }
    }

    /// Decides whether the job is to end, if that was not decided before.
    pub(super) fn judge(&mut self) {
        if conditions::target(&self.status).is_some() {
            return;
        }
        let now = self.snapshot.now;
        if let Some((reason, message)) = self.failure() {
            conditions::set(
                &mut self.status,
                FAILURE_TARGET,
                true,
                reason,
                &message,
                now,
            );
        } else if let Some((reason, message)) = self.success() {
            conditions::set(
                &mut self.status,
                SUCCESS_CRITERIA_MET,
                true,
                reason,
                &message,
                now,
            );
        }
    }

    fn failure(&mut self) -> Option<(&'static str, String)> {
        if let Some(why) = self.fails_because.take() {
            return Some(("PodFailurePolicy", why));
        }
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if self.failed() > limit || self.restarts_too_often(limit) {
            let message = "Job has reached the specified backoff limit".to_owned();
            return Some(("BackoffLimitExceeded", message));
        }
        if let (Some(seconds), Some(start), false) = (
            self.spec.active_deadline_seconds,
            self.status.start_time.as_ref(),
            self.is_suspended(),
        ) {
            let deadline = after(start.0, seconds);
            if deadline <= self.snapshot.now {
                let message = "Job was active longer than specified deadline".to_owned();
                return Some(("DeadlineExceeded", message));
            }
            self.plan.look_again(Some(deadline));
        }
        if self.limit_per_index().is_some() {
            let failed = self.failed_indexes.len();
            if self
                .spec
                .max_failed_indexes
                .is_some_and(|most| failed > most)
            {
                let message =
                    "Job has exceeded the specified maximal number of failed indexes".to_owned();
                return Some(("MaxFailedIndexesExceeded", message));
            }
            let done = failed.saturating_add(self.completed.len());
            if failed > 0 && done >= self.spec.completions.unwrap_or(0) {
                return Some(("FailedIndexes", "Job has failed indexes".to_owned()));
            }
        }
        None
    }

    /// Whether pods that restart their containers themselves have done so too often.
    fn restarts_too_often(&self, limit: i32) -> bool {
        let template = self.spec.template.spec.as_ref();
        if template.and_then(|spec| spec.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let active = self.active();
        let restarts = active
            .iter()
            .map(|pod| pod.restarts)
            .fold(0, u32::saturating_add);
        let limit = u32::try_from(limit).unwrap_or(0);
        if limit == 0 {
            restarts > 0
        } else {
            restarts >= limit
        }
    }

    fn success(&self) -> Option<(&'static str, String)> {
        if self.is_indexed()
            && let Some(policy) = &self.spec.success_policy
        {
            let limit = self.spec.completions.unwrap_or(0);
            for (index, rule) in policy.rules.iter().enumerate() {
                let done = match &rule.succeeded_indexes {
                    Some(text) => {
                        let asked = text.parse::<Indexes>().unwrap_or_default().below(limit);
                        let done = self.completed.common(&asked);
                        let wanted = rule.succeeded_count.unwrap_or(asked.len());
                        !asked.is_empty() && done >= wanted
                    }
                    None => rule
                        .succeeded_count
                        .is_some_and(|wanted| self.completed.len() >= wanted),
                };
                if done {
                    return Some(("SuccessPolicy", format!("Matched rules at index {index}")));
                }
            }
        }
        let is_done = match self.spec.completions {
            Some(wanted) => self.succeeded() >= wanted,
            // A queue of work: once one has found it empty, the others finish what they are at.
            None => self.succeeded() > 0 && self.active().is_empty(),
        };
        is_done.then(|| {
            let message = "Reached expected number of succeeded pods".to_owned();
            ("CompletionsReached", message)
        })
    }

    /// Stops what is still at work, and says that the job has ended once nothing is.
    pub(super) fn finish(&mut self) {
        let now = self.snapshot.now;
        for pod in self.active().into_iter().take(BURST) {
            self.plan
                .actions
                .push(Action::delete_pod(pod, "the job has ended"));
        }
        let is_open =
            |pod: &&&std::sync::Arc<Pod>| !pod.has_ended() || pod.has_finalizer(super::TRACKING);
        let open = self.pods.iter().filter(is_open).count();
        if open > 0 || !self.succeeded_uids.is_empty() || !self.failed_uids.is_empty() {
            return;
        }
        let Some(target) = conditions::target(&self.status).cloned() else {
            return;
        };
        let reason = target.reason.unwrap_or_default();
        let message = target.message.unwrap_or_default();
        if target.type_ == FAILURE_TARGET {
            conditions::set(&mut self.status, FAILED, true, &reason, &message, now);
            let event = Event::warning(event_reason(&reason), message);
            self.plan.event(event);
        } else {
            conditions::set(&mut self.status, COMPLETE, true, &reason, &message, now);
            self.status.completion_time = self.time();
            self.plan.event(Event::normal("Completed", "Job completed"));
        }
        if let Some(seconds) = self.spec.ttl_seconds_after_finished {
            self.plan
                .look_again(Some(after(now, i64::from(seconds.max(0)))));
        }
    }
}

/// The reasons for which jobs fail, as events have them.
fn event_reason(reason: &str) -> &'static str {
    const REASONS: [&str; 5] = [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "FailedIndexes",
        "MaxFailedIndexesExceeded",
        "PodFailurePolicy",
    ];
    REASONS
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("Failed")
}
