//! Merging an applied configuration into the live object.

use std::collections::{HashMap, HashSet};

use mosaic_schema::{List, ListKind, Shape, Type};
use serde_json::{Map, Value};

use crate::fields::{ANY, Fields, KeyError, View, item_key, push_item_path, value_key, view};

/// Merges a configuration into a live value: what the configuration sets wins, what it does not name stays.
///
/// # Errors
/// What is wrong with the configuration, after its path.
pub(super) fn merge(live: &Value, config: &Value, ty: &Type) -> Result<Value, String> {
    merge_value(Some(live), config, ty, &mut String::new())
}

fn merge_value(
    live: Option<&Value>,
    config: &Value,
    ty: &Type,
    path: &mut String,
) -> Result<Value, String> {
    check_kind(config, ty, path)?;
    match view(config, ty) {
        View::Leaf if config.is_null() => {
            // Null names an object or list without saying anything about what is in it.
            let keeps =
                live.filter(|live| !matches!(view(live, ty), View::Leaf) && !is_empty(live));
            Ok(keeps.cloned().unwrap_or(Value::Null))
        }
        View::Leaf => Ok(config.clone()),
        View::Fields(fields, members) => {
            let live = live.and_then(Value::as_object);
            merge_fields(live, members, fields, path).map(Value::Object)
        }
        View::Items(list, items) => {
            let live = live
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            merge_items(live, items, list, path).map(Value::Array)
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn check_kind(config: &Value, ty: &Type, path: &str) -> Result<(), String> {
    let expected = match &ty.shape {
        Shape::Object(_) | Shape::Map(_) if !config.is_object() => "map",
        Shape::List(_) if !config.is_array() => "list",
        Shape::String(_) | Shape::Boolean | Shape::Int32 | Shape::Int64 | Shape::Number
            if config.is_object() || config.is_array() =>
        {
            "scalar"
        }
        _ => return Ok(()),
    };
    if config.is_null() {
        return Ok(());
    }
    Err(format!("{path}: expected {expected}, got {config}"))
}

fn merge_fields(
    live: Option<&Map<String, Value>>,
    config: &Map<String, Value>,
    fields: Fields<'_>,
    path: &mut String,
) -> Result<Map<String, Value>, String> {
    let mut merged: Map<String, Value> = live
        .into_iter()
        .flatten()
        .filter(|(name, _)| !config.contains_key(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let parent = path.len();
    for (name, value) in config {
        path.push('.');
        path.push_str(name);
        let result = merge_value(
            live.and_then(|live| live.get(name)),
            value,
            fields.child(name).ty,
            path,
        )?;
        path.truncate(parent);
        merged.insert(name.clone(), result);
    }
    Ok(merged)
}

/// What tells an item of a list apart: the text of its key.
fn identity(list: &List, item: &Value) -> Result<String, KeyError> {
    match &list.kind {
        ListKind::Map(fields) => item_key(item, fields, &list.items),
        _ => value_key(item),
    }
}

/// Merges lists item by item.
///
/// Items that both have come in the configuration's order; items that only the live list has keep their
/// place between the shared items around them; new items come where the configuration has them.
fn merge_items(
    live: &[Value],
    config: &[Value],
    list: &List,
    path: &mut String,
) -> Result<Vec<Value>, String> {
    let mut wanted: Vec<(String, &Value)> = Vec::with_capacity(config.len());
    let mut in_config = HashSet::with_capacity(config.len());
    for (index, item) in config.iter().enumerate() {
        let key = identity(list, item)
            .map_err(|error| format!("{path}: element {index}: {}", error.message()))?;
        if !in_config.insert(key.clone()) {
            let mut shown = String::new();
            push_item_path(&key, &mut shown);
            return Err(format!("{path}: duplicate entries for key {shown}"));
        }
        wanted.push((key, item));
    }
    let mut existing: Vec<(String, &Value)> = Vec::with_capacity(live.len());
    let mut in_live: HashMap<String, &Value> = HashMap::with_capacity(live.len());
    for (index, item) in live.iter().enumerate() {
        // What the live list has, however odd, stays; an item without a key is nobody else's.
        let key = identity(list, item).unwrap_or_else(|_| format!("#{index}"));
        if in_live.contains_key(&key) && in_config.contains(&key) {
            continue;
        }
        in_live.entry(key.clone()).or_insert(item);
        existing.push((key, item));
    }

    let mut shared = wanted
        .iter()
        .map(|(key, _)| key.as_str())
        .filter(|key| in_live.contains_key(*key));
    let mut next_shared = shared.next();
    let mut merged = Vec::with_capacity(wanted.len() + existing.len());
    let mut live_items = existing.iter().peekable();
    let mut config_items = wanted.iter().peekable();
    let item_type = |item: &Value| if item.is_object() { &*list.items } else { &ANY };
    loop {
        match (live_items.peek(), config_items.peek()) {
            (Some((live_key, _)), Some((config_key, _))) if live_key == config_key => {
                live_items.next();
            }
            (Some((live_key, item)), wanted) => {
                if !in_config.contains(live_key) {
                    merged.push((*item).clone());
                    live_items.next();
                    continue;
                }
                if wanted.is_none() || next_shared.is_some_and(|next| next != live_key) {
                    // Its turn comes where the configuration has it.
                    live_items.next();
                    continue;
                }
            }
            (None, Some(_)) => {}
            (None, None) => break,
        }
        let Some((key, item)) = config_items.next() else {
            continue;
        };
        let parent = path.len();
        push_item_path(key, path);
        merged.push(merge_value(
            in_live.get(key).copied(),
            item,
            item_type(item),
            path,
        )?);
        path.truncate(parent);
        if next_shared == Some(key.as_str()) {
            next_shared = shared.next();
        }
    }
    Ok(merged)
}
