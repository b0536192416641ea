//! Reading objects of built-in kinds: the walk that every write makes.
//!
//! It does what decoding into Go's structs does in Kubernetes: wrong JSON types are refused, unknown
//! fields are dropped and told, an explicit `null` is an absent field.

use std::fmt;

use serde_json::{Map as JsonMap, Number, Value};

use crate::{
    Object, Shape, StringFormat, Type,
    path::Path,
    scalar::{is_base64, is_date_time},
};

/// At most this many unknown or duplicate fields are told, as in Kubernetes.
pub const MAX_COMPLAINTS: usize = 100;

/// How to decode.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecodeOptions {
    /// Keep unknown fields instead of dropping them; they are told all the same.
    pub keep_unknown: bool,
}

/// A field that the type does not have. Its text is Kubernetes': `unknown field "spec.foo"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The field's path, such as `spec.containers[0].foo`.
    pub path: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown field \"{}\"", self.path)
    }
}

/// A value of the wrong JSON type, or one that cannot be read as its type. The request is a 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TypeError {
    /// The field's path, such as `spec.replicas`; empty for the object itself.
    pub path: String,
    /// What is wrong, as Go's decoder says it.
    pub message: String,
}

/// Checks a value against its type and brings it into the form in which it is stored: no unknown
/// fields, no `null` where that is not a value. The list of unknown fields holds at most
/// [`MAX_COMPLAINTS`].
///
/// # Errors
///
/// The first value that is not of its type; the object is then only partly changed.
pub fn decode(
    ty: &Type,
    value: &mut Value,
    options: DecodeOptions,
) -> Result<Vec<Unknown>, TypeError> {
    let mut decoder = Decoder {
        options,
        unknown: Vec::new(),
    };
    decoder.value(ty, value, &Path::Root, "")?;
    Ok(decoder.unknown)
}

struct Decoder {
    options: DecodeOptions,
    unknown: Vec<Unknown>,
}

impl Decoder {
    /// `owner` is the name of the innermost definition, for messages.
    fn value(
        &mut self,
        ty: &Type,
        value: &mut Value,
        path: &Path<'_>,
        owner: &str,
    ) -> Result<(), TypeError> {
        let right = match (&ty.shape, &mut *value) {
            (Shape::Any, _) => true,
            (Shape::Object(object), Value::Object(map)) => {
                let owner = ty.name.as_deref().unwrap_or(owner);
                return self.object(object, map, path, owner);
            }
            (Shape::Map(inner), Value::Object(map)) => {
                for (key, value) in map.iter_mut() {
                    if value.is_null() && !inner.values.nullable {
                        *value = zero(&inner.values);
                        continue;
                    }
                    self.value(&inner.values, value, &Path::Field(path, key), owner)?;
                }
                true
            }
            (Shape::List(list), Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    if item.is_null() && !list.items.nullable {
                        *item = zero(&list.items);
                        continue;
                    }
                    self.value(&list.items, item, &Path::Index(path, index), owner)?;
                }
                true
            }
            (Shape::String(format), Value::String(text)) => return string(*format, text, path),
            (Shape::Boolean, Value::Bool(_)) => true,
            (Shape::Int32, Value::Number(number)) => {
                fits(number, i64::from(i32::MIN), i64::from(i32::MAX))
            }
            (Shape::Int64, Value::Number(number)) => fits(number, i64::MIN, i64::MAX),
            (Shape::Number, Value::Number(_))
            | (Shape::Quantity, Value::Number(_) | Value::String(_)) => true,
            (Shape::IntOrString, Value::Number(number)) => {
                fits(number, i64::from(i32::MIN), i64::from(i32::MAX))
            }
            (Shape::IntOrString, Value::String(_)) => true,
            _ => false,
        };
        if right {
            Ok(())
        } else {
            Err(wrong_type(ty, value, path, owner))
        }
    }

    fn object(
        &mut self,
        object: &Object,
        map: &mut JsonMap<String, Value>,
        path: &Path<'_>,
        owner: &str,
    ) -> Result<(), TypeError> {
        let mut failed = None;
        map.retain(|key, value| {
            if failed.is_some() {
                return true;
            }
            let Some(field) = object.fields.get(key.as_str()) else {
                return object.preserve_unknown || self.unknown(path, key);
            };
            if value.is_null() && !field.ty.nullable {
                return false;
            }
            if let Err(error) = self.value(&field.ty, value, &Path::Field(path, key), owner) {
                failed = Some(error);
            }
            true
        });
        failed.map_or(Ok(()), Err)
    }

    /// Notes an unknown field, and says whether it is kept.
    fn unknown(&mut self, path: &Path<'_>, key: &str) -> bool {
        if self.unknown.len() < MAX_COMPLAINTS {
            self.unknown.push(Unknown {
                path: Path::Field(path, key).to_string(),
            });
        }
        self.options.keep_unknown
    }
}

