//! The bodies of the fuzz targets, on a bounded number of made-up inputs.

use proptest::{collection, prelude::*, sample::select};
use serde_json::Value;

#[expect(unreachable_pub, reason = "the fuzz targets are crates of their own")]
#[path = "../../../fuzz/src/patches.rs"]
mod patches;

/// Names and directives that mean something in the objects that the bodies patch.
const WORDS: [&str; 24] = [
    "metadata",
    "spec",
    "containers",
    "name",
    "image",
    "ports",
    "containerPort",
    "protocol",
    "template",
    "labels",
    "volumes",
    "env",
    "finalizers",
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers",
    "f:spec",
    "f:metadata",
    ".",
    "k:{\"name\":\"a\"}",
    "v:1",
    "i:0",
    "a",
];

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(&WORDS[..]).prop_map(Value::from),
        select(vec![
            "delete", "replace", "merge", "/spec", "/a/0", "add", "copy", "Apply", "Update"
        ])
        .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(6, 48, 5, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            collection::btree_map(select(&WORDS[..]).prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn operations() -> impl Strategy<Value = Value> {
    let path = select(vec![
        "",
        "/a",
        "/a/0",
        "/a/-",
        "/spec",
        "/spec/containers/0",
        "/~1",
        "x",
    ]);
    let name = select(vec!["add", "remove", "replace", "move", "copy", "test"]);
    let operation = (name, path.clone(), path, value()).prop_map(
        |(op, path, from, value)| serde_json::json!({"op": op, "path": path, "from": from, "value": value}),
    );
    collection::vec(operation, 0..12).prop_map(Value::from)
}

fn bytes(values: Vec<Value>) -> Vec<u8> {
    Value::from(values).to_string().into_bytes()
}

proptest! {
    #[test]
    fn json_patch(document in value(), patch in operations()) {
        patches::json_patch(&bytes(vec![document, patch]));
    }

    #[test]
    fn merge_patch(document in value(), patch in value()) {
        patches::merge_patch(&bytes(vec![document, patch]));
    }

    #[test]
    fn strategic_merge(document in value(), patch in value()) {
        patches::strategic_merge(&bytes(vec![document, patch]));
    }

    #[test]
    fn field_set(first in value(), second in value()) {
        patches::field_set(first.to_string().as_bytes());
        patches::field_set(&bytes(vec![first, second]));
    }

    #[test]
    fn server_side_apply(live in value(), config in value(), ledger in value()) {
        patches::server_side_apply(&bytes(vec![live, config, ledger]));
    }

    #[test]
    fn any_bytes(data in collection::vec(any::<u8>(), 0..64)) {
        patches::json_patch(&data);
        patches::merge_patch(&data);
        patches::strategic_merge(&data);
        patches::field_set(&data);
        patches::server_side_apply(&data);
    }
}
