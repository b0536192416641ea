//! Values of expressions. What comes from an object is borrowed from it.

use std::{cmp::Ordering, rc::Rc};

use serde_json::{Map as JsonMap, Value};

use crate::crd::node::{JsonType, Node};

use super::{
    eval::Fuel,
    numbers::{parse_duration, parse_timestamp},
};

/// A value.
#[derive(Debug, Clone)]
pub(in crate::crd) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(Text<'a>),
    List(List<'a>),
    Map(Entries<'a>),
    /// Nanoseconds since 1970.
    Timestamp(i128),
    /// Nanoseconds.
    Duration(i128),
    /// A resource quantity, in billionths.
    Quantity(i128),
    Optional(Option<Rc<Val<'a>>>),
}

/// A string, of the object or made by the expression.
#[derive(Debug, Clone)]
pub(in crate::crd) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Rc<str>),
}

/// A list, of the object or made by the expression.
#[derive(Debug, Clone)]
pub(in crate::crd) enum List<'a> {
    Json(&'a [Value], Option<&'a Node>),
    Made(Rc<Vec<Val<'a>>>),
}

/// A map, of the object or made by the expression.
#[derive(Debug, Clone)]
pub(in crate::crd) enum Entries<'a> {
    Json(&'a JsonMap<String, Value>, Option<&'a Node>),
    Made(Rc<Vec<(Val<'a>, Val<'a>)>>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(items, _) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<Val<'a>> {
        match self {
            Self::Json(items, node) => Some(Val::json(
                items.get(at)?,
                node.and_then(|node| node.items.as_deref()),
            )),
            Self::Made(items) => items.get(at).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Val<'a>> {
        let list = self.clone();
        (0..self.len()).filter_map(move |at| list.get(at))
    }
}

impl<'a> Entries<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(map, _) => map.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    /// The value at a name.
    pub(super) fn field(&self, name: &str) -> Option<Val<'a>> {
        match self {
            Self::Json(map, node) => {
                let value = map.get(name)?;
                let inner =
                    node.and_then(|node| node.properties.get(name).or(node.additional.as_deref()));
                Some(Val::json(value, inner))
            }
            Self::Made(entries) => {
                let found = entries
                    .iter()
                    .find(|(key, _)| matches!(key, Val::String(text) if text.as_str() == name));
                found.map(|(_, value)| value.clone())
            }
        }
    }

    pub(super) fn get(&self, key: &Val<'a>, fuel: &mut Fuel) -> Result<Option<Val<'a>>, String> {
        match (self, key) {
            (Self::Json(..), Val::String(text)) => Ok(self.field(text.as_str())),
            (Self::Json(..), _) => Ok(None),
            (Self::Made(entries), _) => {
                for (candidate, value) in entries.iter() {
                    if equal(candidate, key, fuel)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
        }
    }

    pub(super) fn iter(&self) -> Vec<(Val<'a>, Val<'a>)> {
        match self {
            Self::Json(map, node) => {
                let node_of = |key: &String| {
                    node.and_then(|node| {
                        node.properties
                            .get(key.as_str())
                            .or(node.additional.as_deref())
                    })
                };
                map.iter()
                    .map(|(key, value)| {
                        (
                            Val::String(Text::Borrowed(key)),
                            Val::json(value, node_of(key)),
                        )
                    })
                    .collect()
            }
            Self::Made(entries) => entries.to_vec(),
        }
    }
}

impl<'a> Val<'a> {
    /// A value of the object, as its schema says that it is to be read.
    pub(in crate::crd) fn json(value: &'a Value, node: Option<&'a Node>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => {
                let double = node.is_some_and(|node| node.json_type == Some(JsonType::Number));
                match number.as_i64() {
                    Some(whole) if !double => Self::Int(whole),
                    _ => {
                        let float = number.as_f64().unwrap_or_default();
                        let whole =
                            node.is_some_and(|node| node.json_type == Some(JsonType::Integer));
                        // `1.0` where the schema says integer; its size has been checked.
                        if whole {
                            Self::Int(float as i64)
                        } else {
                            Self::Double(float)
                        }
                    }
                }
            }
            Value::String(text) => {
                let format = node
                    .and_then(|node| node.limits.as_ref())
                    .and_then(|limits| limits.format.as_deref());
                let read = match format {
                    Some("date-time") => parse_timestamp(text).map(Self::Timestamp),
                    Some("duration") => parse_duration(text).map(Self::Duration),
                    _ => None,
                };
                read.unwrap_or(Self::String(Text::Borrowed(text)))
            }
            Value::Array(items) => Self::List(List::Json(items, node)),
            Value::Object(map) => Self::Map(Entries::Json(map, node)),
        }
    }

    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(List::Made(Rc::new(items)))
    }

    pub(super) fn some(value: Self) -> Self {
        Self::Optional(Some(Rc::new(value)))
    }

    /// The string, if it is one.
    pub(in crate::crd) fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The name of its type, for messages.
    pub(in crate::crd) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Optional(_) => "optional_type",
        }
    }
}

/// Whether two values are equal; numbers are compared across their types.
pub(super) fn equal(a: &Val<'_>, b: &Val<'_>, fuel: &mut Fuel) -> Result<bool, String> {
    fuel.spend(1)?;
    Ok(match (a, b) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Int(_) | Val::Double(_), Val::Int(_) | Val::Double(_)) => {
            order(a, b) == Some(Ordering::Equal)
        }
        (Val::String(a), Val::String(b)) => {
            fuel.spend_text(a.as_str())?;
            a.as_str() == b.as_str()
        }
        (Val::Timestamp(a), Val::Timestamp(b))
        | (Val::Duration(a), Val::Duration(b))
        | (Val::Quantity(a), Val::Quantity(b)) => a == b,
        (Val::List(a), Val::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(&a, &b, fuel)? {
                    return Ok(false);
                }
            }
            true
        }
        (Val::Map(a), Val::Map(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (key, value) in a.iter() {
                match b.get(&key, fuel)? {
                    Some(other) if equal(&value, &other, fuel)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Val::Optional(None), Val::Optional(None)) => true,
        (Val::Optional(Some(a)), Val::Optional(Some(b))) => equal(a, b, fuel)?,
        _ => false,
    })
}

/// How two values are ordered, where they can be.
pub(super) fn order(a: &Val<'_>, b: &Val<'_>) -> Option<Ordering> {
    match (a, b) {
        (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
        (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
        (Val::Int(a), Val::Double(b)) => (*a as f64).partial_cmp(b),
        (Val::Double(a), Val::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::String(a), Val::String(b)) => Some(a.as_str().cmp(b.as_str())),
        (Val::Timestamp(a), Val::Timestamp(b))
        | (Val::Duration(a), Val::Duration(b))
        | (Val::Quantity(a), Val::Quantity(b)) => Some(a.cmp(b)),
        _ => None,
    }
}
