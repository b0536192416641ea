//! Scaling, rollouts, `set`, and deletion with what belongs to it.

use serde_json::{Value, json};

use super::{Stage, stored};
use crate::wait_until;

fn deployment(stage: &Stage, name: &str) -> Value {
    let line = format!("create deployment {name} --image=example.com/app:1");
    stage.kubectl.run(&line).says("created");
    stored(stage, "apps/v1", &format!("deployments/{name}"))
}

/// A deployment and its replica set.
fn with_replica_set(stage: &Stage, name: &str) {
    deployment(stage, name);
    wait_until("its replica set", || !replica_sets(stage, name).is_empty());
}

fn replica_sets(stage: &Stage, name: &str) -> Vec<Value> {
    let path = format!("replicasets?labelSelector=app%3D{name}");
    let sets = stored(stage, "apps/v1", &path);
    sets["items"].as_array().cloned().unwrap_or_default()
}

pub(super) fn scale(stage: &Stage) {
    deployment(stage, "scaled");
    let kubectl = &stage.kubectl;
    kubectl
        .run("scale deployment scaled --replicas=3")
        .says("scaled");
    let scaled = stored(stage, "apps/v1", "deployments/scaled");
    assert_eq!(scaled["spec"]["replicas"], 3);
    let wrong = kubectl.run("scale deployment scaled --current-replicas=7 --replicas=1");
    wrong.complains("Expected replicas to be 7");
    kubectl
        .run("scale deployment/scaled --replicas=0")
        .says("scaled");
    kubectl.run("delete deployment scaled").ok();
}

pub(super) fn scale_custom(stage: &Stage) {
    let widget = json!({
        "apiVersion": "matrix.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "scaled"},
        "spec": {"size": "small"},
    });
    stage
        .kubectl
        .run_with_input("create -f -", &widget.to_string())
        .says("created");
    stage
        .kubectl
        .run("scale widget scaled --replicas=4")
        .says("scaled");
    assert_eq!(
        stored(stage, "matrix.example.com/v1", "widgets/scaled")["spec"]["replicas"],
        4
    );
    stage
        .kubectl
        .run("get widget scaled")
        .says("SIZE")
        .says("REPLICAS")
        .says("small");
    stage.kubectl.run("delete widget scaled").says("deleted");
}

pub(super) fn autoscale(stage: &Stage) {
    deployment(stage, "auto");
    stage
        .kubectl
        .run("autoscale deployment auto --min=2 --max=5 --cpu=80%")
        .ok();
    let scaler = stored(stage, "autoscaling/v2", "horizontalpodautoscalers/auto");
    assert_eq!(scaler["spec"]["maxReplicas"], 5);
    stage.kubectl.run("get hpa auto").says("Deployment/auto");
    stage
        .kubectl
        .run("delete hpa,deployment auto")
        .says("deleted");
}

pub(super) fn expose(stage: &Stage) {
    deployment(stage, "exposed");
    stage
        .kubectl
        .run("expose deployment exposed --port=80 --target-port=8080")
        .says("exposed");
    let service = stored(stage, "v1", "services/exposed");
    assert_eq!(service["spec"]["selector"]["app"], "exposed");
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 8080);
    stage
        .kubectl
        .run("delete service,deployment exposed")
        .says("deleted");
}

