//! Discovery, nodes, output, and what concerns the whole cluster.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::{Stage, stored};
use crate::wait_until;

pub(super) fn version(stage: &Stage) {
    let shown = stage.kubectl.run("version");
    shown
        .says("Server Version: v1.37.")
        .says("Client Version: v1.");
    let shown = stage.kubectl.run("version -o json");
    let shown: serde_json::Value = serde_json::from_str(shown.ok()).expect("JSON");
    assert_eq!(
        (
            &shown["serverVersion"]["major"],
            &shown["serverVersion"]["minor"]
        ),
        (&"1".into(), &"37".into())
    );
}

pub(super) fn cluster_info(stage: &Stage) {
    stage.kubectl.run("cluster-info").says("https://127.0.0.1:");
}

pub(super) fn api_versions(stage: &Stage) {
    let versions = stage.kubectl.run("api-versions");
    for version in [
        "v1",
        "apps/v1",
        "batch/v1",
        "autoscaling/v2",
        "rbac.authorization.k8s.io/v1",
    ] {
        assert!(
            versions.ok().lines().any(|line| line == version),
            "{version}: {versions}"
        );
    }
}

pub(super) fn api_resources(stage: &Stage) {
    stage
        .kubectl
        .run("api-resources --categories=all")
        .says("deployments")
        .says("deploy ");
    let cluster = stage
        .kubectl
        .run("api-resources --namespaced=false -o name");
    assert!(
        cluster
            .says("nodes")
            .ok()
            .lines()
            .all(|line| line != "pods"),
        "{cluster}"
    );
    stage
        .kubectl
        .run("api-resources --verbs=create -o wide")
        .says("tokenreviews");
}

pub(super) fn raw(stage: &Stage) {
    assert_eq!(stage.kubectl.run("get --raw /readyz").ok(), "ok");
    stage
        .kubectl
        .run("get --raw /readyz?verbose")
        .says("[+]")
        .says("readyz check passed");
    stage.kubectl.run("get --raw /livez").says("ok");
    stage
        .kubectl
        .run("get --raw /apis/apps/v1")
        .says("\"APIResourceList\"");
    stage.kubectl.run("get --raw /metrics").says("# TYPE");
    let manifest = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"raw"}}"#;
    let path = format!("/api/v1/namespaces/{}/configmaps", stage.namespace);
    stage
        .kubectl
        .run_with_input(&format!("create --raw {path} -f -"), manifest)
        .says("raw");
    stage
        .kubectl
        .run(&format!("delete --raw {path}/raw"))
        .says("Success");
}

pub(super) fn config(stage: &Stage) {
    stage
        .kubectl
        .run("config view")
        .says("server: https://127.0.0.1:")
        .says("DATA+OMITTED");
    let context = stage.kubectl.run("config current-context");
    assert!(!context.ok().trim().is_empty());
    stage
        .kubectl
        .run("config get-contexts")
        .says(context.ok().trim());
}

pub(super) fn explain(stage: &Stage) {
    stage
        .kubectl
        .run("explain pod.spec.containers")
        .says("<[]Container>")
        .says("image");
    stage
        .kubectl
        .run("explain deployment --recursive")
        .says("maxSurge");
    stage
        .kubectl
        .run("explain widget.spec.size")
        .says("How large it is.")
        .says("small");
    stage
        .kubectl
        .run("explain pod.spec.nothing")
        .complains("nothing");
}

pub(super) fn events(stage: &Stage) {
    stage.kubectl.run("create configmap told").ok();
    let told = stored(stage, "v1", "configmaps/told");
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "told"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "told",
            "namespace": stage.namespace,
            "uid": told["metadata"]["uid"],
        },
        "type": "Warning",
        "reason": "Told",
        "message": "this was told",
        "firstTimestamp": "2030-01-01T00:00:00Z",
        "lastTimestamp": "2030-01-01T00:00:00Z",
        "count": 1,
    });
    let kubectl = &stage.kubectl;
    kubectl
        .run_with_input("create -f -", &event.to_string())
        .ok();
    kubectl
        .run("events --for=configmap/told --types=Warning")
        .says("this was told");
    kubectl
        .run("get events --field-selector involvedObject.name=told")
        .says("Told");
    kubectl.run("describe configmap told").says("this was told");
}

/// A node that no machine stands behind.
fn node(stage: &Stage, purpose: &str) -> String {
    let name = format!("{purpose}-{}", stage.suffix);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    stage
        .kubectl
        .run_with_input("create -f -", &node.to_string())
        .says("created");
    name
}

pub(super) fn taint(stage: &Stage) {
    let name = node(stage, "taint");
    stage
        .kubectl
        .run(&format!("taint node {name} team=a:NoSchedule"))
        .says("tainted");
    stage
        .kubectl
        .run(&format!("describe node {name}"))
        .says("team=a:NoSchedule");
    stage
        .kubectl
        .run(&format!("taint node {name} team-"))
        .says("untainted");
    stage.kubectl.run(&format!("delete node {name}")).ok();
}

