//! Jobs: pods that run until enough of them have succeeded.
//!
//! Each finished pod counts exactly once, although pods vanish and plans are made from old states. A pod keeps a
//! finalizer until it is counted:
//!
//! ```text
//!   pod ends ──▶ its UID in status.uncountedTerminatedPods ──▶ finalizer gone ──▶ counter +1, UID out
//!                (indexed and succeeded: its index in          (one write of      (one write of
//!                 status.completedIndexes, which counts)        the pod)           the status)
//! ```
//!
//! A job ends in two steps: `FailureTarget` or `SuccessCriteriaMet` says what will become of it, and only when none of its
//! pods is at work any more it is `Failed` or `Complete`.

pub mod annotations;
mod backoff;
mod conditions;
mod counting;
mod finish;
mod manage;
mod pods;
mod policy;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::batch::v1::{Job, JobSpec, JobStatus, UncountedTerminatedPods},
    apimachinery::pkg::apis::meta::v1::Time,
};
pub use mosaic_api::indexes::Indexes;

use crate::{
    counts::{after, count, some},
    owner::{self, Owner, claim},
    plan::{Action, Change, Kind, Plan, Propagation, Target},
    pod::Pod,
};

use conditions::{COMPLETE, FAILED};

/// The finalizer that a job's pods have until they are counted.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Who manages jobs that do not say otherwise in `managedBy`.
pub const MANAGER: &str = "kubernetes.io/job-controller";

/// A job, and what is to be known for a plan.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The job.
    pub job: &'a Job,
    /// Pods of its namespace: all that it controls, and those that nobody controls. If a pod could not be created
    /// because its name is taken, the one that has the name belongs to them, too.
    pub pods: &'a [Arc<Pod>],
    /// The present moment.
    pub now: Timestamp,
}

/// Everything that a plan is made in.
struct Planner<'a> {
    snapshot: Snapshot<'a>,
    spec: &'a JobSpec,
    owner: Owner<'a>,
    pods: Vec<&'a Arc<Pod>>,
    /// The status as it is to be.
    status: JobStatus,
    /// Indexes of which a pod succeeded, and those that are so in the status that is written already.
    completed: Indexes,
    written_completed: Indexes,
    /// Indexes that failed for good.
    failed_indexes: Indexes,
    /// Pods that ended and are not in the counters yet.
    succeeded_uids: BTreeSet<String>,
    failed_uids: BTreeSet<String>,
    /// Why a rule says that the job fails.
    fails_because: Option<String>,
    plan: Plan<JobStatus>,
}

/// What is to be done, so that as many pods succeed as asked for.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan<JobStatus> {
    let job = snapshot.job;
    let owner = Owner::of(job);
    let mut plan = Plan::default();
    let Some(spec) = &job.spec else {
        return plan;
    };
    let is_ours = spec.managed_by.as_deref().is_none_or(|by| by == MANAGER);
    let status = job.status.clone().unwrap_or_default();
    let ended = conditions::holds(&status, COMPLETE).or(conditions::holds(&status, FAILED));
    if let Some(ended) = ended
        && !owner.is_terminating()
    {
        let since = ended.last_transition_time.as_ref();
        let since = since.map_or(snapshot.now, |time| time.0);
        expire(snapshot, spec, since, &mut plan);
    }
    if !is_ours {
        return plan;
    }
    let selector = spec.selector.as_ref().map(owner::selector);
    let Some(selector) = selector.filter(|selector| !selector.is_everything()) else {
        return plan;
    };
    let adopts = |pod: &Pod| ended.is_none() && !pod.is_terminating();
    let claimed = claim(
        &owner,
        &selector,
        Kind::Pod,
        Some(TRACKING),
        snapshot.pods,
        adopts,
    );
    if ended.is_some() || owner.is_terminating() {
        // Whatever is not counted by now never will be.
        let releases = claimed
            .owned
            .iter()
            .filter(|pod| pod.has_finalizer(TRACKING));
        let releases: Vec<Action> = releases.map(|pod| release(pod)).collect();
        plan.actions.splice(0..0, releases);
        return plan;
    }
    plan.actions = claimed.actions;
    let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let completions = spec.completions.unwrap_or(0);
    let parse = |text: &Option<String>| {
        Indexes::from_status(text.as_deref().unwrap_or_default()).below(completions)
    };
    let completed = parse(&status.completed_indexes);
    let mut planner = Planner {
        snapshot: *snapshot,
        spec,
        owner,
        pods: claimed.owned,
        written_completed: completed.clone(),
        completed,
        failed_indexes: parse(&status.failed_indexes),
        succeeded_uids: uncounted.succeeded.into_iter().flatten().collect(),
        failed_uids: uncounted.failed.into_iter().flatten().collect(),
        status,
        fails_because: None,
        plan,
    };
    planner.make();
    planner.plan
}

