//! What needs a node: until one serves the pod, the answer is a clear error.

use serde_json::json;

use super::{Stage, stored};

/// A pod that waits for a node.
fn pod(stage: &Stage, name: &str) {
    stage
        .kubectl
        .run(&format!("run {name} --image=example.com/app:1"))
        .says("created");
}

/// The command fails at once, with words that a person understands.
fn refused(stage: &Stage, name: &str, line: &str, words: &str) {
    pod(stage, name);
    let refused = stage.kubectl.run(line);
    assert!(refused.fails().contains(words), "{refused}");
    stage.kubectl.run(&format!("delete pod {name}")).ok();
}

pub(super) fn logs(stage: &Stage) {
    // As Kubernetes does: a pod without a node has nothing to tell, which is no error.
    pod(stage, "logs");
    let shown = stage.kubectl.run("logs logs");
    assert!(shown.stdout.is_empty(), "{shown}");
    stage.kubectl.run("delete pod logs").ok();
    stage
        .kubectl
        .run("logs no-such-pod")
        .complains("(NotFound)");
}

pub(super) fn exec(stage: &Stage) {
    refused(stage, "exec", "exec exec -- true", "not");
}

pub(super) fn attach(stage: &Stage) {
    let line = "attach attach --pod-running-timeout=1s";
    refused(stage, "attach", line, "does not have a host assigned");
}

pub(super) fn port_forward(stage: &Stage) {
    let words = "pod is not running";
    refused(
        stage,
        "forward",
        "port-forward forward 0:80 --pod-running-timeout=1s",
        words,
    );
}

pub(super) fn copy(stage: &Stage) {
    let file = stage.file("copied.txt", "text");
    refused(stage, "copy", &format!("cp {file} copy:/tmp/x"), "not");
}

/// Adds an ephemeral container; nobody runs it yet.
pub(super) fn debug(stage: &Stage) {
    pod(stage, "debugged");
    let line =
        "debug debugged --image=example.com/tools:1 -c tools --profile=general --attach=false";
    stage.kubectl.run(line).ok();
    let pod = stored(stage, "v1", "pods/debugged");
    assert_eq!(
        pod["spec"]["ephemeralContainers"][0]["name"],
        json!("tools"),
        "{pod}"
    );
    stage.kubectl.run("delete pod debugged").ok();
}
