//! Lists: selectors, pages, versions.

use mosaic_tests::{PatchKind, Server};
use serde_json::json;

use crate::{config_map, config_maps, names, version};

/// A namespace with config maps `c-0` to `c-<count - 1>`; its path.
fn filled(server: &Server, namespace: &str, count: usize) -> String {
    let path = config_maps(&server.namespace(namespace));
    for i in 0..count {
        let mut object = config_map(&format!("c-{i}"));
        object["metadata"]["labels"] =
            json!({"parity": if i % 2 == 0 { "even" } else { "odd" }, "set": "c"});
        server.http().post(&path, &object).ok();
    }
    path
}

/// The selector that leaves out what the server itself puts into a namespace.
const SET: &str = "labelSelector=set%3Dc";

#[test]
fn pages_together_are_the_list_at_one_version() {
    let server = Server::shared();
    let http = server.http();
    let path = filled(&server, "pages", 7);

    let first = http.get(&format!("{path}?{SET}&limit=3")).ok();
    assert_eq!(names(&first), ["c-0", "c-1", "c-2"]);
    // What happens between two pages is on neither.
    http.delete(&format!("{path}/c-5")).ok();
    http.post(&path, &config_map("c-4-and-a-half")).ok();

    let mut seen = 3;
    let mut page = first.clone();
    while let Some(token) = page["metadata"]["continue"]
        .as_str()
        .filter(|token| !token.is_empty())
    {
        let next = http
            .get(&format!("{path}?{SET}&limit=3&continue={token}"))
            .ok();
        assert_eq!(
            next["metadata"]["resourceVersion"],
            first["metadata"]["resourceVersion"]
        );
        seen += names(&next).len();
        page = next;
    }
    assert_eq!(seen, 7);
    http.get(&format!("{path}?limit=3&continue=nonsense"))
        .fails(400, "BadRequest");
}

