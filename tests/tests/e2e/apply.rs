//! Server-side apply: who manages which field.

use mosaic_tests::{Answer, Http, PatchKind, Server};
use serde_json::{Value, json};

use crate::{config_map, config_maps};

fn apply(http: &Http, path: &str, manager: &str, object: &Value) -> Answer {
    http.patch(
        PatchKind::Apply,
        &format!("{path}?fieldManager={manager}"),
        object,
    )
}

fn with_data(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// The managed fields of a manager.
fn managed(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    entries
        .into_iter()
        .find(|entry| entry["manager"] == manager)
        .unwrap_or(Value::Null)
}

#[test]
fn applying_creates_then_changes_then_changes_nothing() {
    let server = Server::shared();
    let http = server.http();
    let path = format!("{}/one", config_maps(&server.namespace("apply-create")));
    let created = apply(&http, &path, "one", &with_data("one", json!({"a": "b"})));
    assert_eq!(created.status, 201);
    let created = created.ok();
    let entry = managed(&created, "one");
    assert_eq!(entry["operation"], "Apply");
    assert_eq!(entry["fieldsV1"], json!({"f:data": {"f:a": {}}}));

    let again = apply(&http, &path, "one", &with_data("one", json!({"a": "b"})));
    assert_eq!(again.status, 200);
    assert_eq!(
        again.ok()["metadata"]["resourceVersion"],
        created["metadata"]["resourceVersion"]
    );

    // What is no longer applied, and nobody else wants, goes.
    let changed = apply(&http, &path, "one", &with_data("one", json!({"c": "d"}))).ok();
    assert_eq!(changed["data"], json!({"c": "d"}));
}

#[test]
fn a_field_of_another_is_a_conflict_until_it_is_forced() {
    let server = Server::shared();
    let http = server.http();
    let path = format!("{}/one", config_maps(&server.namespace("apply-conflict")));
    apply(
        &http,
        &path,
        "one",
        &with_data("one", json!({"a": "1", "b": "1"})),
    )
    .ok();
    let refused = apply(&http, &path, "two", &with_data("one", json!({"a": "2"})));
    let status = refused.fails(409, "Conflict");
    let cause = &status["details"]["causes"][0];
    assert_eq!(
        (&cause["reason"], &cause["field"]),
        (&"FieldManagerConflict".into(), &".data.a".into())
    );
    assert!(
        cause["message"]
            .as_str()
            .is_some_and(|text| text.contains("\"one\"")),
        "{cause}"
    );

    // The same value is no conflict: the field is shared, and stays until both let go.
    let shared = apply(&http, &path, "two", &with_data("one", json!({"a": "1"}))).ok();
    assert_eq!(
        managed(&shared, "two")["fieldsV1"],
        json!({"f:data": {"f:a": {}}})
    );
    let released = apply(&http, &path, "one", &with_data("one", json!({"b": "1"}))).ok();
    assert_eq!(released["data"], json!({"a": "1", "b": "1"}));

    let forced = apply(
        &http,
        &path,
        "three&force=true",
        &with_data("one", json!({"a": "3"})),
    )
    .ok();
    assert_eq!(forced["data"]["a"], "3");
    assert_eq!(managed(&forced, "two"), Value::Null);
}

#[test]
fn updates_own_what_they_change() {
    let server = Server::shared();
    let http = server.http();
    let collection = config_maps(&server.namespace("apply-update"));
    http.post(
        &format!("{collection}?fieldManager=creator"),
        &config_map("one"),
    )
    .ok();
    let path = format!("{collection}/one");
    let patch = json!({"data": {"n": "1"}});
    let object = http
        .patch(
            PatchKind::Merge,
            &format!("{path}?fieldManager=patcher"),
            &patch,
        )
        .ok();
    assert_eq!(
        managed(&object, "creator")["fieldsV1"],
        json!({"f:data": {".": {}, "f:a": {}}})
    );
    assert_eq!(
        managed(&object, "patcher")["fieldsV1"],
        json!({"f:data": {"f:n": {}}})
    );
    apply(
        &http,
        &path,
        "applier",
        &with_data("one", json!({"n": "2"})),
    )
    .fails(409, "Conflict");
}

#[test]
fn lists_are_merged_by_their_keys() {
    let server = Server::shared();
    let http = server.http();
    let namespace = server.namespace("apply-lists");
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/one");
    let deployment = |containers: Value| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "one"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "one"}},
                "template": {
                    "metadata": {"labels": {"app": "one"}},
                    "spec": {"containers": containers},
                },
            },
        })
    };
    let main = json!([{"name": "main", "image": "main:1", "ports": [{"containerPort": 80}]}]);
    apply(&http, &path, "one", &deployment(main)).ok();
    let side = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "one"},
        "spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}},
    });
    let both = apply(&http, &path, "two", &side).ok();
    let containers = both["spec"]["template"]["spec"]["containers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let names: Vec<_> = containers.iter().map(|each| each["name"].clone()).collect();
    assert_eq!(names, ["main", "side"]);

    let image = json!([{"name": "main", "image": "main:2"}]);
    let changed = apply(&http, &path, "one", &deployment(image)).ok();
    let containers = &changed["spec"]["template"]["spec"]["containers"];
    assert_eq!(
        (&containers[0]["image"], &containers[1]["image"]),
        (&"main:2".into(), &"side:1".into())
    );
    assert_eq!(containers[0]["ports"], Value::Null);
}

