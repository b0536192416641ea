//! Scaling, rollouts, `set`, and deletion with what belongs to it.

use serde_json::{Value, json};

use super::{Stage, stored};
use crate::{wait_for, wait_until};

/// A deployment of this name and its first replica set.
fn deployment(stage: &Stage, name: &str) -> Value {
    stage
        .kubectl
        .run(&format!(
            "create deployment {name} --image=example.com/app:1"
        ))
        .says("created");
    wait_for("the deployment's replica set", || {
        replica_sets(stage, name).into_iter().next()
    })
}

fn replica_sets(stage: &Stage, name: &str) -> Vec<Value> {
    let sets = stored(
        stage,
        "apps/v1",
        &format!("replicasets?labelSelector=app%3D{name}"),
    );
    sets["items"].as_array().cloned().unwrap_or_default()
}

fn pods(stage: &Stage, name: &str) -> usize {
    let pods = stored(stage, "v1", &format!("pods?labelSelector=app%3D{name}"));
    pods["items"].as_array().map_or(0, Vec::len)
}

pub(super) fn scale(stage: &Stage) {
    deployment(stage, "scaled");
    stage
        .kubectl
        .run("scale deployment scaled --replicas=3")
        .says("scaled");
    assert_eq!(
        stored(stage, "apps/v1", "deployments/scaled")["spec"]["replicas"],
        3
    );
    wait_until("three pods", || pods(stage, "scaled") == 3);
    let wrong = stage
        .kubectl
        .run("scale deployment scaled --current-replicas=7 --replicas=1");
    wrong.complains("Expected replicas to be 7");
    stage
        .kubectl
        .run("scale deployment/scaled --replicas=0")
        .says("scaled");
    wait_until("no pods", || pods(stage, "scaled") == 0);
    stage.kubectl.run("delete deployment scaled").ok();
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
        .run("set image deployment/rolled app=example.com/app:2")
        .ok();
    kubectl
        .run("rollout resume deployment rolled")
        .says("resumed");
    wait_until("a second revision", || {
        replica_sets(stage, "rolled").len() == 2
    });
    wait_until("its number", || {
        kubectl
            .run("rollout history deployment rolled")
            .ok()
            .contains("\n2 ")
    });
    kubectl
        .run("rollout history deployment rolled --revision=2")
        .says("example.com/app:2");
    kubectl
        .run("rollout undo deployment rolled")
        .says("rolled back");
    let image = || {
        let spec = stored(stage, "apps/v1", "deployments/rolled");
        spec["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image(), "example.com/app:1");
    kubectl
        .run("rollout restart deployment rolled")
        .says("restarted");
    kubectl.run("delete deployment rolled").ok();
}

/// No node runs the pods here: a rollout of none is complete, one of a pod is waited for in vain.
pub(super) fn rollout_status(stage: &Stage) {
    stage
        .kubectl
        .run("create deployment status --image=example.com/app:1 --replicas=0")
        .ok();
    stage
        .kubectl
        .run("rollout status deployment status")
        .says("successfully rolled out");
    stage
        .kubectl
        .run("scale deployment status --replicas=1")
        .ok();
    stage
        .kubectl
        .run("rollout status deployment status --timeout=1s")
        .complains("timed out");
    stage.kubectl.run("delete deployment status").ok();
}

pub(super) fn cascade_background(stage: &Stage) {
    deployment(stage, "back");
    stage
        .kubectl
        .run("delete deployment back --cascade=background")
        .says("deleted");
    wait_until("what it owned to be gone", || {
        replica_sets(stage, "back").is_empty() && pods(stage, "back") == 0
    });
}

pub(super) fn cascade_orphan(stage: &Stage) {
    deployment(stage, "orphan");
    stage
        .kubectl
        .run("delete deployment orphan --cascade=orphan")
        .says("deleted");
    let sets = replica_sets(stage, "orphan");
    assert_eq!(sets.len(), 1, "{sets:?}");
    assert_eq!(sets[0]["metadata"]["ownerReferences"], Value::Null);
    stage
        .kubectl
        .run("delete replicaset -l app=orphan")
        .says("deleted");
}

pub(super) fn cascade_foreground(stage: &Stage) {
    deployment(stage, "fore");
    stage
        .kubectl
        .run("delete deployment fore --cascade=foreground")
        .says("deleted");
    assert!(
        replica_sets(stage, "fore").is_empty(),
        "the owner went before what it owns"
    );
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
    deployment(stage, "all");
    wait_until("the deployment's pod", || pods(stage, "all") == 1);
    let all = stage.kubectl.run("get all -l app=all");
    all.says("deployment.apps/all")
        .says("replicaset.apps/all-")
        .says("pod/all-");
    stage.kubectl.run("delete deployment all").ok();
}
