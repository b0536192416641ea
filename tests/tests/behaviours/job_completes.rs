//! A Job runs `parallelism` pods at a time until `completions` of them have succeeded, and counts each of them once.

use crate::objects::{event, events, is, items, leaves, name, names, pods, release};
use crate::{Cluster, get, until};

/// The gate holds pods back until the test has seen them.
const SUM: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: sum}
spec:
  completions: 4
  parallelism: 2
  template:
    metadata: {labels: {app: sum}}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      schedulingGates: [{name: test}]
      containers: [{name: sum, image: "sum:1"}]
"#;

const SUCCEEDS: &str = "mosaic/sim-exit-after=50ms";

#[test]
fn as_many_pods_run_at_a_time_as_asked_for_until_enough_have_succeeded() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-completes");
    kubectl.run_with_input("apply -f -", SUM).ok();
    let mut released = Vec::new();
    for done in 0..4 {
        let at_work = 2.min(4 - done);
        let job = until(&kubectl, "job sum", |job| {
            job["status"]["active"] == at_work
                && job["status"]["succeeded"].as_u64().unwrap_or(0) == done
        });
        assert!(!is(&job, "Complete"));
        let all = names(&get(&kubectl, "pods"));
        assert_eq!(all.len() as u64, done + at_work, "{all:?}");
        let next = all.into_iter().find(|pod| !released.contains(pod));
        let next = next.expect("a pod that waits");
        release(&kubectl, &next, SUCCEEDS);
        released.push(next);
    }
    kubectl
        .run("wait --for=condition=complete job/sum --timeout=60s")
        .ok();
    kubectl.run("get job sum").says("4/4");
    event(&kubectl, "sum", "Completed");
    let job = get(&kubectl, "job sum");
    assert!(job["status"]["completionTime"].is_string());
    assert_eq!(names(&get(&kubectl, "pods")).len(), 4);
}

#[test]
fn a_succeeded_pod_that_is_deleted_still_counts() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-counts-once");
    // Both pods at a time, so that none is created later for another reason.
    let two = SUM.replace("completions: 4", "completions: 2");
    kubectl.run_with_input("apply -f -", &two).ok();
    let both = pods(&kubectl, "app=sum", 2);
    let [first, second] = [&items(&both)[0], &items(&both)[1]];
    let tracking = "batch.kubernetes.io/job-tracking";
    for pod in [first, second] {
        assert_eq!(pod["metadata"]["finalizers"][0], tracking);
        assert!(!leaves(pod));
    }
    release(&kubectl, name(first), SUCCEEDS);
    // Deleted before the job has counted it, or after: it is the same.
    kubectl
        .run(&format!(
            "wait --for=jsonpath='{{.status.phase}}'=Succeeded pod/{} --timeout=60s",
            name(first)
        ))
        .ok();
    kubectl.run(&format!("delete pod {}", name(first))).ok();
    until(&kubectl, "job sum", |job| {
        job["status"]["succeeded"] == 1 && job["status"]["active"] == 1
    });
    release(&kubectl, name(second), SUCCEEDS);
    kubectl
        .run("wait --for=condition=complete job/sum --timeout=60s")
        .ok();
    let job = get(&kubectl, "job sum");
    assert_eq!(job["status"]["succeeded"], 2);
    assert!(job["status"]["failed"].is_null());
    assert_eq!(names(&get(&kubectl, "pods")), [name(second)]);
    let created = events(&kubectl, "sum", "SuccessfulCreate");
    assert_eq!(created.len(), 2, "{created:?}");
}

#[test]
fn a_queue_of_work_is_done_when_one_pod_says_so_and_the_others_have_ended() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-work-queue");
    let queue = SUM.replace("completions: 4\n  ", "");
    kubectl.run_with_input("apply -f -", &queue).ok();
    let both = names(&pods(&kubectl, "app=sum", 2));
    release(&kubectl, &both[0], SUCCEEDS);
    let job = until(&kubectl, "job sum", |job| job["status"]["succeeded"] == 1);
    assert!(!is(&job, "Complete"), "one is still at work");
    release(&kubectl, &both[1], SUCCEEDS);
    kubectl
        .run("wait --for=condition=complete job/sum --timeout=60s")
        .ok();
    assert_eq!(names(&get(&kubectl, "pods")), both, "no further pods");
}
