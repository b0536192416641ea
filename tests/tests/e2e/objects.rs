//! The life of one object: creating, changing, and the fields that the server keeps.

use mosaic_tests::{Answer, PatchKind, Server};
use serde_json::{Value, json};

use crate::{config_map, config_maps, version};

#[test]
fn the_server_fills_in_the_metadata() {
    let server = Server::shared();
    let path = config_maps(&server.namespace("metadata"));
    let created = server.http().post(&path, &config_map("one"));
    assert_eq!(created.status, 201);
    let metadata = &created.ok()["metadata"];
    assert_eq!(metadata["namespace"], "metadata");
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        assert!(
            metadata[field]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{field}: {metadata}"
        );
    }
    assert_eq!(metadata["managedFields"][0]["operation"], "Update");
}

#[test]
fn generated_names_differ_and_keep_their_prefix() {
    let server = Server::shared();
    let path = config_maps(&server.namespace("generated"));
    let object = json!({"metadata": {"generateName": "made-"}});
    let name = |_| {
        server.http().post(&path, &object).ok()["metadata"]["name"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    };
    let names: std::collections::BTreeSet<String> = (0..20).map(name).collect();
    assert_eq!(names.len(), 20);
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("made-") && name.len() == 10),
        "{names:?}"
    );
    server
        .http()
        .post(&path, &json!({"data": {}}))
        .fails(422, "Invalid");
}

#[test]
fn generation_counts_the_changes_of_what_is_wanted() {
    let server = Server::shared();
    let http = server.http();
    let namespace = server.namespace("generation");
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
    let policy = json!({"metadata": {"name": "one"}, "spec": {"podSelector": {}}});
    assert_eq!(http.post(&path, &policy).ok()["metadata"]["generation"], 1);
    let path = format!("{path}/one");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(
        http.patch(PatchKind::Merge, &path, &label).ok()["metadata"]["generation"],
        1
    );
    let spec = json!({"spec": {"policyTypes": ["Egress"]}});
    assert_eq!(
        http.patch(PatchKind::Merge, &path, &spec).ok()["metadata"]["generation"],
        2
    );
}

#[test]
fn an_update_of_an_old_version_is_a_conflict() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("conflict"));
    let first = http.post(&path, &config_map("one")).ok();
    let path = format!("{path}/one");
    let mut second = first.clone();
    second["data"]["a"] = "c".into();
    let second = http.put(&path, &second).ok();
    assert!(version(&second) > version(&first));
    let status = http.put(&path, &first).fails(409, "Conflict");
    assert!(
        status["message"]
            .as_str()
            .is_some_and(|text| text.contains("the object has been modified"))
    );

    // Without a version an update is meant to win.
    assert_eq!(http.put(&path, &config_map("one")).ok()["data"]["a"], "b");
    // An update that changes nothing writes nothing.
    let before = http.get(&path).ok();
    let after = http.put(&path, &before).ok();
    assert_eq!(version(&before), version(&after));
}

#[test]
fn names_and_versions_of_the_path_must_match_the_object() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("mismatch"));
    http.post(&path, &config_map("one")).ok();
    http.put(&format!("{path}/one"), &config_map("two"))
        .fails(400, "BadRequest");
    let mut elsewhere = config_map("three");
    elsewhere["metadata"]["namespace"] = "default".into();
    http.post(&path, &elsewhere).fails(400, "BadRequest");
    http.post(&path, &config_map("one"))
        .fails(409, "AlreadyExists");
    http.put(&format!("{path}/none"), &config_map("none"))
        .fails(404, "NotFound");
    http.post(
        "/api/v1/namespaces/no-such-namespace/configmaps",
        &config_map("one"),
    )
    .fails(404, "NotFound");
}