pub(super) fn cordon(stage: &Stage) {
    let name = node(stage, "cordon");
    stage
        .kubectl
        .run(&format!("cordon {name}"))
        .says("cordoned");
    stage
        .kubectl
        .run(&format!("get node {name}"))
        .says("SchedulingDisabled");
    stage
        .kubectl
        .run(&format!("uncordon {name}"))
        .says("uncordoned");
    stage.kubectl.run(&format!("delete node {name}")).ok();
}

/// Two pods on a node. The budget allows one to go, then none; without it the other goes too.
pub(super) fn drain(stage: &Stage) {
    let name = node(stage, "drain");
    let pod = |pod: &str, app: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod, "labels": {"app": app}},
            "spec": {
                "nodeName": name,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "main", "image": "example.com/app:1"}],
            },
        })
        .to_string()
    };
    stage
        .kubectl
        .run_with_input("create -f -", &pod("drain-free", "drain-free"))
        .ok();
    stage
        .kubectl
        .run_with_input("create -f -", &pod("drain-kept", "drain-kept"))
        .ok();
    // A budget guards pods that are ready, and lets go those that have not started.
    let ready = r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
    stage
        .kubectl
        .run(&format!(
            "patch pod drain-kept --subresource=status --type=merge -p '{ready}'"
        ))
        .ok();
    let budget = "create pdb drain --selector=app=drain-kept --min-available=1";
    stage.kubectl.run(budget).says("created");
    wait_until("the budget to be worked out", || {
        let budget = stored(stage, "policy/v1", "poddisruptionbudgets/drain");
        budget["status"]["observedGeneration"] == budget["metadata"]["generation"]
    });

    let line = format!("drain {name} --force --ignore-daemonsets --timeout=3s");
    let refused = stage.kubectl.run(&line);
    assert!(refused.fails().contains("disruption budget"), "{refused}");
    stage
        .kubectl
        .run("get pod drain-free")
        .complains("NotFound");
    stage.kubectl.run("get pod drain-kept").ok();

    stage.kubectl.run("delete pdb drain").ok();
    stage
        .kubectl
        .run(&format!("drain {name} --force"))
        .says("drained");
    stage
        .kubectl
        .run("get pod drain-kept")
        .complains("NotFound");
    stage.kubectl.run(&format!("delete node {name}")).ok();
}

pub(super) fn proxy(stage: &Stage) {
    let mut proxy = stage.kubectl.follow("proxy --port=0");
    let line = proxy.next_line();
    let port = line
        .rsplit(':')
        .next()
        .and_then(|port| port.parse::<u16>().ok());
    let port = port.unwrap_or_else(|| panic!("no port in {line}"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy listens");
    stream
        .write_all(b"GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .expect("writable");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("readable");
    assert!(answer.contains("gitVersion"), "{answer}");
}

pub(super) fn chunks(stage: &Stage) {
    let manifest: Vec<_> = (0..7)
        .map(|i| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: chunk-{i}, labels: {{set: chunk}}}}\n"))
        .collect();
    stage
        .kubectl
        .run_with_input("create -f -", &manifest.join("---\n"))
        .ok();
    let listed = stage
        .kubectl
        .run("get configmaps -l set=chunk --chunk-size=2 --no-headers");
    assert_eq!(listed.ok().lines().count(), 7, "{listed}");
}

pub(super) fn output(stage: &Stage) {
    let kubectl = &stage.kubectl;
    kubectl
        .run("create configmap output-b --from-literal=a=b")
        .ok();
    kubectl
        .run("create configmap output-a --from-literal=a=b")
        .ok();
    let sorted = kubectl
        .run("get configmaps --sort-by=.metadata.name -o custom-columns=NAME:.metadata.name");
    let position = |name: &str| sorted.ok().lines().position(|line| line == name);
    assert!(position("output-a") < position("output-b"), "{sorted}");
    kubectl
        .run("get configmaps -A")
        .says("NAMESPACE")
        .says("output-a")
        .says(&stage.namespace);
    let template = kubectl.run("get configmap output-a -o go-template={{.data.a}}");
    assert_eq!(template.ok(), "b");
    kubectl
        .run("get configmap output-a --show-labels")
        .says("<none>");
    kubectl.run("get configmap output-a -L app").says("APP");
}

pub(super) fn several(stage: &Stage) {
    stage
        .kubectl
        .run("get serviceaccount/default configmap/kube-root-ca.crt")
        .says("serviceaccount/default");
    assert_eq!(
        stage
            .kubectl
            .run("get pod no-such-name --ignore-not-found")
            .ok(),
        ""
    );
    stage
        .kubectl
        .run("get nothings")
        .complains("the server doesn't have a resource type \"nothings\"");
}

pub(super) fn top(stage: &Stage) {
    stage
        .kubectl
        .run("top pods")
        .complains("Metrics API not available");
}
