//! A Job's failed pods are replaced, and failed containers restarted, up to `backoffLimit`; a job that works for too
//! long fails too.

use crate::objects::{condition, event, is, items, pods};
use crate::{Cluster, get, until};

fn job(spec: &str, restart: &str, exit: &str) -> String {
    format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata: {{name: try}}
spec:
  {spec}
  template:
    metadata:
      labels: {{app: try}}
      annotations: {{{exit}}}
    spec:
      restartPolicy: {restart}
      terminationGracePeriodSeconds: 1
      containers: [{{name: try, image: "try:1"}}]
"#
    )
}

#[test]
fn a_failed_pod_is_replaced_until_the_limit() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-retries");
    let exit = "mosaic/sim-exit-after: '50ms:3'";
    let manifest = job("backoffLimit: 1", "Never", exit);
    kubectl.run_with_input("apply -f -", &manifest).ok();
    kubectl
        .run("wait --for=condition=failed job/try --timeout=60s")
        .ok();
    let failed = get(&kubectl, "job try");
    let why = condition(&failed, "Failed");
    assert_eq!(why["reason"], "BackoffLimitExceeded");
    assert_eq!(
        why["message"],
        "Job has reached the specified backoff limit"
    );
    assert_eq!(failed["status"]["failed"], 2);
    assert!(is(&failed, "FailureTarget") && !is(&failed, "Complete"));
    event(&kubectl, "try", "BackoffLimitExceeded");
    let both = get(&kubectl, "pods");
    assert_eq!(items(&both).len(), 2, "the first one and its replacement");
    for pod in items(&both) {
        let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(end["exitCode"], 3);
    }
}

#[test]
fn a_container_that_restarts_keeps_its_pod_and_counts_against_the_limit() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-restarts");
    let exit = "mosaic/sim-exit-after: '50ms:1', mosaic/sim-exit-count: '1'";
    let manifest = job("backoffLimit: 2", "OnFailure", exit);
    kubectl.run_with_input("apply -f -", &manifest).ok();
    let runs = until(&kubectl, "pods", |pods| {
        let status = &items(pods).first().unwrap_or(&pods["none"])["status"];
        let container = &status["containerStatuses"][0];
        container["restartCount"] == 1 && container["ready"] == true
    });
    assert_eq!(items(&runs).len(), 1);
    let job = get(&kubectl, "job try");
    assert_eq!(job["status"]["active"], 1);
    assert!(job["status"]["failed"].is_null() && !is(&job, "Failed"));

    // One restart is as many as the limit allows now.
    kubectl.run("delete job try").ok();
    let manifest = self::job("backoffLimit: 1", "OnFailure", exit);
    kubectl.run_with_input("apply -f -", &manifest).ok();
    kubectl
        .run("wait --for=condition=failed job/try --timeout=60s")
        .ok();
    let job = get(&kubectl, "job try");
    let why = condition(&job, "Failed");
    assert_eq!(why["reason"], "BackoffLimitExceeded");
    pods(&kubectl, "app=try", 0);
}

#[test]
fn a_job_that_works_for_too_long_is_stopped() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-deadline");
    let manifest = job("activeDeadlineSeconds: 1", "Never", "");
    kubectl.run_with_input("apply -f -", &manifest).ok();
    kubectl
        .run("wait --for=condition=failed job/try --timeout=60s")
        .ok();
    let job = get(&kubectl, "job try");
    let why = condition(&job, "Failed");
    assert_eq!(why["reason"], "DeadlineExceeded");
    assert!(job["status"]["active"].as_u64().unwrap_or(0) == 0);
    event(&kubectl, "try", "DeadlineExceeded");
    pods(&kubectl, "app=try", 0);
}
