//! Watches: order, bookmarks, resuming, and the end of what is remembered.

use mosaic_tests::{PatchKind, Server};
use serde_json::{Value, json};

use crate::{config_map, config_maps, version};

#[test]
fn a_watch_tells_each_change_once_and_in_order() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("order"));
    let start = http.get(&path).ok()["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or("")
        .to_owned();
    let watch = http.watch(&format!("{path}?watch=true&resourceVersion={start}"));
    for i in 0..20 {
        http.post(&path, &config_map(&format!("c-{i}"))).ok();
    }
    http.patch(
        PatchKind::Merge,
        &format!("{path}/c-0"),
        &json!({"data": {"a": "c"}}),
    )
    .ok();
    http.delete(&format!("{path}/c-1")).ok();
    let events = watch.until(|event| event["type"] == "DELETED");
    let events: Vec<&Value> = events
        .iter()
        .filter(|event| {
            event["object"]["metadata"]["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("c-"))
        })
        .collect();
    assert_eq!(events.len(), 22);
    assert!(events[..20].iter().all(|event| event["type"] == "ADDED"));
    assert_eq!(
        (&events[20]["type"], &events[21]["type"]),
        (&"MODIFIED".into(), &"DELETED".into())
    );
    let versions: Vec<u64> = events
        .iter()
        .map(|event| version(&event["object"]))
        .collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

#[test]
fn a_watch_without_a_version_begins_with_what_is_there() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("initial"));
    http.post(&path, &config_map("there")).ok();
    let selected = "fieldSelector=metadata.name%3Dthere";
    for query in ["", "&resourceVersion=0"] {
        let watch = http.watch(&format!("{path}?watch=true&{selected}{query}"));
        assert_eq!(watch.next_named(), ("ADDED".into(), "there".into()));
    }
}

#[test]
fn initial_events_end_with_a_bookmark_that_says_so() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("send-initial"));
    http.post(&path, &config_map("a")).ok();
    http.post(&path, &config_map("b")).ok();
    let query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true\
                 &resourceVersionMatch=NotOlderThan&resourceVersion=";
    let watch = http.watch(&format!("{path}?{query}"));
    let events = watch.until(|event| event["type"] == "BOOKMARK");
    let added = events
        .iter()
        .filter(|event| event["type"] == "ADDED")
        .count();
    assert!(added >= 2 && added == events.len() - 1, "{events:?}");
    let bookmark = &events[events.len() - 1]["object"];
    assert_eq!(bookmark["kind"], "ConfigMap");
    assert_eq!(
        bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert!(version(bookmark) > 0);

    // Asking for initial events without saying how old they may be is an error.
    let refused = http.get(&format!(
        "{path}?watch=true&sendInitialEvents=true&allowWatchBookmarks=true"
    ));
    refused.fails(422, "Invalid");
}

#[test]
fn a_watch_resumes_where_another_ended() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("resume"));
    let first = version(&http.post(&path, &config_map("a")).ok());
    http.post(&path, &config_map("b")).ok();
    http.delete(&format!("{path}/a")).ok();
    let watch = http.watch(&format!("{path}?watch=true&resourceVersion={first}"));
    assert_eq!(watch.next_named(), ("ADDED".into(), "b".into()));
    assert_eq!(watch.next_named(), ("DELETED".into(), "a".into()));
}

#[test]
fn a_change_while_a_watch_is_opened_is_not_lost() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("opening"));
    http.post(&path, &config_map("a")).ok();
    for round in 0..200 {
        let round = round.to_string();
        let list = http.get(&format!("{path}?fieldSelector=metadata.name%3Da"));
        let from = version(&list.ok());
        let watched =
            format!("{path}?watch=true&fieldSelector=metadata.name%3Da&resourceVersion={from}");
        let patch = json!({"data": {"round": round}});
        let watch = std::thread::scope(|scope| {
            scope.spawn(|| {
                http.patch(PatchKind::Merge, &format!("{path}/a"), &patch)
                    .ok()
            });
            http.watch(&watched)
        });
        watch.until(|event| event["object"]["data"]["round"] == round.as_str());
    }
}

