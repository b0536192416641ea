//! A suspended Job has no pods; resumed, it goes on, and what it lost by being suspended counts for nothing.

use crate::objects::{condition, event, is, items, name, names, pods, release};
use crate::{Cluster, get, until};

const LONG: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: long}
spec:
  suspend: true
  completions: 2
  parallelism: 2
  backoffLimit: 0
  template:
    metadata:
      labels: {app: long}
      annotations: {mosaic/sim-stop: '0ms:1'}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      schedulingGates: [{name: test}]
      containers: [{name: long, image: "long:1"}]
"#;

#[test]
fn suspended_and_resumed() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-suspends");
    let set = |suspended: bool| {
        let patch = format!(r#"{{"spec":{{"suspend":{suspended}}}}}"#);
        kubectl.run(&format!("patch job long -p '{patch}'")).ok();
    };
    kubectl.run_with_input("apply -f -", LONG).ok();
    let job = until(&kubectl, "job long", |job| is(job, "Suspended"));
    assert!(job["status"]["startTime"].is_null());
    assert!(names(&get(&kubectl, "pods")).is_empty());
    kubectl.run("get job long").says("Suspended");

    set(false);
    let first = names(&pods(&kubectl, "app=long", 2));
    let job = until(&kubectl, "job long", |job| job["status"]["active"] == 2);
    let resumed = condition(&job, "Suspended");
    assert_eq!(resumed["status"], "False");
    assert!(job["status"]["startTime"].is_string());
    event(&kubectl, "long", "Resumed");
    // One of two is done, the other runs.
    release(&kubectl, &first[0], "mosaic/sim-exit-after=50ms");
    release(&kubectl, &first[1], "seen=yes");
    until(&kubectl, "job long", |job| {
        job["status"]["succeeded"] == 1 && job["status"]["ready"] == 1
    });

    set(true);
    let job = until(&kubectl, "job long", |job| {
        is(job, "Suspended") && job["status"]["active"].as_u64().unwrap_or(0) == 0
    });
    event(&kubectl, "long", "Suspended");
    assert_eq!(job["status"]["succeeded"], 1);
    // The pod that was stopped exits with 1: with a limit of 0, the job would fail if it counted.
    until(&kubectl, "pods", |pods| names(pods) == first[..1]);

    set(false);
    let again = pods(&kubectl, "app=long", 2);
    let new = items(&again).iter().find(|pod| name(pod) != first[0]);
    let new = name(new.expect("a pod in its place"));
    release(&kubectl, new, "mosaic/sim-exit-after=50ms");
    kubectl
        .run("wait --for=condition=complete job/long --timeout=60s")
        .ok();
    let job = get(&kubectl, "job long");
    assert_eq!(job["status"]["succeeded"], 2);
    assert!(job["status"]["failed"].is_null());
}
