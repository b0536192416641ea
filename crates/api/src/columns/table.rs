//! Tables (`meta.k8s.io/v1` `Table`): what `kubectl get` asks for.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Column, Columns, pods,
    read::{self, AGE, NAME},
};
use crate::{jsonpath::JsonPath, kind::Resource, time};

/// How much of each object comes with its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata, as a `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject`; nothing given means metadata.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "None" => Some(Self::None),
            "" | "Metadata" => Some(Self::Metadata),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// Writes objects of one kind as rows.
///
/// Paths of custom columns are read once, so that many rows cost no more than they must.
pub struct TableWriter<'a> {
    resource: &'a Resource,
    custom: Vec<(Column, Option<JsonPath>)>,
}

/// Objects of a kind as a table. `metadata` is that of the list: `resourceVersion`, `continue` and
/// `remainingItemCount`.
pub fn table<'a>(
    resource: &Resource,
    metadata: Value,
    objects: impl IntoIterator<Item = &'a Value>,
    now: Timestamp,
    include: IncludeObject,
) -> Value {
    let writer = TableWriter::new(resource);
    let rows = objects
        .into_iter()
        .map(|object| writer.row(object, now, include))
        .collect();
    writer.table(metadata, rows)
}

impl<'a> TableWriter<'a> {
    /// A writer for a kind.
    pub fn new(resource: &'a Resource) -> Self {
        let custom = match &resource.columns {
            Columns::BuiltIn { .. } => Vec::new(),
            Columns::Custom(given) if given.is_empty() => {
                let age = Column {
                    ty: "date".to_owned(),
                    ..read::column(&AGE)
                };
                let path = JsonPath::parse(".metadata.creationTimestamp").ok();
                vec![(age, path)]
            }
            // A path that cannot be read makes an empty column rather than no table.
            Columns::Custom(given) => given
                .iter()
                .map(|(column, path)| (column.clone(), JsonPath::parse(path).ok()))
                .collect(),
        };
        Self { resource, custom }
    }

    /// The columns.
    pub fn definitions(&self) -> Vec<Column> {
        match &self.resource.columns {
            Columns::BuiltIn { definitions, .. } => definitions(),
            Columns::Custom(_) => std::iter::once(read::column(&NAME))
                .chain(self.custom.iter().map(|(column, _)| column.clone()))
                .collect(),
        }
    }

    /// The cells of an object, one for each column.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match &self.resource.columns {
            Columns::BuiltIn { cells, .. } => cells(object, now),
            Columns::Custom(_) => std::iter::once(read::name(object))
                .chain(self.custom.iter().map(|(column, path)| {
                    let found = path.as_ref().and_then(|path| path.first(object));
                    found.map_or(Value::Null, |found| cell(&column.ty, found, now))
                }))
                .collect(),
        }
    }

    /// The row of an object.
    pub fn row(&self, object: &Value, now: Timestamp, include: IncludeObject) -> Value {
        let mut row = Map::new();
        row.insert("cells".to_owned(), self.cells(object, now).into());
        if self.resource.group.is_empty()
            && &*self.resource.kind == "Pod"
            && let Some(conditions) = pods::row_conditions(object)
        {
            row.insert("conditions".to_owned(), conditions);
        }
        let included = match include {
            IncludeObject::None => None,
            IncludeObject::Object => Some(object.clone()),
            IncludeObject::Metadata => Some(json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": object.get("metadata").cloned().unwrap_or_default(),
            })),
        };
        if let Some(included) = included {
            row.insert("object".to_owned(), included);
        }
        Value::Object(row)
    }

    /// A table of rows.
    pub fn table(&self, metadata: Value, rows: Vec<Value>) -> Value {
        let definitions: Vec<Value> = self
            .definitions()
            .into_iter()
            .map(|column| {
                json!({
                    "name": column.name,
                    "type": column.ty,
                    "format": column.format,
                    "description": column.description,
                    "priority": column.priority,
                })
            })
            .collect();
        json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": definitions,
            "rows": rows,
        })
    }
}