/// What `null` in a list or map becomes, where it is not a value of its own.
fn zero(ty: &Type) -> Value {
    match &ty.shape {
        Shape::Any => Value::Null,
        Shape::String(StringFormat::DateTime) => Value::Null,
        Shape::String(_) => Value::String(String::new()),
        Shape::Boolean => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Number | Shape::IntOrString => Value::from(0),
        Shape::Quantity => Value::from("0"),
        Shape::Object(_) | Shape::Map(_) => Value::Object(JsonMap::new()),
        Shape::List(_) => Value::Array(Vec::new()),
    }
}

fn fits(number: &Number, min: i64, max: i64) -> bool {
    number.as_i64().is_some_and(|n| (min..=max).contains(&n))
}

fn string(format: StringFormat, text: &str, path: &Path<'_>) -> Result<(), TypeError> {
    let message = match format {
        StringFormat::Plain => return Ok(()),
        StringFormat::Byte => match is_base64(text) {
            Ok(()) => return Ok(()),
            Err(at) => format!("illegal base64 data at input byte {at}"),
        },
        StringFormat::DateTime if is_date_time(text) => return Ok(()),
        StringFormat::DateTime => {
            let shown: String = text.chars().take(64).collect();
            format!(
                "parsing time {shown:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {shown:?} as a time"
            )
        }
    };
    Err(TypeError {
        path: path.to_string(),
        message,
    })
}

/// Go's message: what stands there, where it should go, and of what type that is.
fn wrong_type(ty: &Type, value: &Value, path: &Path<'_>, owner: &str) -> TypeError {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) => match ty.shape {
            Shape::Int32 | Shape::Int64 | Shape::IntOrString => format!("number {number}"),
            _ => "number".to_owned(),
        },
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    let place = match path.fields() {
        fields if fields.is_empty() => "Go value".to_owned(),
        fields => format!("Go struct field {}.{fields}", last_part(owner)),
    };
    TypeError {
        path: path.to_string(),
        message: format!(
            "json: cannot unmarshal {found} into {place} of type {}",
            go_type(ty)
        ),
    }
}

fn go_type(ty: &Type) -> String {
    if let Some(name) = &ty.name {
        let mut parts = name.rsplit('.');
        let (kind, package) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        return format!("{package}.{kind}");
    }
    match &ty.shape {
        Shape::Any => "interface {}".to_owned(),
        Shape::String(StringFormat::Plain) => "string".to_owned(),
        Shape::String(StringFormat::Byte) => "[]uint8".to_owned(),
        Shape::String(StringFormat::DateTime) => "v1.Time".to_owned(),
        Shape::Boolean => "bool".to_owned(),
        Shape::Int32 => "int32".to_owned(),
        Shape::Int64 => "int64".to_owned(),
        Shape::Number => "float64".to_owned(),
        Shape::IntOrString => "intstr.IntOrString".to_owned(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::Object(_) => "struct".to_owned(),
        Shape::Map(map) => format!("map[string]{}", go_type(&map.values)),
        Shape::List(list) => format!("[]{}", go_type(&list.items)),
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
