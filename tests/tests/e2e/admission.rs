//! What a namespace is held to: quotas, limits, accounts, classes.

use mosaic_tests::{Http, PatchKind, Server, wait_until};
use serde_json::{Value, json};

use crate::{config_map, config_maps};

/// A new namespace's path.
fn namespace(server: &Server, name: &str) -> String {
    format!("/api/v1/namespaces/{}", server.namespace(name))
}

fn pod(name: &str, resources: Value) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "example.com/app:1", "resources": resources}]},
    })
}

fn used(http: &Http, path: &str, resource: &str) -> Value {
    http.get(path).ok()["status"]["used"][resource].clone()
}

#[test]
fn a_quota_counts_objects() {
    let server = Server::shared();
    let http = server.http();
    namespace(&server, "quota-count");
    let path = config_maps("quota-count");
    let quotas = "/api/v1/namespaces/quota-count/resourcequotas";
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "3"}}});
    http.post(quotas, &quota).ok();
    let quota = format!("{quotas}/q");
    wait_until("the quota to be counted", || {
        used(&http, &quota, "configmaps") == "1"
    });
    http.post(&path, &config_map("a")).ok();
    http.post(&path, &config_map("b")).ok();
    assert_eq!(used(&http, &quota, "configmaps"), "3");
    let status = http.post(&path, &config_map("c")).fails(403, "Forbidden");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.contains(
            "exceeded quota: q, requested: configmaps=1, used: configmaps=3, limited: configmaps=3"
        ),
        "{message}"
    );
    http.delete(&format!("{path}/a")).ok();
    wait_until("the room to be given back", || {
        used(&http, &quota, "configmaps") == "2"
    });
    http.post(&path, &config_map("c")).ok();
}

#[test]
fn a_quota_holds_however_many_ask_at_once() {
    let server = Server::shared();
    namespace(&server, "quota-race");
    let http = server.http();
    let path = "/api/v1/namespaces/quota-race/secrets".to_owned();
    let quotas = "/api/v1/namespaces/quota-race/resourcequotas";
    http.post(
        quotas,
        &json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "5"}}}),
    )
    .ok();
    wait_until("the quota to be counted", || {
        used(&http, &format!("{quotas}/q"), "secrets") == "0"
    });
    let made: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let (http, path) = (http.clone(), path.clone());
                scope.spawn(move || {
                    let made = (0..3).filter(|i| {
                        let secret = json!({"metadata": {"name": format!("s-{worker}-{i}")}});
                        http.post(&path, &secret).status == 201
                    });
                    made.count()
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker"))
            .sum()
    });
    assert_eq!(made, 5);
}

#[test]
fn a_quota_on_resources_wants_them_said() {
    let server = Server::shared();
    let http = server.http();
    let path = namespace(&server, "quota-cpu");
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "1", "limits.memory": "1Gi"}}});
    http.post(&format!("{path}/resourcequotas"), &quota).ok();
    let quota = format!("{path}/resourcequotas/q");
    wait_until("the quota to be counted", || {
        used(&http, &quota, "requests.cpu") == "0"
    });
    let status = http
        .post(&format!("{path}/pods"), &pod("a", json!({})))
        .fails(403, "Forbidden");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("failed quota: q: must specify limits.memory"),
        "{message}"
    );
    let half = json!({"requests": {"cpu": "600m"}, "limits": {"memory": "256Mi"}});
    http.post(&format!("{path}/pods"), &pod("a", half.clone()))
        .ok();
    assert_eq!(used(&http, &quota, "requests.cpu"), "600m");
    let status = http
        .post(&format!("{path}/pods"), &pod("b", half))
        .fails(403, "Forbidden");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.contains(
            "requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
        ),
        "{message}"
    );
}

#[test]
fn a_limit_range_fills_in_and_bounds() {
    let server = Server::shared();
    let http = server.http();
    let path = namespace(&server, "limits");
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": [{
        "type": "Container",
        "default": {"cpu": "500m"},
        "defaultRequest": {"cpu": "100m"},
        "min": {"cpu": "50m"},
        "max": {"cpu": "1"},
    }]}});
    http.post(&format!("{path}/limitranges"), &range).ok();
    let filled = http
        .post(&format!("{path}/pods"), &pod("a", json!({})))
        .ok();
    let resources = &filled["spec"]["containers"][0]["resources"];
    assert_eq!(
        (&resources["limits"]["cpu"], &resources["requests"]["cpu"]),
        (&"500m".into(), &"100m".into())
    );
    let large = json!({"limits": {"cpu": "2"}});
    let status = http
        .post(&format!("{path}/pods"), &pod("b", large))
        .fails(403, "Forbidden");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("maximum cpu usage per Container is 1, but limit is 2"),
        "{message}"
    );
    let small = json!({"requests": {"cpu": "10m"}, "limits": {"cpu": "100m"}});
    http.post(&format!("{path}/pods"), &pod("c", small))
        .fails(403, "Forbidden");
}

