//! The keys of a field set, in the exact text that Kubernetes writes.

use mosaic_schema::Type;
use serde_json::{Map, Value};

use super::FieldSetError;

/// Why an item has no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// An item of a list map is not an object.
    NotAnObject,
    /// An item of a list map lacks this field, and the field has no default.
    Missing(Box<str>),
    /// An item of a set is not a scalar.
    NotAScalar,
}

impl KeyError {
    pub(crate) fn message(&self) -> String {
        match self {
            Self::NotAnObject => {
                "associative list with keys may not have non-map elements".to_owned()
            }
            Self::Missing(field) => format!(
                "associative list with keys has an element that omits key field {field:?} (and doesn't have default value)"
            ),
            Self::NotAScalar => {
                "associative list without keys has an element that is not a scalar".to_owned()
            }
        }
    }
}

/// The key of a field.
pub(crate) fn field_key(name: &str) -> String {
    let mut key = String::with_capacity(2 + name.len());
    key.push_str("f:");
    key.push_str(name);
    key
}

/// The key of an item of a list map, told apart by `fields`.
///
/// A field that the item lacks counts with its default: a port without a protocol is a TCP port.
pub(crate) fn item_key(
    item: &Value,
    fields: &[Box<str>],
    item_type: &Type,
) -> Result<String, KeyError> {
    let Value::Object(item) = item else {
        return Err(KeyError::NotAnObject);
    };
    let value = |field: &str| {
        item.get(field)
            .or_else(|| item_type.field(field)?.default.as_ref())
            .ok_or_else(|| KeyError::Missing(field.into()))
    };
    let mut key = String::with_capacity(32);
    key.push_str("k:{");
    if fields.is_sorted() {
        for (index, field) in fields.iter().enumerate() {
            push_member(&mut key, index, field, value(field)?);
        }
    } else {
        let mut sorted: Vec<&str> = fields.iter().map(|field| &**field).collect();
        sorted.sort_unstable();
        for (index, field) in sorted.into_iter().enumerate() {
            push_member(&mut key, index, field, value(field)?);
        }
    }
    key.push('}');
    Ok(key)
}

/// The key of an item of a set.
pub(crate) fn value_key(item: &Value) -> Result<String, KeyError> {
    match item {
        Value::Null | Value::Array(_) | Value::Object(_) => Err(KeyError::NotAScalar),
        scalar => {
            let mut key = String::from("v:");
            push_json(&mut key, scalar);
            Ok(key)
        }
    }
}

fn push_member(key: &mut String, index: usize, field: &str, value: &Value) {
    if index > 0 {
        key.push(',');
    }
    push_string(key, field);
    key.push(':');
    push_json(key, value);
}

fn push_json(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => push_string(out, text),
        other => out.push_str(&other.to_string()),
    }
}

/// Writes a JSON string. Like Go's encoder, and so like every key that Kubernetes writes, it escapes what
/// HTML gives a meaning.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    if text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"\\<>&".contains(&byte))
    {
        out.push_str(text);
    } else {
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                    out.push_str(&format!("\\u{:04x}", u32::from(character)));
                }
                other => out.push(other),
            }
        }
    }
    out.push('"');
}

/// Brings a key that a client wrote into its canonical text. `None` for a kind of key that is not known:
/// a later format may have more, and what is not understood is left out.
pub(crate) fn canonical(key: String) -> Result<Option<String>, FieldSetError> {
    let invalid = |key: String| FieldSetError::InvalidKey(key);
    if key.starts_with("f:") {
        return Ok(Some(key));
    }
    let Some((kind, rest)) = key.split_once(':').filter(|(kind, _)| kind.len() == 1) else {
        return Err(invalid(key));
    };
    match kind {
        "k" => {
            let Ok(members) = serde_json::from_str::<Map<String, Value>>(rest) else {
                return Err(invalid(key));
            };
            if members.is_empty() {
                return Err(invalid(key));
            }
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_unstable_by_key(|(field, _)| *field);
            let mut text = String::with_capacity(key.len());
            text.push_str("k:{");
            for (index, (field, value)) in members.into_iter().enumerate() {
                push_member(&mut text, index, field, value);
            }
            text.push('}');
            Ok(Some(text))
        }
        "v" => {
            let Ok(value) = serde_json::from_str::<Value>(rest) else {
                return Err(invalid(key));
            };
            let mut text = String::with_capacity(key.len());
            text.push_str("v:");
            push_json(&mut text, &value);
            Ok(Some(text))
        }
        "i" => match rest.parse::<i64>() {
            Ok(index) => Ok(Some(format!("i:{index}"))),
            Err(_) => Err(invalid(key)),
        },
        _ => Ok(None),
    }
}

/// Appends a key as it is shown in a path: `.image`, `[name="x"]`, `[="x"]`, `[0]`.
pub(crate) fn push_display(key: &str, path: &mut String) {
    match key.split_once(':') {
        Some(("f", name)) => {
            path.push('.');
            path.push_str(name);
        }
        Some(("k", members)) => {
            path.push('[');
            let members: Map<String, Value> = serde_json::from_str(members).unwrap_or_default();
            for (index, (field, value)) in members.iter().enumerate() {
                if index > 0 {
                    path.push(',');
                }
                path.push_str(field);
                path.push('=');
                path.push_str(&value.to_string());
            }
            path.push(']');
        }
        Some(("v", value)) => {
            path.push_str("[=");
            path.push_str(
                &serde_json::from_str::<Value>(value)
                    .map_or_else(|_| value.to_owned(), |v| v.to_string()),
            );
            path.push(']');
        }
        Some((_, index)) => {
            path.push('[');
            path.push_str(index);
            path.push(']');
        }
        None => path.push_str(key),
    }
}
