//! A CronJob makes a Job at each tick of its schedule, and makes up for the last tick that was missed.

use k8s_openapi::jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use mosaic_tests::Kubectl;
use serde_json::Value;

use crate::objects::{event, events, is, items, name, names};
use crate::{Cluster, get, until};

/// A cron job whose jobs are done at once.
pub fn cron_job(name: &str, schedule: &str, spec: &str) -> String {
    cron_job_that(name, schedule, spec, "mosaic/sim-exit-after: 50ms")
}

/// A cron job whose pods have these annotations.
pub fn cron_job_that(name: &str, schedule: &str, spec: &str, annotations: &str) -> String {
    format!(
        r#"
apiVersion: batch/v1
kind: CronJob
metadata: {{name: {name}}}
spec:
  schedule: "{schedule}"
  {spec}
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        metadata:
          annotations: {{{annotations}}}
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: 1
          containers: [{{name: tick, image: "tick:1"}}]
"#
    )
}

/// A schedule that ticked so many days ago at 00:00 UTC, and will not again for long; and that moment.
///
/// A cron job that has run before makes up for it; so nobody has to wait for the clock.
pub fn days_ago(days: i64) -> (String, Timestamp) {
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let day = now.start_of_day().expect("a day") - days.days();
    let schedule = format!("0 0 {} {} *", day.day(), day.month());
    (schedule, day.timestamp())
}

/// Says that a cron job ran last so many days ago.
pub fn ran_last(kubectl: &Kubectl, name: &str, days: i64) {
    let moment = Timestamp::now() - SignedDuration::from_hours(24 * days);
    let patch = format!(r#"{{"status":{{"lastScheduleTime":"{moment:.0}"}}}}"#);
    let patch = format!("patch cronjob {name} --subresource=status --type=merge -p '{patch}'");
    kubectl.run(&patch).ok();
}

/// When a job was to run.
fn tick(job: &Value) -> &Value {
    &job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
}

#[test]
fn a_tick_that_was_missed_is_made_up_for_once() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("cron-job-ticks");
    let every_minute = cron_job("minutes", "* * * * *", "startingDeadlineSeconds: 300");
    kubectl.run_with_input("apply -f -", &every_minute).ok();
    // A day's ticks were missed; those of the last five minutes would be in time, and only the last of them runs.
    ran_last(&kubectl, "minutes", 1);
    let jobs = until(&kubectl, "jobs", |jobs| !items(jobs).is_empty());
    let moments: Vec<Timestamp> = items(&jobs)
        .iter()
        .map(|job| {
            tick(job)
                .as_str()
                .expect("a moment")
                .parse()
                .expect("a moment")
        })
        .collect();
    // The clock itself may have ticked meanwhile, once. Ticks before the deadline are not missed ones.
    assert_eq!(events(&kubectl, "minutes", "TooManyMissedTimes").len(), 0);
    assert!(moments.len() <= 2, "{moments:?}");
    let ago = Timestamp::now().duration_since(moments[0]);
    assert!(ago < SignedDuration::from_secs(300), "{ago:?}");

    let first = &items(&jobs)[0];
    let minutes = moments[0].as_second() / 60;
    assert_eq!(name(first), format!("minutes-{minutes}"));
    assert_eq!(first["metadata"]["ownerReferences"][0]["name"], "minutes");
    event(&kubectl, "minutes", "SuccessfulCreate");
    let done = until(&kubectl, "cronjob minutes", |cron_job| {
        cron_job["status"]["lastSuccessfulTime"].is_string()
    });
    let last: Timestamp = done["status"]["lastScheduleTime"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a moment");
    assert!(last >= moments[0]);
}

#[test]
fn a_tick_that_is_too_long_ago_is_left_out_and_time_zones_count() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("cron-job-zones");
    let (schedule, moment) = days_ago(3);
    let late = cron_job("late", &schedule, "startingDeadlineSeconds: 3600");
    let utc = cron_job("utc", &schedule, "");
    let there = cron_job("there", &schedule, "timeZone: Asia/Shanghai");
    for manifest in [&late, &utc, &there] {
        kubectl.run_with_input("apply -f -", manifest).ok();
    }
    for name in ["late", "utc", "there"] {
        ran_last(&kubectl, name, 10);
    }
    let find = |jobs: &Value, owner: &str| -> Option<Value> {
        let mut all = items(jobs).iter();
        all.find(|job| job["metadata"]["ownerReferences"][0]["name"] == owner)
            .cloned()
    };
    let jobs = until(&kubectl, "jobs", |jobs| {
        find(jobs, "utc").is_some() && find(jobs, "there").is_some()
    });
    let of = |owner: &str| find(&jobs, owner).expect("just seen");
    let day = moment.strftime("%Y-%m-%dT00:00:00");
    assert_eq!(*tick(&of("utc")), format!("{day}Z"));
    assert_eq!(*tick(&of("there")), format!("{day}+08:00"));
    let there = until(&kubectl, "cronjob there", |cron_job| {
        cron_job["status"]["lastSuccessfulTime"].is_string()
    });
    let eight_hours_earlier = moment - SignedDuration::from_hours(8);
    assert_eq!(
        there["status"]["lastScheduleTime"],
        eight_hours_earlier.to_string()
    );
    // It was asked first. With a longer deadline it is in time: so it was the deadline that held it back.
    assert_eq!(find(&get(&kubectl, "jobs"), "late"), None);
    let patch = r#"{"spec":{"startingDeadlineSeconds":864000}}"#;
    kubectl
        .run(&format!("patch cronjob late -p '{patch}'"))
        .ok();
    let jobs = until(&kubectl, "jobs", |jobs| items(jobs).len() == 3);
    let late = items(&jobs)
        .iter()
        .find(|job| name(job).starts_with("late-"));
    assert_eq!(*tick(late.expect("a job")), format!("{day}Z"));

    let nowhere = cron_job("nowhere", "0 0 1 1 *", "timeZone: Nowhere/City");
    kubectl
        .run_with_input("apply -f -", &nowhere)
        .complains("timeZone");
}

#[test]
fn a_job_is_made_by_hand_from_a_cron_job() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("cron-job-by-hand");
    let suspended = cron_job("yearly", "0 0 1 1 *", "suspend: true");
    kubectl.run_with_input("apply -f -", &suspended).ok();
    kubectl
        .run("create job now --from=cronjob/yearly")
        .says("job.batch/now created");
    kubectl
        .run("wait --for=condition=complete job/now --timeout=60s")
        .ok();
    let job = get(&kubectl, "job now");
    assert!(is(&job, "Complete"));
    assert_eq!(
        job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"],
        "manual"
    );
    // It is the cron job's, and goes with it.
    kubectl.run("delete cronjob yearly").ok();
    until(&kubectl, "jobs", |jobs| names(jobs).is_empty());
}
