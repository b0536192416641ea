//! A finished Job is deleted after `ttlSecondsAfterFinished`; with a job, its pods go, unless they are to stay.

use crate::objects::{names, pods};
use crate::{Cluster, get, until};

fn job(spec: &str, exit: &str) -> String {
    format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata: {{name: once}}
spec:
  {spec}
  template:
    metadata:
      labels: {{app: once}}
      annotations: {{{exit}}}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers: [{{name: once, image: "once:1"}}]
"#
    )
}

#[test]
fn a_finished_job_goes_after_its_time() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-ttl");
    let stays = job("", "mosaic/sim-exit-after: 50ms");
    let goes = job("ttlSecondsAfterFinished: 1", "mosaic/sim-exit-after: 50ms");
    let goes = goes.replace("once", "short");
    kubectl.run_with_input("apply -f -", &stays).ok();
    kubectl.run_with_input("apply -f -", &goes).ok();
    let pod = names(&pods(&kubectl, "app=short", 1));
    kubectl
        .run("wait --for=delete job/short --timeout=60s")
        .ok();
    kubectl
        .run(&format!("wait --for=delete pod/{} --timeout=60s", pod[0]))
        .ok();
    kubectl
        .run("wait --for=condition=complete job/once --timeout=60s")
        .ok();
    assert_eq!(names(&get(&kubectl, "jobs")), ["once"]);
}

#[test]
fn the_pods_of_a_deleted_job_go_too_unless_they_are_to_stay() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-cascades");
    kubectl.run_with_input("apply -f -", &job("", "")).ok();
    pods(&kubectl, "app=once", 1);
    kubectl.run("delete job once").ok();
    pods(&kubectl, "app=once", 0);

    kubectl.run_with_input("apply -f -", &job("", "")).ok();
    let pod = names(&pods(&kubectl, "app=once", 1));
    kubectl.run("delete job once --cascade=orphan").ok();
    // What belongs to nobody is not tracked either, so that it can go.
    let orphan = until(&kubectl, &format!("pod {}", pod[0]), |pod| {
        pod["metadata"]["ownerReferences"].is_null()
            && pod["metadata"]["finalizers"]
                .as_array()
                .is_none_or(Vec::is_empty)
            && pod["status"]["phase"] == "Running"
    });
    assert!(orphan["metadata"]["deletionTimestamp"].is_null());
    kubectl.run(&format!("delete pod {}", pod[0])).ok();

    kubectl.run_with_input("apply -f -", &job("", "")).ok();
    pods(&kubectl, "app=once", 1);
    kubectl.run("delete job once --cascade=foreground").ok();
    assert!(
        names(&get(&kubectl, "pods")).is_empty(),
        "the pods go first"
    );
}