#[test]
fn an_object_that_leaves_the_selection_is_told_as_deleted() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("leaving"));
    let start = version(&http.post(&path, &config_map("a")).ok());
    let watch = http.watch(&format!(
        "{path}?watch=true&resourceVersion={start}&labelSelector=in%3Dyes"
    ));
    let label = |value: Value| {
        let patch = json!({"metadata": {"labels": {"in": value}}});
        http.patch(PatchKind::Merge, &format!("{path}/a"), &patch)
            .ok()
    };
    label("yes".into());
    label("no".into());
    assert_eq!(watch.next_named(), ("ADDED".into(), "a".into()));
    assert_eq!(watch.next_named(), ("DELETED".into(), "a".into()));
}

#[test]
fn a_watch_ends_when_its_time_is_up() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("timeout"));
    let start = version(&http.post(&path, &config_map("a")).ok());
    let watch = http.watch(&format!(
        "{path}?watch=true&resourceVersion={start}&timeoutSeconds=1"
    ));
    while watch.next().is_some() {}
}

#[test]
fn a_version_that_is_forgotten_is_gone() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("gone"));
    http.post(&path, &config_map("a")).ok();
    // Refused at once, or told as the first event; or everything since the beginning is still known.
    if let Ok(watch) = http.try_watch(&format!("{path}?watch=true&resourceVersion=1")) {
        let event = watch.next().expect("an event");
        assert!(
            event["type"] == "ADDED" || event["object"]["code"] == 410,
            "{event}"
        );
    }
}

#[test]
fn a_watch_as_tables_has_its_columns_once() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("table-watch"));
    let watched = server.kubectl().in_namespace("table-watch");
    http.post(&path, &config_map("a")).ok();
    let mut watching = watched.follow("get configmap a -w");
    let (header, row) = (watching.next_line(), watching.next_line());
    // kubectl shows an object, then opens a watch, and does not show the first event of it: a change
    // between the two is not seen.
    let mut turn = 0;
    let changed = watching.next_line_after(|| {
        turn += 1;
        let change = json!({"data": {"b": turn.to_string()}});
        http.patch(PatchKind::Merge, &format!("{path}/a"), &change)
            .ok();
    });
    assert!(
        header.starts_with("NAME") && row.starts_with("a ") && changed.starts_with("a "),
        "{header}{row}{changed}"
    );
    assert_eq!(
        (
            row.split_whitespace().nth(1),
            changed.split_whitespace().nth(1)
        ),
        (Some("1"), Some("2"))
    );
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("slow"));
    let start = version(&http.post(&path, &config_map("a")).ok());
    // This program is stopped once its watch is open: nothing reads what the server sends it.
    let mut slow = server.kubectl().follow("get configmaps -A -w -o yaml");
    slow.next_line();
    let stopped = std::process::Command::new("kill")
        .args(["-STOP", &slow.pid().to_string()])
        .status();
    assert!(stopped.expect("kill").success());

    let watch = http.watch(&format!("{path}?watch=true&resourceVersion={start}"));
    let mut object = config_map("big");
    object["data"]["a"] = "x".repeat(200_000).into();
    http.post(&path, &object).ok();
    for i in 0..50 {
        let patch = json!({"data": {"b": i.to_string()}});
        http.patch(PatchKind::Merge, &format!("{path}/big"), &patch)
            .ok();
    }
    watch.until(|event| event["object"]["data"]["b"] == "49");
}

#[test]
fn managed_fields_are_left_out_of_reads_that_ask_for_it() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("lean"));
    http.post(&path, &config_map("one")).ok();
    for query in ["", "&omitManagedFields=true"] {
        let shown = |mut object: Value| {
            let metadata = object["metadata"].as_object_mut().unwrap();
            assert!(metadata.contains_key("managedFields"));
            if !query.is_empty() {
                metadata.remove("managedFields");
            }
            object
        };
        let expected = shown(http.get(&format!("{path}/one")).ok());
        let one = http.get(&format!("{path}/one?{query}")).ok();
        assert_eq!(one, expected);
        let only = format!("{path}?fieldSelector=metadata.name%3Done{query}");
        let list = http.get(&only).ok();
        assert_eq!(list["items"][0]["metadata"], expected["metadata"]);
        // What is there at first, and what comes later.
        let first = http.watch(&format!("{only}&watch=true"));
        assert_eq!(first.next().unwrap()["object"], expected);
        let start = list["metadata"]["resourceVersion"].as_str().unwrap();
        let later = http.watch(&format!("{only}&watch=true&resourceVersion={start}"));
        let patch = json!({"data": {"a": query}});
        let changed = http.patch(PatchKind::Merge, &format!("{path}/one"), &patch);
        assert_eq!(later.next().unwrap()["object"], shown(changed.ok()));
    }
}
