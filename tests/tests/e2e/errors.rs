//! Bad input: Kubernetes' error, and nothing stored.

use http::Method;
use mosaic_tests::{Answer, Http, PatchKind, Server};
use serde_json::{Value, json};

use crate::{config_map, config_maps};

const JSON: (&str, &str) = ("content-type", "application/json");

fn post_text(http: &Http, path: &str, text: impl Into<Vec<u8>>) -> Answer {
    http.request(Method::POST, path, &[JSON], text.into())
}

#[test]
fn what_is_no_object_is_refused() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("malformed"));
    let malformed = [
        "",
        "{",
        "[]",
        "1",
        "\"text\"",
        "{\"metadata\": {\"name\": \"a\"},}",
        "{\"a\": \"\u{1}\"}",
    ];
    for text in malformed {
        post_text(&http, &path, text).fails(400, "BadRequest");
    }
    for bytes in [
        b"null".to_vec(),
        b"{\"metadata\": {\"name\": \"\xff\"}}".to_vec(),
    ] {
        let answer = post_text(&http, &path, bytes);
        assert!(answer.status == 400 || answer.status == 422, "{answer}");
    }
    let kind = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
    http.post(&path, &kind).fails(400, "BadRequest");
    let version = json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "a"}});
    http.post(&path, &version).fails(400, "BadRequest");
    let headers = [("content-type", "text/plain")];
    let answer = http.request(
        Method::POST,
        &path,
        &headers,
        config_map("a").to_string().into_bytes(),
    );
    answer.fails(415, "UnsupportedMediaType");
    http.get(&format!("{path}/a")).fails(404, "NotFound");
}

#[test]
fn yaml_is_as_good_as_json() {
    let server = Server::shared();
    let path = config_maps(&server.namespace("yaml"));
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  b: c\n";
    let headers = [("content-type", "application/yaml")];
    let answer = server
        .http()
        .request(Method::POST, &path, &headers, text.as_bytes().to_vec());
    assert_eq!(answer.ok()["data"]["b"], "c");
    let headers = [("accept", "application/yaml")];
    let answer = server
        .http()
        .request(Method::GET, &format!("{path}/a"), &headers, Vec::new());
    assert!(answer.text().contains("\n  name: a\n"), "{answer}");
}

#[test]
fn wrong_types_are_named() {
    let server = Server::shared();
    let http = server.http();
    let namespace = server.namespace("types");
    let path = config_maps(&namespace);
    for object in [
        json!({"metadata": {"name": "a"}, "data": "text"}),
        json!({"metadata": {"name": "a"}, "data": {"number": 1}}),
        json!({"metadata": {"name": 1}}),
        json!({"metadata": {"name": "a", "labels": ["a"]}}),
        json!({"metadata": "a"}),
    ] {
        let answer = http.post(&path, &object);
        assert!(answer.status == 400 || answer.status == 422, "{answer}");
        assert_eq!(answer.json()["kind"], "Status");
    }
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    let deployment = json!({"metadata": {"name": "a"}, "spec": {"replicas": "three"}});
    http.post(&path, &deployment).fails(400, "BadRequest");
}

#[test]
fn an_object_that_is_too_large_is_refused_before_it_is_read() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("large"));
    let object = json!({"metadata": {"name": "a"}, "data": {"a": "x".repeat(3 << 20)}});
    http.post(&path, &object)
        .fails(413, "RequestEntityTooLarge");
    // Below the limit of a request, but above that of a config map.
    let object = json!({"metadata": {"name": "a"}, "data": {"a": "x".repeat((1 << 20) + 1)}});
    http.post(&path, &object).fails(422, "Invalid");
    http.get(&format!("{path}/a")).fails(404, "NotFound");
}

