use std::sync::Arc;

use mosaic_schema::{List, Map as MapType, Object, StringFormat};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fields::arbitrary;

fn string() -> Arc<Type> {
    Arc::new(Type {
        shape: Shape::String(StringFormat::Plain),
        ..Type::default()
    })
}

fn list_of(items: Arc<Type>) -> Arc<Type> {
    Arc::new(Type {
        shape: Shape::List(List {
            items,
            ..List::default()
        }),
        ..Type::default()
    })
}

fn object(fields: Vec<(&str, Arc<Type>, PatchStrategy)>) -> Arc<Type> {
    let fields = fields
        .into_iter()
        .map(|(name, ty, patch)| {
            (
                name.into(),
                Field {
                    ty,
                    patch,
                    ..Field::default()
                },
            )
        })
        .collect();
    Arc::new(Type {
        shape: Shape::Object(Object {
            fields,
            ..Object::default()
        }),
        ..Type::default()
    })
}

fn merge_by(key: &str) -> PatchStrategy {
    PatchStrategy {
        merge: true,
        merge_key: Some(key.into()),
        ..PatchStrategy::default()
    }
}

/// The parts of a pod that have a strategy, in small.
fn pod() -> Arc<Type> {
    let plain = PatchStrategy::default;
    let as_set = PatchStrategy {
        merge: true,
        ..PatchStrategy::default()
    };
    let any = Arc::new(Type::default());
    let port = object(vec![
        ("containerPort", any.clone(), plain()),
        ("protocol", string(), plain()),
    ]);
    let container = object(vec![
        ("name", string(), plain()),
        ("image", string(), plain()),
        ("args", list_of(string()), plain()),
        ("ports", list_of(port), merge_by("containerPort")),
    ]);
    let volume = object(vec![
        ("name", string(), plain()),
        ("emptyDir", any.clone(), plain()),
        ("secret", any, plain()),
    ]);
    let labels = Arc::new(Type {
        shape: Shape::Map(MapType {
            values: string(),
            atomic: false,
        }),
        ..Type::default()
    });
    let spec = object(vec![
        ("containers", list_of(container), merge_by("name")),
        (
            "volumes",
            list_of(volume),
            PatchStrategy {
                retain_keys: true,
                ..merge_by("name")
            },
        ),
        ("finalizers", list_of(string()), as_set),
        ("labels", labels, plain()),
        (
            "strategy",
            object(vec![("type", string(), plain())]),
            PatchStrategy {
                retain_keys: true,
                ..plain()
            },
        ),
    ]);
    object(vec![("spec", spec, plain())])
}

fn spec_patched(spec: Value, patch: Value) -> Result<Value, PatchError> {
    let mut document = json!({ "spec": spec });
    strategic_merge(&mut document, json!({ "spec": patch }), &pod())?;
    Ok(document.get("spec").cloned().unwrap_or_default())
}

#[test]
fn items_merge_by_their_key_and_other_lists_are_replaced() {
    let spec = json!({"containers": [{"name": "a", "image": "a:1", "args": ["x", "y"]}, {"name": "b", "image": "b:1"}]});
    let patch = json!({"containers": [{"name": "a", "args": ["z"]}]});
    assert_eq!(
        spec_patched(spec, patch).unwrap(),
        json!({"containers": [{"name": "a", "image": "a:1", "args": ["z"]}, {"name": "b", "image": "b:1"}]})
    );
}

#[test]
fn null_removes_a_field_and_leaves_nothing_where_none_was() {
    let spec = json!({"labels": {"a": "1", "b": "2"}});
    let patch = json!({"labels": {"a": null, "c": null}, "strategy": {"type": null}});
    assert_eq!(
        spec_patched(spec, patch).unwrap(),
        json!({"labels": {"b": "2"}, "strategy": {}})
    );
}

#[test]
fn new_items_go_ahead_of_those_that_only_the_server_has() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let patch = json!({"containers": [{"name": "new"}, {"name": "b", "image": "b:2"}]});
    assert_eq!(
        spec_patched(spec, patch).unwrap(),
        json!({"containers": [{"name": "new"}, {"name": "a"}, {"name": "b", "image": "b:2"}]})
    );
}

#[test]
fn the_element_order_orders_what_it_names() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "server"}, {"name": "b"}]});
    let patch = json!({
        "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}, {"name": "c"}],
        "containers": [{"name": "c", "image": "c:1"}]
    });
    assert_eq!(
        spec_patched(spec, patch).unwrap(),
        json!({"containers": [{"name": "server"}, {"name": "b"}, {"name": "a"}, {"name": "c", "image": "c:1"}]})
    );
}

#[test]
fn the_element_order_alone_reorders() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}], "finalizers": ["x", "y"]});
    let patch = json!({
        "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
        "$setElementOrder/finalizers": ["y", "x"]
    });
    assert_eq!(
        spec_patched(spec, patch).unwrap(),
        json!({"containers": [{"name": "b"}, {"name": "a"}], "finalizers": ["y", "x"]})
    );
}

