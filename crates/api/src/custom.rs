//! Rows of the kind table from `CustomResourceDefinition`s.

use std::sync::Arc;

use mosaic_schema::{Structural, Type};
use serde_json::Value;

use crate::{
    columns::{Column, Columns},
    kind::{CustomVersion, Resource, Scale, SelectableField, Source, VERBS},
};

/// The rows of a definition, one for each version that is served; none while it is not established.
pub fn rows(definition: &Value) -> Vec<Resource> {
    let established = definition
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|c| {
            c.get("type").is_some_and(|t| t == "Established")
                && c.get("status").is_some_and(|s| s == "True")
        });
    if !established {
        return Vec::new();
    }
    let versions = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array);
    let storage: Arc<str> = versions
        .into_iter()
        .flatten()
        .find(|version| {
            version
                .get("storage")
                .is_some_and(|storage| storage == true)
        })
        .map(|version| arc(version, "/name"))
        .unwrap_or_else(|| Arc::from(""));
    let name = arc(definition, "/metadata/name");
    versions
        .into_iter()
        .flatten()
        .filter(|version| version.get("served").is_some_and(|served| served == true))
        .map(|version| row(definition, version, name.clone(), storage.clone()))
        .collect()
}

/// The rows of a definition that is compiled in. It need not say what follows from its kind, and nobody has to
/// establish it.
pub(crate) fn compiled_in(definition: &Value) -> Vec<Resource> {
    let versions = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array);
    let annotation = |key: &str| {
        let annotations = definition.pointer("/metadata/annotations")?;
        annotations.get(key)?.as_str()
    };
    let named = |verb: &&str| {
        annotation("mosaic/verbs").is_none_or(|verbs| verbs.split(' ').any(|named| named == *verb))
    };
    let row = |version| {
        let row = row(definition, version, "".into(), arc(version, "/name"));
        Resource {
            singular: row.kind.to_ascii_lowercase().into(),
            list_kind: format!("{}List", row.kind).into(),
            verbs: VERBS.into_iter().filter(named).collect(),
            keeper: annotation("mosaic/keeper").map(Arc::from),
            ..row
        }
    };
    versions.into_iter().flatten().map(row).collect()
}

/// The row of one version of a definition.
fn row(definition: &Value, version: &Value, name: Arc<str>, storage_version: Arc<str>) -> Resource {
    let schema = version
        .pointer("/schema/openAPIV3Schema")
        .cloned()
        .unwrap_or_default();
    let structural = Structural::recompile(&schema).ok();
    let ty = structural.as_ref().map_or_else(
        || Arc::new(Type::default()),
        |structural| structural.ty.clone(),
    );
    let group = arc(definition, "/spec/group");
    let scale = version.pointer("/subresources/scale").map(|scale| Scale {
        spec_replicas: dotless(scale, "/specReplicasPath"),
        status_replicas: dotless(scale, "/statusReplicasPath"),
        selector: scale
            .get("labelSelectorPath")
            .map(|_| dotless(scale, "/labelSelectorPath")),
    });
    Resource {
        version: arc(version, "/name"),
        kind: arc(definition, "/spec/names/kind"),
        list_kind: arc(definition, "/spec/names/listKind"),
        plural: arc(definition, "/spec/names/plural"),
        singular: arc(definition, "/spec/names/singular"),
        short_names: texts(definition, "/spec/names/shortNames"),
        categories: texts(definition, "/spec/names/categories"),
        namespaced: definition
            .pointer("/spec/scope")
            .is_some_and(|scope| scope == "Namespaced"),
        verbs: VERBS.to_vec(),
        keeper: None,
        ty,
        status: version.pointer("/subresources/status").is_some(),
        scale,
        subresources: Vec::new(),
        columns: columns(version),
        selectable_fields: version
            .get("selectableFields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|field| SelectableField {
                path: dotless(field, "/jsonPath"),
                stored_at: &[],
                default: "",
            })
            .collect(),
        storage_group: group.clone(),
        group,
        source: Source::Custom(Arc::new(CustomVersion {
            definition: name,
            storage_version,
            structural,
            deprecation: deprecation(definition, version),
            schema,
        })),
    }
}

/// What users of a deprecated version are told: the definition's own words, or that it is so.
fn deprecation(definition: &Value, version: &Value) -> Option<String> {
    let deprecated = version
        .get("deprecated")
        .is_some_and(|deprecated| deprecated == true);
    let text = |value: &Value, path: &str| {
        value
            .pointer(path)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    deprecated.then(|| {
        text(version, "/deprecationWarning").unwrap_or_else(|| {
            let part = |value, path| text(value, path).unwrap_or_default();
            format!(
                "{}/{} {} is deprecated",
                part(definition, "/spec/group"),
                part(version, "/name"),
                part(definition, "/spec/names/kind")
            )
        })
    })
}

fn columns(version: &Value) -> Columns {
    let given = version
        .get("additionalPrinterColumns")
        .and_then(Value::as_array);
    let text = |column: &Value, key: &str| {
        column
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Columns::Custom(
        given
            .into_iter()
            .flatten()
            .map(|column| {
                let definition = Column {
                    name: text(column, "name"),
                    ty: text(column, "type"),
                    format: text(column, "format"),
                    description: text(column, "description"),
                    priority: column
                        .get("priority")
                        .and_then(Value::as_i64)
                        .and_then(|p| i32::try_from(p).ok())
                        .unwrap_or(0),
                };
                (definition, text(column, "jsonPath"))
            })
            .collect(),
    )
}

fn arc(value: &Value, path: &str) -> Arc<str> {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .into()
}

fn dotless(value: &Value, path: &str) -> Arc<str> {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .trim_start_matches('.')
        .into()
}

fn texts(value: &Value, path: &str) -> Vec<Arc<str>> {
    value
        .pointer(path)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(Arc::from)
        .collect()
}
