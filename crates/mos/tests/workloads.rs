//! Commands for workloads and hosts, against a server.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use common::Server;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {team: a}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: \"busybox:2\"}]}
";

/// Writes an object's status, as its controller or its host would.
fn set_status(server: &Server, api_version: &str, kind: &str, name: &str, status: Value) {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let api: Api<DynamicObject> = match kind {
            "Node" => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, "default", &resource),
        };
        let patch = Patch::Merge(json!({ "status": status }));
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    });
}

/// Applies pods, as soon as their account is there.
fn apply_pods(server: &Server, pods: &[Value]) {
    let text: String = pods.iter().map(|pod| format!("---\n{pod}\n")).collect();
    for _ in 0..500 {
        if server.apply(&text, "").code == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    server.apply(&text, "").ok();
}

fn node(server: &Server, name: &str) {
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": { "room": "a" } } });
    server.apply(&node.to_string(), "").ok();
    set_status(
        server,
        "v1",
        "Node",
        name,
        json!({ "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "110" },
            "conditions": [{ "type": "Ready", "status": "True" }] }),
    );
}

fn pod(name: &str, host: Option<&str>, cpu: &str) -> Value {
    let container =
        json!({ "name": "main", "image": "busybox", "resources": { "requests": { "cpu": cpu } } });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "nodeName": host, "containers": [container] } })
}

/// An object of the server, as JSON.
fn read(server: &Server, what: &str) -> Value {
    let text = server.run_line(&format!("get {what} -o json")).ok();
    serde_json::from_str(&text).unwrap()
}

/// Waits until an object, or a list, is as expected.
fn until(server: &Server, what: &str, expected: impl Fn(&Value) -> bool) {
    for _ in 0..1500 {
        if expected(&read(server, what)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{what}: it did not come to that: {}", read(server, what));
}

fn owned(mut pod: Value, owner: &Value) -> Value {
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true,
    }]);
    pod
}

#[test]
fn workloads_are_scaled_and_what_cannot_be_says_why() {
    let server = Server::start();
    server.apply(WEB, "").ok();
    let scaled = server.run_line("scale deployment/web --replicas 5").ok();
    assert_eq!(scaled, "deployment.apps/web scaled\n");
    assert_eq!(read(&server, "deploy/web")["spec"]["replicas"], 5);
    let error = server
        .run_line("scale deploy web --current-replicas 2 --replicas 3")
        .failed(1);
    assert!(
        error.contains("expected 2 replicas, but 5 are wanted"),
        "{error}"
    );
    server
        .run_line("scale deploy web --current-replicas 5 --replicas 3")
        .ok();
    let data = server
        .run_line("scale deploy -l team=a --replicas 4 -o json")
        .ok();
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(
        (&data["kind"], &data["spec"]["replicas"]),
        (&json!("Scale"), &json!(4))
    );
    let dry = server
        .run_line("scale deploy web --replicas 9 --dry-run=server")
        .ok();
    assert_eq!(dry, "deployment.apps/web scaled (server dry run)\n");
    assert_eq!(read(&server, "deploy/web")["spec"]["replicas"], 4);
    let error = server.run_line("scale deploy wbe --replicas 1").failed(1);
    assert!(error.contains("did you mean `web`?"), "{error}");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    server.apply(map, "").ok();
    let error = server.run_line("scale cm/a --replicas 1").failed(1);
    assert!(error.contains("configmap/a cannot be scaled"), "{error}");
    server.run_line("scale deploy/web").failed(2);
}

#[test]
fn a_rollout_is_held_goes_on_and_starts_anew() {
    let server = Server::start();
    server.apply(WEB, "").ok();
    assert_eq!(
        server.run_line("rollout pause deploy/web").ok(),
        "deployment.apps/web paused\n"
    );
    let error = server.run_line("rollout pause deploy/web").failed(1);
    assert!(error.contains("it is paused already"), "{error}");
    let error = server.run_line("rollout restart deploy/web").failed(1);
    assert!(error.contains("mos rollout resume"), "{error}");
    assert_eq!(
        server.run_line("rollout resume deploy/web").ok(),
        "deployment.apps/web resumed\n"
    );
    assert_eq!(
        server.run_line("rollout restart deploy/web").ok(),
        "deployment.apps/web restarted\n"
    );
    let annotations = &read(&server, "deploy/web")["spec"]["template"]["metadata"]["annotations"];
    assert!(
        annotations["kubectl.kubernetes.io/restartedAt"].is_string(),
        "{annotations}"
    );
    let error = server.run_line("rollout status cm/x").failed(1);
    assert!(error.contains("is not rolled out"), "{error}");
}

