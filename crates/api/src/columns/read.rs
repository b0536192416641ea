//! Reading objects leniently: whatever is absent or of another type is empty, zero or none.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Column;
use crate::{selector::LabelSelector, time};

/// What stands for an absent value.
pub(super) const NONE: &str = "<none>";
/// What stands for a value that nobody set.
pub(super) const UNSET: &str = "<unset>";

/// A column as the modules here write it down: name, type, priority, what it says.
pub(super) type Spec = (&'static str, &'static str, i32, &'static str);

pub(super) const NAME: Spec = (
    "Name",
    "string",
    0,
    "Name must be unique within a namespace.",
);
pub(super) const AGE: Spec = ("Age", "string", 0, "How long ago the object was created.");
pub(super) const CONTAINERS: Spec = (
    "Containers",
    "string",
    1,
    "Names of each container in the template.",
);
pub(super) const IMAGES: Spec = (
    "Images",
    "string",
    1,
    "Images referenced by each container in the template.",
);
pub(super) const SELECTOR: Spec = ("Selector", "string", 1, "Which pods belong to the object.");

pub(super) fn columns(specs: &[Spec]) -> Vec<Column> {
    specs.iter().map(column).collect()
}

pub(super) fn column(&(name, ty, priority, description): &Spec) -> Column {
    Column {
        name: name.to_owned(),
        ty: ty.to_owned(),
        format: if name == "Name" { "name" } else { "" }.to_owned(),
        description: description.to_owned(),
        priority,
    }
}

/// The text at a JSON pointer; empty if there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The text at a JSON pointer, or what stands for it if that is empty.
pub(super) fn text_or<'a>(value: &'a Value, pointer: &str, absent: &'a str) -> &'a str {
    match text(value, pointer) {
        "" => absent,
        text => text,
    }
}

/// The whole number at a JSON pointer; zero if there is none.
pub(super) fn int(value: &Value, pointer: &str) -> i64 {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

pub(super) fn flag(value: &Value, pointer: &str) -> Option<bool> {
    value.pointer(pointer).and_then(Value::as_bool)
}

pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(super) fn map<'a>(value: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    value.pointer(pointer).and_then(Value::as_object)
}

pub(super) fn has(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).is_some_and(|found| !found.is_null())
}

/// A number, text or flag as text; `absent` for anything else.
pub(super) fn scalar(value: &Value, pointer: &str, absent: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Number(_) | Value::Bool(_))) => other.to_string(),
        _ => absent.to_owned(),
    }
}

pub(super) fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

/// How long ago the object was created.
pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    age_at(object, "/metadata/creationTimestamp", now).into()
}

pub(super) fn age_at(object: &Value, pointer: &str, now: Timestamp) -> String {
    time::age(object.pointer(pointer).and_then(Value::as_str), now)
}

/// The `status` of a condition; none if the object does not have it.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    list(object, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == kind)
        .map(|condition| text(condition, "/status"))
}

/// The texts of a list, joined by commas.
pub(super) fn joined(value: &Value, pointer: &str) -> String {
    let texts: Vec<&str> = list(value, pointer)
        .iter()
        .filter_map(Value::as_str)
        .collect();
    texts.join(",")
}

/// Labels or a node selector as text.
pub(super) fn labels(value: &Value, pointer: &str) -> String {
    match map(value, pointer) {
        Some(labels) if !labels.is_empty() => LabelSelector::from_labels(labels).to_string(),
        _ => NONE.to_owned(),
    }
}

/// A `LabelSelector` object as text.
pub(super) fn selector(value: &Value, pointer: &str) -> String {
    match LabelSelector::from_object(value.pointer(pointer)) {
        Ok(selector) => match selector.to_string() {
            empty if empty.is_empty() => NONE.to_owned(),
            text => text,
        },
        Err(_) => "<error>".to_owned(),
    }
}

/// The names and the images of the containers of a pod's spec at a JSON pointer.
pub(super) fn containers(object: &Value, pod_spec: &str) -> [Value; 2] {
    let containers = list(object, &format!("{pod_spec}/containers"));
    ["/name", "/image"].map(|field| {
        let texts: Vec<&str> = containers.iter().map(|c| text(c, field)).collect();
        texts.join(",").into()
    })
}

/// The first `limit` of many texts, joined by commas, and how many more there are.
pub(super) fn first_of(texts: impl Iterator<Item = String>, limit: usize) -> String {
    let mut joined = String::new();
    let mut count = 0;
    for text in texts {
        if count < limit {
            if count > 0 {
                joined.push(',');
            }
            joined.push_str(&text);
        }
        count += 1;
    }
    if count > limit {
        // Writing to a String does not fail.
        let _ = write!(joined, " + {} more...", count - limit);
    }
    joined
}
