//! Strategic merge patches: merge patches that know how lists merge.
//!
//! A patch looks like the object that it changes. Objects merge field by field, `null` removes, lists
//! are replaced, unless the field's type says that its items merge: objects by their merge key, scalars
//! as a set. Keys that begin with `$` are directives:
//!
//! | key | effect |
//! | --- | --- |
//! | `$patch: replace` | the object (or, as an item, the list) becomes what the patch gives |
//! | `$patch: delete` | the object is emptied; as an item, the item with that merge key goes |
//! | `$patch: merge` | what happens anyway |
//! | `$retainKeys: […]` | fields that are not listed go |
//! | `$setElementOrder/<list>: […]` | the order of the list's items |
//! | `$deleteFromPrimitiveList/<list>: […]` | scalars to remove from the list |
//!
//! The result never holds a directive, also where the patch adds a field that was absent.

mod list;

use std::collections::HashSet;

use mosaic_schema::{Field, PatchStrategy, Shape, Type};
use serde_json::{Map, Value};

use crate::{PatchError, limits::MAX_DEPTH};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList";

/// Applies a strategic merge patch to an object of that type.
///
/// # Errors
/// [`PatchError::Malformed`] when the patch or a directive in it has the wrong form,
/// [`PatchError::Inapplicable`] when an item lacks its merge key, a list mixes types or a directive does
/// not agree with the patch. After an error the document may have been changed in part.
pub fn strategic_merge(document: &mut Value, patch: Value, ty: &Type) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else {
        return Err(malformed(
            "invalid JSON document: a strategic merge patch is an object",
        ));
    };
    let original = match document.take() {
        Value::Object(original) => original,
        _ => Map::new(),
    };
    *document = Value::Object(merge_object(original, patch, ty, 0)?);
    Ok(())
}

/// What a field is and how it is patched; nothing special where the type does not know it.
struct FieldRule<'a> {
    ty: &'a Type,
    patch: &'a PatchStrategy,
}

fn rule<'a>(ty: &'a Type, name: &str) -> FieldRule<'a> {
    static ANY: Type = Type {
        name: None,
        nullable: false,
        shape: Shape::Any,
    };
    static NO_STRATEGY: PatchStrategy = PatchStrategy {
        merge: false,
        merge_key: None,
        retain_keys: false,
        replace: false,
    };
    match &ty.shape {
        Shape::Object(object) => match object.fields.get(name) {
            Some(Field { ty, patch, .. }) => FieldRule { ty, patch },
            None => FieldRule {
                ty: &ANY,
                patch: &NO_STRATEGY,
            },
        },
        Shape::Map(map) => FieldRule {
            ty: &map.values,
            patch: &NO_STRATEGY,
        },
        _ => FieldRule {
            ty: &ANY,
            patch: &NO_STRATEGY,
        },
    }
}

fn item_type(ty: &Type) -> &Type {
    match &ty.shape {
        Shape::List(list) => &list.items,
        _ => ty,
    }
}

fn merge_object(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    ty: &Type,
    depth: usize,
) -> Result<Map<String, Value>, PatchError> {
    if depth > MAX_DEPTH {
        return Err(malformed("invalid JSON document: nested too deeply"));
    }
    match patch.remove(PATCH) {
        None => {}
        Some(Value::String(directive)) => match directive.as_str() {
            // What replaces is merged into nothing, so that directives inside are carried out too.
            "replace" => original.clear(),
            "delete" => return Ok(Map::new()),
            "merge" => {}
            other => return Err(unknown_directive(&Value::from(other))),
        },
        Some(other) => return Err(unknown_directive(&other)),
    }
    retain_keys(&mut original, &mut patch)?;
    element_orders(&mut original, &mut patch, ty, depth)?;

    for (key, change) in patch {
        if key.starts_with(DELETE_PRIMITIVES) {
            let name = directive_field(&key, DELETE_PRIMITIVES)?;
            let Value::Array(gone) = change else {
                return Err(malformed("invalid patch format of primitive list"));
            };
            if let Some(Value::Array(items)) = original.get_mut(name) {
                list::delete_primitives(items, &gone);
            }
            continue;
        }
        match change {
            Value::Null => {
                original.remove(&key);
            }
            change => {
                let current = original.remove(&key);
                let rule = rule(ty, &key);
                original.insert(key, merge_value(current, change, &rule, depth)?);
            }
        }
    }
    Ok(original)
}

