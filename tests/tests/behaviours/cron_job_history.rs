//! A CronJob keeps its last jobs, so many that succeeded and so many that failed.

use crate::cron_job_schedules::{cron_job_that, days_ago, ran_last};
use crate::objects::{is, items, name, names};
use crate::{Cluster, get, until};

fn job_of(days: i64) -> String {
    format!("short-{}", days_ago(days).1.as_second() / 60)
}

fn keeps(namespace: &str, limit: &str, annotations: &str, end: &str) {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace(namespace);
    let manifest = cron_job_that("short", &days_ago(8).0, limit, annotations);
    kubectl.run_with_input("apply -f -", &manifest).ok();
    ran_last(&kubectl, "short", 10);
    for days in [8, 7, 6] {
        if days < 8 {
            let schedule = days_ago(days).0;
            let patch = format!(r#"{{"spec":{{"schedule":"{schedule}"}}}}"#);
            kubectl
                .run(&format!("patch cronjob short -p '{patch}'"))
                .ok();
        }
        // The newest is kept, however long ago it was to run.
        until(&kubectl, "jobs", |jobs| {
            let mut all = items(jobs).iter();
            all.any(|job| name(job) == job_of(days) && is(job, end))
        });
    }
    until(&kubectl, "jobs", |jobs| names(jobs) == [job_of(6)]);
    let pods = until(&kubectl, "pods", |pods| items(pods).len() == 1);
    assert!(name(&items(&pods)[0]).starts_with(&job_of(6)));
    let cron_job = get(&kubectl, "cronjob short");
    let succeeded = cron_job["status"]["lastSuccessfulTime"].is_string();
    assert_eq!(succeeded, end == "Complete");
}

#[test]
fn the_last_that_succeeded() {
    keeps(
        "cron-job-successes",
        "successfulJobsHistoryLimit: 1",
        "mosaic/sim-exit-after: 50ms",
        "Complete",
    );
}

#[test]
fn the_last_that_failed() {
    keeps(
        "cron-job-failures",
        "failedJobsHistoryLimit: 1",
        "mosaic/sim-exit-after: '50ms:1'",
        "Failed",
    );
}
