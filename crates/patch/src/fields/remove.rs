//! Taking fields out of a value.

use mosaic_schema::{List, ListKind, Shape, Type};
use serde_json::Value;

use super::{
    ANY, FieldSet,
    view::{Fields, key_of_item},
};

/// Takes the fields of a set, and what is below them, out of a value. An object, map or list that has
/// nothing left goes too.
pub fn remove(value: &mut Value, set: &FieldSet, ty: &Type) {
    if set.is_empty() {
        return;
    }
    match (&ty.shape, value) {
        (Shape::Any, Value::Object(members)) => remove_fields(members, set, Fields::Map(&ANY)),
        (Shape::Object(object), Value::Object(members)) if !object.atomic => {
            remove_fields(members, set, Fields::Object(ty, object));
        }
        (Shape::Map(map), Value::Object(members)) if !map.atomic => {
            remove_fields(members, set, Fields::Map(&map.values));
        }
        (Shape::List(list), Value::Array(items)) if list.kind != ListKind::Atomic => {
            remove_items(items, set, list)
        }
        _ => {}
    }
}

fn remove_fields(members: &mut serde_json::Map<String, Value>, set: &FieldSet, fields: Fields<'_>) {
    for node in &set.nodes {
        let Some(name) = node.key.strip_prefix("f:") else {
            continue;
        };
        if node.owned {
            members.remove(name);
            continue;
        }
        let Some(member) = members.get_mut(name) else {
            continue;
        };
        let was_empty = is_empty(member);
        remove(member, &node.children, fields.child(name).ty);
        if !was_empty && is_empty(member) {
            members.remove(name);
        }
    }
}

fn remove_items(items: &mut Vec<Value>, set: &FieldSet, list: &List) {
    items.retain_mut(|item| {
        let Ok(key) = key_of_item(list, item) else {
            return true;
        };
        let Some(node) = set.node(&key) else {
            return true;
        };
        if !node.owned {
            remove(item, &node.children, &list.items);
        }
        !node.owned
    });
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
