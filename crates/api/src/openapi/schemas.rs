//! The schemas of a document.

use std::collections::BTreeMap;

use mosaic_schema::{builtin, definitions, reference_to};
use serde_json::{Map, Value, json};

use crate::{
    builtin::definition_name,
    kind::{Resource, Source},
};

use super::group_version_kind;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const GROUP_VERSION_KIND: &str = "x-kubernetes-group-version-kind";

const API_VERSION: &str = "The version of this representation, with its group: such as apps/v1.";
const KIND: &str = "The kind of this object, in CamelCase. It cannot be changed.";

/// The name of a kind's definition: `io.k8s.api.apps.v1.Deployment`, `com.example.v1.Thing`.
pub fn definition_of(resource: &Resource) -> String {
    match (&resource.source, &resource.ty.name) {
        (Source::BuiltIn, Some(name)) => name.to_string(),
        (Source::BuiltIn, None) => {
            definition_name(&resource.group, &resource.version, &resource.kind)
        }
        (Source::Custom(_), _) => {
            let mut parts: Vec<&str> = resource.group.split('.').rev().collect();
            parts.extend([&*resource.version, &*resource.kind]);
            parts.join(".")
        }
    }
}

/// The name of the definition of a list of a kind.
pub(super) fn list_definition_of(resource: &Resource) -> String {
    let name = definition_of(resource);
    let package = name.rsplit_once('.').map_or("", |(package, _)| package);
    format!("{package}.{}", resource.list_kind)
}

/// The name of a definition of `meta/v1`.
pub(super) fn meta(kind: &str) -> String {
    format!("{META}.{kind}")
}

/// The definition of a subresource's body; none for those that are streams.
pub(super) fn subresource_definition(group: &str, version: &str, kind: &str) -> Option<String> {
    let name = definition_name(group, version, kind);
    builtin(&name).map(|_| name)
}

/// Every schema that kinds of one group and version need.
pub(super) fn schemas(resources: &[&Resource]) -> BTreeMap<String, Value> {
    let mut names: Vec<String> = ["DeleteOptions", "ListMeta", "ObjectMeta", "Patch", "Status"]
        .iter()
        .map(|kind| meta(kind))
        .collect();
    for resource in resources {
        if matches!(resource.source, Source::BuiltIn) {
            names.push(definition_of(resource));
        }
        if resource.scale.is_some() {
            names.push(definition_name("autoscaling", "v1", "Scale"));
        }
        let bodies = resource.subresources.iter();
        names.extend(
            bodies.filter_map(|sub| subresource_definition(sub.group, sub.version, sub.kind)),
        );
    }
    let mut schemas = definitions(names.iter().map(String::as_str));
    for resource in resources {
        let name = definition_of(resource);
        if let Source::Custom(version) = &resource.source {
            schemas.insert(name.clone(), custom(&version.schema));
        }
        let gvk = group_version_kind(&resource.group, &resource.version, &resource.kind);
        mark(&mut schemas, &name, gvk);
        schemas.insert(list_definition_of(resource), list(resource, &name));
        for sub in &resource.subresources {
            if let Some(name) = subresource_definition(sub.group, sub.version, sub.kind) {
                mark(
                    &mut schemas,
                    &name,
                    group_version_kind(sub.group, sub.version, sub.kind),
                );
            }
        }
        if resource.scale.is_some() {
            let name = definition_name("autoscaling", "v1", "Scale");
            mark(
                &mut schemas,
                &name,
                group_version_kind("autoscaling", "v1", "Scale"),
            );
        }
        let options = group_version_kind(&resource.group, &resource.version, "DeleteOptions");
        mark(&mut schemas, &meta("DeleteOptions"), options);
    }
    mark(
        &mut schemas,
        &meta("Status"),
        group_version_kind("", "v1", "Status"),
    );
    schemas
}

/// Says of a schema that it is of a kind; a schema may be of several.
fn mark(schemas: &mut BTreeMap<String, Value>, name: &str, gvk: Value) {
    let Some(schema) = schemas.get_mut(name).and_then(Value::as_object_mut) else {
        return;
    };
    let kinds = schema
        .entry(GROUP_VERSION_KIND)
        .or_insert_with(|| json!([]));
    if let Some(kinds) = kinds.as_array_mut().filter(|kinds| !kinds.contains(&gvk)) {
        kinds.push(gvk);
    }
}

/// The schema of a custom kind, with the fields that every object has.
fn custom(schema: &Value) -> Value {
    let mut schema = match schema {
        Value::Object(map) => map.clone(),
        // A version without a schema keeps everything.
        _ => Map::from_iter([
            ("type".to_owned(), json!("object")),
            (
                "x-kubernetes-preserve-unknown-fields".to_owned(),
                json!(true),
            ),
        ]),
    };
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties
            .entry("apiVersion")
            .or_insert_with(|| text(API_VERSION));
        properties.entry("kind").or_insert_with(|| text(KIND));
        properties.insert(
            "metadata".to_owned(),
            described(
                &meta("ObjectMeta"),
                "Name, labels and what else all objects have.",
            ),
        );
    }
    Value::Object(schema)
}

fn list(resource: &Resource, item: &str) -> Value {
    json!({
        "description": format!("{} is a list of {}.", resource.list_kind, resource.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": text(API_VERSION),
            "kind": text(KIND),
            "metadata": described(&meta("ListMeta"), "The revision of the list, and how to continue it."),
            "items": {
                "description": format!("The {}.", resource.plural),
                "type": "array",
                "items": reference_to(item),
            },
        },
        GROUP_VERSION_KIND: [group_version_kind(&resource.group, &resource.version, &resource.list_kind)],
    })
}

fn text(description: &str) -> Value {
    json!({"description": description, "type": "string"})
}

fn described(name: &str, description: &str) -> Value {
    json!({"description": description, "allOf": [reference_to(name)]})
}
