//! Bringing objects of custom kinds into shape: dropping what their type does not have, and filling in
//! what it has a default for.

use serde_json::Value;

use crate::{DecodeOptions, MAX_COMPLAINTS, Shape, Type, Unknown, decode, path::Path};

/// Drops the fields that a type does not have, and tells them, at most [`MAX_COMPLAINTS`]. Values that
/// are not of their type stay as they are, for validation to refuse.
pub fn prune(ty: &Type, value: &mut Value) -> Vec<Unknown> {
    let mut unknown = Vec::new();
    prune_at(ty, value, &Path::Root, &mut unknown);
    unknown
}

fn prune_at(ty: &Type, value: &mut Value, path: &Path<'_>, unknown: &mut Vec<Unknown>) {
    match (&ty.shape, value) {
        (Shape::Object(object), Value::Object(map)) => {
            if object.embedded {
                drop_bad_metadata(ty, map);
            }
            map.retain(|key, value| {
                let Some(field) = object.fields.get(key.as_str()) else {
                    if !object.preserve_unknown && unknown.len() < MAX_COMPLAINTS {
                        unknown.push(Unknown {
                            path: Path::Field(path, key).to_string(),
                        });
                    }
                    return object.preserve_unknown;
                };
                prune_at(&field.ty, value, &Path::Field(path, key), unknown);
                true
            });
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for (key, value) in map.iter_mut() {
                prune_at(&inner.values, value, &Path::Field(path, key), unknown);
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                prune_at(&list.items, item, &Path::Index(path, index), unknown);
            }
        }
        _ => {}
    }
}

/// Metadata of an object inside an object is of no use if it cannot be read; Kubernetes drops it too.
fn drop_bad_metadata(ty: &Type, map: &mut serde_json::Map<String, Value>) {
    let Some(field) = ty.field("metadata") else {
        return;
    };
    let readable = match map.get_mut("metadata") {
        Some(metadata) => decode(&field.ty, metadata, DecodeOptions { keep_unknown: true }).is_ok(),
        None => true,
    };
    if !readable {
        map.remove("metadata");
    }
}

/// How much text defaults may add to one object, in bytes: a few elements of a list may each ask for a
/// large one.
const MAX_FILLED_IN: usize = 4 << 20;

/// Defaults would make an object larger than is sensible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("defaults would add more than {MAX_FILLED_IN} bytes to the object")]
pub struct TooMuchFilledIn;

/// Fills in absent fields that have a default, also inside of what was filled in. A `null` that is no
/// value of its own counts as absent: it becomes the default, or is dropped.
///
/// # Errors
/// If that would add more than 4 MiB; the value is then filled in in part.
pub fn apply_defaults(ty: &Type, value: &mut Value) -> Result<(), TooMuchFilledIn> {
    fill_in(ty, value, &mut { MAX_FILLED_IN })
}

fn fill_in(ty: &Type, value: &mut Value, room: &mut usize) -> Result<(), TooMuchFilledIn> {
    match (&ty.shape, value) {
        (Shape::Object(object), Value::Object(map)) => {
            map.retain(|key, value| {
                !value.is_null()
                    || object
                        .fields
                        .get(key.as_str())
                        .is_none_or(|field| keeps_null(&field.ty))
            });
            for (name, field) in &object.fields {
                if let Some(default) = &field.default
                    && !map.contains_key(&**name)
                {
                    let size = name.len() + size(default);
                    *room = room.checked_sub(size).ok_or(TooMuchFilledIn)?;
                    map.insert(name.to_string(), default.clone());
                }
            }
            for (key, value) in map.iter_mut() {
                if let Some(field) = object.fields.get(key.as_str()) {
                    fill_in(&field.ty, value, room)?;
                }
            }
        }
        (Shape::Map(inner), Value::Object(map)) => {
            map.retain(|_, value| !value.is_null() || keeps_null(&inner.values));
            for value in map.values_mut() {
                fill_in(&inner.values, value, room)?;
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                fill_in(&list.items, item, room)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// About how long the text of a value is, in bytes.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| 1 + size(item)).sum(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| 1 + key.len() + size(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

/// Whether `null` is a value. Where a schema leaves the type open, it may be one.
fn keeps_null(ty: &Type) -> bool {
    ty.nullable || matches!(ty.shape, Shape::Any)
}