#[test]
fn label_selectors_of_every_form() {
    let server = Server::shared();
    let http = server.http();
    let path = filled(&server, "labels", 4);
    let select = |selector: &str| {
        let list = http.get(&format!("{path}?labelSelector={selector}")).ok();
        names(&list)
            .into_iter()
            .filter(|name| name.starts_with("c-"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(select("parity%3Deven"), ["c-0", "c-2"]);
    assert_eq!(select("parity%3D%3Deven"), ["c-0", "c-2"]);
    assert_eq!(select("parity!%3Deven"), ["c-1", "c-3"]);
    assert_eq!(select("parity%20in%20(odd,other)"), ["c-1", "c-3"]);
    assert_eq!(select("parity%20notin%20(odd)"), ["c-0", "c-2"]);
    assert_eq!(select("parity,set"), ["c-0", "c-1", "c-2", "c-3"]);
    assert!(select("!parity").is_empty());
    assert!(select("parity%3Deven,set%3Dd").is_empty());
    http.get(&format!("{path}?labelSelector=a%20b%20c"))
        .fails(400, "BadRequest");
    http.get(&format!("{path}?labelSelector=parity%20in%20("))
        .fails(400, "BadRequest");
}

#[test]
fn field_selectors_know_the_fields_of_their_kind() {
    let server = Server::shared();
    let http = server.http();
    let path = filled(&server, "fields", 2);
    assert_eq!(
        names(
            &http
                .get(&format!("{path}?fieldSelector=metadata.name%3Dc-1"))
                .ok()
        ),
        ["c-1"]
    );
    let all = http
        .get("/api/v1/configmaps?fieldSelector=metadata.namespace%3Dfields,metadata.name!%3Dc-0")
        .ok();
    assert!(
        names(&all).contains(&"c-1") && !names(&all).contains(&"c-0"),
        "{all}"
    );
    http.get(&format!("{path}?fieldSelector=data.a%3Db"))
        .fails(400, "BadRequest");

    http.post(
        "/api/v1/nodes",
        &json!({"metadata": {"name": "fields-node"}}),
    )
    .ok();
    let pods = "/api/v1/pods?fieldSelector=spec.nodeName%3Dfields-node,status.phase%3DPending";
    assert!(names(&http.get(pods).ok()).is_empty());
    http.delete("/api/v1/nodes/fields-node").ok();
}

#[test]
fn a_list_is_at_least_as_new_as_asked() {
    let server = Server::shared();
    let http = server.http();
    let path = filled(&server, "versions", 2);
    let one = http.get(&format!("{path}/c-1")).ok();
    let old = version(&one);
    let patch = json!({"data": {"a": "changed"}});
    let new = version(
        &http
            .patch(PatchKind::Merge, &format!("{path}/c-1"), &patch)
            .ok(),
    );

    let value = |query: &str| {
        let list = http.get(&format!("{path}?{SET}&{query}")).ok();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let item = items
            .into_iter()
            .find(|item| item["metadata"]["name"] == "c-1")
            .expect("c-1");
        item["data"]["a"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(value(""), "changed");
    assert_eq!(value(&format!("resourceVersion={new}")), "changed");
    assert_eq!(
        value(&format!("resourceVersion={old}&resourceVersionMatch=Exact")),
        "b"
    );
    let both = format!("{path}?resourceVersion={new}&resourceVersionMatch=Sometimes");
    let refused = http.get(&both);
    assert!(refused.status == 422 || refused.status == 400, "{refused}");
    http.get(&format!("{path}?resourceVersionMatch=Exact"))
        .fails(422, "Invalid");
    let refused = http.get(&format!("{path}?resourceVersion=nonsense"));
    assert!(refused.status == 400 || refused.status == 422, "{refused}");
    // What is not there yet is waited for a moment, then it is said so.
    let future = http
        .get(&format!("{path}?resourceVersion={}", new + 1_000_000))
        .fails(504, "Timeout");
    assert!(
        future["message"]
            .as_str()
            .is_some_and(|text| text.contains("Too large resource version")),
        "{future}"
    );
}

#[test]
fn lists_of_all_namespaces_and_of_none() {
    let server = Server::shared();
    let http = server.http();
    filled(&server, "everywhere", 1);
    let all = http.get(&format!("/api/v1/configmaps?{SET}")).ok();
    assert_eq!(all["kind"], "ConfigMapList");
    assert!(names(&all).contains(&"c-0"));
    // A namespace that is not there has no objects.
    let none = http.get(&config_maps("nowhere")).ok();
    assert!(names(&none).is_empty());
}

#[test]
fn field_selectors_find_values_where_they_are_stored() {
    let server = Server::shared();
    let http = server.http();
    let namespace = server.namespace("fields-stored");
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let containers = json!([{"name": "main", "image": "example.com/app:1"}]);
    for (name, spec) in [
        ("placed", json!({"nodeName": "x", "containers": containers})),
        ("waiting", json!({"containers": containers})),
    ] {
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        http.post(&pods, &pod).ok();
    }
    let found = |path: &str, selector: &str| {
        let list = http.get(&format!("{path}?fieldSelector={selector}")).ok();
        names(&list).join(",")
    };
    assert_eq!(found(&pods, "spec.nodeName=x"), "placed");
    assert_eq!(found(&pods, "spec.nodeName="), "waiting");
    assert_eq!(found(&pods, "spec.nodeName!=x,metadata.name!=y"), "waiting");
    assert_eq!(found(&pods, "status.phase=Pending"), "placed,waiting");
    assert_eq!(found(&pods, "status.phase!=Pending"), "");
    http.get(&format!("{pods}?fieldSelector=spec.foo=1"))
        .fails(400, "BadRequest");

    let jobs = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let template = json!({"spec": {"restartPolicy": "Never", "containers": containers}});
    for (name, completions) in [("new", 1), ("done", 2)] {
        let job = json!({"metadata": {"name": name}, "spec": {"completions": completions, "template": template}});
        http.post(&jobs, &job).ok();
    }
    let status = json!({"status": {"succeeded": 1}});
    http.patch(PatchKind::Merge, &format!("{jobs}/done/status"), &status)
        .ok();
    assert_eq!(found(&jobs, "status.successful=1"), "done");
    assert_eq!(found(&jobs, "status.successful=0"), "new");

    let events = format!("/api/v1/namespaces/{namespace}/events");
    let about = json!({"kind": "Pod", "namespace": namespace, "name": "placed"});
    let counted = json!({
        "metadata": {"name": "old"}, "involvedObject": about, "type": "Normal", "reason": "Test",
        "source": {"component": "kubelet"},
    });
    let newer = json!({
        "metadata": {"name": "new"}, "involvedObject": about, "type": "Normal", "reason": "Test",
        "action": "Testing", "reportingComponent": "scheduler", "reportingInstance": "scheduler-0",
        "eventTime": "2026-01-01T00:00:00.000000Z",
    });
    http.post(&events, &counted).ok();
    http.post(&events, &newer).ok();
    assert_eq!(found(&events, "source=kubelet"), "old");
    assert_eq!(found(&events, "source=scheduler"), "new");
    assert_eq!(found(&events, "reportingComponent=scheduler"), "new");
    let newer = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    assert_eq!(
        found(
            &newer,
            "regarding.name=placed,type=Normal,reportingController=scheduler"
        ),
        "new"
    );
}
