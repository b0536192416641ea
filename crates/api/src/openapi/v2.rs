//! The same as Swagger 2.0, which older parts of kubectl ask for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::kind::Resource;

use super::{KUBERNETES_VERSION, paths, schemas};

/// What Swagger 2.0 has no words for; leaving it out says less, but nothing wrong.
const UNKNOWN_TO_V2: [&str; 5] = ["anyOf", "oneOf", "not", "nullable", "example"];

/// The one document of all kinds.
pub fn v2_document(resources: &[&Resource]) -> Value {
    let mut groups: BTreeMap<(&str, &str), Vec<&Resource>> = BTreeMap::new();
    for resource in resources {
        groups
            .entry((&resource.group, &resource.version))
            .or_default()
            .push(resource);
    }
    let mut all_paths = Map::new();
    for resources in groups.values() {
        for (path, mut item) in paths::paths(resources) {
            convert_path(&mut item);
            all_paths.insert(path, item);
        }
    }
    let definitions: Map<String, Value> = schemas::schemas(resources)
        .into_iter()
        .map(|(name, mut schema)| {
            convert_definition(&name, &mut schema);
            (name, schema)
        })
        .collect();
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": all_paths,
        "definitions": definitions,
    })
}

fn convert_definition(name: &str, schema: &mut Value) {
    let two_typed = name.ends_with(".Quantity") || name.ends_with(".IntOrString");
    if let Some(map) = schema.as_object_mut().filter(|_| two_typed) {
        map.insert("type".to_owned(), json!("string"));
    }
    convert_schema(schema);
}

/// Turns a schema and all inside of it into Swagger 2.0's.
fn convert_schema(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    for key in UNKNOWN_TO_V2 {
        map.remove(key);
    }
    // Beside a reference, Swagger 2.0 allows a description.
    if let Some(Value::Array(all)) = map.remove("allOf")
        && let [only] = all.as_slice()
        && let Some(target) = only.get("$ref")
    {
        map.insert("$ref".to_owned(), target.clone());
        map.remove("default");
    }
    if map.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
        map.insert("type".to_owned(), json!("string"));
    }
    if let Some(Value::String(target)) = map.get_mut("$ref") {
        *target = target.replace("#/components/schemas/", "#/definitions/");
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key) {
            convert_schema(inner);
        }
    }
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(convert_schema);
    }
}

fn convert_path(item: &mut Value) {
    let Some(item) = item.as_object_mut() else {
        return;
    };
    for (key, value) in item {
        if key == "parameters" {
            convert_parameters(value);
        } else {
            convert_operation(value);
        }
    }
}

fn convert_operation(operation: &mut Value) {
    let Some(map) = operation.as_object_mut() else {
        return;
    };
    map.insert("schemes".to_owned(), json!(["https"]));
    map.insert(
        "produces".to_owned(),
        json!(["application/json", "application/yaml"]),
    );
    let mut parameters = map.remove("parameters").unwrap_or_else(|| json!([]));
    convert_parameters(&mut parameters);
    if let Some(body) = map.remove("requestBody") {
        let content = body.get("content").and_then(Value::as_object);
        let media_types: Vec<&String> = content.into_iter().flat_map(Map::keys).collect();
        map.insert("consumes".to_owned(), json!(media_types));
        let required = body.get("required").cloned().unwrap_or_default();
        let schema = schema_of(&body).unwrap_or_default();
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(
                json!({"name": "body", "in": "body", "required": required, "schema": schema}),
            );
        }
    }
    map.insert("parameters".to_owned(), parameters);
    if let Some(responses) = map.get_mut("responses").and_then(Value::as_object_mut) {
        for response in responses.values_mut() {
            let schema = schema_of(response);
            if let Some(response) = response.as_object_mut() {
                response.remove("content");
                if let Some(schema) = schema {
                    response.insert("schema".to_owned(), schema);
                }
            }
        }
    }
}

/// The schema of a body or an answer; it is the same for every media type.
fn schema_of(body: &Value) -> Option<Value> {
    let content = body.get("content")?.as_object()?;
    let mut schema = content.values().next()?.get("schema")?.clone();
    convert_schema(&mut schema);
    Some(schema)
}

/// Moves a parameter's type to where Swagger 2.0 has it.
fn convert_parameters(parameters: &mut Value) {
    for parameter in parameters.as_array_mut().into_iter().flatten() {
        let Some(map) = parameter.as_object_mut() else {
            continue;
        };
        if let Some(Value::Object(schema)) = map.remove("schema") {
            map.extend(schema);
        }
    }
}
