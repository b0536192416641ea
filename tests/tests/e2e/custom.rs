//! Custom kinds: from their definition to their end.

use mosaic_tests::{Http, PatchKind, Server, wait_until};
use serde_json::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A definition of kind `Thing` in this group, with this schema for `spec`.
fn definition(group: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("things.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"], "categories": ["all"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": spec,
                        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    },
                }},
            }],
        },
    })
}

/// Installs a definition and returns the path of its objects in the namespace `default`.
fn install(http: &Http, definition: &Value) -> String {
    http.post(DEFINITIONS, definition).ok();
    let name = definition["metadata"]["name"].as_str().unwrap_or_default();
    wait_until("the kind to be established", || {
        is(http, name, "Established", "True")
    });
    let group = definition["spec"]["group"].as_str().unwrap_or_default();
    let path = format!("/apis/{group}/v1/namespaces/default/things");
    wait_until("the kind to be served", || http.get(&path).status == 200);
    path
}

fn is(http: &Http, name: &str, condition: &str, status: &str) -> bool {
    let definition = http.get(&format!("{DEFINITIONS}/{name}")).ok();
    let conditions = definition["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions
        .iter()
        .any(|each| each["type"] == condition && each["status"] == status)
}

fn thing(group: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

#[test]
fn a_kind_is_served_from_its_definition_to_its_end() {
    let server = Server::shared();
    let http = server.http();
    let group = "life.example.com";
    let definition = definition(
        group,
        json!({"type": "object", "properties": {"size": {"type": "integer"}}}),
    );
    let path = install(&http, &definition);
    let resources = http.get(&format!("/apis/{group}/v1")).ok();
    assert_eq!(resources["resources"][0]["shortNames"], json!(["th"]));

    let one = http
        .post(&path, &thing(group, "one", json!({"size": 1})))
        .ok();
    assert_eq!(one["metadata"]["generation"], 1);
    let watch = http.watch(&format!("{path}?watch=true"));
    assert_eq!(watch.next_named(), ("ADDED".into(), "one".into()));

    http.delete(&format!("{DEFINITIONS}/things.{group}")).ok();
    assert_eq!(watch.next_named(), ("DELETED".into(), "one".into()));
    wait_until("the kind to be gone", || {
        http.get(&path).status == 404
            && http.get(&format!("{DEFINITIONS}/things.{group}")).status == 404
    });
    let groups = http.get("/apis").ok().to_string();
    assert!(!groups.contains(group), "{groups}");

    // The same kind again begins without the old objects.
    let path = install(&http, &definition);
    http.get(&format!("{path}/one")).fails(404, "NotFound");
}

#[test]
fn objects_are_held_to_the_schema() {
    let server = Server::shared();
    let http = server.http();
    let group = "schema.example.com";
    let spec = json!({
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
            "colour": {"type": "string", "enum": ["red", "blue"]},
            "list": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
            "when": {"type": "string", "format": "date-time"},
            "either": {"x-kubernetes-int-or-string": true},
        },
    });
    let path = install(&http, &definition(group, spec));
    let refused = |spec: Value, field: &str, words: &str| {
        let status = http
            .post(&path, &thing(group, "bad", spec))
            .fails(422, "Invalid");
        let causes = status["details"]["causes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let cause = causes.iter().find(|cause| cause["field"] == field);
        let cause = cause.unwrap_or_else(|| panic!("no {field} in {status}"));
        assert!(
            cause["message"]
                .as_str()
                .is_some_and(|text| text.contains(words)),
            "{cause}"
        );
    };
    refused(json!({}), "spec.size", "Required value");
    refused(
        json!({"size": 0}),
        "spec.size",
        "should be greater than or equal to 1",
    );
    refused(
        json!({"size": 10}),
        "spec.size",
        "should be less than or equal to 9",
    );
    refused(
        json!({"size": "large"}),
        "spec.size",
        "must be of type integer",
    );
    refused(json!({"size": 1, "name": "A"}), "spec.name", "should match");
    refused(
        json!({"size": 1, "name": "abcdef"}),
        "spec.name",
        "may not be more than 5",
    );
    refused(
        json!({"size": 1, "colour": "green"}),
        "spec.colour",
        "supported values: \"red\", \"blue\"",
    );
    refused(
        json!({"size": 1, "list": ["a", "b", "c"]}),
        "spec.list",
        "must have at most 2 items",
    );
    refused(
        json!({"size": 1, "list": [1]}),
        "spec.list[0]",
        "must be of type string",
    );
    refused(json!({"size": 1, "when": "now"}), "spec.when", "date-time");
    refused(json!({"size": 1, "either": true}), "spec.either", "integer");
    let good = json!({"size": 1, "name": "abc", "list": ["a"], "when": "2030-01-01T00:00:00Z", "either": "50%"});
    http.post(&path, &thing(group, "good", good)).ok();
}

#[test]
fn defaults_are_filled_in_and_unknown_fields_pruned() {
    let server = Server::shared();
    let http = server.http();
    let group = "defaults.example.com";
    let spec = json!({
        "type": "object",
        "default": {},
        "properties": {
            "replicas": {"type": "integer", "default": 3},
            "deep": {"type": "object", "default": {}, "properties": {"level": {"type": "string", "default": "low"}}},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    });
    let path = install(&http, &definition(group, spec));
    let mut object = thing(group, "one", json!({"unknown": 1, "open": {"kept": 1}}));
    object["alsoUnknown"] = 1.into();
    let stored = http.post(&path, &object).ok();
    assert_eq!(
        stored["spec"],
        json!({"replicas": 3, "deep": {"level": "low"}, "open": {"kept": 1}})
    );
    assert_eq!(stored["alsoUnknown"], Value::Null);
    object["metadata"]["name"] = "two".into();
    let strict = http
        .post(&format!("{path}?fieldValidation=Strict"), &object)
        .fails(400, "BadRequest");
    assert!(
        strict["message"]
            .as_str()
            .is_some_and(|text| text.contains("unknown field \"spec.unknown\"")),
        "{strict}"
    );
    let empty = json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": "three"}});
    assert_eq!(http.post(&path, &empty).ok()["spec"]["replicas"], 3);
}

#[test]
fn status_scale_and_columns() {
    let server = Server::shared();
    let http = server.http();
    let group = "sub.example.com";
    let spec = json!({"type": "object", "properties": {"replicas": {"type": "integer"}, "size": {"type": "string"}}});
    let mut definition = definition(group, spec);
    definition["spec"]["versions"][0]["subresources"] = json!({
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    });
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = json!([
        {"name": "Size", "type": "string", "jsonPath": ".spec.size"},
        {"name": "Phase", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
        {"name": "Wide", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
    ]);
    let path = install(&http, &definition);
    let mut object = thing(group, "one", json!({"replicas": 2, "size": "large"}));
    object["status"] = json!({"replicas": 9});
    let stored = http.post(&path, &object).ok();
    assert_eq!(stored["status"], Value::Null);

    let one = format!("{path}/one");
    let status = json!({"spec": {"size": "none"}, "status": {
        "replicas": 1, "selector": "a=b", "conditions": [{"type": "Ready", "status": "True"}],
    }});
    let stored = http
        .patch(PatchKind::Merge, &format!("{one}/status"), &status)
        .ok();
    assert_eq!(
        (&stored["spec"]["size"], &stored["status"]["replicas"]),
        (&"large".into(), &1.into())
    );
    assert_eq!(stored["metadata"]["generation"], 1);

    let scale = http.get(&format!("{one}/scale")).ok();
    assert_eq!(scale["kind"], "Scale");
    assert_eq!(scale["spec"]["replicas"], 2);
    assert_eq!(scale["status"], json!({"replicas": 1, "selector": "a=b"}));
    http.patch(
        PatchKind::Merge,
        &format!("{one}/scale"),
        &json!({"spec": {"replicas": 5}}),
    )
    .ok();
    assert_eq!(http.get(&one).ok()["spec"]["replicas"], 5);

    let table = http.table(&one);
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let columns: Vec<_> = columns
        .iter()
        .map(|column| column["name"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(columns, ["Name", "Size", "Phase", "Wide"]);
    assert_eq!(
        table["rows"][0]["cells"],
        json!(["one", "large", "True", 5])
    );
}

#[test]
fn definitions_themselves_are_held_to_the_rules() {
    let server = Server::shared();
    let http = server.http();
    let object = json!({"type": "object"});
    let mut misnamed = definition("rules.example.com", object.clone());
    misnamed["metadata"]["name"] = "others.rules.example.com".into();
    http.post(DEFINITIONS, &misnamed).fails(422, "Invalid");
    let mut unstored = definition("rules.example.com", object.clone());
    unstored["spec"]["versions"][0]["storage"] = false.into();
    http.post(DEFINITIONS, &unstored).fails(422, "Invalid");
    let untyped = definition("rules.example.com", json!({"properties": {"a": {}}}));
    http.post(DEFINITIONS, &untyped).fails(422, "Invalid");
    let bad_default =
        json!({"type": "object", "properties": {"a": {"type": "string", "default": 1}}});
    http.post(DEFINITIONS, &definition("rules.example.com", bad_default))
        .fails(422, "Invalid");
    let mut schemaless = definition("rules.example.com", object);
    schemaless["spec"]["versions"][0]["schema"] = Value::Null;
    http.post(DEFINITIONS, &schemaless).fails(422, "Invalid");
}

#[test]
fn names_that_are_taken_are_not_given_twice() {
    let server = Server::shared();
    let http = server.http();
    let group = "taken.example.com";
    let object = json!({"type": "object"});
    install(&http, &definition(group, object.clone()));
    let mut second = definition(group, object);
    second["metadata"]["name"] = format!("others.{group}").into();
    second["spec"]["names"] = json!({"plural": "others", "kind": "Thing", "shortNames": ["ot"]});
    http.post(DEFINITIONS, &second).ok();
    wait_until("the conflict to be told", || {
        is(&http, &format!("others.{group}"), "NamesAccepted", "False")
    });
    assert_eq!(
        http.get(&format!("/apis/{group}/v1/namespaces/default/others"))
            .status,
        404
    );
}

#[test]
fn versions_of_a_kind_show_the_same_objects() {
    let server = Server::shared();
    let http = server.http();
    let group = "versions.example.com";
    let mut definition = definition(
        group,
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    );
    let mut second = definition["spec"]["versions"][0].clone();
    second["name"] = "v1beta1".into();
    second["storage"] = false.into();
    second["deprecated"] = true.into();
    definition["spec"]["versions"]
        .as_array_mut()
        .expect("versions")
        .push(second);
    let path = install(&http, &definition);
    http.post(&path, &thing(group, "one", json!({"a": 1}))).ok();
    let beta = format!("/apis/{group}/v1beta1/namespaces/default/things/one");
    let old = http.get(&beta).ok();
    assert_eq!(
        (&old["apiVersion"], &old["spec"]["a"]),
        (&format!("{group}/v1beta1").into(), &1.into())
    );
    let groups = http.get(&format!("/apis/{group}")).ok();
    assert_eq!(groups["preferredVersion"]["version"], "v1");
}

#[test]
fn a_deprecated_version_comes_with_a_warning() {
    let server = Server::shared();
    let http = server.http();
    let group = "deprecated.example.com";
    let mut definition = definition(group, json!({"type": "object"}));
    definition["spec"]["versions"][0]["deprecated"] = true.into();
    let path = install(&http, &definition);
    let warning = http.get(&path).headers.get("warning").cloned();
    let warning = warning.expect("a warning");
    assert!(
        warning
            .to_str()
            .is_ok_and(|text| text.contains("is deprecated")),
        "{warning:?}"
    );
}
