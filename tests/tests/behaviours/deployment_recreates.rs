//! With the strategy `Recreate`, pods of two templates are never at work at the same time.

use serde_json::Value;

use crate::changes::Changes;
use crate::objects::{has_ended, image, is_ready};
use crate::{Cluster, until};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  strategy: {type: Recreate}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {mosaic/sim-stop: 500ms}}
    spec:
      terminationGracePeriodSeconds: 5
      containers: [{name: web, image: "web:1"}]
"#;

#[test]
fn old_pods_have_ended_before_new_ones_are_made() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-recreates");
    kubectl.run_with_input("apply -f -", WEB).ok();
    kubectl.run("rollout status deployment/web").ok();

    let mut changes = Changes::follow(&kubectl, "pods");
    let all_ready = |pods: &[&Value], wanted: &str| {
        pods.len() == 3 && pods.iter().all(|pod| is_ready(pod) && image(pod) == wanted)
    };
    changes.until(|pods| all_ready(pods, "web:1"));
    kubectl.run("set image deployment/web web=web:2").ok();
    changes.until(|pods| {
        let exist = |wanted: &str| {
            pods.iter()
                .any(|pod| image(pod) == wanted && !has_ended(pod))
        };
        assert!(
            !(exist("web:1") && exist("web:2")),
            "old and new at once: {pods:?}"
        );
        all_ready(pods, "web:2")
    });
    until(&kubectl, "deployment web", |web| {
        web["status"]["updatedReplicas"] == 3 && web["status"]["availableReplicas"] == 3
    });
}
