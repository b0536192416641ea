//! What a client learns about the server before it asks for anything.

use http::Method;
use mosaic_tests::Server;
use serde_json::Value;

#[test]
fn the_version_is_that_of_kubernetes() {
    let server = Server::shared();
    let version = server.http().get("/version").ok();
    assert_eq!(
        (&version["major"], &version["minor"]),
        (&"1".into(), &"37".into())
    );
    assert!(
        version["gitVersion"]
            .as_str()
            .is_some_and(|text| text.starts_with("v1.37.")),
        "{version}"
    );
}

#[test]
fn groups_versions_and_resources_are_listed() {
    let server = Server::shared();
    let http = server.http();
    assert_eq!(http.get("/api").ok()["versions"], serde_json::json!(["v1"]));

    let groups = http.get("/apis").ok();
    assert_eq!(groups["kind"], "APIGroupList");
    let named = |name: &str| {
        let groups = groups["groups"].as_array().expect("groups");
        groups
            .iter()
            .find(|group| group["name"] == name)
            .unwrap_or_else(|| panic!("no {name}"))
            .clone()
    };
    assert_eq!(named("apps")["preferredVersion"]["groupVersion"], "apps/v1");
    assert_eq!(named("autoscaling")["preferredVersion"]["version"], "v2");
    assert_eq!(http.get("/apis/apps").ok()["kind"], "APIGroup");

    let resources = http.get("/apis/apps/v1").ok();
    assert_eq!(resources["kind"], "APIResourceList");
    let listed = |name: &str| {
        let resources = resources["resources"].as_array().expect("resources");
        resources
            .iter()
            .find(|row| row["name"] == name)
            .unwrap_or_else(|| panic!("no {name}"))
            .clone()
    };
    let deployments = listed("deployments");
    assert_eq!(deployments["shortNames"], serde_json::json!(["deploy"]));
    assert_eq!(deployments["namespaced"], true);
    assert_eq!(listed("deployments/scale")["kind"], "Scale");
    listed("deployments/status");
}

#[test]
fn discovery_comes_in_one_piece_for_who_asks() {
    let server = Server::shared();
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let answer = server
        .http()
        .request(Method::GET, "/apis", &[("accept", accept)], Vec::new());
    let kind = answer.headers["content-type"].to_str().expect("text");
    assert!(kind.contains("as=APIGroupDiscoveryList"), "{kind}");
    let groups = answer.ok();
    assert_eq!(groups["kind"], "APIGroupDiscoveryList");
    assert_eq!(groups["apiVersion"], "apidiscovery.k8s.io/v2");
    let text = groups.to_string();
    assert!(
        text.contains("\"deployments\"") && text.contains("\"scale\""),
        "{text}"
    );
}

#[test]
fn the_probes_answer_to_anybody() {
    let server = Server::shared();
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_eq!(server.anonymous().get(path).status, 200, "{path}");
    }
    assert_eq!(server.anonymous().get("/readyz").text(), "ok");
}

#[test]
fn open_api_describes_each_kind() {
    let server = Server::shared();
    let http = server.http();
    let index = http.get("/openapi/v3").ok();
    let path = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        .as_str()
        .expect("an address");
    let document = http.get(path).ok();
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(
        deployment["x-kubernetes-group-version-kind"][0],
        serde_json::json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let unresolved = references(&document)
        .into_iter()
        .find(|name| !schemas.contains_key(name.trim_start_matches("#/components/schemas/")));
    assert_eq!(unresolved, None);

    let old = http.get("/openapi/v2").ok();
    assert_eq!(old["swagger"], "2.0");
    assert!(old["definitions"]["io.k8s.api.core.v1.Pod"].is_object());
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value.as_str() {
                Some(target) if key == "$ref" => vec![target.to_owned()],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn metrics_are_in_the_text_format() {
    let server = Server::shared();
    let metrics = server.http().get("/metrics").text();
    assert!(metrics.contains("# TYPE apiserver_request"), "{metrics}");
}
