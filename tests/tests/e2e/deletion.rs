//! Deletion: finalizers, what belongs to an object, and namespaces with all that is in them.

use mosaic_tests::{Http, PatchKind, Server, wait_until};
use serde_json::{Value, json};

use crate::{config_map, config_maps, names, version};

/// A config map that belongs to another object.
fn owned(name: &str, owner: &Value, block: bool) -> Value {
    let mut object = config_map(name);
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": block,
    }]);
    object
}

fn is_gone(http: &Http, path: &str) -> bool {
    http.get(path).status == 404
}

#[test]
fn a_deletion_answers_with_what_was_deleted() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("deletion"));
    let object = http.post(&path, &config_map("one")).ok();
    let status = http.delete(&format!("{path}/one")).ok();
    assert_eq!(status["status"], "Success");
    assert_eq!(status["details"]["uid"], object["metadata"]["uid"]);
    http.delete(&format!("{path}/one")).fails(404, "NotFound");
}

#[test]
fn a_deletion_may_be_bound_to_a_version() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("preconditions"));
    let object = http.post(&path, &config_map("one")).ok();
    let path = format!("{path}/one");
    let only = |preconditions: Value| json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions});
    http.delete_with(&path, &only(json!({"uid": "another"})))
        .fails(409, "Conflict");
    http.delete_with(&path, &only(json!({"resourceVersion": "1"})))
        .fails(409, "Conflict");
    http.delete_with(&path, &only(json!({"uid": object["metadata"]["uid"]})))
        .ok();
}

#[test]
fn a_finalizer_holds_an_object_until_it_is_taken_off() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("finalizers"));
    let mut object = config_map("one");
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    http.post(&path, &object).ok();
    let one = format!("{path}/one");
    let deleted = http.delete(&one).ok();
    assert!(
        deleted["metadata"]["deletionTimestamp"].is_string(),
        "{deleted}"
    );
    // A second deletion changes nothing, and nobody may add a finalizer now.
    http.delete(&one).ok();
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    http.patch(PatchKind::Merge, &one, &more)
        .fails(422, "Invalid");
    let start = version(&http.get(&one).ok());
    let watch = http.watch(&format!("{path}?watch=true&resourceVersion={start}"));
    http.patch(
        PatchKind::Merge,
        &one,
        &json!({"metadata": {"finalizers": null}}),
    )
    .ok();
    assert_eq!(watch.next_named(), ("DELETED".into(), "one".into()));
    assert!(is_gone(&http, &one));
}

#[test]
fn what_belongs_to_a_deleted_object_goes_after_it() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("background"));
    let owner = http.post(&path, &config_map("owner")).ok();
    let child = http.post(&path, &owned("child", &owner, false)).ok();
    http.post(&path, &owned("grandchild", &child, false)).ok();
    http.delete(&format!("{path}/owner")).ok();
    wait_until("all that belonged to it to be gone", || {
        is_gone(&http, &format!("{path}/child")) && is_gone(&http, &format!("{path}/grandchild"))
    });
}

#[test]
fn an_orphaning_deletion_keeps_what_belonged_to_it() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("orphan"));
    let owner = http.post(&path, &config_map("owner")).ok();
    http.post(&path, &owned("child", &owner, false)).ok();
    http.delete(&format!("{path}/owner?propagationPolicy=Orphan"))
        .ok();
    wait_until("the owner to be gone", || {
        is_gone(&http, &format!("{path}/owner"))
    });
    let child = http.get(&format!("{path}/child")).ok();
    let owners = child["metadata"]["ownerReferences"].as_array();
    assert!(owners.is_none_or(Vec::is_empty), "{child}");
}

#[test]
fn a_foreground_deletion_waits_for_what_blocks_it() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("foreground"));
    let owner = http.post(&path, &config_map("owner")).ok();
    let mut child = owned("child", &owner, true);
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    http.post(&path, &child).ok();
    let deleted = http
        .delete(&format!("{path}/owner?propagationPolicy=Foreground"))
        .ok();
    assert_eq!(
        deleted["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    wait_until("the child to be marked", || {
        http.get(&format!("{path}/child")).ok()["metadata"]["deletionTimestamp"].is_string()
    });
    assert!(!is_gone(&http, &format!("{path}/owner")));
    http.patch(
        PatchKind::Merge,
        &format!("{path}/child"),
        &json!({"metadata": {"finalizers": null}}),
    )
    .ok();
    wait_until("the owner to be gone", || {
        is_gone(&http, &format!("{path}/owner"))
    });
}

#[test]
fn an_object_whose_owner_never_was_goes() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("ownerless"));
    let owner =
        json!({"metadata": {"name": "never", "uid": "00000000-0000-4000-8000-000000000000"}});
    http.post(&path, &owned("child", &owner, false)).ok();
    wait_until("the child to be gone", || {
        is_gone(&http, &format!("{path}/child"))
    });
}

#[test]
fn a_collection_is_deleted_as_selected() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("collection"));
    for name in ["a", "b", "c"] {
        let mut object = config_map(name);
        object["metadata"]["labels"] = json!({"go": if name == "c" { "no" } else { "yes" }});
        http.post(&path, &object).ok();
    }
    let deleted = http.delete(&format!("{path}?labelSelector=go%3Dyes")).ok();
    assert_eq!(deleted["kind"], "ConfigMapList");
    let left = http.get(&format!("{path}?labelSelector=go")).ok();
    assert_eq!(names(&left), ["c"]);
}

#[test]
fn a_namespace_goes_with_all_that_is_in_it() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("ending"));
    let mut object = config_map("held");
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    http.post(&path, &object).ok();
    http.post(&path, &config_map("free")).ok();
    http.delete("/api/v1/namespaces/ending").ok();
    assert_eq!(
        http.get("/api/v1/namespaces/ending").ok()["status"]["phase"],
        "Terminating"
    );
    let refused = http
        .post(&path, &config_map("late"))
        .fails(403, "Forbidden");
    assert_eq!(
        refused["details"]["causes"][0]["reason"],
        "NamespaceTerminating"
    );
    wait_until("what is free to be gone", || {
        is_gone(&http, &format!("{path}/free"))
    });
    http.patch(
        PatchKind::Merge,
        &format!("{path}/held"),
        &json!({"metadata": {"finalizers": null}}),
    )
    .ok();
    wait_until("the namespace to be gone", || {
        is_gone(&http, "/api/v1/namespaces/ending")
    });
    http.delete("/api/v1/namespaces/default")
        .fails(403, "Forbidden");
}
