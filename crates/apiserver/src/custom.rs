//! Rows of the kind table from the `CustomResourceDefinition`s in the cache.

use std::{collections::HashMap, sync::Arc};

use mosaic_api::{
    Resource,
    columns::{Column, Columns},
    kind::{CustomVersion, Scale, SelectableField, Source, VERBS},
};
use mosaic_schema::{Structural, Type};
use mosaic_store::Revision;
use serde_json::Value;

use crate::{
    app::App,
    cache::{Change, Object},
};

/// The prefix of the definitions' keys.
pub const PREFIX: &str = "/apiextensions.k8s.io/customresourcedefinitions/";

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
    versions
        .into_iter()
        .flatten()
        .filter(|version| version.get("served").is_some_and(|served| served == true))
        .map(|version| row(definition, version, storage.clone()))
        .collect()
}

fn row(definition: &Value, version: &Value, storage_version: Arc<str>) -> Resource {
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
            definition: arc(definition, "/metadata/name"),
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

/// The rows that definitions make, by the definition's key and revision: compiling a schema is much work,
/// and the rows of all definitions are needed whenever one changes.
#[derive(Debug, Default)]
pub struct Compiled(HashMap<Arc<str>, (Revision, Vec<Resource>)>);

impl Compiled {
    /// The rows of these definitions, and of no others from now on.
    fn rows(&mut self, definitions: &[Arc<Object>]) -> Vec<Resource> {
        let mut known = std::mem::take(&mut self.0);
        for definition in definitions {
            let same = known
                .remove(&definition.key)
                .filter(|(revision, _)| *revision == definition.revision);
            let compiled = same.unwrap_or_else(|| (definition.revision, rows(&definition.value())));
            self.0.insert(definition.key.clone(), compiled);
        }
        definitions
            .iter()
            .filter_map(|definition| self.0.get(&definition.key))
            .flat_map(|(_, rows)| rows.clone())
            .collect()
    }
}

/// Brings the kind table up to the definitions in the cache.
pub fn refresh(app: &App) {
    let mut definitions = app.cache.kind(PREFIX).list(PREFIX);
    definitions.sort_by(|a, b| a.key.cmp(&b.key));
    let custom = app.kinds.compiled.lock().rows(&definitions);
    app.kinds.set_custom(&app.cache, custom);
}

/// Keeps the kind table up with the definitions from now on.
pub fn observe(app: &Arc<App>) {
    let weak = Arc::downgrade(app);
    let observer = move |change: &Change| {
        let Some(app) = weak.upgrade() else { return };
        // Most writes of a definition are to its status; what it serves is in its spec.
        let relevant = |value: &Value| {
            let conditions = value.pointer("/status/conditions").cloned();
            (value.get("spec").cloned(), conditions)
        };
        let same = !change.deleted
            && change
                .previous
                .as_ref()
                .is_some_and(|old| relevant(&old.value()) == relevant(&change.object.value()));
        if !same {
            refresh(&app);
        }
    };
    app.cache.observe(PREFIX, Box::new(observer));
}
