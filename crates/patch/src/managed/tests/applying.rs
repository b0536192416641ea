//! Server-side apply, by behaviour.

use super::*;

#[test]
fn applying_to_nothing_creates_the_object() {
    let config = object(json!({"replicas": 1}));
    let new = applied(None, &config, &writer("a", 1)).unwrap();
    assert_eq!(without_ledger(&new), config);
    assert_eq!(entries(&new)[0]["operation"], "Apply");
    assert_eq!(owned(&new, "a"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn another_value_than_the_owners_is_a_conflict_in_kubernetes_words() {
    let live = written(
        object(json!({"replicas": 1})),
        None,
        &writer("kubectl-client-side-apply", 1),
    );
    let conflicts = conflicts(applied(
        Some(&live),
        &object(json!({"replicas": 2})),
        &writer("a", 2),
    ));
    assert_eq!(
        conflicts.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas"
    );
    assert_eq!(
        conflicts.0[0].message(),
        "conflict with \"kubectl-client-side-apply\" using apps/v1"
    );
    assert_eq!(conflicts.0[0].field, ".spec.replicas");
}

#[test]
fn several_conflicts_are_listed_by_manager() {
    let live = applied(
        None,
        &object(json!({"replicas": 1, "paused": true})),
        &writer("a", 1),
    )
    .unwrap();
    let conflicts = conflicts(applied(
        Some(&live),
        &object(json!({"replicas": 2, "paused": false})),
        &writer("b", 2),
    ));
    assert_eq!(
        conflicts.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.paused\n- .spec.replicas"
    );
}

#[test]
fn a_conflict_with_a_subresource_names_it() {
    let live = applied(None, &object(json!({"replicas": 1})), &writer("a", 1)).unwrap();
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(5);
    let scaled = written(
        scaled,
        Some(&live),
        &Writer {
            subresource: "scale",
            ..writer("hpa", 2)
        },
    );
    let conflicts = conflicts(applied(
        Some(&scaled),
        &object(json!({"replicas": 1})),
        &writer("a", 3),
    ));
    assert_eq!(
        conflicts.0[0].message(),
        "conflict with \"hpa\" with subresource \"scale\" using apps/v1"
    );
}

#[test]
fn force_takes_the_field() {
    let live = applied(
        None,
        &object(json!({"replicas": 1, "paused": true})),
        &writer("a", 1),
    )
    .unwrap();
    let new = forced(
        Some(&live),
        &object(json!({"replicas": 2})),
        &writer("b", 2),
    );
    assert_eq!(new["spec"], json!({"replicas": 2, "paused": true}));
    assert_eq!(owned(&new, "a"), json!({"f:spec": {"f:paused": {}}}));
    assert_eq!(owned(&new, "b"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn the_same_value_is_owned_together() {
    let live = applied(None, &object(json!({"replicas": 1})), &writer("a", 1)).unwrap();
    let both = applied(
        Some(&live),
        &object(json!({"replicas": 1})),
        &writer("b", 2),
    )
    .unwrap();
    assert_eq!(owned(&both, "a"), owned(&both, "b"));
    let left = applied(Some(&both), &object(json!({})), &writer("a", 3)).unwrap();
    assert_eq!(
        left["spec"]["replicas"], 1,
        "the other owner keeps the field"
    );
    let gone = applied(Some(&left), &object(json!({})), &writer("b", 4)).unwrap();
    assert_eq!(
        gone["spec"].get("replicas"),
        None,
        "the last owner takes it along"
    );
}

#[test]
fn what_is_not_applied_any_more_goes_unless_an_updater_owns_it() {
    let live = applied(
        None,
        &object(json!({"replicas": 1, "paused": true})),
        &writer("a", 1),
    )
    .unwrap();
    let mut edited = live.clone();
    edited["spec"]["replicas"] = json!(3);
    let edited = written(edited, Some(&live), &writer("kubectl-edit", 2));
    let new = applied(Some(&edited), &object(json!({})), &writer("a", 3)).unwrap();
    assert_eq!(new["spec"], json!({"replicas": 3}));
}

#[test]
fn what_nobody_owns_goes_only_with_the_object_it_is_in() {
    let live = applied(
        None,
        &object(json!({"replicas": 1, "strategy": {"type": "X"}})),
        &writer("a", 1),
    )
    .unwrap();
    let mut defaulted = live;
    defaulted["spec"]["paused"] = json!(true);
    defaulted["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": 1});
    let new = applied(
        Some(&defaulted),
        &object(json!({"replicas": 1})),
        &writer("a", 2),
    )
    .unwrap();
    assert_eq!(
        new["spec"],
        json!({"replicas": 1, "paused": true}),
        "the whole strategy was applied, so it goes as a whole"
    );
}

#[test]
fn an_object_that_is_still_applied_stays_though_nothing_is_left_in_it() {
    let live = applied(None, &object(json!({"replicas": 1})), &writer("a", 1)).unwrap();
    let new = applied(Some(&live), &object(json!({})), &writer("a", 2)).unwrap();
    assert_eq!(new["spec"], json!({}));
}

#[test]
fn list_items_are_merged_and_removed_one_by_one() {
    let containers = |items: Value| object(json!({"template": {"spec": {"containers": items}}}));
    let live = applied(
        None,
        &containers(json!([{"name": "a", "image": "1"}, {"name": "b"}])),
        &writer("x", 1),
    )
    .unwrap();
    let live = applied(
        Some(&live),
        &containers(json!([{"name": "side", "image": "s"}])),
        &writer("y", 2),
    )
    .unwrap();
    let new = applied(
        Some(&live),
        &containers(json!([{"name": "a", "image": "2"}])),
        &writer("x", 3),
    )
    .unwrap();
    assert_eq!(
        new["spec"]["template"]["spec"]["containers"],
        json!([{"name": "a", "image": "2"}, {"name": "side", "image": "s"}])
    );
}

#[test]
fn an_item_that_others_have_fields_in_stays_with_those() {
    let containers = |items: Value| object(json!({"template": {"spec": {"containers": items}}}));
    let live = applied(
        None,
        &containers(json!([{"name": "a", "image": "1"}])),
        &writer("x", 1),
    )
    .unwrap();
    let live = applied(
        Some(&live),
        &containers(json!([{"name": "a", "args": ["v"]}])),
        &writer("y", 2),
    )
    .unwrap();
    let new = applied(Some(&live), &object(json!({})), &writer("x", 3)).unwrap();
    assert_eq!(
        new["spec"]["template"]["spec"]["containers"],
        json!([{"name": "a", "args": ["v"]}])
    );
}

#[test]
fn the_configurations_order_leads_and_others_items_keep_their_place() {
    let containers = |names: &[&str]| {
        let items: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        object(json!({"template": {"spec": {"containers": items}}}))
    };
    let live = written(containers(&["a", "b", "c", "d"]), None, &writer("x", 1));
    let new = applied(
        Some(&live),
        &containers(&["d", "new", "b"]),
        &writer("y", 2),
    )
    .unwrap();
    let names: Vec<&Value> = new["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["a", "c", "d", "new", "b"]);
}

#[test]
fn atomic_lists_and_maps_belong_to_one() {
    let selector = |value: Value| object(json!({"template": {"spec": {"nodeSelector": value}}}));
    let live = applied(None, &selector(json!({"zone": "a"})), &writer("x", 1)).unwrap();
    let conflicts = conflicts(applied(
        Some(&live),
        &selector(json!({"disk": "ssd"})),
        &writer("y", 2),
    ));
    assert_eq!(conflicts.0[0].field, ".spec.template.spec.nodeSelector");
    let new = forced(
        Some(&live),
        &selector(json!({"disk": "ssd"})),
        &writer("y", 2),
    );
    assert_eq!(
        new["spec"]["template"]["spec"]["nodeSelector"],
        json!({"disk": "ssd"})
    );
    assert_eq!(owned(&new, "x"), Value::Null);
}

#[test]
fn ports_are_told_apart_by_number_and_protocol() {
    let ports = |ports: Value| {
        object(json!({"template": {"spec": {"containers": [{"name": "c", "ports": ports}]}}}))
    };
    let live = applied(None, &ports(json!([{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}])), &writer("x", 1)).unwrap();
    let new = applied(
        Some(&live),
        &ports(json!([{"containerPort": 53, "name": "dns"}])),
        &writer("y", 2),
    )
    .unwrap();
    assert_eq!(
        new["spec"]["template"]["spec"]["containers"][0]["ports"],
        json!([{"containerPort": 53, "protocol": "TCP", "name": "dns"}, {"containerPort": 53, "protocol": "UDP"}])
    );
}

#[test]
fn an_object_from_before_tracking_is_owned_by_before_first_apply() {
    let mut live = object(json!({"replicas": 1}));
    live["metadata"]["uid"] = json!("u");
    let conflicts = conflicts(applied(
        Some(&live),
        &object(json!({"replicas": 2})),
        &writer("a", 2),
    ));
    assert_eq!(conflicts.0[0].manager, "before-first-apply");
    let new = applied(
        Some(&live),
        &object(json!({"replicas": 1})),
        &writer("a", 2),
    )
    .unwrap();
    assert_eq!(entries(&new).len(), 2);
}

#[test]
fn applying_in_another_version_stays_one_entry() {
    let live = applied(None, &object(json!({"replicas": 1})), &writer("a", 1)).unwrap();
    let mut config = object(json!({"replicas": 1}));
    config["apiVersion"] = json!("apps/v2");
    let later = Writer {
        api_version: "apps/v2",
        ..writer("a", 2)
    };
    let new = applied(Some(&live), &config, &later).unwrap();
    assert_eq!(entries(&new).len(), 1);
    assert_eq!(entries(&new)[0]["apiVersion"], "apps/v2");
}

#[test]
fn configurations_that_cannot_be_applied_are_bad_requests() {
    let mut with_ledger = object(json!({}));
    with_ledger["metadata"]["managedFields"] = json!([]);
    let mut version = object(json!({}));
    version["apiVersion"] = json!("v1");
    let list = object(json!({"template": {"spec": {"containers": {"name": "a"}}}}));
    let keyless = object(json!({"template": {"spec": {"containers": [{"image": "a"}]}}}));
    let twice =
        object(json!({"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}}));
    for (config, words) in [
        (with_ledger, "metadata.managedFields must be nil"),
        (
            version,
            "Incorrect version specified in apply patch. Specified patch version: v1, expected: apps/v1",
        ),
        (list, ".spec.template.spec.containers: expected list"),
        (keyless, "omits key field \"name\""),
        (twice, "duplicate entries for key [name=\"a\"]"),
    ] {
        match applied(None, &config, &writer("a", 1)) {
            Err(ApplyError::BadRequest(message)) => {
                assert!(message.contains(words), "{message}")
            }
            other => panic!("{words}: {other:?}"),
        }
    }
}

#[test]
fn custom_objects_merge_what_has_no_type_key_by_key() {
    let config = |free: Value| json!({"apiVersion": "x/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"free": free}});
    let writer = |manager| Writer {
        api_version: "x/v1",
        ..writer(manager, 1)
    };
    let ty = widget();
    let none = FieldSet::default();
    let live = apply(
        None,
        &config(json!({"a": {"x": 1}})),
        &ty,
        &writer("p"),
        &none,
        false,
    )
    .unwrap();
    let live = apply(
        Some(&live),
        &config(json!({"a": {"y": [1]}})),
        &ty,
        &writer("q"),
        &none,
        false,
    )
    .unwrap();
    assert_eq!(live["spec"]["free"], json!({"a": {"x": 1, "y": [1]}}));
    let live = apply(
        Some(&live),
        &config(json!({})),
        &ty,
        &writer("p"),
        &none,
        false,
    )
    .unwrap();
    assert_eq!(live["spec"]["free"], json!({"a": {"y": [1]}}));
}