#[test]
fn deep_nesting_ends_in_an_error() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("deep"));
    for depth in [1_000, 100_000, 400_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let inner = if open == "[" { "" } else { "1" };
            let nested = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            let text = format!("{{\"metadata\": {{\"name\": \"a\"}}, \"data\": {nested}}}");
            let answer = post_text(&http, &path, text);
            assert!(
                [400, 413].contains(&answer.status),
                "depth {depth}: {answer}"
            );
        }
    }
    let yaml = format!(
        "metadata: {{name: a}}\ndata: {}{}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let headers = [("content-type", "application/yaml")];
    http.request(Method::POST, &path, &headers, yaml.into_bytes())
        .fails(400, "BadRequest");
    // Each alias repeats what the one before it repeats.
    let mut bomb = "metadata: {name: a}\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let repeated = vec![format!("*a{}", i - 1); 9].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{repeated}]\n"));
    }
    let answer = http.request(Method::POST, &path, &headers, bomb.into_bytes());
    assert!(answer.status >= 400 && answer.status < 500, "{answer}");
    assert_eq!(http.get("/readyz").status, 200);
}

#[test]
fn unknown_fields_are_refused_told_or_dropped_as_asked() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("strict"));
    let mut object = config_map("a");
    object["datta"] = json!({"a": "b"});
    object["metadata"]["nmae"] = "a".into();

    let status = http
        .post(&format!("{path}?fieldValidation=Strict"), &object)
        .fails(400, "BadRequest");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(message.contains("strict decoding error"), "{message}");
    assert!(
        message.contains("unknown field \"datta\"")
            && message.contains("unknown field \"metadata.nmae\""),
        "{message}"
    );

    let text = r#"{"metadata": {"name": "a"}, "data": {"a": "b", "a": "c"}}"#;
    let twice =
        post_text(&http, &format!("{path}?fieldValidation=Strict"), text).fails(400, "BadRequest");
    assert!(
        twice["message"]
            .as_str()
            .is_some_and(|text| text.contains("duplicate field \"data.a\"")),
        "{twice}"
    );

    let warned = http.post(&format!("{path}?fieldValidation=Warn"), &object);
    let warnings: Vec<_> = warned.headers.get_all("warning").iter().collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(warned.ok()["datta"], Value::Null);

    object["metadata"]["name"] = "b".into();
    let ignored = http.post(&format!("{path}?fieldValidation=Ignore"), &object);
    assert!(ignored.headers.get("warning").is_none());
    assert_eq!(ignored.ok()["metadata"]["nmae"], Value::Null);
    http.post(
        &format!("{path}?fieldValidation=Sometimes"),
        &config_map("c"),
    )
    .fails(422, "Invalid");
}

#[test]
fn invalid_objects_name_every_cause() {
    let server = Server::shared();
    let http = server.http();
    let namespace = server.namespace("causes");
    let pod = json!({
        "metadata": {"name": "Not_A_Name", "labels": {"a b": "c"}},
        "spec": {
            "restartPolicy": "Sometimes",
            "containers": [
                {"name": "main", "image": ""},
                {"name": "main", "image": "a:1", "ports": [{"containerPort": 70_000}]},
            ],
        },
    });
    let status = http
        .post(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)
        .fails(422, "Invalid");
    assert_eq!(status["details"]["kind"], "Pod");
    assert_eq!(status["details"]["name"], "Not_A_Name");
    let causes = status["details"]["causes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let expected = [
        ("metadata.name", "FieldValueInvalid"),
        ("metadata.labels", "FieldValueInvalid"),
        ("spec.restartPolicy", "FieldValueNotSupported"),
        ("spec.containers[0].image", "FieldValueRequired"),
        ("spec.containers[1].name", "FieldValueDuplicate"),
        (
            "spec.containers[1].ports[0].containerPort",
            "FieldValueInvalid",
        ),
    ];
    for (field, reason) in expected {
        assert!(
            causes
                .iter()
                .any(|cause| cause["field"] == field && cause["reason"] == reason),
            "no {field} {reason} among {causes:?}"
        );
    }
}

#[test]
fn names_keep_to_the_rules() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("names"));
    for name in ["A", "a_b", "-a", "a-", "a..b", &"a".repeat(254)] {
        http.post(&path, &config_map(name)).fails(422, "Invalid");
    }
    for name in ["a/b", "..", "."] {
        let answer = http.post(&path, &config_map(name));
        assert_eq!(answer.status, 422, "{answer}");
    }
    http.post(&path, &config_map(&"a".repeat(253))).ok();
    for (field, content) in [
        ("labels", json!({"a": "b c"})),
        ("labels", json!({"a": "x".repeat(64)})),
        ("labels", json!({"/a": "b"})),
        ("annotations", json!({"a b": "c"})),
        ("annotations", json!({"a": "x".repeat(300_000)})),
    ] {
        let mut object = config_map("labelled");
        object["metadata"][field] = content;
        http.post(&path, &object).fails(422, "Invalid");
    }
    let outside = http.get("/api/v1/namespaces/names/configmaps/..%2f..%2fsecrets");
    assert!(outside.status >= 400, "{outside}");
}