#[test]
fn a_pod_gets_the_account_and_the_defaults() {
    let server = Server::shared();
    let http = server.http();
    let path = namespace(&server, "defaults");
    let pod = http
        .post(&format!("{path}/pods"), &pod("a", json!({})))
        .ok();
    let spec = &pod["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["restartPolicy"], "Always");
    assert_eq!(spec["dnsPolicy"], "ClusterFirst");
    assert_eq!(spec["terminationGracePeriodSeconds"], 30);
    assert_eq!(
        spec["containers"][0]["terminationMessagePath"],
        "/dev/termination-log"
    );
    assert_eq!(spec["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(pod["status"]["qosClass"], "BestEffort");
    let mut unknown = crate::admission::pod("b", json!({}));
    unknown["spec"]["serviceAccountName"] = "nobody".into();
    http.post(&format!("{path}/pods"), &unknown)
        .fails(403, "Forbidden");
}

#[test]
fn a_priority_class_gives_its_number() {
    let server = Server::shared();
    let http = server.http();
    let path = namespace(&server, "priority");
    let class = json!({"metadata": {"name": "urgent"}, "value": 1000});
    http.post("/apis/scheduling.k8s.io/v1/priorityclasses", &class)
        .ok();
    let mut urgent = pod("a", json!({}));
    urgent["spec"]["priorityClassName"] = "urgent".into();
    assert_eq!(
        http.post(&format!("{path}/pods"), &urgent).ok()["spec"]["priority"],
        1000
    );
    urgent["metadata"]["name"] = "b".into();
    urgent["spec"]["priorityClassName"] = "unknown".into();
    http.post(&format!("{path}/pods"), &urgent)
        .fails(403, "Forbidden");
    http.delete("/apis/scheduling.k8s.io/v1/priorityclasses/urgent")
        .ok();
}

#[test]
fn services_get_addresses_and_ports_of_their_own() {
    let server = Server::shared();
    let http = server.http();
    let path = format!("{}/services", namespace(&server, "addresses"));
    let service = |name: &str, kind: &str| json!({"metadata": {"name": name}, "spec": {"type": kind, "ports": [{"port": 80}]}});
    let a = http.post(&path, &service("a", "NodePort")).ok();
    let b = http.post(&path, &service("b", "NodePort")).ok();
    assert_ne!(a["spec"]["clusterIP"], b["spec"]["clusterIP"]);
    assert_ne!(
        a["spec"]["ports"][0]["nodePort"],
        b["spec"]["ports"][0]["nodePort"]
    );
    assert_eq!(a["spec"]["clusterIPs"][0], a["spec"]["clusterIP"]);
    let mut taken = service("c", "ClusterIP");
    taken["spec"]["clusterIP"] = a["spec"]["clusterIP"].clone();
    http.post(&path, &taken).fails(422, "Invalid");
    http.delete(&format!("{path}/a")).ok();
    wait_until("the address to be free again", || {
        http.post(&path, &taken).status == 201
    });
    let mut headless = service("d", "ClusterIP");
    headless["spec"]["clusterIP"] = "None".into();
    assert_eq!(
        http.post(&path, &headless).ok()["spec"]["clusterIP"],
        "None"
    );
}

#[test]
fn a_pod_is_resized_in_place_and_its_spec_is_fixed_otherwise() {
    let server = Server::shared();
    let http = server.http();
    let path = format!("{}/pods", namespace(&server, "resize"));
    let resources = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
    http.post(&path, &pod("a", resources("100m"))).ok();
    let one = format!("{path}/a");
    let patch = |cpu: &str| json!({"spec": {"containers": [{"name": "main", "resources": resources(cpu)}]}});
    http.patch(PatchKind::Strategic, &one, &patch("200m"))
        .fails(422, "Invalid");
    let resized = http
        .patch(
            PatchKind::Strategic,
            &format!("{one}/resize"),
            &patch("200m"),
        )
        .ok();
    assert_eq!(
        resized["spec"]["containers"][0]["resources"]["limits"]["cpu"],
        "200m"
    );
    let image = json!({"spec": {"containers": [{"name": "main", "image": "example.com/app:2"}]}});
    http.patch(PatchKind::Strategic, &one, &image).ok();
    http.patch(
        PatchKind::Strategic,
        &one,
        &json!({"spec": {"hostNetwork": true}}),
    )
    .fails(422, "Invalid");
}

#[test]
fn a_pod_is_bound_once_and_evicted_as_its_budget_allows() {
    let server = Server::shared();
    let http = server.http();
    let path = format!("{}/pods", namespace(&server, "binding"));
    http.post(
        "/api/v1/nodes",
        &json!({"metadata": {"name": "binding-node"}}),
    )
    .ok();
    http.post(&path, &pod("a", json!({}))).ok();
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "a"},
        "target": {"kind": "Node", "name": "binding-node"},
    });
    http.post(&format!("{path}/a/binding"), &binding).ok();
    let bound = http.get(&format!("{path}/a")).ok();
    assert_eq!(bound["spec"]["nodeName"], "binding-node");
    assert!(
        bound["status"]["conditions"]
            .to_string()
            .contains("PodScheduled"),
        "{bound}"
    );
    http.post(&format!("{path}/a/binding"), &binding)
        .fails(409, "Conflict");

    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
    http.post(&format!("{path}/a/eviction"), &eviction).ok();
    let evicted = http.get(&format!("{path}/a"));
    assert!(
        evicted.status == 404 || evicted.json()["metadata"]["deletionTimestamp"].is_string(),
        "{evicted}"
    );
    http.delete("/api/v1/nodes/binding-node").ok();
}
