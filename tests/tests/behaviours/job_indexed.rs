//! An Indexed Job has a pod for each index, which knows it; indexes may fail for themselves, and may decide the job.

use serde_json::Value;

use crate::objects::{condition, is, items, name, names, pods, release};
use crate::{Cluster, get, until};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const SUCCEEDS: &str = "mosaic/sim-exit-after=50ms";
const FAILS: &str = "mosaic/sim-exit-after=50ms:1";

fn job(spec: &str) -> String {
    format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata: {{name: part}}
spec:
  completionMode: Indexed
  completions: 3
  parallelism: 3
  {spec}
  template:
    metadata: {{labels: {{app: part}}}}
    spec:
      restartPolicy: Never
      subdomain: parts
      terminationGracePeriodSeconds: 1
      schedulingGates: [{{name: test}}]
      containers: [{{name: part, image: "part:1"}}]
"#
    )
}

/// The three pods, by index.
fn by_index(pods: &Value) -> Vec<Value> {
    let of = |index: &str| {
        let mut all = items(pods).iter();
        all.find(|pod| pod["metadata"]["annotations"][INDEX] == index)
            .unwrap_or_else(|| panic!("a pod of index {index} in {pods}"))
            .clone()
    };
    ["0", "1", "2"].map(of).to_vec()
}

#[test]
fn each_index_has_a_pod_that_knows_it() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-indexed");
    kubectl.run_with_input("apply -f -", &job("")).ok();
    let three = by_index(&pods(&kubectl, "app=part", 3));
    for (index, pod) in three.iter().enumerate() {
        assert!(name(pod).starts_with(&format!("part-{index}-")), "{pod}");
        assert_eq!(pod["metadata"]["labels"][INDEX], index.to_string());
        assert_eq!(pod["spec"]["hostname"], format!("part-{index}"));
        let variable = &pod["spec"]["containers"][0]["env"][0];
        assert_eq!(variable["name"], "JOB_COMPLETION_INDEX");
    }
    // The last two do, then the first fails once: its index gets a pod of its own again.
    release(&kubectl, name(&three[2]), SUCCEEDS);
    until(&kubectl, "job part", |job| {
        job["status"]["completedIndexes"] == "2" && job["status"]["active"] == 2
    });
    release(&kubectl, name(&three[1]), SUCCEEDS);
    until(&kubectl, "job part", |job| {
        job["status"]["completedIndexes"] == "1,2" && job["status"]["active"] == 1
    });
    release(&kubectl, name(&three[0]), FAILS);
    let again = pods(&kubectl, "app=part", 4);
    let before: Vec<_> = three.iter().map(name).collect();
    let new = items(&again)
        .iter()
        .find(|pod| !before.contains(&name(pod)))
        .expect("one more");
    assert_eq!(new["metadata"]["annotations"][INDEX], "0");
    release(&kubectl, name(new), SUCCEEDS);
    kubectl
        .run("wait --for=condition=complete job/part --timeout=60s")
        .ok();
    let job = get(&kubectl, "job part");
    assert_eq!(job["status"]["completedIndexes"], "0-2");
    assert_eq!(job["status"]["failed"], 1);
}

#[test]
fn an_index_fails_for_itself_and_the_others_go_on() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-index-fails");
    let manifest = job("backoffLimitPerIndex: 0");
    kubectl.run_with_input("apply -f -", &manifest).ok();
    let three = by_index(&pods(&kubectl, "app=part", 3));
    let count = &three[1]["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"];
    assert_eq!(count, "0");
    release(&kubectl, name(&three[1]), FAILS);
    let job = until(&kubectl, "job part", |job| {
        job["status"]["failedIndexes"] == "1" && job["status"]["active"] == 2
    });
    assert!(!is(&job, "FailureTarget"), "the others still work");
    release(&kubectl, name(&three[0]), SUCCEEDS);
    release(&kubectl, name(&three[2]), SUCCEEDS);
    kubectl
        .run("wait --for=condition=failed job/part --timeout=60s")
        .ok();
    let job = get(&kubectl, "job part");
    let why = condition(&job, "Failed");
    assert_eq!(why["reason"], "FailedIndexes");
    assert_eq!(job["status"]["completedIndexes"], "0,2");
    assert_eq!(job["status"]["failedIndexes"], "1");
    assert_eq!(
        names(&get(&kubectl, "pods")).len(),
        3,
        "no index was tried again"
    );
}

#[test]
fn chosen_indexes_decide_that_the_job_has_succeeded() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("job-success-policy");
    let manifest = job("successPolicy: {rules: [{succeededIndexes: '0'}]}");
    kubectl.run_with_input("apply -f -", &manifest).ok();
    let three = by_index(&pods(&kubectl, "app=part", 3));
    release(&kubectl, name(&three[1]), SUCCEEDS);
    let job = until(&kubectl, "job part", |job| job["status"]["succeeded"] == 1);
    assert!(!is(&job, "SuccessCriteriaMet"), "it was not that index");
    // This one has not succeeded when it is stopped.
    release(&kubectl, name(&three[2]), "mosaic/sim-stop=0ms:1");
    until(&kubectl, "job part", |job| job["status"]["ready"] == 1);
    release(&kubectl, name(&three[0]), SUCCEEDS);
    kubectl
        .run("wait --for=condition=complete job/part --timeout=60s")
        .ok();
    let job = get(&kubectl, "job part");
    let why = condition(&job, "SuccessCriteriaMet");
    assert_eq!(why["reason"], "SuccessPolicy");
    assert_eq!(condition(&job, "Complete")["reason"], "SuccessPolicy");
    assert_eq!(job["status"]["completedIndexes"], "0,1");
    // The one that was still at work is stopped.
    let left = until(&kubectl, "pods", |pods| items(pods).len() == 2);
    assert!(!names(&left).contains(&name(&three[2]).to_owned()));
}
