//! CronJobs: a job at each tick of a schedule.
//!
//! A job's name is made from its tick, so one tick never makes two jobs. The tick is written into the status after the job
//! was created; if that is lost, the job is found by its name.
//!
//! When ticks were missed, only the last one is made up for, and only within `startingDeadlineSeconds`. After more
//! than 100 missed ticks that is done with a warning.

mod history;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job},
        core::v1::ObjectReference,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use mosaic_api::cron::Schedule;

use crate::{
    counts::after,
    owner::{self, Owner},
    plan::{Action, Event, Kind, Object, Plan, Propagation, Target},
    template::set_annotation,
};

/// The annotation of a job with the moment of its tick, in the schedule's time zone.
pub const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// A cron job, and what is to be known for a plan.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The cron job.
    pub cron_job: &'a CronJob,
    /// The jobs that it controls.
    pub jobs: &'a [Arc<Job>],
    /// The present moment.
    pub now: Timestamp,
}

/// Everything that a plan is made in.
struct Planner<'a> {
    snapshot: Snapshot<'a>,
    owner: Owner<'a>,
    spec: &'a CronJobSpec,
    /// The jobs that are there to stay, the oldest first.
    jobs: Vec<&'a Arc<Job>>,
    status: CronJobStatus,
    plan: Plan<CronJobStatus>,
}

/// What is to be done, so that the job of the last tick runs, and no more old jobs are kept than asked for.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan<CronJobStatus> {
    let owner = Owner::of(snapshot.cron_job);
    let spec = &snapshot.cron_job.spec;
    let mut jobs: Vec<&Arc<Job>> = snapshot
        .jobs
        .iter()
        .filter(|job| owner.controls(&job.metadata))
        .collect();
    jobs.sort_by_key(|job| (owner::created(&job.metadata), owner::name(&job.metadata)));
    let mut planner = Planner {
        snapshot: *snapshot,
        owner,
        spec,
        jobs,
        status: snapshot.cron_job.status.clone().unwrap_or_default(),
        plan: Plan::default(),
    };
    planner.plan.status_needs_success = true;
    planner.note_jobs();
    if !owner.is_terminating() {
        planner.forget_old();
        if spec.suspend != Some(true) {
            planner.tick();
        }
    }
    if snapshot.cron_job.status.as_ref() != Some(&planner.status)
        && (snapshot.cron_job.status.is_some() || planner.status != CronJobStatus::default())
    {
        planner.plan.status = Some(planner.status);
    }
    planner.plan
}

/// When a job ended, and whether it did well.
fn ended(job: &Job) -> Option<(bool, Option<Timestamp>)> {
    let status = job.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let end = conditions
        .into_iter()
        .find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    let is_success = end.type_ == "Complete";
    let at = status
        .completion_time
        .as_ref()
        .or(end.last_transition_time.as_ref());
    Some((is_success, at.map(|time| time.0)))
}

