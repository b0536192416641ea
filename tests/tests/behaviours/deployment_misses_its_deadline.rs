//! A rollout without progress for `progressDeadlineSeconds` is reported as failed, and goes on being tried.

use crate::objects::condition;
use crate::{Cluster, get, until};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  progressDeadlineSeconds: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {mosaic/sim-readiness: "after=0s"}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: "web:1", readinessProbe: {periodSeconds: 1, tcpSocket: {port: 80}}}]
"#;

fn readiness(how: &str) -> String {
    format!(
        r#"patch deployment web -p {{"spec":{{"template":{{"metadata":{{"annotations":{{"mosaic/sim-readiness":"{how}"}}}}}}}}}}"#
    )
}

#[test]
fn a_template_that_never_gets_ready_fails_until_it_is_taken_back() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-misses-its-deadline");
    kubectl.run_with_input("apply -f -", WEB).ok();
    kubectl.run("rollout status deployment/web").ok();

    kubectl.run(&readiness("fail")).ok();
    kubectl
        .run("rollout status deployment/web")
        .complains("exceeded its progress deadline");
    let web = get(&kubectl, "deployment web");
    let progressing = condition(&web, "Progressing");
    assert_eq!(progressing["status"], "False");
    assert_eq!(progressing["reason"], "ProgressDeadlineExceeded");
    // Nothing is lost meanwhile: the pods of before serve.
    assert_eq!(web["status"]["availableReplicas"], 2);
    assert_eq!(condition(&web, "Available")["status"], "True");

    kubectl.run("rollout undo deployment/web").ok();
    kubectl
        .run("rollout status deployment/web")
        .says("successfully rolled out");
    let web = until(&kubectl, "deployment web", |web| {
        condition(web, "Progressing")["reason"] == "NewReplicaSetAvailable"
    });
    assert_eq!(condition(&web, "Progressing")["status"], "True");
}

#[test]
fn a_template_that_gets_ready_late_recovers_by_itself() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-is-late");
    let late = WEB.replace("after=0s", "after=5s");
    kubectl.run_with_input("apply -f -", &late).ok();
    kubectl
        .run("rollout status deployment/web")
        .complains("exceeded its progress deadline");
    let web = until(&kubectl, "deployment web", |web| {
        web["status"]["availableReplicas"] == 2
    });
    assert_eq!(condition(&web, "Progressing")["status"], "True");
    kubectl
        .run("rollout status deployment/web")
        .says("successfully rolled out");
}
