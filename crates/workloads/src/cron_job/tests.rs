use std::sync::Arc;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use serde_json::{Value, json};

use super::*;

struct World {
    cron_job: CronJob,
    jobs: Vec<Arc<Job>>,
    now: Timestamp,
}

fn job(name: &str, status: Value) -> Arc<Job> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {
                "name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "kind": "CronJob", "name": "backup", "uid": "cron", "controller": true,
                }],
            },
            "status": status,
        }))
        .unwrap(),
    )
}

fn ended(name: &str, type_: &str, start: &str, end: &str) -> Arc<Job> {
    let mut status = json!({
        "startTime": start,
        "conditions": [{"type": type_, "status": "True", "lastTransitionTime": end}],
    });
    if type_ == "Complete" {
        status["completionTime"] = json!(end);
    }
    job(name, status)
}

impl World {
    /// Created at midnight.
    fn new(spec: Value, now: &str) -> Self {
        let mut cron_job = json!({
            "metadata": {"name": "backup", "namespace": "shop", "uid": "cron", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "schedule": "0 * * * *",
                "jobTemplate": {
                    "metadata": {"labels": {"app": "backup"}, "annotations": {"a": "b"}},
                    "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}},
                },
            },
        });
        for (key, value) in spec.as_object().unwrap() {
            cron_job["spec"][key] = value.clone();
        }
        Self {
            cron_job: serde_json::from_value(cron_job).unwrap(),
            jobs: Vec::new(),
            now: now.parse().unwrap(),
        }
    }

    fn plan(&self) -> Plan<CronJobStatus> {
        plan(&Snapshot {
            cron_job: &self.cron_job,
            jobs: &self.jobs,
            now: self.now,
        })
    }

    /// What the plan does, in words.
    fn steps(&self) -> Vec<String> {
        let plan = self.plan();
        let step = |action: &Action| match action {
            Action::Create { object, .. } => format!("create {}", owner::name(object.metadata())),
            Action::Delete { target, .. } => format!("delete {}", target.name),
            Action::Event(event) => format!("tell {}", event.reason),
            other => panic!("{other:?}"),
        };
        plan.actions.iter().map(step).collect()
    }
}

/// Minutes from 1970 to 2026-01-01T01:00:00Z, and so the end of a job's name.
const ONE: i64 = 29_453_820;

#[test]
fn the_job_of_a_tick_is_made_from_the_template() {
    let world = World::new(
        json!({"timeZone": "Asia/Kathmandu", "schedule": "45 * * * *"}),
        "2026-01-01T01:00:30Z",
    );
    let plan = world.plan();
    let Action::Create {
        object: Object::Job(job),
        ..
    } = &plan.actions[0]
    else {
        panic!()
    };
    assert_eq!(
        serde_json::to_value(&job.metadata).unwrap(),
        json!({
            "name": format!("backup-{ONE}"), "namespace": "shop", "labels": {"app": "backup"},
            "annotations": {"a": "b", SCHEDULED: "2026-01-01T06:45:00+05:45"},
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "CronJob", "name": "backup", "uid": "cron",
                "controller": true, "blockOwnerDeletion": true,
            }],
        })
    );
    assert!(job.spec.is_some());
    // The tick counts only if the job could be created.
    assert!(plan.status_needs_success);
    assert_eq!(
        plan.status
            .unwrap()
            .last_schedule_time
            .unwrap()
            .0
            .to_string(),
        "2026-01-01T01:00:00Z"
    );
    assert_eq!(plan.again.unwrap().to_string(), "2026-01-01T02:00:00Z");
}

#[test]
fn a_tick_starts_one_job_whatever_is_lost() {
    let mut world = World::new(json!({}), "2026-01-01T01:00:30Z");
    let name = format!("backup-{ONE}");
    assert_eq!(world.steps(), [format!("create {name}")]);
    // Visible, and the status not written.
    world.jobs.push(job(&name, json!({})));
    let plan = world.plan();
    assert_eq!(plan.actions, []);
    let status = plan.status.unwrap();
    assert!(status.last_schedule_time.is_some());
    assert_eq!(
        status.active.as_ref().unwrap()[0].name.as_ref(),
        Some(&name)
    );
    // The status written, and the job gone.
    world.cron_job.status = Some(status);
    world.jobs.clear();
    assert_eq!(world.steps(), Vec::<String>::new());
    assert_eq!(world.plan().status.unwrap().active, None);
}

#[test]
fn before_the_first_tick_there_is_nothing_to_do() {
    let world = World::new(json!({}), "2026-01-01T00:59:59Z");
    assert!(world.plan().is_done());
    assert_eq!(
        world.plan().again.unwrap().to_string(),
        "2026-01-01T01:00:00Z"
    );
}

#[test]
fn what_is_suspended_waits() {
    let world = World::new(json!({"suspend": true}), "2026-01-01T05:00:30Z");
    assert!(world.plan().is_done());
    assert_eq!(world.plan().again, None);
}