pub(super) fn set(stage: &Stage) {
    deployment(stage, "set");
    stage
        .kubectl
        .run("set image deployment/set app=example.com/app:2")
        .says("image updated");
    stage
        .kubectl
        .run("set env deployment/set A=b")
        .says("env updated");
    stage
        .kubectl
        .run("set resources deployment/set --limits=cpu=200m,memory=64Mi")
        .says("requirements updated");
    let spec = stored(stage, "apps/v1", "deployments/set");
    let container = &spec["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "example.com/app:2");
    assert_eq!(container["env"], json!([{"name": "A", "value": "b"}]));
    assert_eq!(container["resources"]["limits"]["cpu"], "200m");
    stage
        .kubectl
        .run("set env deployment/set A-")
        .says("env updated");
    stage.kubectl.run("delete deployment set").ok();
}

pub(super) fn set_others(stage: &Stage) {
    deployment(stage, "others");
    stage
        .kubectl
        .run("set serviceaccount deployment/others default")
        .says("serviceaccount updated");
    stage
        .kubectl
        .run("create service clusterip others --tcp=80")
        .ok();
    stage
        .kubectl
        .run("set selector service others app=elsewhere")
        .says("selector updated");
    assert_eq!(
        stored(stage, "v1", "services/others")["spec"]["selector"],
        json!({"app": "elsewhere"})
    );
    stage
        .kubectl
        .run("create rolebinding others --clusterrole=view --user=jane")
        .ok();
    stage
        .kubectl
        .run("set subject rolebinding others --user=joe")
        .says("subjects updated");
    stage
        .kubectl
        .run("delete deployment,service,rolebinding others")
        .ok();
}

pub(super) fn rollout(stage: &Stage) {
    deployment(stage, "rolled");
    let kubectl = &stage.kubectl;
    kubectl
        .run("rollout pause deployment rolled")
        .says("paused");
    kubectl
        .run("rollout resume deployment rolled")
        .says("resumed");
    kubectl
        .run("rollout restart deployment rolled")
        .says("restarted");
    let rolled = stored(stage, "apps/v1", "deployments/rolled");
    let annotations = &rolled["spec"]["template"]["metadata"]["annotations"];
    assert!(
        annotations["kubectl.kubernetes.io/restartedAt"].is_string(),
        "{rolled}"
    );
    kubectl.run("delete deployment rolled").ok();
}

pub(super) fn rollout_status(stage: &Stage) {
    deployment(stage, "status");
    let waited = stage
        .kubectl
        .run("rollout status deployment status --timeout=1s");
    waited.complains("timed out");
    stage.kubectl.run("delete deployment status").ok();
}

pub(super) fn rollout_history(stage: &Stage) {
    with_replica_set(stage, "history");
    let kubectl = &stage.kubectl;
    kubectl
        .run("rollout undo deployment history")
        .complains("no rollout history found");
    kubectl
        .run("set image deployment history app=example.com/app:2")
        .says("image updated");
    wait_until("its second replica set", || {
        replica_sets(stage, "history").len() == 2
    });
    kubectl
        .run("rollout history deployment history --revision=2")
        .says("example.com/app:2");
    kubectl
        .run("rollout undo deployment history")
        .says("rolled back");
    let undone = stored(stage, "apps/v1", "deployments/history");
    let image = &undone["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "example.com/app:1", "{undone}");
    kubectl.run("delete deployment history").ok();
}

pub(super) fn cascade_background(stage: &Stage) {
    with_replica_set(stage, "back");
    stage
        .kubectl
        .run("delete deployment back --cascade=background")
        .says("deleted");
    wait_until("what it owned to be gone", || {
        replica_sets(stage, "back").is_empty()
    });
}

pub(super) fn cascade_orphan(stage: &Stage) {
    with_replica_set(stage, "orphan");
    stage
        .kubectl
        .run("delete deployment orphan --cascade=orphan")
        .says("deleted");
    let sets = replica_sets(stage, "orphan");
    assert_eq!(sets.len(), 1, "{sets:?}");
    let owners = sets[0]["metadata"]["ownerReferences"].as_array();
    assert!(owners.is_none_or(Vec::is_empty), "{sets:?}");
    stage
        .kubectl
        .run("delete replicaset -l app=orphan")
        .says("deleted");
}

pub(super) fn cascade_foreground(stage: &Stage) {
    with_replica_set(stage, "fore");
    stage
        .kubectl
        .run("delete deployment fore --cascade=foreground")
        .says("deleted");
    let left = replica_sets(stage, "fore");
    assert!(left.is_empty(), "the owner went before what it owns");
}

pub(super) fn subresource(stage: &Stage) {
    let widget = json!({
        "apiVersion": "matrix.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "status"},
        "spec": {"size": "small"},
    });
    stage
        .kubectl
        .run_with_input("create -f -", &widget.to_string())
        .says("created");
    let patch = json!({"spec": {"size": "large"}, "status": {"phase": "Ready"}});
    let line = format!("patch widget status --subresource=status --type=merge -p '{patch}'");
    stage.kubectl.run(&line).says("patched");
    let widget = stored(stage, "matrix.example.com/v1", "widgets/status");
    assert_eq!(
        (&widget["spec"]["size"], &widget["status"]["phase"]),
        (&"small".into(), &"Ready".into())
    );
    stage
        .kubectl
        .run("get widget status --subresource=status -o yaml")
        .says("phase: Ready");
    let waited = "wait widget status --for=jsonpath={.status.phase}=Ready";
    stage.kubectl.run(waited).says("condition met");
    stage.kubectl.run("delete widget status").ok();
}

pub(super) fn get_all(stage: &Stage) {
    with_replica_set(stage, "all");
    let all = stage.kubectl.run("get all -l app=all");
    all.says("deployment.apps/all").says("replicaset.apps/all-");
    stage.kubectl.run("delete deployment all").ok();
}
