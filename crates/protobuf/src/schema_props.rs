//! `JSONSchemaProps`: the schemas of custom kinds, which refer to themselves and so have no structural
//! type. Here their table tells what the fields are.

use serde_json::{Map as JsonMap, Value};

use crate::{
    ProtobufError,
    decode::{Decoder, deeper},
    scalar,
    wire::{Reader, Wire},
};

type Result<T> = std::result::Result<T, ProtobufError>;

/// What a field of a schema is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text; the empty one is absent.
    Text,
    /// Text that is always there or a pointer.
    KeptText,
    /// A boolean; false is absent.
    Bool,
    /// A boolean that is a pointer.
    KeptBool,
    /// A whole number that is a pointer.
    Int,
    /// A number that is a pointer.
    Double,
    /// A JSON value.
    Json,
    /// A schema.
    Schema,
    /// A schema, or a list of schemas.
    SchemaOrArray,
    /// A schema, or true or false.
    SchemaOrBool,
    /// A schema, or a list of names.
    SchemaOrNames,
    /// A message with these fields.
    Message(&'static [Row]),
    /// A list.
    List(&'static Kind),
    /// A map.
    Map(&'static Kind),
}

/// A field: number, name in JSON, kind.
pub(crate) type Row = (u32, &'static str, Kind);

/// `JSONSchemaProps`.
pub(crate) static SCHEMA: &[Row] = &[
    (1, "id", Kind::Text),
    (2, "$schema", Kind::Text),
    (3, "$ref", Kind::KeptText),
    (4, "description", Kind::Text),
    (5, "type", Kind::Text),
    (6, "format", Kind::Text),
    (7, "title", Kind::Text),
    (8, "default", Kind::Json),
    (9, "maximum", Kind::Double),
    (10, "exclusiveMaximum", Kind::Bool),
    (11, "minimum", Kind::Double),
    (12, "exclusiveMinimum", Kind::Bool),
    (13, "maxLength", Kind::Int),
    (14, "minLength", Kind::Int),
    (15, "pattern", Kind::Text),
    (16, "maxItems", Kind::Int),
    (17, "minItems", Kind::Int),
    (18, "uniqueItems", Kind::Bool),
    (19, "multipleOf", Kind::Double),
    (20, "enum", Kind::List(&Kind::Json)),
    (21, "maxProperties", Kind::Int),
    (22, "minProperties", Kind::Int),
    (23, "required", Kind::List(&Kind::KeptText)),
    (24, "items", Kind::SchemaOrArray),
    (25, "allOf", Kind::List(&Kind::Schema)),
    (26, "oneOf", Kind::List(&Kind::Schema)),
    (27, "anyOf", Kind::List(&Kind::Schema)),
    (28, "not", Kind::Schema),
    (29, "properties", Kind::Map(&Kind::Schema)),
    (30, "additionalProperties", Kind::SchemaOrBool),
    (31, "patternProperties", Kind::Map(&Kind::Schema)),
    (32, "dependencies", Kind::Map(&Kind::SchemaOrNames)),
    (33, "additionalItems", Kind::SchemaOrBool),
    (34, "definitions", Kind::Map(&Kind::Schema)),
    (35, "externalDocs", Kind::Message(EXTERNAL_DOCUMENTATION)),
    (36, "example", Kind::Json),
    (37, "nullable", Kind::Bool),
    (38, "x-kubernetes-preserve-unknown-fields", Kind::KeptBool),
    (39, "x-kubernetes-embedded-resource", Kind::Bool),
    (40, "x-kubernetes-int-or-string", Kind::Bool),
    (
        41,
        "x-kubernetes-list-map-keys",
        Kind::List(&Kind::KeptText),
    ),
    (42, "x-kubernetes-list-type", Kind::KeptText),
    (43, "x-kubernetes-map-type", Kind::KeptText),
    (
        44,
        "x-kubernetes-validations",
        Kind::List(&Kind::Message(VALIDATION_RULE)),
    ),
];

static EXTERNAL_DOCUMENTATION: &[Row] = &[(1, "description", Kind::Text), (2, "url", Kind::Text)];

static VALIDATION_RULE: &[Row] = &[
    (1, "rule", Kind::KeptText),
    (2, "message", Kind::Text),
    (3, "messageExpression", Kind::Text),
    (4, "reason", Kind::KeptText),
    (5, "fieldPath", Kind::Text),
    (6, "optionalOldSelf", Kind::KeptBool),
];

impl Decoder {
    /// Reads a schema; it adds to what stood before.
    pub(crate) fn schema_props(
        &mut self,
        message: &[u8],
        before: Option<Value>,
        depth: usize,
    ) -> Result<Value> {
        self.rows(SCHEMA, message, before, depth)
    }

    fn rows(
        &mut self,
        rows: &[Row],
        message: &[u8],
        before: Option<Value>,
        depth: usize,
    ) -> Result<Value> {
        let depth = deeper(depth)?;
        let mut object = match before {
            Some(Value::Object(object)) => object,
            _ => JsonMap::new(),
        };
        let mut reader = Reader::new(message);
        while let Some((number, wire)) = reader.next()? {
            let Some(&(_, name, kind)) = rows.iter().find(|row| row.0 == number) else {
                continue;
            };
            let before = object.remove(name);
            if let Some(value) = self.row(name, kind, wire, before, depth)? {
                object.insert(name.to_owned(), value);
            }
        }
        Ok(Value::Object(object))
    }

    /// Reads a field's value; none for a zero that JSON leaves out.
    fn row(
        &mut self,
        name: &str,
        kind: Kind,
        wire: Wire<'_>,
        before: Option<Value>,
        depth: usize,
    ) -> Result<Option<Value>> {
        self.count()?;
        Ok(Some(match kind {
            Kind::Text | Kind::KeptText => match scalar::text(name, wire)? {
                "" if kind == Kind::Text => return Ok(None),
                text => Value::from(text),
            },
            Kind::Bool | Kind::KeptBool => match scalar::varint(name, wire)? {
                0 if kind == Kind::Bool => return Ok(None),
                value => Value::from(value != 0),
            },
            Kind::Int => Value::from(scalar::int64(scalar::varint(name, wire)?)),
            Kind::Double => scalar::double(name, wire)?,
            Kind::Json => scalar::json(name, wire, depth)?,
            Kind::Schema => self.schema_props(scalar::bytes(name, wire)?, before, depth)?,
            Kind::SchemaOrArray | Kind::SchemaOrBool | Kind::SchemaOrNames => {
                self.choice(name, kind, scalar::bytes(name, wire)?, depth)?
            }
            Kind::Message(rows) => self.rows(rows, scalar::bytes(name, wire)?, before, depth)?,
            Kind::List(inner) => {
                let depth = deeper(depth)?;
                let mut items = match before {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                };
                items.extend(self.row(name, *inner, wire, None, depth)?);
                Value::Array(items)
            }
            Kind::Map(inner) => {
                let depth = deeper(depth)?;
                let mut map = match before {
                    Some(Value::Object(map)) => map,
                    _ => JsonMap::new(),
                };
                let (mut key, mut value) = ("", Wire::Bytes(&[]));
                let mut reader = Reader::new(scalar::bytes(name, wire)?);
                while let Some((number, wire)) = reader.next()? {
                    match number {
                        1 => key = scalar::text(name, wire)?,
                        2 => value = wire,
                        _ => {}
                    }
                }
                if let Some(value) = self.row(name, *inner, value, None, depth)? {
                    map.insert(key.to_owned(), value);
                }
                Value::Object(map)
            }
        }))
    }

    /// Reads a schema or what may stand in its place. A list that is there comes first, as in Go.
    fn choice(&mut self, name: &str, kind: Kind, message: &[u8], depth: usize) -> Result<Value> {
        let (mut schema, mut list, mut allows) = (None, Vec::new(), false);
        let schema_number = if kind == Kind::SchemaOrBool { 2 } else { 1 };
        let mut reader = Reader::new(message);
        while let Some((number, wire)) = reader.next()? {
            match (number, kind) {
                (number, _) if number == schema_number => {
                    schema = self.row(name, Kind::Schema, wire, schema.take(), depth)?;
                }
                (1, Kind::SchemaOrBool) => allows = scalar::varint(name, wire)? != 0,
                (2, Kind::SchemaOrArray) => {
                    list.extend(self.row(name, Kind::Schema, wire, None, deeper(depth)?)?);
                }
                (2, Kind::SchemaOrNames) => {
                    list.extend(self.row(name, Kind::KeptText, wire, None, depth)?);
                }
                _ => {}
            }
        }
        Ok(match schema {
            _ if !list.is_empty() => Value::Array(list),
            Some(schema) => schema,
            None if kind == Kind::SchemaOrBool => Value::from(allows),
            None => Value::Null,
        })
    }
}