#[test]
fn the_status_of_a_rollout_tells_how_far_it_is_and_when_it_fails() {
    let server = Server::start();
    // There is no host: its pods wait.
    let web = WEB.replace(
        "spec:\n  replicas",
        "spec:\n  progressDeadlineSeconds: 1\n  replicas",
    );
    server.apply(&web, "").ok();
    until(&server, "deploy/web", |web| {
        web["status"]["updatedReplicas"] == 2
    });
    let data = server.run_line("rollout status deploy/web --watch=false -o json");
    let data: Value = serde_json::from_str(&data.out).unwrap();
    assert_eq!(
        data["replicas"],
        json!({ "wanted": 2, "updated": 2, "ready": 0, "available": 0 })
    );
    // It waits until the deadline has passed.
    let error = server.run_line("rollout status deploy/web").failed(1);
    assert!(
        error.contains("progress") && error.contains("mos rollout undo"),
        "{error}"
    );
    let line = server
        .run_line("rollout status deploy/web --watch=false")
        .err;
    assert!(line.contains("progress"), "{line}");

    let daemons = WEB
        .replace("kind: Deployment", "kind: DaemonSet")
        .replace("  replicas: 2\n", "");
    server.apply(&daemons, "").ok();
    let line = server.run_line("rollout status ds/web").ok();
    assert_eq!(line, "daemonset.apps/web successfully rolled out\n");
}