#[test]
fn a_patch_that_contradicts_its_element_order_is_refused() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let patch = json!({
        "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
        "containers": [{"name": "b", "image": "1"}, {"name": "a", "image": "2"}]
    });
    assert_eq!(spec_patched(spec, patch).unwrap_err().code(), 422);
}

#[test]
fn a_delete_directive_removes_its_item() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let patch = json!({
        "$setElementOrder/containers": [{"name": "b"}],
        "containers": [{"name": "a", "$patch": "delete"}]
    });
    assert_eq!(
        spec_patched(spec, patch).unwrap(),
        json!({"containers": [{"name": "b"}]})
    );
}

#[test]
fn a_replace_directive_replaces_a_list_or_an_object() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}], "labels": {"a": "1"}});
    let patch = json!({
        "containers": [{"$patch": "replace"}, {"name": "c"}],
        "labels": {"$patch": "replace", "b": "2"},
        "strategy": {"$patch": "delete"}
    });
    assert_eq!(
        spec_patched(spec, patch).unwrap(),
        json!({"containers": [{"name": "c"}], "labels": {"b": "2"}, "strategy": {}})
    );
}

#[test]
fn an_unknown_directive_is_refused() {
    assert_eq!(
        spec_patched(json!({}), json!({"$patch": "jump"}))
            .unwrap_err()
            .code(),
        422
    );
    assert_eq!(
        spec_patched(json!({}), json!({"$patch": 3}))
            .unwrap_err()
            .code(),
        422
    );
}

#[test]
fn retain_keys_clears_what_it_does_not_name() {
    let spec = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
    let patch = json!({"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]});
    assert_eq!(
        spec_patched(spec, patch).unwrap(),
        json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]})
    );
}

#[test]
fn retain_keys_must_name_what_the_patch_sets() {
    let patch = json!({"strategy": {"$retainKeys": ["other"], "type": "Recreate"}});
    assert_eq!(spec_patched(json!({}), patch).unwrap_err().code(), 400);
}

#[test]
fn sets_of_scalars_grow_by_what_is_new_and_shrink_by_directive() {
    let spec = json!({"finalizers": ["a", "b", "c"]});
    let patch = json!({
        "$deleteFromPrimitiveList/finalizers": ["a"],
        "$setElementOrder/finalizers": ["d", "c"],
        "finalizers": ["d"]
    });
    assert_eq!(
        spec_patched(spec, patch).unwrap(),
        json!({"finalizers": ["d", "b", "c"]})
    );
}

#[test]
fn directives_in_a_field_that_was_absent_leave_no_trace() {
    let patch = json!({
        "$setElementOrder/containers": [{"name": "a"}],
        "containers": [{"name": "a", "$setElementOrder/ports": [{"containerPort": 80}], "ports": [{"containerPort": 80}, {"containerPort": 81, "$patch": "delete"}]}],
        "$deleteFromPrimitiveList/finalizers": ["x"]
    });
    assert_eq!(
        spec_patched(json!({}), patch).unwrap(),
        json!({"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]})
    );
}

#[test]
fn an_item_without_its_merge_key_is_refused() {
    let error = spec_patched(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": [{"image": "x"}]}),
    )
    .unwrap_err();
    assert_eq!(error.code(), 422);
    assert!(
        error
            .to_string()
            .contains("does not contain declared merge key: name"),
        "{error}"
    );
}

#[test]
fn a_patch_that_is_no_object_is_malformed() {
    let mut document = json!({});
    assert_eq!(
        strategic_merge(&mut document, json!([]), &pod())
            .unwrap_err()
            .code(),
        400
    );
}

proptest! {
    #[test]
    fn a_patch_of_the_object_itself_changes_nothing(spec in arbitrary::pod_spec()) {
        prop_assert_eq!(spec_patched(spec.clone(), spec.clone()).unwrap(), spec);
    }

    #[test]
    fn patching_twice_is_patching_once(spec in arbitrary::pod_spec(), patch in arbitrary::pod_spec()) {
        let once = spec_patched(spec, patch.clone()).unwrap();
        prop_assert_eq!(spec_patched(once.clone(), patch).unwrap(), once);
    }

    #[test]
    fn nothing_panics(document in arbitrary::value(), patch in arbitrary::strategic_patch()) {
        let mut document = document;
        let _ = strategic_merge(&mut document, patch, &pod());
    }

    #[test]
    fn no_directive_survives(document in arbitrary::object(), patch in arbitrary::strategic_patch()) {
        let mut document = document;
        if strategic_merge(&mut document, patch, &pod()).is_ok() {
            fn clean(value: &Value) -> bool {
                match value {
                    Value::Object(o) => o.iter().all(|(k, v)| !k.starts_with('$') && clean(v)),
                    _ => true,
                }
            }
            prop_assert!(clean(&document), "{}", document);
        }
    }
}
