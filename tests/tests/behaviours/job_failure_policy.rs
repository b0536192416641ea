//! What a pod's failure means for its Job, `podFailurePolicy` says.

use crate::objects::{condition, event, is, items, name, names, pods, release, uid};
use crate::{Cluster, get, until};

const CHECK: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: check}
spec:
  parallelism: 2
  completions: 2
  backoffLimit: 0
  podFailurePolicy:
    rules:
    - action: FailJob
      onExitCodes: {containerName: check, operator: In, values: [42]}
    - action: Ignore
      onPodConditions: [{type: DisruptionTarget}]
  template:
    metadata:
      labels: {app: check}
      annotations: {mosaic/sim-stop: '0ms:1'}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      schedulingGates: [{name: test}]
      containers: [{name: check, image: "check:1"}]
"#;

#[test]
fn an_exit_code_fails_the_job_at_once() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-exit-code");
    // Five failures would be allowed.
    let manifest = CHECK.replace("backoffLimit: 0", "backoffLimit: 5");
    kubectl.run_with_input("apply -f -", &manifest).ok();
    let both = names(&pods(&kubectl, "app=check", 2));
    release(&kubectl, &both[0], "seen=yes");
    until(&kubectl, "job check", |job| job["status"]["ready"] == 1);
    release(&kubectl, &both[1], "mosaic/sim-exit-after=50ms:42");
    kubectl
        .run("wait --for=condition=failed job/check --timeout=60s")
        .ok();
    let job = get(&kubectl, "job check");
    let why = condition(&job, "Failed");
    assert_eq!(why["reason"], "PodFailurePolicy");
    let message = why["message"].as_str().expect("a message");
    assert!(message.contains(&both[1]), "{message}");
    assert!(message.contains("exit code 42"), "{message}");
    assert!(message.contains("rule at index 0"), "{message}");
    event(&kubectl, "check", "PodFailurePolicy");
    // The pod that worked well is stopped, and none comes in its place.
    until(&kubectl, "pods", |pods| names(pods) == both[1..]);
}

#[test]
fn a_pod_that_was_evicted_does_not_count() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-evicted");
    kubectl.run_with_input("apply -f -", CHECK).ok();
    let both = pods(&kubectl, "app=check", 2);
    let [first, second] = [name(&items(&both)[0]), name(&items(&both)[1])];
    release(&kubectl, first, "seen=yes");
    release(&kubectl, second, "seen=yes");
    until(&kubectl, "job check", |job| job["status"]["ready"] == 2);
    let eviction = format!(
        r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{first}","namespace":"job-evicted"}}}}"#
    );
    let path = format!("/api/v1/namespaces/job-evicted/pods/{first}/eviction");
    kubectl
        .run_with_input(&format!("create --raw {path} -f -"), &eviction)
        .ok();
    // It exits with 1 when it is stopped, and no failure is allowed.
    let gone = uid(&items(&both)[0]);
    let again = until(&kubectl, "pods", |pods| {
        items(pods).len() == 2 && items(pods).iter().all(|pod| uid(pod) != gone)
    });
    let new = items(&again).iter().map(name).find(|pod| *pod != second);
    release(&kubectl, new.expect("another pod"), "seen=yes");
    let job = until(&kubectl, "job check", |job| job["status"]["ready"] == 2);
    assert!(!is(&job, "FailureTarget"));
    assert!(job["status"]["failed"].is_null(), "{job}");
}
