//! Helm 4: a chart with a kind of its own, from its installation to its end.

use mosaic_tests::{Helm, Outcome, Server, SimulatedHosts};
use serde_json::Value;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/shop");

fn object(server: &Server, path: &str) -> Value {
    server.http().get(path).ok()
}

/// The revisions of a release and their states, oldest first.
fn history(helm: &Helm, namespace: &str) -> Vec<(u64, String)> {
    let history = helm.run(&format!("history shop -n {namespace} -o json"));
    let history: Vec<Value> = serde_json::from_str(history.ok()).expect("JSON");
    let entry = |each: &Value| {
        (
            each["revision"].as_u64().unwrap_or(0),
            each["status"].as_str().unwrap_or("").to_owned(),
        )
    };
    history.iter().map(entry).collect()
}

fn install(helm: &Helm, namespace: &str) -> Outcome {
    helm.run(&format!(
        "install shop {CHART} -n {namespace} --create-namespace"
    ))
}

#[test]
fn a_release_lives_from_its_installation_to_its_end() {
    let server = Server::start();
    let helm = server.helm();
    let configmap = "/api/v1/namespaces/market/configmaps/shop";
    let shelf = "/apis/shop.example.com/v1/namespaces/market/shelves/shop";

    install(&helm, "market")
        .says("STATUS: deployed")
        .says("Welcome to shop.");
    assert_eq!(object(&server, configmap)["data"]["revision"], "1");
    assert_eq!(
        object(&server, shelf)["spec"],
        serde_json::json!({"size": "small", "rows": 3})
    );
    assert_eq!(
        object(&server, &format!("{configmap}-pre-install"))["data"]["revision"],
        "1"
    );
    let key = object(&server, "/api/v1/namespaces/market/secrets/shop-key")["data"]["key"].clone();
    helm.run("list -A")
        .says("shop")
        .says("deployed")
        .says("shop-0.1.0");
    helm.run("status shop -n market").says("deployed");
    helm.run(&format!("install shop {CHART} -n market"))
        .complains("in use");

    let upgrade =
        format!("upgrade shop {CHART} -n market --set greeting=Hello --set shelf.size=large");
    helm.run(&upgrade).says("has been upgraded");
    assert_eq!(object(&server, configmap)["data"]["greeting"], "Hello");
    assert_eq!(object(&server, shelf)["spec"]["size"], "large");
    assert_eq!(
        object(&server, &format!("{configmap}-post-upgrade"))["data"]["revision"],
        "2"
    );
    assert_eq!(
        object(&server, "/api/v1/namespaces/market/secrets/shop-key")["data"]["key"],
        key
    );
    helm.run("get values shop -n market")
        .says("greeting: Hello");
    helm.run("get manifest shop -n market").says("kind: Shelf");

    helm.run("rollback shop 1 -n market")
        .says("Rollback was a success");
    assert_eq!(object(&server, configmap)["data"]["greeting"], "Welcome");
    assert_eq!(object(&server, shelf)["spec"]["size"], "small");
    let states = ["superseded", "superseded", "deployed"].map(str::to_owned);
    assert_eq!(
        history(&helm, "market"),
        (1..=3).zip(states).collect::<Vec<_>>()
    );

    helm.run("uninstall shop -n market --wait --timeout 60s")
        .says("uninstalled");
    for path in [configmap, shelf, "/api/v1/namespaces/market/services/shop"] {
        server.http().get(path).fails(404, "NotFound");
    }
    // What a chart brings under crds/ stays.
    object(
        &server,
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/shelves.shop.example.com",
    );
    assert!(!helm.run("list -A").ok().contains("shop"));
}

#[test]
fn a_dry_run_against_the_server_stores_nothing() {
    let server = Server::start();
    let helm = server.helm();
    server.namespace("dry");
    install(&helm, "first").ok();
    let line = format!("install shop {CHART} -n dry --dry-run=server --skip-crds");
    helm.run(&line)
        .says("kind: Deployment")
        .says("greeting: \"Welcome\"");
    server
        .http()
        .get("/api/v1/namespaces/dry/configmaps/shop")
        .fails(404, "NotFound");
}

#[test]
fn a_failed_upgrade_is_told_and_can_be_taken_back() {
    let server = Server::start();
    let helm = server.helm();
    // What is taken back must become ready, which no controller makes a deployment yet.
    helm.run(&format!(
        "install shop {CHART} -n failing --create-namespace --set workload=false"
    ))
    .ok();
    let bad = format!("upgrade shop {CHART} -n failing --set shelf.size=huge");
    helm.run(&bad).complains("Unsupported value");
    assert_eq!(
        history(&helm, "failing").pop(),
        Some((2, "failed".to_owned()))
    );
    helm.run(&format!(
        "{bad} --set workload=false --rollback-on-failure --timeout 30s"
    ))
    .complains("Unsupported value");
    let last = history(&helm, "failing").pop().expect("a revision");
    assert_eq!(last.1, "deployed");
    let shelf = object(
        &server,
        "/apis/shop.example.com/v1/namespaces/failing/shelves/shop",
    );
    assert_eq!(shelf["spec"]["size"], "small");
    helm.run(&format!(
        "upgrade shop {CHART} -n failing --set shelf.size=large"
    ))
    .says("has been upgraded");
    helm.run("uninstall shop -n failing").says("uninstalled");
}

#[test]
fn a_release_that_others_changed_is_put_right() {
    let server = Server::start();
    let helm = server.helm();
    install(&helm, "drift").ok();
    let kubectl = server.kubectl().in_namespace("drift");
    kubectl
        .run("scale deployment shop --replicas=1")
        .says("scaled");
    kubectl.run("delete service shop").says("deleted");
    let upgrade = format!("upgrade shop {CHART} -n drift --force-conflicts");
    helm.run(&upgrade).says("has been upgraded");
    let deployment = object(&server, "/apis/apps/v1/namespaces/drift/deployments/shop");
    assert_eq!(deployment["spec"]["replicas"], 0);
    object(&server, "/api/v1/namespaces/drift/services/shop");
}

#[test]
fn helm_waits_until_all_is_ready() {
    let server = Server::start();
    let helm = server.helm();
    let options = "--create-namespace --wait --timeout 60s --set workload=false";
    let installed = helm.run(&format!("install shop {CHART} -n waited {options}"));
    installed.says("STATUS: deployed");
    let upgrade = format!("upgrade shop {CHART} -n waited --wait --set workload=true,replicas=2");
    // There is no host that could run its pods.
    helm.run(&format!("{upgrade} --timeout 2s")).fails();
    let _hosts = SimulatedHosts::start(&server, 2, &[]);
    let ready = helm.run(&format!("{upgrade} --timeout 60s"));
    ready.says("has been upgraded");
    let kubectl = server.kubectl().in_namespace("waited");
    kubectl
        .run("wait --for=condition=Available deployment/shop --timeout=0s")
        .ok();
}
