//! Built-in definitions as `OpenAPI` v3 schemas, with Kubernetes' extensions.

use std::collections::BTreeMap;

use serde_json::{Map as JsonMap, Value, json};

use super::{
    convert::{DEFINITIONS, reference},
    facts::{self, Merge},
    generate,
    kinds::KINDS,
};

/// The schema of one definition, with `$ref`s into `#/components/schemas/`; none for a name that is
/// not known.
///
/// Written anew at each call, which takes milliseconds: keep what is needed often.
pub fn definition(name: &str) -> Option<Value> {
    definitions([name]).remove(name)
}

/// The schemas of definitions and of all that they refer to, by name. Names that are not known are
/// left out.
pub fn definitions<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Value> {
    let names: Vec<&str> = names.into_iter().collect();
    let (kinds, inner): (Vec<&str>, Vec<&str>) = names
        .iter()
        .partition(|name| super::kinds::find(name).is_some());
    let mut generated = generate(kinds.into_iter().filter_map(super::kinds::find));
    if inner.iter().any(|name| !generated.contains_key(*name)) {
        generated = generate(KINDS.iter().copied());
    }
    let mut chosen = BTreeMap::new();
    let mut open: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
    while let Some(name) = open.pop() {
        let Some(schema) = generated.remove(&name) else {
            continue;
        };
        references(&schema, &mut open);
        chosen.insert(name.clone(), extend(&name, schema));
    }
    chosen
}

/// Adds the names of every definition that a schema refers to.
fn references(schema: &Value, found: &mut Vec<String>) {
    if let Some(name) = reference(schema) {
        found.push(name.to_owned());
    }
    match schema {
        Value::Object(map) => map.values().for_each(|inner| references(inner, found)),
        Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

fn extend(name: &str, mut schema: Value) -> Value {
    let Some(object) = schema.as_object_mut() else {
        return schema;
    };
    if facts::is_atomic(name) {
        object.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    if object.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        // What `kubectl explain` and clients' validation read; the extension alone has no type.
        if name.ends_with(".Quantity") {
            object.remove("x-kubernetes-int-or-string");
            object.insert(
                "oneOf".to_owned(),
                json!([{"type": "string"}, {"type": "number"}]),
            );
        } else {
            object.insert("format".to_owned(), json!("int-or-string"));
            object.insert(
                "oneOf".to_owned(),
                json!([{"type": "integer"}, {"type": "string"}]),
            );
        }
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        for (key, property) in properties {
            wrap_references(property);
            if let (Some(row), Some(property)) = (facts::find(name, key), property.as_object_mut())
            {
                annotate(row, property);
            } else if let Some(property) = property.as_object_mut()
                && property.get("type") == Some(&json!("array"))
            {
                property.insert("x-kubernetes-list-type".to_owned(), json!("atomic"));
            }
        }
    }
    schema
}

fn annotate(row: &facts::Row, property: &mut JsonMap<String, Value>) {
    let mut add = |key: &str, value: Value| {
        property.insert(key.to_owned(), value);
    };
    match row.merge {
        Merge::Plain => {}
        Merge::Set => add("x-kubernetes-list-type", json!("set")),
        Merge::Map(keys) => {
            add("x-kubernetes-list-type", json!("map"));
            add("x-kubernetes-list-map-keys", json!(keys));
        }
        Merge::AtomicMap => add("x-kubernetes-map-type", json!("atomic")),
    }
    let words = row.patch_words();
    if !words.is_empty() {
        add("x-kubernetes-patch-strategy", json!(words));
    }
    if let Some(key) = row.patch().merge_key {
        add("x-kubernetes-patch-merge-key", json!(key));
    }
    if let Some(default) = row.default() {
        add("default", default);
    }
}

/// `OpenAPI` 3.0 ignores what stands beside a `$ref`, so that it has to go into an `allOf`.
fn wrap_references(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.len() > 1
                && let Some(target) = map.remove("$ref")
            {
                map.insert("allOf".to_owned(), json!([{"$ref": target}]));
            }
            for key in ["items", "additionalProperties"] {
                if let Some(inner) = map.get_mut(key) {
                    wrap_references(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(wrap_references),
        _ => {}
    }
}

/// The reference to a definition, as it stands in a document.
pub fn reference_to(name: &str) -> Value {
    json!({"$ref": format!("#{DEFINITIONS}/{name}")})
}
