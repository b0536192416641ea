//! Builders and checks that the tests share.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a wrong path is a mistake in the test"
)]

use mosaic_api::GroupKind;
use mosaic_validation::{
    apply_defaults, prepare_for_create, prepare_for_update, validate_create, validate_update,
};
use serde_json::{Value, json};

pub(crate) fn kind(group: &str, kind: &str) -> GroupKind {
    GroupKind {
        group: group.into(),
        kind: kind.into(),
    }
}

/// Sets what stands at a JSON pointer, making objects on the way; `null` removes it.
pub(crate) fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    let mut steps = pointer.split('/').skip(1).peekable();
    while let Some(step) = steps.next() {
        let step = step.replace("~1", "/");
        let last = steps.peek().is_none();
        if at.is_null() {
            *at = json!({});
        }
        if at.is_array() {
            let list = at.as_array_mut().unwrap();
            let index: usize = step.parse().unwrap();
            if index == list.len() {
                list.push(Value::Null);
            }
            at = &mut list[index];
        } else {
            let fields = at.as_object_mut().unwrap();
            if last && value.is_null() {
                fields.remove(&step);
                return;
            }
            at = fields.entry(step).or_insert(Value::Null);
        }
    }
    *at = value;
}

pub(crate) fn with(base: &Value, changes: &[(&str, Value)]) -> Value {
    let mut object = base.clone();
    for (pointer, value) in changes {
        set(&mut object, pointer, value.clone());
    }
    object
}

pub(crate) fn texts(errors: Vec<mosaic_schema::FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What a create of the object answers.
pub(crate) fn create(of: &GroupKind, object: &Value) -> Vec<String> {
    let mut object = object.clone();
    apply_defaults(of, &mut object);
    prepare_for_create(of, &mut object);
    texts(validate_create(of, &object))
}

/// The object as it is stored after a create; it must be right.
pub(crate) fn stored(of: &GroupKind, object: &Value) -> Value {
    let mut object = object.clone();
    apply_defaults(of, &mut object);
    prepare_for_create(of, &mut object);
    assert_eq!(texts(validate_create(of, &object)), [""; 0], "{object:#}");
    object
}

/// What an update of the stored object answers.
pub(crate) fn update(of: &GroupKind, old: &Value, new: &Value) -> Vec<String> {
    let mut new = new.clone();
    apply_defaults(of, &mut new);
    prepare_for_update(of, &mut new, old);
    texts(validate_update(of, &new, old))
}

/// A change at a JSON pointer and the one error that it brings; no error if the text is empty.
pub(crate) type Case<'a> = (&'a str, Value, &'a str);

/// Creates `base` with each change by itself.
pub(crate) fn check_creates(of: &GroupKind, base: &Value, cases: &[Case]) {
    stored(of, base);
    for (pointer, value, expected) in cases {
        let errors = create(of, &with(base, &[(pointer, value.clone())]));
        expect(&errors, expected, &format!("{pointer} = {value}"));
    }
}

/// Updates the stored `base` with each change by itself.
pub(crate) fn check_updates(of: &GroupKind, base: &Value, cases: &[Case]) {
    let old = stored(of, base);
    for (pointer, value, expected) in cases {
        let errors = update(of, &old, &with(&old, &[(pointer, value.clone())]));
        expect(&errors, expected, &format!("{pointer} = {value}"));
    }
}

fn expect(errors: &[String], expected: &str, what: &str) {
    if expected.is_empty() {
        assert_eq!(errors, [""; 0], "{what}");
    } else {
        assert!(
            errors.len() == 1 && errors[0] == expected,
            "{what}:\n  expected {expected}\n  got      {errors:#?}"
        );
    }
}

pub(crate) fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]},
    })
}

pub(crate) fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    })
}

pub(crate) fn workload(kind: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template()},
    })
}

pub(crate) fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    })
}