/// What is to be done about a pod whose job is gone, although the pod was not counted: it loses its finalizer, which
/// would keep it for ever. Nothing if the pod has none. The pod has to be unchanged: another job may adopt it meanwhile.
pub fn plan_orphan(pod: &Pod) -> Option<Action> {
    pod.has_finalizer(TRACKING).then(|| {
        let target = Target::unchanged(Kind::Pod, &pod.metadata);
        Action::patch(target, Change::RemoveFinalizer(TRACKING.to_owned()))
    })
}

fn release(pod: &Pod) -> Action {
    let target = Target::any_version(Kind::Pod, &pod.metadata);
    Action::patch(target, Change::RemoveFinalizer(TRACKING.to_owned()))
}

/// Deletes a job that ended so many seconds ago as it says that it is to be kept.
fn expire(snapshot: &Snapshot<'_>, spec: &JobSpec, ended: Timestamp, plan: &mut Plan<JobStatus>) {
    let job = snapshot.job;
    let Some(seconds) = spec.ttl_seconds_after_finished else {
        return;
    };
    let end = after(ended, i64::from(seconds.max(0)));
    if end > snapshot.now {
        plan.look_again(Some(end));
        return;
    }
    plan.actions.push(Action::Delete {
        target: Target::unchanged(Kind::Job, &job.metadata),
        propagation: Propagation::Foreground,
        why: "it ended long enough ago",
        event: None,
    });
}

impl<'a> Planner<'a> {
    fn make(&mut self) {
        self.count();
        self.start_or_suspend();
        self.judge();
        if conditions::target(&self.status).is_some() {
            self.finish();
        } else if self.is_suspended() {
            self.suspend();
        } else {
            self.scale();
        }
        self.finish_status();
    }

    fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    /// How often each index may fail, if that is limited for each by itself.
    fn limit_per_index(&self) -> Option<i32> {
        self.spec
            .backoff_limit_per_index
            .filter(|_| self.is_indexed())
    }

    /// Whether a pod is replaced only once it has ended, and not already when it is asked to go.
    fn replaces_only_ended(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed")
            || self.spec.pod_failure_policy.is_some()
    }

    /// The index of a pod, if it is one of this job.
    fn index_of(&self, pod: &Pod) -> Option<i32> {
        let index = pod
            .annotation(annotations::COMPLETION_INDEX)?
            .parse()
            .ok()?;
        (0..self.spec.completions.unwrap_or(0))
            .contains(&index)
            .then_some(index)
    }

    /// How many pods have succeeded, whether they are in the counter yet or not.
    fn succeeded(&self) -> i32 {
        if self.is_indexed() {
            return self.completed.len();
        }
        let counted = self.status.succeeded.unwrap_or(0);
        counted.saturating_add(count(self.succeeded_uids.len()))
    }

    /// How many pods have failed, whether they are in the counter yet or not.
    fn failed(&self) -> i32 {
        let counted = self.status.failed.unwrap_or(0);
        counted.saturating_add(count(self.failed_uids.len()))
    }

    /// The pods that are at work.
    fn active(&self) -> Vec<&'a Arc<Pod>> {
        let pods = self.pods.iter().copied();
        pods.filter(|pod| pod.is_active()).collect()
    }

    /// How many pods were asked to go and have not ended.
    fn terminating(&self) -> usize {
        self.pods
            .iter()
            .filter(|pod| !pod.has_ended() && pod.is_terminating())
            .count()
    }

    fn finish_status(&mut self) {
        let old = self.snapshot.job.status.as_ref();
        let active: Vec<_> = self.pods.iter().filter(|pod| pod.is_active()).collect();
        let leaving = self
            .pods
            .iter()
            .filter(|pod| pod.is_terminating() && !pod.has_ended());
        self.status.active = some(count(active.len()));
        self.status.ready = Some(count(active.iter().filter(|pod| pod.ready).count()));
        self.status.terminating = Some(count(leaving.count()));
        if self.is_indexed() {
            self.status.succeeded = some(self.completed.len());
            self.status.completed_indexes =
                (!self.completed.is_empty()).then(|| self.completed.to_string());
        }
        if self.limit_per_index().is_some() {
            self.status.failed_indexes = Some(self.failed_indexes.to_string());
        }
        let list =
            |uids: &BTreeSet<String>| (!uids.is_empty()).then(|| uids.iter().cloned().collect());
        self.status.uncounted_terminated_pods = Some(UncountedTerminatedPods {
            succeeded: list(&self.succeeded_uids),
            failed: list(&self.failed_uids),
        });
        if old != Some(&self.status) {
            self.plan.status = Some(self.status.clone());
        }
    }

    fn time(&self) -> Option<Time> {
        Some(Time(self.snapshot.now))
    }
}
