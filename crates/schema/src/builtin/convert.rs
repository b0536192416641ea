//! From `k8s-openapi`'s JSON schemas to structural types.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use serde_json::{Map as JsonMap, Value};

use crate::{Field, List, ListKind, Map, Object, Shape, StringFormat, Type};

use super::facts::{self, Merge};

/// Where references point to in generated schemas.
pub(super) const DEFINITIONS: &str = "/components/schemas";

const ANY: [&str; 7] = [
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
];
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// How deep definitions may be nested; the deepest of Kubernetes' are below 20.
const MAX_DEPTH: usize = 64;

/// One shared node for every scalar type.
struct Scalars {
    any: Arc<Type>,
    string: Arc<Type>,
    byte: Arc<Type>,
    date_time: Arc<Type>,
    boolean: Arc<Type>,
    int32: Arc<Type>,
    int64: Arc<Type>,
    number: Arc<Type>,
    int_or_string: Arc<Type>,
    quantity: Arc<Type>,
    strings: Arc<Type>,
    string_map: Arc<Type>,
}

static SCALARS: LazyLock<Scalars> = LazyLock::new(|| {
    let of = |shape| {
        Arc::new(Type {
            name: None,
            nullable: false,
            shape,
        })
    };
    let string = of(Shape::String(StringFormat::Plain));
    Scalars {
        any: of(Shape::Any),
        byte: of(Shape::String(StringFormat::Byte)),
        date_time: of(Shape::String(StringFormat::DateTime)),
        boolean: of(Shape::Boolean),
        int32: of(Shape::Int32),
        int64: of(Shape::Int64),
        number: of(Shape::Number),
        int_or_string: of(Shape::IntOrString),
        quantity: of(Shape::Quantity),
        strings: of(Shape::List(List {
            items: string.clone(),
            kind: ListKind::Atomic,
        })),
        string_map: of(Shape::Map(Map {
            values: string.clone(),
            atomic: false,
        })),
        string,
    }
});

/// Turns definitions into types, each once.
pub(super) struct Converter<'a> {
    /// The generated JSON schemas.
    pub(super) definitions: &'a JsonMap<String, Value>,
    /// What has been converted already.
    pub(super) types: &'a mut HashMap<Box<str>, Arc<Type>>,
}

impl Converter<'_> {
    /// The type of a definition; [`Shape::Any`] for one that is not there.
    pub(super) fn definition(&mut self, name: &str, depth: usize) -> Arc<Type> {
        if let Some(known) = self.types.get(name) {
            return known.clone();
        }
        let ty = if ANY.contains(&name) || depth > MAX_DEPTH {
            SCALARS.any.clone()
        } else if name == QUANTITY {
            SCALARS.quantity.clone()
        } else if name == INT_OR_STRING {
            SCALARS.int_or_string.clone()
        } else {
            match self.definitions.get(name) {
                None => SCALARS.any.clone(),
                Some(schema) => self.named(name, schema, depth),
            }
        };
        self.types.insert(name.into(), ty.clone());
        ty
    }

    fn named(&mut self, name: &str, schema: &Value, depth: usize) -> Arc<Type> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return match text(schema, "type") {
                // A struct without fields, such as `SelfSubjectReviewSpec`, still is an object.
                "object" => Arc::new(Type {
                    name: Some(name.into()),
                    nullable: false,
                    shape: Shape::Object(Object {
                        atomic: facts::is_atomic(name),
                        ..Object::default()
                    }),
                }),
                _ => self.anonymous(schema, Merge::Plain, depth),
            };
        };
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut object = Object {
            atomic: facts::is_atomic(name),
            ..Object::default()
        };
        for (key, property) in properties {
            let row = facts::find(name, key);
            let field = Field {
                ty: self.anonymous(
                    property,
                    row.map_or(Merge::Plain, |row| row.merge),
                    depth + 1,
                ),
                required: required.contains(&key.as_str()),
                default: row.and_then(facts::Row::default),
                patch: row.map(facts::Row::patch).unwrap_or_default(),
            };
            object.fields.insert(key.as_str().into(), field);
        }
        Arc::new(Type {
            name: Some(name.into()),
            nullable: false,
            shape: Shape::Object(object),
        })
    }

    fn anonymous(&mut self, schema: &Value, merge: Merge, depth: usize) -> Arc<Type> {
        if let Some(name) = reference(schema) {
            return self.definition(name, depth);
        }
        if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            return SCALARS.int_or_string.clone();
        }
        match (text(schema, "type"), text(schema, "format")) {
            ("string", "byte") => SCALARS.byte.clone(),
            ("string", "date-time") => SCALARS.date_time.clone(),
            ("string", _) => SCALARS.string.clone(),
            ("boolean", _) => SCALARS.boolean.clone(),
            ("integer", "int32") => SCALARS.int32.clone(),
            ("integer", _) => SCALARS.int64.clone(),
            ("number", _) => SCALARS.number.clone(),
            ("array", _) => self.list(schema, merge, depth),
            ("object", _) => self.map(schema, merge, depth),
            _ => SCALARS.any.clone(),
        }
    }

    fn list(&mut self, schema: &Value, merge: Merge, depth: usize) -> Arc<Type> {
        let items = schema.get("items").map_or_else(
            || SCALARS.any.clone(),
            |s| self.anonymous(s, Merge::Plain, depth + 1),
        );
        let kind = match merge {
            Merge::Set => ListKind::Set,
            Merge::Map(keys) => ListKind::Map(keys.iter().map(|key| (*key).into()).collect()),
            Merge::Plain | Merge::AtomicMap => ListKind::Atomic,
        };
        if kind == ListKind::Atomic && Arc::ptr_eq(&items, &SCALARS.string) {
            return SCALARS.strings.clone();
        }
        Arc::new(Type {
            name: None,
            nullable: false,
            shape: Shape::List(List { items, kind }),
        })
    }

    fn map(&mut self, schema: &Value, merge: Merge, depth: usize) -> Arc<Type> {
        let Some(values) = schema
            .get("additionalProperties")
            .filter(|values| values.is_object())
        else {
            return SCALARS.any.clone();
        };
        let values = self.anonymous(values, Merge::Plain, depth + 1);
        let atomic = merge == Merge::AtomicMap;
        if !atomic && Arc::ptr_eq(&values, &SCALARS.string) {
            return SCALARS.string_map.clone();
        }
        Arc::new(Type {
            name: None,
            nullable: false,
            shape: Shape::Map(Map { values, atomic }),
        })
    }
}

/// The name of the definition that a schema refers to.
pub(super) fn reference(schema: &Value) -> Option<&str> {
    schema
        .get("$ref")?
        .as_str()?
        .strip_prefix('#')?
        .strip_prefix(DEFINITIONS)?
        .strip_prefix('/')
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}