#[test]
fn unknown_paths_and_methods_have_a_status() {
    let server = Server::shared();
    let http = server.http();
    for path in [
        "/nothing",
        "/api/v2",
        "/apis/nothing",
        "/apis/apps/v9",
        "/api/v1/nothings",
        "/apis/apps/v1/pods",
    ] {
        assert_eq!(http.get(path).status, 404, "{path}");
    }
    http.get("/api/v1/namespaces/default/pods/none")
        .fails(404, "NotFound");
    http.request(Method::PUT, "/api/v1/nodes", &[JSON], b"{}".to_vec())
        .fails(405, "MethodNotAllowed");
    let answer = http.request(
        Method::GET,
        "/api/v1/nodes",
        &[("accept", "text/html")],
        Vec::new(),
    );
    answer.fails(406, "NotAcceptable");
}

#[test]
fn a_patch_that_makes_an_object_invalid_changes_nothing() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("bad-patch"));
    let before = http.post(&path, &config_map("a")).ok();
    let path = format!("{path}/a");
    http.patch(
        PatchKind::Merge,
        &path,
        &json!({"metadata": {"labels": {"a b": "c"}}}),
    )
    .fails(422, "Invalid");
    let renamed = http.patch(PatchKind::Merge, &path, &json!({"metadata": {"name": "b"}}));
    assert!(renamed.status == 400 || renamed.status == 422, "{renamed}");
    http.patch(PatchKind::Merge, &path, &json!({"data": "text"}))
        .fails(400, "BadRequest");
    let text = b"{".to_vec();
    let headers = [("content-type", "application/merge-patch+json")];
    http.request(Method::PATCH, &path, &headers, text)
        .fails(400, "BadRequest");
    http.request(Method::PATCH, &path, &[JSON], b"{}".to_vec())
        .fails(415, "UnsupportedMediaType");
    assert_eq!(http.get(&path).ok(), before);
}

#[test]
fn immutable_fields_stay() {
    let server = Server::shared();
    let http = server.http();
    let namespace = server.namespace("immutable");
    let path = config_maps(&namespace);
    let mut object = config_map("a");
    object["immutable"] = true.into();
    http.post(&path, &object).ok();
    http.patch(
        PatchKind::Merge,
        &format!("{path}/a"),
        &json!({"data": {"a": "c"}}),
    )
    .fails(422, "Invalid");
    let path = format!("/api/v1/namespaces/{namespace}/services");
    let service = json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}});
    http.post(&path, &service).ok();
    let patch = json!({"spec": {"clusterIP": "10.0.0.250"}});
    http.patch(PatchKind::Merge, &format!("{path}/a"), &patch)
        .fails(422, "Invalid");
}

#[test]
fn applies_of_many_managers_do_not_grow_an_object_without_end() {
    let server = Server::shared();
    let http = server.http();
    let path = format!("{}/grown", config_maps(&server.namespace("grown")));
    let data: serde_json::Map<String, Value> = (0..4_000)
        .map(|number| (format!("{:0>150}", number), json!("x")))
        .collect();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "grown"}, "data": data});
    let apply = |manager: usize| {
        http.patch(
            PatchKind::Apply,
            &format!("{path}?fieldManager=m{manager}&force=true"),
            &object,
        )
    };
    let refused = (0..20)
        .map(apply)
        .find(|answer| answer.status != 200 && answer.status != 201)
        .expect("an end");
    refused.fails(413, "RequestEntityTooLarge");
    http.get(&path).ok();
    http.delete(&path).ok();
}

#[test]
fn a_large_request_without_the_right_is_answered_all_the_same() {
    let server = Server::shared();
    let path = config_maps("default");
    let object = json!({"metadata": {"name": "x"}, "data": {"a": "x".repeat(2 << 20)}});
    for _ in 0..5 {
        server
            .http()
            .impersonate("nobody-special")
            .post(&path, &object)
            .fails(403, "Forbidden");
    }
}