#[test]
fn a_dry_run_answers_as_if_and_stores_nothing() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("dry-run"));
    let created = http
        .post(&format!("{path}?dryRun=All"), &config_map("one"))
        .ok();
    assert!(created["metadata"]["uid"].is_string());
    http.get(&format!("{path}/one")).fails(404, "NotFound");

    let stored = http.post(&path, &config_map("one")).ok();
    let one = format!("{path}/one");
    let patch = json!({"data": {"a": "c"}});
    assert_eq!(
        http.patch(PatchKind::Merge, &format!("{one}?dryRun=All"), &patch)
            .ok()["data"]["a"],
        "c"
    );
    http.delete(&format!("{one}?dryRun=All")).ok();
    assert_eq!(http.get(&one).ok(), stored);
    http.post(&format!("{path}?dryRun=Some"), &config_map("two"))
        .fails(422, "Invalid");
}

#[test]
fn each_kind_of_patch_does_as_its_definition_says() {
    let server = Server::shared();
    let http = server.http();
    let namespace = server.namespace("patches");
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    let container = |name: &str, image: &str| json!({"name": name, "image": image});
    let deployment = json!({
        "metadata": {"name": "one"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "one"}},
            "template": {
                "metadata": {"labels": {"app": "one"}},
                "spec": {"containers": [container("a", "a:1"), container("b", "b:1")]},
            },
        },
    });
    http.post(&path, &deployment).ok();
    let path = format!("{path}/one");
    let images = |answer: Value| -> Vec<String> {
        let containers = answer["spec"]["template"]["spec"]["containers"]
            .as_array()
            .cloned();
        let containers = containers.unwrap_or_default();
        containers
            .iter()
            .map(|each| each["image"].as_str().unwrap_or("").to_owned())
            .collect()
    };
    let containers = |list: Value| json!({"spec": {"template": {"spec": {"containers": list}}}});

    // Strategic: by name.
    let patch = containers(json!([container("b", "b:2")]));
    assert_eq!(
        images(http.patch(PatchKind::Strategic, &path, &patch).ok()),
        ["a:1", "b:2"]
    );
    let patch = containers(json!([{"name": "a", "$patch": "delete"}]));
    assert_eq!(
        images(http.patch(PatchKind::Strategic, &path, &patch).ok()),
        ["b:2"]
    );
    // Merge: the list as a whole.
    let patch = containers(json!([container("c", "c:1"), container("d", "d:1")]));
    assert_eq!(
        images(http.patch(PatchKind::Merge, &path, &patch).ok()),
        ["c:1", "d:1"]
    );
    // JSON: by position.
    let patch = json!([{"op": "replace", "path": "/spec/template/spec/containers/1/image", "value": "d:2"}]);
    assert_eq!(
        images(http.patch(PatchKind::Json, &path, &patch).ok()),
        ["c:1", "d:2"]
    );
    let patch = json!([{"op": "test", "path": "/spec/replicas", "value": 9}]);
    http.patch(PatchKind::Json, &path, &patch)
        .fails(422, "Invalid");
    http.patch(PatchKind::Json, &path, &json!({"not": "a list"}))
        .fails(400, "BadRequest");
    let patch = json!({"metadata": {"resourceVersion": "1"}});
    http.patch(PatchKind::Merge, &path, &patch)
        .fails(409, "Conflict");
}

#[test]
fn status_is_written_by_itself() {
    let server = Server::shared();
    let http = server.http();
    http.post(
        "/api/v1/nodes",
        &json!({"metadata": {"name": "status-node"}}),
    )
    .ok();
    let path = "/api/v1/nodes/status-node";
    let patch = json!({"spec": {"unschedulable": true}, "status": {"phase": "Running"}});
    let node = http.patch(PatchKind::Merge, path, &patch).ok();
    assert_eq!(
        (&node["spec"]["unschedulable"], &node["status"]["phase"]),
        (&true.into(), &Value::Null)
    );
    let patch = json!({"spec": {"unschedulable": false}, "status": {"phase": "Running"}});
    let node = http
        .patch(PatchKind::Merge, &format!("{path}/status"), &patch)
        .ok();
    assert_eq!(
        (&node["spec"]["unschedulable"], &node["status"]["phase"]),
        (&true.into(), &"Running".into())
    );
    http.delete(path).ok();
}

