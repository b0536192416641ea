//! What becomes of a CronJob's tick while the job of an earlier one still works: `concurrencyPolicy`. And `suspend`.

use mosaic_tests::Kubectl;

use crate::cron_job_schedules::{cron_job_that, days_ago, ran_last};
use crate::objects::{event, items, leaves, names, pods};
use crate::{Cluster, get, until};

/// The name of the job of a tick so many days ago.
fn job_of(days: i64) -> String {
    format!("long-{}", days_ago(days).1.as_second() / 60)
}

/// Makes it tick at another day.
fn tick(kubectl: &Kubectl, days: i64) {
    let schedule = days_ago(days).0;
    let patch = format!(r#"{{"spec":{{"schedule":"{schedule}"}}}}"#);
    kubectl
        .run(&format!("patch cronjob long -p '{patch}'"))
        .ok();
}

/// A cron job of which a job is at work for good.
fn start(namespace: &str, policy: &str) -> (std::sync::Arc<Cluster>, Kubectl) {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace(namespace);
    let manifest = cron_job_that("long", &days_ago(6).0, policy, "");
    kubectl.run_with_input("apply -f -", &manifest).ok();
    ran_last(&kubectl, "long", 10);
    until(&kubectl, "jobs", |jobs| {
        names(jobs) == [job_of(6)] && items(jobs)[0]["status"]["ready"] == 1
    });
    let cron_job = until(&kubectl, "cronjob long", |cron_job| {
        cron_job["status"]["active"][0]["name"] == job_of(6)
    });
    assert_eq!(
        cron_job["status"]["active"].as_array().map(Vec::len),
        Some(1)
    );
    (cluster, kubectl)
}

#[test]
fn allowed_beside_each_other() {
    let (_cluster, kubectl) = start("cron-job-allows", "concurrencyPolicy: Allow");
    tick(&kubectl, 5);
    until(&kubectl, "jobs", |jobs| {
        names(jobs) == [job_of(6), job_of(5)]
            && items(jobs).iter().all(|job| job["status"]["ready"] == 1)
    });
    kubectl.run("get cronjob long").says("2");
}

#[test]
fn forbidden_until_the_earlier_one_is_through() {
    let (_cluster, kubectl) = start("cron-job-forbids", "concurrencyPolicy: Forbid");
    tick(&kubectl, 5);
    event(&kubectl, "long", "JobAlreadyActive");
    assert_eq!(names(&get(&kubectl, "jobs")), [job_of(6)]);
    kubectl.run(&format!("delete job {}", job_of(6))).ok();
    until(&kubectl, "jobs", |jobs| names(jobs) == [job_of(5)]);
}

#[test]
fn replaced_by_the_later_one() {
    let (_cluster, kubectl) = start("cron-job-replaces", "concurrencyPolicy: Replace");
    let old = names(&get(&kubectl, "pods"));
    tick(&kubectl, 5);
    until(&kubectl, "jobs", |jobs| {
        names(jobs) == [job_of(5)] && !leaves(&items(jobs)[0])
    });
    event(&kubectl, "long", "SuccessfulDelete");
    until(&kubectl, "pods", |pods| {
        items(pods).len() == 1 && names(pods) != old
    });
}

#[test]
fn suspended_while_that_is_asked_for() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("cron-job-suspends");
    for (name, spec) in [("long", "suspend: true"), ("other", "")] {
        let manifest = cron_job_that(name, &days_ago(6).0, spec, "");
        kubectl.run_with_input("apply -f -", &manifest).ok();
        ran_last(&kubectl, name, 10);
    }
    // The other one ticks later than the suspended one would have.
    until(&kubectl, "jobs", |jobs| !items(jobs).is_empty());
    let jobs = get(&kubectl, "jobs");
    assert_eq!(
        items(&jobs)[0]["metadata"]["ownerReferences"][0]["name"],
        "other"
    );
    assert_eq!(items(&jobs).len(), 1);
    kubectl
        .run(r#"patch cronjob long -p '{"spec":{"suspend":false}}'"#)
        .ok();
    until(&kubectl, "jobs", |jobs| names(jobs).contains(&job_of(6)));
    pods(&kubectl, "batch.kubernetes.io/job-name", 2);
}