#[test]
fn only_the_last_of_several_missed_ticks_is_made_up_for() {
    let world = World::new(json!({}), "2026-01-01T05:30:00Z");
    assert_eq!(world.steps(), [format!("create backup-{}", ONE + 4 * 60)]);
    let world = World::new(json!({}), "2026-01-20T05:30:00Z");
    let last = ONE + (19 * 24 + 4) * 60;
    assert_eq!(
        world.steps(),
        [
            "tell TooManyMissedTimes".to_owned(),
            format!("create backup-{last}")
        ]
    );
}

#[test]
fn a_tick_that_is_too_long_ago_is_missed() {
    let spec = json!({"startingDeadlineSeconds": 100});
    assert_eq!(
        World::new(spec.clone(), "2026-01-01T05:01:39Z")
            .steps()
            .len(),
        1
    );
    let late = World::new(spec, "2026-01-01T05:01:41Z");
    assert_eq!(late.steps(), Vec::<String>::new());
    assert_eq!(
        late.plan().again.unwrap().to_string(),
        "2026-01-01T06:00:00Z"
    );
    let every = json!({"startingDeadlineSeconds": 100, "schedule": "@every 90m"});
    assert_eq!(
        World::new(every.clone(), "2026-01-01T03:01:39Z")
            .steps()
            .len(),
        1
    );
    assert_eq!(
        World::new(every.clone(), "2026-01-01T03:01:41Z")
            .steps()
            .len(),
        0
    );
    let again = World::new(every, "2026-01-01T03:01:41Z").plan().again;
    assert_eq!(again.unwrap().to_string(), "2026-01-01T04:30:00Z");
}

#[test]
fn jobs_run_together_wait_or_take_each_others_place_as_asked() {
    for (policy, steps) in [
        ("Allow", vec![format!("create backup-{}", ONE + 60)]),
        ("Forbid", vec!["tell JobAlreadyActive".to_owned()]),
        (
            "Replace",
            vec![
                format!("delete backup-{ONE}"),
                format!("create backup-{}", ONE + 60),
            ],
        ),
    ] {
        let mut world = World::new(json!({"concurrencyPolicy": policy}), "2026-01-01T02:00:10Z");
        world.jobs.push(job(&format!("backup-{ONE}"), json!({})));
        assert_eq!(world.steps(), steps, "{policy}");
    }
    let mut world = World::new(
        json!({"concurrencyPolicy": "Forbid"}),
        "2026-01-01T02:00:10Z",
    );
    world.jobs.push(job(&format!("backup-{ONE}"), json!({})));
    assert_eq!(world.steps(), ["tell JobAlreadyActive"]);
    let status = world.plan().status.unwrap();
    assert!(status.active.is_some() && status.last_schedule_time.is_none());
    // Once nothing runs any more, the tick is made up for.
    world.jobs.clear();
    world.jobs.push(ended(
        &format!("backup-{ONE}"),
        "Complete",
        "2026-01-01T01:00:00Z",
        "2026-01-01T02:00:09Z",
    ));
    assert_eq!(world.steps(), [format!("create backup-{}", ONE + 60)]);
}

#[test]
fn old_jobs_are_deleted_beyond_the_limits() {
    let mut world = World::new(
        json!({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0, "suspend": true}),
        "2026-01-01T12:00:00Z",
    );
    world.jobs = vec![
        ended(
            "second",
            "Complete",
            "2026-01-01T02:00:00Z",
            "2026-01-01T02:10:00Z",
        ),
        ended(
            "first",
            "Complete",
            "2026-01-01T01:00:00Z",
            "2026-01-01T02:20:00Z",
        ),
        ended(
            "bad",
            "Failed",
            "2026-01-01T03:00:00Z",
            "2026-01-01T03:10:00Z",
        ),
        job("runs", json!({})),
    ];
    assert_eq!(world.steps(), ["delete first", "delete bad"]);
    let status = world.plan().status.unwrap();
    assert_eq!(
        status.last_successful_time.unwrap().0.to_string(),
        "2026-01-01T02:20:00Z"
    );
    assert_eq!(status.active.unwrap().len(), 1);
}

#[test]
fn a_job_that_was_active_and_has_ended_is_told_of_once() {
    let mut world = World::new(json!({"suspend": true}), "2026-01-01T12:00:00Z");
    world.jobs = vec![job("a", json!({}))];
    world.cron_job.status = world.plan().status;
    assert!(world.plan().is_done());
    world.jobs = vec![ended(
        "a",
        "Failed",
        "2026-01-01T01:00:00Z",
        "2026-01-01T02:20:00Z",
    )];
    assert_eq!(world.steps(), ["tell SawCompletedJob"]);
    world.cron_job.status = world.plan().status;
    assert_eq!(world.steps(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_followed_is_told() {
    for (spec, reason) in [
        (
            json!({"schedule": "now and then"}),
            "tell UnparseableSchedule",
        ),
        (json!({"timeZone": "Mars/Olympus"}), "tell UnknownTimeZone"),
    ] {
        let world = World::new(spec, "2026-01-01T05:00:30Z");
        assert_eq!(world.steps(), [reason]);
        assert!(world.plan().is_done() && world.plan().again.is_none());
    }
}
