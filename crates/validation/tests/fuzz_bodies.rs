//! The bodies of the fuzz targets that read objects, on some that mean something.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[expect(unreachable_pub, reason = "the fuzz targets are crates of their own")]
#[path = "../../../fuzz/src/objects.rs"]
mod objects;

use objects::{definition, object};
use serde_json::{Value, json};

#[test]
fn every_kind_takes_its_own_metadata_and_nonsense() {
    for kind in 0..=u8::MAX {
        for text in [
            "{}",
            r#"{"metadata":{"name":"a","labels":{"x":"y"}},"spec":{},"status":{}}"#,
            r#"{"metadata":{"name":""},"spec":null,"data":{"a":"b"},"rules":[],"subjects":[{}]}"#,
            r#"{"spec":{"template":{"spec":{"containers":[{}]}},"replicas":-1,"selector":{"matchLabels":{}}}}"#,
            r#"{"spec":{"containers":[{"name":"a","ports":[{}],"env":[{}],"resources":{"limits":{"cpu":"x"}}}],"volumes":[{}]}}"#,
            r#"{"spec":{"ports":[{"port":0}],"clusterIP":"","type":"NodePort","podSelector":{},"versions":[{}]}}"#,
        ] {
            let mut data = vec![kind];
            data.extend(text.as_bytes());
            object(&data);
        }
    }
}

#[test]
fn schemas_and_objects() {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "default": {"n": 1}, "required": ["n"],
            "properties": {"n": {"type": "integer", "minimum": 0}, "l": {"type": "array",
                "items": {"type": "object", "properties": {"k": {"type": "string", "default": "x"}}}}},
            "x-kubernetes-validations": [{"rule": "self.n < 10 && (!has(self.l) || self.l.all(e, e.k != ''))"}]},
    }});
    let objects = [
        json!({}),
        json!({"spec": {"n": 11, "l": [{}]}}),
        json!({"spec": {"n": "x", "unknown": 1}}),
        json!({"spec": null}),
        json!(7),
    ];
    let mut list: Vec<Value> = objects.to_vec();
    list.push(schema);
    definition(Value::from(list).to_string().as_bytes());
}