/// An object without what tells it apart from another that was written in the same way.
fn common(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for key in ["name", "uid", "resourceVersion", "creationTimestamp"] {
        metadata.remove(key);
    }
    for entry in metadata["managedFields"].as_array_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("time");
    }
    object
}

#[test]
fn a_status_is_the_same_by_whatever_kind_of_write() {
    let server = Server::shared();
    let http = server.http();
    let namespace = server.namespace("statuses");
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let status = |ip: &str| {
        json!({"phase": "Running", "qosClass": "BestEffort", "podIP": ip, "conditions": [
            {"type": "Ready", "status": "True", "reason": ip, "lastProbeTime": null, "lastTransitionTime": null}]})
    };
    let put = |path: &str, status: Value| {
        let mut object = http.get(path).ok();
        object["status"] = status;
        object["spec"]["priority"] = json!(9);
        http.put(&format!("{path}/status"), &object)
    };
    let patch = |kind: PatchKind, path: &str, patch: Value| {
        http.patch(kind, &format!("{path}/status"), &patch)
    };
    type Way<'a> = &'a dyn Fn(&str, Value) -> Answer;
    let ways: [Way<'_>; 6] = [
        &put,
        &|path, status| patch(PatchKind::Merge, path, json!({"status": status})),
        &|path, status| patch(PatchKind::Strategic, path, json!({"status": status})),
        &|path, status| {
            let body = json!({"metadata": {"managedFields": null}, "status": status});
            patch(PatchKind::Merge, path, body)
        },
        &|path, status| {
            let body = json!({"spec": {"priority": 9}, "status": status});
            patch(PatchKind::Strategic, path, body)
        },
        &|path, status| {
            let body = json!([{"op": "test", "path": "/spec/schedulerName", "value": "nobody"},
                {"op": "add", "path": "/status", "value": status}]);
            patch(PatchKind::Json, path, body)
        },
    ];
    let mut seen = Vec::new();
    for (index, write) in ways.iter().enumerate() {
        let name = format!("p{index}");
        // Nobody else writes to it.
        let pod = json!({"metadata": {"name": name, "labels": {"a": "b"}}, "spec": {
            "schedulerName": "nobody", "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]}});
        http.post(&path, &pod).ok();
        let path = format!("{path}/{name}");
        write(&path, status("10.0.0.1")).ok();
        let written = write(&path, status("10.0.0.2")).ok();
        assert_eq!(written, http.get(&path).ok());
        seen.push(common(written));
    }
    let [first, others @ ..] = seen.as_slice() else {
        panic!("nothing was written")
    };
    for other in others {
        assert_eq!(other, first);
    }
}

#[test]
fn defaults_of_a_status_look_at_the_specification() {
    let server = Server::shared();
    let http = server.http();
    let namespace = server.namespace("balanced");
    let path = format!("/api/v1/namespaces/{namespace}/services");
    let spec = json!({"type": "LoadBalancer", "ports": [{"port": 80}]});
    let service = json!({"metadata": {"name": "one"}, "spec": spec});
    http.post(&path, &service).ok();
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    for kind in [PatchKind::Merge, PatchKind::Strategic] {
        let service = http
            .patch(kind, &format!("{path}/one/status"), &status)
            .ok();
        let ingress = &service["status"]["loadBalancer"]["ingress"][0];
        assert_eq!(*ingress, json!({"ip": "192.0.2.1", "ipMode": "VIP"}));
    }
}

#[test]
fn an_object_is_what_it_was_after_a_restart() {
    let server = Server::start();
    let http = server.http();
    http.post(&config_maps("default"), &config_map("kept")).ok();
    let path = format!("{}/kept", config_maps("default"));
    let before = http.get(&path).ok();
    assert_eq!(server.stop(), 0);
    server.start_again();
    assert_eq!(server.http().get(&path).ok(), before);
}

#[test]
fn an_object_is_not_born_with_a_version() {
    let server = Server::shared();
    let path = config_maps(&server.namespace("born"));
    let mut born = config_map("one");
    born["metadata"]["resourceVersion"] = "1".into();
    let refused = server.http().post(&path, &born);
    assert!(refused.status >= 400, "{refused}");
}
