//! A CronJob keeps its last jobs, so many that succeeded and so many that failed.

use serde_json::Value;

use crate::cron_job_schedules::{cron_job_that, days_ago, ran_last};
use crate::objects::{is, items, name, names};
use crate::{Cluster, get, until};

fn job_of(days: i64) -> String {
    format!("short-{}", days_ago(days).1.as_second() / 60)
}

/// Lets three jobs run, and sees that these are left.
fn keeps(namespace: &str, limit: &str, annotations: &str, end: &str, left: &[i64]) {
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
    let left: Vec<String> = left.iter().map(|days| job_of(*days)).collect();
    until(&kubectl, "jobs", |jobs| names(jobs) == left);
    until(&kubectl, "pods", |pods| {
        let of_job = |pod: &&Value| left.iter().any(|job| name(pod).starts_with(job));
        items(pods).len() == left.len() && items(pods).iter().all(|pod| of_job(&pod))
    });
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
        &[6],
    );
}

#[test]
fn the_last_that_failed() {
    keeps(
        "cron-job-failures",
        "failedJobsHistoryLimit: 2",
        "mosaic/sim-exit-after: '50ms:1'",
        "Failed",
        &[7, 6],
    );
}