#[test]
fn applying_needs_a_manager_and_a_whole_object() {
    let server = Server::shared();
    let http = server.http();
    let path = format!("{}/one", config_maps(&server.namespace("apply-errors")));
    http.patch(PatchKind::Apply, &path, &config_map("one"))
        .fails(422, "Invalid");
    let wrong = apply(&http, &path, "one", &config_map("two"));
    assert!(wrong.status == 400 || wrong.status == 422, "{wrong}");
    http.get(&path).fails(404, "NotFound");
}

#[test]
fn what_is_applied_says_its_kind() {
    let server = Server::shared();
    let http = server.http();
    let path = format!("{}/one", config_maps(&server.namespace("apply-kind")));
    apply(&http, &path, "one", &json!({"data": {}})).fails(400, "BadRequest");
}

#[test]
fn a_field_that_is_unknown_cannot_be_applied() {
    let server = Server::shared();
    let http = server.http();
    let path = format!("{}/one", config_maps(&server.namespace("apply-unknown")));
    let mut object = config_map("one");
    object["datta"] = json!({"a": "b"});
    let refused = apply(&http, &path, "one", &object);
    assert!(
        refused.status >= 400 && refused.text().contains("datta"),
        "{refused}"
    );
    http.get(&path).fails(404, "NotFound");
}

#[test]
fn a_custom_kind_is_applied_as_its_schema_says() {
    let server = Server::shared();
    let stage =
        mosaic_tests::matrix::Stage::new(&server, mosaic_tests::KubectlVersion::NEWEST, "ssa");
    let path = format!(
        "/apis/matrix.example.com/v1/namespaces/{}/widgets/one",
        stage.namespace
    );
    let widget = |spec: Value| {
        json!({
            "apiVersion": "matrix.example.com/v1",
            "kind": "Widget",
            "metadata": {"name": "one"},
            "spec": spec,
        })
    };
    let http = &stage.http;
    apply(
        http,
        &path,
        "one",
        &widget(json!({"size": "small", "colour": "red"})),
    )
    .ok();
    apply(http, &path, "two", &widget(json!({"size": "large"}))).fails(409, "Conflict");
    let changed = apply(http, &path, "one", &widget(json!({"size": "large"}))).ok();
    assert_eq!(changed["spec"], json!({"size": "large", "replicas": 1}));
    apply(http, &path, "one", &widget(json!({"size": "huge"}))).fails(422, "Invalid");
}
