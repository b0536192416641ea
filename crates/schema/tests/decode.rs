//! Decoding: what is refused, dropped and kept.

use std::sync::OnceLock;

use mosaic_schema::{DecodeOptions, Type, builtin, builtin_names, decode, parse};
use proptest::prelude::*;
use serde_json::{Value, json};

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const SECRET: &str = "io.k8s.api.core.v1.Secret";
const POD: &str = "io.k8s.api.core.v1.Pod";

fn read(kind: &str, mut value: Value) -> Result<(Value, Vec<String>), (String, String)> {
    let ty = builtin(kind).unwrap_or_default();
    match decode(&ty, &mut value, DecodeOptions::default()) {
        Ok(unknown) => Ok((value, unknown.iter().map(ToString::to_string).collect())),
        Err(error) => Err((error.path, error.message)),
    }
}

#[test]
fn a_wrong_type_is_told_as_go_tells_it() {
    let (path, message) = read(DEPLOYMENT, json!({"spec": {"replicas": "3"}})).unwrap_err();
    assert_eq!(path, "spec.replicas");
    assert_eq!(
        message,
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    );

    let (path, message) = read(
        POD,
        json!({"spec": {"containers": [{"name": "a"}, {"ports": [{"containerPort": 1.5}]}]}}),
    )
    .unwrap_err();
    assert_eq!(path, "spec.containers[1].ports[0].containerPort");
    assert_eq!(
        message,
        "json: cannot unmarshal number 1.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32"
    );

    let (_, message) = read(POD, json!({"metadata": {"labels": ["a"]}})).unwrap_err();
    assert_eq!(
        message,
        "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string"
    );
    let (_, message) = read(POD, json!({"spec": {"containers": {}}})).unwrap_err();
    assert_eq!(
        message,
        "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"
    );
    let (_, message) = read(POD, json!([])).unwrap_err();
    assert_eq!(
        message,
        "json: cannot unmarshal array into Go value of type v1.Pod"
    );
}

#[test]
fn numbers_have_their_range() {
    assert!(read(DEPLOYMENT, json!({"spec": {"replicas": 2_147_483_647}})).is_ok());
    assert!(read(DEPLOYMENT, json!({"spec": {"replicas": 2_147_483_648_i64}})).is_err());
    assert!(read(POD, json!({"metadata": {"generation": u64::MAX}})).is_err());
}

#[test]
fn encoded_strings_are_checked() {
    assert!(read(SECRET, json!({"data": {"a": "QQ=="}})).is_ok());
    let (path, message) = read(SECRET, json!({"data": {"a": "Q!=="}})).unwrap_err();
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("data.a", "illegal base64 data at input byte 1")
    );
    assert!(
        read(
            POD,
            json!({"metadata": {"creationTimestamp": "2026-01-02T03:04:05Z"}})
        )
        .is_ok()
    );
    assert!(read(POD, json!({"metadata": {"creationTimestamp": "yesterday"}})).is_err());
}

#[test]
fn null_is_absent() {
    let (value, unknown) = read(
        POD,
        json!({"metadata": {"creationTimestamp": null, "labels": {"a": null}}, "spec": {"containers": [null]}, "status": null}),
    )
    .unwrap();
    assert_eq!(
        value,
        json!({"metadata": {"labels": {"a": ""}}, "spec": {"containers": [{}]}})
    );
    assert!(unknown.is_empty());
}

#[test]
fn unknown_fields_are_dropped_and_told() {
    let (value, unknown) = read(
        POD,
        json!({"spec": {"containers": [{"name": "a", "imagee": "b"}], "NodeName": "c"}, "x": null}),
    )
    .unwrap();
    assert_eq!(value, json!({"spec": {"containers": [{"name": "a"}]}}));
    assert_eq!(
        unknown,
        [
            r#"unknown field "spec.NodeName""#,
            r#"unknown field "spec.containers[0].imagee""#,
            r#"unknown field "x""#
        ]
    );
}

#[test]
fn unknown_fields_are_told_up_to_a_bound() {
    let mut object = serde_json::Map::new();
    for n in 0..5_000 {
        object.insert(format!("field{n}"), json!(1));
    }
    let (value, unknown) = read(POD, Value::Object(object)).unwrap();
    assert_eq!(
        (value, unknown.len()),
        (json!({}), mosaic_schema::MAX_COMPLAINTS)
    );
}

fn types() -> &'static [std::sync::Arc<Type>] {
    static TYPES: OnceLock<Vec<std::sync::Arc<Type>>> = OnceLock::new();
    TYPES.get_or_init(|| builtin_names().filter_map(|name| builtin(&name)).collect())
}

/// Any JSON, with field names that types have now and then.
fn any_json() -> impl Strategy<Value = Value> {
    const NAMES: &[&str] = &[
        "metadata",
        "spec",
        "status",
        "template",
        "containers",
        "name",
        "labels",
        "ports",
        "data",
        "rules",
        "x",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!("2026-01-02T03:04:05Z")),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(
                prop::sample::select(NAMES).prop_map(str::to_owned),
                inner,
                0..6
            )
            .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn decoding_never_panics_and_a_second_time_changes_nothing(value in any_json(), index in any::<prop::sample::Index>()) {
        let ty = index.get(types());
        let mut once = value;
        if decode(ty, &mut once, DecodeOptions::default()).is_ok() {
            let mut twice = once.clone();
            prop_assert_eq!(decode(ty, &mut twice, DecodeOptions::default()), Ok(Vec::new()));
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn parsing_reads_what_serde_json_reads(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let ours = parse(&bytes).ok().map(|parsed| parsed.value);
        prop_assert_eq!(ours, serde_json::from_slice::<Value>(&bytes).ok());
    }

    #[test]
    fn parsing_reads_what_was_written(value in any_json()) {
        let parsed = parse(value.to_string().as_bytes()).unwrap();
        prop_assert_eq!(parsed.value, value);
        prop_assert!(parsed.duplicates.is_empty());
    }
}
