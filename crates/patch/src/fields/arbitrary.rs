//! Made-up values for property tests.

use std::collections::BTreeMap;

use proptest::{collection, prelude::*, sample::select};
use serde_json::{Value, json};

use super::FieldSet;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        any::<f32>().prop_map(|f| Value::from(f64::from(f))),
        "[a-c]{0,2}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

/// Any JSON, with few distinct keys so that two values have some in common.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object_of(inner),
        ]
    })
}

fn object_of(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let key = select(vec![
        "a",
        "b",
        "c",
        "name",
        "spec",
        "metadata",
        "containers",
        "ports",
        "labels",
        "finalizers",
    ]);
    collection::btree_map(key.prop_map(str::to_owned), values, 0..5)
        .prop_map(|m| Value::Object(m.into_iter().collect()))
}

pub(crate) fn object() -> impl Strategy<Value = Value> {
    object_of(value())
}

pub(crate) fn json_patch() -> impl Strategy<Value = Value> {
    let path = collection::vec(
        select(vec!["a", "b", "0", "1", "-", "spec", "~0", "~1"]),
        0..4,
    )
    .prop_map(|steps| {
        steps
            .iter()
            .map(|step| format!("/{step}"))
            .collect::<String>()
    });
    let op = select(vec!["add", "remove", "replace", "move", "copy", "test"]);
    let operation = (op, path.clone(), path, value()).prop_map(
        |(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}),
    );
    collection::vec(operation, 0..8).prop_map(Value::from)
}

/// A patch with directives in likely and unlikely places.
pub(crate) fn strategic_patch() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        scalar(),
        select(vec!["delete", "replace", "merge", "jump"])
            .prop_map(|directive| json!({"$patch": directive})),
        select(vec!["delete", "replace"])
            .prop_map(|directive| json!({"name": "a", "$patch": directive})),
        Just(json!(["a", "b"])),
        Just(json!([{"name": "a"}, {"name": "b"}])),
    ];
    let tree = leaf.prop_recursive(4, 24, 5, |inner| {
        let key = select(vec![
            "spec",
            "containers",
            "volumes",
            "finalizers",
            "labels",
            "strategy",
            "name",
            "$patch",
            "$retainKeys",
            "$setElementOrder/containers",
            "$setElementOrder/finalizers",
            "$deleteFromPrimitiveList/finalizers",
        ]);
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::btree_map(key.prop_map(str::to_owned), inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    tree.prop_map(|spec| json!({ "spec": spec }))
}

fn names() -> impl Strategy<Value = Vec<String>> {
    collection::btree_set("[a-e]", 0..4)
        .prop_map(|names| names.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

fn strings() -> impl Strategy<Value = BTreeMap<String, String>> {
    collection::btree_map("[a-d]", "[x-z]", 0..3)
}

fn container(name: String) -> impl Strategy<Value = Value> {
    let ports = collection::btree_map((80_i64..83, select(vec!["TCP", "UDP"])), "[a-c]", 0..3);
    (Just(name), proptest::option::of("[a-c]:[1-3]"), collection::vec("[a-c]", 0..3), ports, strings()).prop_map(
        |(name, image, args, ports, limits)| {
            let mut container = json!({ "name": name });
            if let Some(image) = image {
                container["image"] = json!(image);
            }
            if !args.is_empty() {
                container["args"] = json!(args);
            }
            // One port a number: strategic merge patches cannot tell more apart.
            let mut seen = std::collections::BTreeSet::new();
            let ports: Vec<Value> = ports
                .into_iter()
                .filter(|((port, _), _)| seen.insert(*port))
                .map(|((port, protocol), name)| json!({"containerPort": port, "protocol": protocol, "name": name}))
                .collect();
            if !ports.is_empty() {
                container["ports"] = json!(ports);
            }
            if !limits.is_empty() {
                container["resources"] = json!({ "limits": limits });
            }
            container
        },
    )
}

fn containers() -> impl Strategy<Value = Vec<Value>> {
    names().prop_flat_map(|names| names.into_iter().map(container).collect::<Vec<_>>())
}

/// The spec of a pod as the strategic merge tests know it.
pub(crate) fn pod_spec() -> impl Strategy<Value = Value> {
    (containers(), names(), strings()).prop_map(|(containers, finalizers, labels)| {
        json!({"containers": containers, "finalizers": finalizers, "labels": labels})
    })
}

/// A deployment, or a part of one.
pub(crate) fn deployment() -> impl Strategy<Value = Value> {
    (
        containers(),
        names(),
        strings(),
        proptest::option::of(0_i64..4),
        strings(),
        proptest::option::of(any::<bool>()),
    )
        .prop_map(|(containers, finalizers, labels, replicas, selector, paused)| {
            let mut object = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}
            });
            if !labels.is_empty() {
                object["metadata"]["labels"] = json!(labels);
            }
            if !finalizers.is_empty() {
                object["metadata"]["finalizers"] = json!(finalizers);
            }
            if let Some(replicas) = replicas {
                object["spec"]["replicas"] = json!(replicas);
            }
            if let Some(paused) = paused {
                object["spec"]["paused"] = json!(paused);
            }
            if !containers.is_empty() {
                object["spec"]["template"]["spec"]["containers"] = json!(containers);
            }
            if !selector.is_empty() {
                object["spec"]["template"]["spec"]["nodeSelector"] = json!(selector);
            }
            object
        })
}

/// Any field set.
pub(crate) fn field_set() -> impl Strategy<Value = FieldSet> {
    let key = prop_oneof![
        "[a-c]".prop_map(|name| format!("f:{name}")),
        "[a-c]".prop_map(|name| format!("k:{{\"name\":\"{name}\"}}")),
        "[a-c]".prop_map(|value| format!("v:\"{value}\"")),
        (0..3).prop_map(|index| format!("i:{index}")),
        Just(".".to_owned()),
    ];
    let tree = Just(json!({})).prop_recursive(4, 32, 4, move |inner| {
        collection::btree_map(key.clone(), inner, 0..4)
            .prop_map(|m| Value::Object(m.into_iter().collect()))
    });
    tree.prop_map(|fields| FieldSet::from_fields_v1(&fields).unwrap())
}
