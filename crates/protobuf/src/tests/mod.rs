//! Tests over all built-in kinds.

mod encode;
mod make;
mod recorded;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use mosaic_schema::{Shape, Type};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    ProtobufError, decode,
    numbers::{self, Mark},
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The kinds by API version and name.
static KINDS: LazyLock<BTreeMap<(String, String), Arc<Type>>> = LazyLock::new(|| {
    let mut kinds = BTreeMap::new();
    for row in mosaic_api::builtin::resources() {
        let api_version = match &*row.group {
            "" => row.version.to_string(),
            group => format!("{group}/{}", row.version),
        };
        kinds.insert((api_version, row.kind.to_string()), row.ty.clone());
    }
    for (api_version, kind, package) in [
        ("v1", "DeleteOptions", META),
        ("v1", "Status", META),
        ("v1", "Binding", "io.k8s.api.core.v1"),
        ("autoscaling/v1", "Scale", "io.k8s.api.autoscaling.v1"),
        (
            "apiregistration.k8s.io/v1",
            "APIService",
            "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
        ),
        ("policy/v1", "Eviction", "io.k8s.api.policy.v1"),
        (
            "authentication.k8s.io/v1",
            "TokenRequest",
            "io.k8s.api.authentication.v1",
        ),
    ] {
        let ty = mosaic_schema::builtin(&format!("{package}.{kind}")).unwrap();
        kinds.insert((api_version.to_owned(), kind.to_owned()), ty);
    }
    kinds
});

fn type_of(api_version: &str, kind: &str) -> Option<Arc<Type>> {
    KINDS
        .get(&(api_version.to_owned(), kind.to_owned()))
        .cloned()
}

/// The names of a definition's fields, those of inlined messages too.
fn names(definition: &str) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for field in numbers::find(definition)
        .unwrap_or_else(|| panic!("{definition} is not in the table"))
        .iter()
    {
        if field.mark == Mark::Inline {
            names.extend(self::names(field.name));
        } else {
            names.insert(field.name);
        }
    }
    names
}

fn check_numbers(ty: &Type, within: bool, seen: &mut BTreeSet<String>, missing: &mut Vec<String>) {
    match &ty.shape {
        Shape::List(list) => check_numbers(&list.items, true, seen, missing),
        Shape::Map(map) => {
            assert!(!within, "maps in lists and maps have no form of their own");
            check_numbers(&map.values, true, seen, missing);
        }
        Shape::Object(object) => {
            let name = ty
                .name
                .as_deref()
                .expect("objects of built-in kinds have names");
            if !seen.insert(name.to_owned()) {
                return;
            }
            let numbered = names(name);
            for (key, field) in &object.fields {
                // A kind's words for itself are in the envelope; within other objects they are nowhere.
                let of_the_envelope = matches!(&**key, "apiVersion" | "kind")
                    && !numbered.contains("apiVersion")
                    && !numbered.contains("kind");
                if !numbered.contains(&**key) && !of_the_envelope {
                    missing.push(format!("{name} {key}"));
                }
                check_numbers(&field.ty, false, seen, missing);
            }
        }
        _ => {}
    }
}

#[test]
fn every_field_of_every_kind_has_a_number() {
    let (mut seen, mut missing) = (BTreeSet::new(), Vec::new());
    for ty in KINDS.values() {
        check_numbers(ty, false, &mut seen, &mut missing);
    }
    assert!(seen.len() > 300, "{}", seen.len());
    assert_eq!(missing, [""; 0]);
}

#[test]
fn times_in_microseconds_are_marked() {
    for (definition, name, mark) in [
        (
            "io.k8s.api.coordination.v1.LeaseSpec",
            "renewTime",
            Mark::Microseconds,
        ),
        ("io.k8s.api.core.v1.Event", "eventTime", Mark::Microseconds),
        ("io.k8s.api.core.v1.Event", "lastTimestamp", Mark::Plain),
    ] {
        let numbers = numbers::find(definition).unwrap();
        let field = numbers.iter().find(|field| field.name == name).unwrap();
        assert_eq!(field.mark, mark, "{definition} {name}");
    }
}

/// The body of a `v1` object with these bytes.
fn body_of(kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut meta = encode::Message::default();
    meta.bytes(1, b"v1");
    meta.bytes(2, kind.as_bytes());
    let mut envelope = encode::Message::default();
    envelope.bytes(1, &meta.0);
    envelope.bytes(2, raw);
    [b"k8s\0", &envelope.0[..]].concat()
}

#[test]
fn zeros_are_values_only_where_they_are_in_json() {
    // metadata {name "", creationTimestamp {}}, spec {automountServiceAccountToken false, hostNetwork false}
    let raw = b"\x0a\x04\x0a\x00\x42\x00\x12\x05\x58\x00\xa8\x01\x00";
    assert_eq!(
        decode(&body_of("Pod", raw), type_of).unwrap(),
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {}, "spec": {"automountServiceAccountToken": false},
        })
    );
}