/// A value as a cell of a type; null if it is of another.
fn cell(ty: &str, found: &Value, now: Timestamp) -> Value {
    match (ty, found) {
        (_, Value::Null) => Value::Null,
        ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            // Beyond 64 bits the cast takes the nearest that fits.
            (None, Some(real)) => (real as i64).into(),
            (None, None) => Value::Null,
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
        ("date", Value::String(text)) => match time::parse(text) {
            Some(then) => time::since(then, now).into(),
            None => "<invalid>".into(),
        },
        ("string", Value::String(_)) => found.clone(),
        ("string", other) => other.to_string().into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{builtin, kind::Source};

    fn now() -> Timestamp {
        "2026-01-01T01:00:00Z".parse().unwrap()
    }

    fn custom(columns: &[(&str, &str, &str)]) -> Resource {
        let mut row = builtin::resources()
            .into_iter()
            .find(|row| &*row.kind == "ConfigMap")
            .unwrap();
        let columns = columns.iter().map(|(name, ty, path)| {
            let column = Column {
                name: (*name).to_owned(),
                ty: (*ty).to_owned(),
                format: String::new(),
                description: String::new(),
                priority: 0,
            };
            (column, (*path).to_owned())
        });
        row.columns = Columns::Custom(columns.collect());
        row.source = Source::BuiltIn;
        row
    }

    #[test]
    fn custom_columns_show_what_their_paths_find() {
        let row = custom(&[
            ("Replicas", "integer", ".spec.replicas"),
            ("Since", "date", ".status.since"),
            ("Hosts", "string", ".spec.hosts"),
            (
                "Ready",
                "string",
                ".status.conditions[?(@.type==\"Ready\")].status",
            ),
            ("Missing", "string", ".spec.missing"),
            ("Wrong", "integer", ".spec.hosts"),
            ("Broken", "string", ".spec["),
        ]);
        let object = json!({
            "metadata": {"name": "x"},
            "spec": {"replicas": 3, "hosts": ["a"]},
            "status": {"since": "2026-01-01T00:00:00Z", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        let table = table(&row, json!({}), [&object], now(), IncludeObject::None);
        assert_eq!(
            table["rows"],
            json!([{"cells": ["x", 3, "60m", "[\"a\"]", "True", null, null, null]}])
        );
        assert_eq!(table["columnDefinitions"][0]["format"], "name");
    }

    #[test]
    fn custom_kinds_without_columns_show_their_age() {
        let row = custom(&[]);
        let object =
            json!({"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:59:00Z"}});
        let writer = TableWriter::new(&row);
        assert_eq!(writer.cells(&object, now()), [json!("x"), json!("60s")]);
        assert_eq!(writer.definitions()[1].name, "Age");
    }

    #[test]
    fn rows_carry_as_much_of_the_object_as_asked() {
        let row = custom(&[]);
        let object = json!({"kind": "X", "metadata": {"name": "x"}, "data": {}});
        let writer = TableWriter::new(&row);
        let included = |include| writer.row(&object, now(), include).get("object").cloned();
        assert_eq!(included(IncludeObject::None), None);
        assert_eq!(included(IncludeObject::Object), Some(object.clone()));
        assert_eq!(
            included(IncludeObject::Metadata),
            Some(json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"name": "x"},
            }))
        );
        assert_eq!(IncludeObject::parse("Some"), None);
        assert_eq!(IncludeObject::parse(""), Some(IncludeObject::Metadata));
    }

    #[test]
    fn pods_that_ended_say_so() {
        let rows = builtin::resources();
        let pods = rows.iter().find(|row| &*row.kind == "Pod").unwrap();
        let row = |phase: &str| {
            TableWriter::new(pods).row(
                &json!({"status": {"phase": phase}}),
                now(),
                IncludeObject::None,
            )
        };
        assert_eq!(row("Succeeded")["conditions"][0]["type"], "Completed");
        assert_eq!(row("Running").get("conditions"), None);
    }
}