#[test]
fn a_workload_goes_back_to_an_earlier_template() {
    let server = Server::start();
    for number in [1, 2] {
        let set = WEB
            .replace("kind: Deployment", "kind: StatefulSet")
            .replace("busybox:2", &format!("busybox:{number}"))
            .replace(
                "labels: {team: a}",
                &format!("annotations: {{kubernetes.io/change-cause: image {number}}}"),
            );
        server.apply(&set, "").ok();
        until(&server, "controllerrevisions", |all| {
            all["items"].as_array().map(Vec::len) == Some(number)
        });
    }
    let history = server.run_line("rollout history statefulset/web").ok();
    assert_eq!(
        history,
        "statefulset.apps/web\nREVISION   CHANGE-CAUSE\n1          image 1\n2          image 2\n"
    );
    let one = server
        .run_line("rollout history statefulset/web --revision 1")
        .ok();
    assert!(
        one.contains("busybox:1") && !one.contains("busybox:2"),
        "{one}"
    );
    let error = server
        .run_line("rollout history statefulset/web --revision 7")
        .failed(1);
    assert!(
        error.contains("there is no revision 7") && error.contains("there are 1, 2"),
        "{error}"
    );
    let undone = server.run_line("rollout undo statefulset/web").ok();
    assert_eq!(undone, "statefulset.apps/web rolled back to revision 1\n");
    let image = |set: &Value| set["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!(image(&read(&server, "statefulset/web")), "busybox:1");
    // The revision of that template is the newest now.
    until(&server, "controllerrevisions", |all| {
        let items = all["items"].as_array().unwrap();
        items.iter().any(|revision| revision["revision"] == 3)
    });
    let again = server
        .run_line("rollout undo statefulset/web --to-revision 3")
        .ok();
    assert!(again.contains("not rolled back"), "{again}");
}

#[test]
fn a_host_is_drained_of_what_may_go() {
    let server = Server::start();
    node(&server, "host-1");
    assert_eq!(
        server.run_line("cordon host-1").ok(),
        "node/host-1 cordoned\n"
    );
    assert_eq!(
        server.run_line("cordon node/host-1").ok(),
        "node/host-1 already cordoned\n"
    );
    assert_eq!(
        server.run_line("uncordon -l room=a").ok(),
        "node/host-1 uncordoned\n"
    );
    let error = server.run_line("cordon hots-1").failed(1);
    assert!(error.contains("did you mean `host-1`?"), "{error}");

    // Controllers adopt what they select.
    let labelled = |name: &str, app: &str| {
        let mut pod = pod(name, Some("host-1"), "1");
        pod["metadata"]["labels"] = json!({ "app": app, "name": name });
        pod
    };
    apply_pods(
        &server,
        &[
            labelled("kept", "agent"),
            labelled("held", "web"),
            labelled("moved", "web"),
            labelled("lone", "lone"),
        ],
    );
    server
        .apply(&WEB.replace("kind: Deployment", "kind: ReplicaSet"), "")
        .ok();
    let daemons = WEB
        .replace("kind: Deployment", "kind: DaemonSet")
        .replace("app: web", "app: agent")
        .replace("  replicas: 2\n", "  updateStrategy: {type: OnDelete}\n");
    server.apply(&daemons, "").ok();
    for name in ["kept", "held", "moved"] {
        until(&server, &format!("pod/{name}"), |pod| {
            pod["metadata"]["ownerReferences"][0]["controller"] == true
        });
    }
    let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "held" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "name": "held" } } } });
    server.apply(&budget.to_string(), "").ok();
    let ready =
        json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
    set_status(&server, "v1", "Pod", "held", ready);

    let error = server.run_line("drain host-1").failed(1);
    assert!(
        error.contains("default/kept: of a daemon set")
            && error.contains("default/lone: nothing will replace it")
            && error.contains("--force and --ignore-daemonsets agree"),
        "{error}"
    );
    let drain = "drain host-1 --ignore-daemonsets --force --grace-period 0";
    let tried = server.run_line(&format!("{drain} --dry-run=server -o json"));
    let data: Value = serde_json::from_str(&tried.out).unwrap();
    let results: Vec<(String, String)> = data[0]["pods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| {
            (
                pod["name"].as_str().unwrap().to_owned(),
                pod["result"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let line = |name: &str, result: &str| (name.to_owned(), result.to_owned());
    assert_eq!(
        results,
        [
            line("held", "Blocked"),
            line("kept", "Kept"),
            line("lone", "Would go"),
            line("moved", "Would go")
        ]
    );
    assert_eq!(tried.code, 1);
    assert!(
        data[0]["pods"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("budget"),
        "{data}"
    );
    assert!(
        read(&server, "pods")["items"].as_array().unwrap().len() == 4,
        "nothing went"
    );

    server.run_line("delete pdb held").ok();
    let drained = server.run_line(drain).ok();
    assert!(
        drained.ends_with("node/host-1 drained\n")
            && drained.contains("kept")
            && drained.contains("Kept")
            && drained.matches("Evicted").count() == 3,
        "{drained}"
    );
    let left = read(&server, "pods");
    let left = left["items"].as_array().unwrap();
    let on_it = left
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == "host-1");
    assert_eq!(on_it.count(), 1);
    assert_eq!(read(&server, "node/host-1")["spec"]["unschedulable"], true);
}

#[test]
fn a_pod_says_why_it_waits_and_why_it_is_where_it_is() {
    let server = Server::start();
    node(&server, "host-1");
    apply_pods(
        &server,
        &[pod("large", None, "6"), pod("placed", Some("host-1"), "1")],
    );
    let why = server.run_line("why large").ok();
    assert!(
        why.starts_with("pod/large waits for a host\n")
            && why.contains("host-1")
            && why.contains("cpu"),
        "{why}"
    );
    let why = server.run_line("why pod/placed -o json").ok();
    let why: Value = serde_json::from_str(&why).unwrap();
    let place = why["answers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|answer| answer["about"] == "place")
        .unwrap();
    assert_eq!(place["what"], "is on host-1");
    assert!(
        place["because"]
            .to_string()
            .contains("1 of 1 hosts would do"),
        "{place}"
    );
    let error = server.run_line("why lrage").failed(1);
    assert!(error.contains("did you mean `large`?"), "{error}");
}

#[test]
fn what_is_asked_for_is_shown_where_nothing_is_measured() {
    let server = Server::start();
    node(&server, "host-1");
    node(&server, "host-2");
    // A pod that nobody gives a host.
    let mut homeless = pod("c", None, "2");
    homeless["spec"]["schedulerName"] = json!("nobody");
    let [a, b] = [("a", "1"), ("b", "500m")].map(|(name, cpu)| pod(name, Some("host-2"), cpu));
    apply_pods(&server, &[a, b, homeless]);
    let top = server.run_line("top nodes");
    assert!(
        top.err.contains("no measurements are served"),
        "{}",
        top.err
    );
    let lines: Vec<Vec<&str>> = top
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0][..3],
        ["NAME", "CPU(requested)", "CPU(allocatable)"]
    );
    assert_eq!(
        lines[1],
        [
            "host-2", "1500m", "4000m", "37%", "0Mi", "8192Mi", "0%", "2"
        ]
    );
    assert_eq!(lines[3][..3], ["TOTAL", "1500m", "8000m"]);
    let pods = server.run_line("top pods -o json").ok();
    let pods: Value = serde_json::from_str(&pods).unwrap();
    assert_eq!(pods["items"][0]["name"], "c");
    assert_eq!(pods["total"]["requested"]["cpuMillis"], 3500);
    let error = server.run_line("top pods nobody").failed(1);
    assert!(error.contains("there is no pod `nobody`"), "{error}");
}

#[test]
fn a_rebalance_is_tried_without_touching_anything() {
    let server = Server::start();
    for name in ["h1", "h2"] {
        node(&server, name);
    }
    let set = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "set" } });
    server.apply(&set.to_string(), "").ok();
    let set = read(&server, "configmap/set");
    let pods = [("big", "h1", "2"), ("small", "h2", "500m")].map(|(name, host, cpu)| {
        let mut pod = owned(pod(name, Some(host), cpu), &set);
        pod["metadata"]["annotations"] = json!({ "mosaic/profile": "packing" });
        pod
    });
    apply_pods(&server, &pods);
    for name in ["big", "small"] {
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        let status = json!({ "phase": "Running", "conditions": ready });
        set_status(&server, "v1", "Pod", name, status);
    }
    let file = server.file(
        "rebalance.yaml",
        "apiVersion: mosaic/v1\nkind: Rebalance\nmetadata: {name: nightly}\nspec: {goal: Packing, dryRun: true}\n",
    );
    let file = file.to_str().unwrap();
    let tried = || server.mos(["rebalance", "-f", file, "--dry-run"]).ok();
    // Hosts are new, and tainted until they are known to be ready.
    for _ in 0..500 {
        if tried().contains("small") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let text = tried();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["ROUND", "NAMESPACE", "POD", "FROM", "TO", "WHY"],
        "{text}"
    );
    assert_eq!(
        &lines[1][..5],
        ["1", "default", "small", "h2", "h1"],
        "{text}"
    );
    assert!(lines.contains(&vec!["Empty", "hosts", "0", "1"]), "{text}");
    // Nothing came of it, and the object is not there.
    assert_eq!(read(&server, "pod/small")["spec"]["nodeName"], "h2");
    let error = server.run_line("rebalance nightly --dry-run").failed(1);
    assert!(error.contains("\"nightly\" not found"), "{error}");
    let error = server.mos(["rebalance", "-f", file]).failed(2);
    assert!(error.contains("--dry-run"), "{error}");

    // One of the server's says the same, and can be told to run.
    server.mos(["apply", "-f", file]).ok();
    let data = server.run_line("rebalance nightly --dry-run -o json").ok();
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(
        (&data["goal"], &data["moves"][0]["to"]),
        (&json!("Packing"), &json!("h1"))
    );
    assert_eq!(data["after"]["emptyHosts"], 1);
    let said = server.run_line("rebalance nightly").ok();
    assert_eq!(said, "rebalance.mosaic/nightly begins (it is a dry run)\n");
    let asked =
        read(&server, "rebalance/nightly")["metadata"]["annotations"]["mosaic/run-at"].clone();
    assert!(asked.is_string());
    let table = server.run_line("get rb").ok();
    assert!(table.starts_with("NAME"), "{table}");
    let words: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(&words[..3], ["nightly", "Packing", "true"], "{table}");
    let explained = server.run_line("explain rebalance.spec.goal").ok();
    assert!(
        explained.contains("Packing empties hosts that hold little"),
        "{explained}"
    );
    server.run_line("delete rebalance nightly").ok();
}