#[test]
fn a_message_that_stands_twice_is_one() {
    let raw = b"\x0a\x03\x0a\x01a\x0a\x06\x1a\x01n\x0a\x01b\xfa\x3f\x01x";
    let found = decode(&body_of("ConfigMap", raw), type_of).unwrap();
    assert_eq!(found["metadata"], json!({"name": "b", "namespace": "n"}));
}

#[test]
fn packed_scalars_are_read() {
    // supplementalGroups is field 4 of securityContext, field 14 of the spec.
    for groups in [&b"\x22\x03\x01\xac\x02"[..], b"\x20\x01\x20\xac\x02"] {
        let mut context = encode::Message::default();
        context.bytes(14, groups);
        let mut pod = encode::Message::default();
        pod.bytes(2, &context.0);
        let found = decode(&body_of("Pod", &pod.0), type_of).unwrap();
        let context = &found["spec"]["securityContext"];
        assert_eq!(context["supplementalGroups"], json!([1, 300]));
    }
}

#[test]
fn what_is_not_of_its_type_is_refused() {
    for (raw, message) in [
        (&b"\x08\x01"[..], r#"field "metadata": wrong wire type"#),
        (b"\x0a\x03\x0a\x01\xff", r#"field "name": not UTF-8 text"#),
        (b"\x0a\x04\x42\x02\x10\x80", "unexpected end of the bytes"),
        (
            b"\x0a\x05\x42\x03\x10\x80\x80",
            "unexpected end of the bytes",
        ),
    ] {
        let error = decode(&body_of("Pod", raw), type_of).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let error = decode(&body_of("Widget", b""), type_of).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"no kind "Widget" is registered for version "v1""#
    );
}

#[test]
fn hostile_bodies_are_bounded() {
    // A list of a million empty managed fields in two bytes each.
    let many = [0x8a, 0x01, 0x00].repeat(super::MAX_VALUES + 1);
    let mut object = encode::Message::default();
    object.bytes(1, &many);
    assert!(matches!(
        decode(&body_of("ConfigMap", &object.0), type_of),
        Err(ProtobufError::TooMany { .. })
    ));

    // not: not: not: …
    let mut schema = Vec::new();
    for _ in 0..10_000 {
        let mut outer = encode::Message::default();
        outer.bytes(28, &schema);
        schema = outer.0;
    }
    for number in [1, 4, 7, 2] {
        let mut outer = encode::Message::default();
        outer.bytes(number, &schema);
        schema = outer.0;
    }
    let mut meta = encode::Message::default();
    meta.bytes(1, b"apiextensions.k8s.io/v1");
    meta.bytes(2, b"CustomResourceDefinition");
    let mut envelope = encode::Message::default();
    envelope.bytes(1, &meta.0);
    envelope.bytes(2, &schema);
    assert!(matches!(
        decode(&[b"k8s\0", &envelope.0[..]].concat(), type_of),
        Err(ProtobufError::TooDeep { .. })
    ));
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

proptest! {
    // Each case is over all kinds.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(seed: u64) {
        for ((api_version, kind), ty) in KINDS.iter() {
            let mut made = make::object(ty, &mut make::Numbers(seed));
            made["apiVersion"] = json!(api_version);
            made["kind"] = json!(kind);
            let read = decode(&encode::body(ty, &made), type_of);
            prop_assert_eq!(read.as_ref(), Ok(&made));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(kind in any::<prop::sample::Index>(), bytes: Vec<u8>) {
        let ((api_version, kind), _) = KINDS.iter().nth(kind.index(KINDS.len())).unwrap();
        let mut meta = encode::Message::default();
        meta.bytes(1, api_version.as_bytes());
        meta.bytes(2, kind.as_bytes());
        let mut envelope = encode::Message::default();
        envelope.bytes(1, &meta.0);
        envelope.bytes(2, &bytes);
        let _ = decode(&[b"k8s\0", &envelope.0[..]].concat(), type_of);
        let _ = decode(&[b"k8s\0", &bytes[..]].concat(), type_of);
        let _ = decode(&bytes, type_of);
    }

    #[test]
    fn damaged_bodies_are_read_or_refused(
        seed: u64,
        kind in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let ((api_version, kind), ty) = KINDS.iter().nth(kind.index(KINDS.len())).unwrap();
        let mut made = make::object(ty, &mut make::Numbers(seed));
        made["apiVersion"] = json!(api_version);
        made["kind"] = json!(kind);
        let mut bytes = encode::body(ty, &made);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(read) = decode(&bytes, type_of) {
            prop_assert!(depth(&read) <= super::MAX_DEPTH);
        }
    }
}