/// Merges one field's change into its current value.
fn merge_value(
    current: Option<Value>,
    change: Value,
    rule: &FieldRule<'_>,
    depth: usize,
) -> Result<Value, PatchError> {
    match change {
        // The type says that the object is replaced; what replaces is merged into nothing.
        Value::Object(change) if rule.patch.replace => {
            merge_object(Map::new(), change, rule.ty, depth + 1).map(Value::Object)
        }
        Value::Object(change) => {
            let current = match current {
                Some(Value::Object(current)) => current,
                _ => Map::new(),
            };
            merge_object(current, change, rule.ty, depth + 1).map(Value::Object)
        }
        Value::Array(change) if rule.patch.merge => {
            let current = match current {
                Some(Value::Array(current)) => current,
                _ => Vec::new(),
            };
            list::merge(current, change, rule, depth + 1).map(Value::Array)
        }
        change => Ok(change),
    }
}

/// Carries out `$retainKeys`.
fn retain_keys(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), PatchError> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let Value::Array(keys) = directive else {
        return Err(retain_keys_format());
    };
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let set_without_being_retained = patch.iter().any(|(key, change)| {
        let directive = key.starts_with(DELETE_PRIMITIVES) || key.starts_with(ELEMENT_ORDER);
        !change.is_null() && !directive && !keys.contains(key.as_str())
    });
    if set_without_being_retained {
        return Err(retain_keys_format());
    }
    original.retain(|key, _| keys.contains(key.as_str()));
    Ok(())
}

/// Carries out every `$setElementOrder/<list>`, together with the change to the list that it orders.
fn element_orders(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    ty: &Type,
    depth: usize,
) -> Result<(), PatchError> {
    let directives: Vec<String> = patch
        .keys()
        .filter(|key| key.starts_with(ELEMENT_ORDER))
        .cloned()
        .collect();
    for directive in directives {
        let name = directive_field(&directive, ELEMENT_ORDER)?;
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(element_order_format());
        };
        let current = take_list(original, name)?;
        let change = take_list(patch, name)?;
        if current.is_none() && change.is_none() {
            continue;
        }
        let rule = rule(ty, name);
        let merged = list::merge_in_order(
            current.unwrap_or_default(),
            change,
            &order,
            &rule,
            depth + 1,
        )?;
        original.insert(name.to_owned(), Value::Array(merged));
    }
    Ok(())
}

fn take_list(
    object: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<Vec<Value>>, PatchError> {
    match object.remove(name) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(_) => Err(element_order_format()),
    }
}

/// The field that a directive such as `$setElementOrder/containers` is about.
fn directive_field<'a>(key: &'a str, prefix: &str) -> Result<&'a str, PatchError> {
    key.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or_else(|| {
            if prefix == ELEMENT_ORDER {
                element_order_format()
            } else {
                malformed("invalid patch format of primitive list")
            }
        })
}

fn malformed(message: &str) -> PatchError {
    PatchError::Malformed(message.to_owned())
}

fn element_order_format() -> PatchError {
    malformed("invalid patch format of setElementOrder list")
}

fn retain_keys_format() -> PatchError {
    malformed("invalid patch format of retainKeys")
}

fn unknown_directive(directive: &Value) -> PatchError {
    PatchError::Inapplicable(format!("unknown patch type found: {directive}"))
}

#[cfg(test)]
mod tests;