impl Planner<'_> {
    /// Whether there is a job of this name.
    fn has_job(&self, name: &str) -> bool {
        self.jobs
            .iter()
            .any(|job| owner::name(&job.metadata) == name)
    }

    /// How many jobs are not through.
    fn active(&self) -> usize {
        self.jobs.iter().filter(|job| ended(job).is_none()).count()
    }

    /// Starts the job of the last tick, if there was one since the last time.
    fn tick(&mut self) {
        let now = self.snapshot.now;
        let Some((schedule, zone)) = self.schedule() else {
            return;
        };
        let known = self.status.last_schedule_time.as_ref().map(|time| time.0);
        let mut since = known.unwrap_or_else(|| owner::created(self.owner.metadata));
        // The ticks of `@every` follow from the one before, so that one has to be the base.
        if let (Some(seconds), Schedule::At(_)) = (self.spec.starting_deadline_seconds, &schedule) {
            since = since.max(after(now, seconds.max(0).saturating_neg()));
        }
        let ticks = schedule.ticks(since, now, &zone);
        let base = ticks.map_or(since, |ticks| ticks.last);
        self.plan.look_again(schedule.next_after(base, &zone));
        let Some(ticks) = ticks else { return };
        if ticks.many {
            self.plan.event(Event::warning(
                "TooManyMissedTimes",
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
            ));
        }
        self.start(ticks.last, &zone);
    }

    /// The schedule and its time zone; none, and a warning, if they cannot be followed.
    fn schedule(&mut self) -> Option<(Schedule, TimeZone)> {
        let schedule = match self.spec.schedule.parse::<Schedule>() {
            Ok(schedule) => schedule,
            Err(error) => {
                let text = &self.spec.schedule;
                self.plan.event(Event::warning(
                    "UnparseableSchedule",
                    format!("unparseable schedule {text:?}: {error}"),
                ));
                return None;
            }
        };
        let name = self.spec.time_zone.as_deref().unwrap_or("UTC");
        let zone = if matches!(name, "UTC" | "Etc/UTC") {
            Some(TimeZone::UTC)
        } else {
            TimeZone::get(name).ok()
        };
        if zone.is_none() {
            let message = format!("invalid timeZone: {name:?}");
            self.plan.event(Event::warning("UnknownTimeZone", message));
        }
        Some((schedule, zone?))
    }

    fn start(&mut self, tick: Timestamp, zone: &TimeZone) {
        let now = self.snapshot.now;
        let name = format!("{}-{}", self.owner.name(), tick.as_second().div_euclid(60));
        if self.has_job(&name) {
            // The job was created, but that could not be written down.
            self.status.last_schedule_time = Some(Time(tick));
            return;
        }
        let deadline = self.spec.starting_deadline_seconds;
        if deadline.is_some_and(|seconds| after(tick, seconds) < now) {
            return;
        }
        match self.spec.concurrency_policy.as_deref() {
            Some("Forbid") if self.active() > 0 => {
                // The end of the one that runs is a change, and the reason to look again.
                self.plan.event(Event::normal(
                    "JobAlreadyActive",
                    "Not starting job because prior execution is running and concurrency policy is Forbid",
                ));
                return;
            }
            Some("Replace") => self.stop_active(),
            _ => {}
        }
        let job = self.job(&name, tick, zone);
        self.plan.actions.push(Action::Create {
            object: Object::Job(Box::new(job)),
            event: Some(Event::normal(
                "SuccessfulCreate",
                format!("Created job {name}"),
            )),
        });
        self.status.last_schedule_time = Some(Time(tick));
    }

    fn stop_active(&mut self) {
        let jobs: Vec<_> = self
            .jobs
            .iter()
            .copied()
            .filter(|job| ended(job).is_none())
            .collect();
        for job in jobs {
            if job.metadata.deletion_timestamp.is_none() {
                self.delete(job, "another one takes its place");
            }
        }
    }

    fn delete(&mut self, job: &Job, why: &'static str) {
        let name = owner::name(&job.metadata);
        self.plan.actions.push(Action::Delete {
            target: Target::any_version(Kind::Job, &job.metadata),
            propagation: Propagation::Background,
            why,
            event: Some(Event::normal(
                "SuccessfulDelete",
                format!("Deleted job {name}"),
            )),
        });
    }

    /// The job of a tick.
    fn job(&self, name: &str, tick: Timestamp, zone: &TimeZone) -> Job {
        let template = &self.spec.job_template;
        let metadata = template.metadata.clone().unwrap_or_default();
        let mut metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: self.owner.metadata.namespace.clone(),
            labels: metadata.labels,
            annotations: metadata.annotations,
            owner_references: Some(vec![self.owner.reference()]),
            ..ObjectMeta::default()
        };
        let local = tick.to_zoned(zone.clone());
        let moment = if local.offset().is_zero() {
            local.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
        } else {
            local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
        };
        set_annotation(&mut metadata, SCHEDULED, moment);
        Job {
            metadata,
            spec: template.spec.clone(),
            status: None,
        }
    }

    /// Brings the list of active jobs up to date, and when one last succeeded.
    fn note_jobs(&mut self) {
        let mut active = Vec::new();
        let listed = self.status.active.take().unwrap_or_default();
        for job in self.jobs.clone() {
            let uid = job.metadata.uid.as_deref();
            let was_active = listed.iter().any(|known| known.uid.as_deref() == uid);
            let name = owner::name(&job.metadata);
            match ended(job) {
                None => active.push(ObjectReference {
                    api_version: Some("batch/v1".to_owned()),
                    kind: Some("Job".to_owned()),
                    name: Some(name.to_owned()),
                    namespace: job.metadata.namespace.clone(),
                    uid: job.metadata.uid.clone(),
                    resource_version: job.metadata.resource_version.clone(),
                    field_path: None,
                }),
                Some((is_success, at)) => {
                    if was_active {
                        let state = if is_success { "Complete" } else { "Failed" };
                        let message = format!("Saw completed job: {name}, condition: {state}");
                        self.plan.event(Event::normal("SawCompletedJob", message));
                    }
                    let known = self.status.last_successful_time.as_ref().map(|time| time.0);
                    if is_success && at > known {
                        self.status.last_successful_time = at.map(Time);
                    }
                }
            }
        }
        // A version that is known stays, so that a job's progress is no reason to write this status.
        for reference in &mut active {
            if let Some(known) = listed.iter().find(|known| known.uid == reference.uid) {
                reference
                    .resource_version
                    .clone_from(&known.resource_version);
            }
        }
        self.status.active = (!active.is_empty()).then_some(active);
    }
}
