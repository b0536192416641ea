//! How a value is divided into fields under a type.

use mosaic_schema::{List, ListKind, Object, Shape, Type};
use serde_json::{Map, Value};

use super::key::{KeyError, item_key, value_key};

/// The type of what has none: objects field by field, lists as a whole.
pub(crate) static ANY: Type = Type {
    name: None,
    nullable: false,
    shape: Shape::Any,
};

/// A value as ownership sees it.
pub(crate) enum View<'a> {
    /// Owned as a whole.
    Leaf,
    /// Owned field by field.
    Fields(Fields<'a>, &'a Map<String, Value>),
    /// Owned item by item.
    Items(&'a List, &'a [Value]),
}

/// Where the types of an object's fields come from.
#[derive(Clone, Copy)]
pub(crate) enum Fields<'a> {
    /// Named fields.
    Object(&'a Type, &'a Object),
    /// Free keys.
    Map(&'a Type),
}

/// A field's type, and how an object has it.
#[derive(Clone, Copy)]
pub(crate) struct Child<'a> {
    pub(crate) ty: &'a Type,
    /// Whether the type names the field, rather than taking any key.
    pub(crate) named: bool,
    /// Whether every object has it, if only empty. A struct that is embedded by value in Go, and a list
    /// that is written even when there is none, are never created: nobody gets to own that they exist.
    pub(crate) always_there: bool,
}

impl<'a> Fields<'a> {
    pub(crate) fn child(self, name: &str) -> Child<'a> {
        match self {
            Self::Map(values) => Child {
                ty: values,
                named: false,
                always_there: false,
            },
            Self::Object(ty, object) => match object.fields.get(name) {
                None => Child {
                    ty: &ANY,
                    named: false,
                    always_there: false,
                },
                Some(field) => Child {
                    ty: &field.ty,
                    named: true,
                    always_there: match &field.ty.shape {
                        Shape::Object(_) => {
                            is_builtin(ty) && (field.required || is_embedded_by_value(&field.ty))
                        }
                        Shape::List(_) => is_builtin(ty) && field.required,
                        _ => false,
                    },
                },
            },
        }
    }
}

fn is_builtin(ty: &Type) -> bool {
    ty.name.is_some()
}

/// The structural type does not tell a Go struct from a pointer to one. Their names do, where it matters:
/// on the way from an object's root to its first list or map.
fn is_embedded_by_value(ty: &Type) -> bool {
    const ENDINGS: [&str; 5] = [
        "Spec",
        "Status",
        "Strategy",
        ".ObjectMeta",
        ".ResourceRequirements",
    ];
    ty.name
        .as_deref()
        .is_some_and(|name| ENDINGS.iter().any(|ending| name.ends_with(ending)))
}

/// How a value is divided.
pub(crate) fn view<'a>(value: &'a Value, ty: &'a Type) -> View<'a> {
    match (&ty.shape, value) {
        (Shape::Any, Value::Object(members)) => View::Fields(Fields::Map(&ANY), members),
        (Shape::Object(object), Value::Object(members)) if !object.atomic => {
            View::Fields(Fields::Object(ty, object), members)
        }
        (Shape::Map(map), Value::Object(members)) if !map.atomic => {
            View::Fields(Fields::Map(&map.values), members)
        }
        (Shape::List(list), Value::Array(items)) if list.kind != ListKind::Atomic => {
            View::Items(list, items)
        }
        _ => View::Leaf,
    }
}

/// The key of an item of a list that is owned item by item.
pub(crate) fn key_of_item(list: &List, item: &Value) -> Result<String, KeyError> {
    match &list.kind {
        ListKind::Map(fields) => item_key(item, fields, &list.items),
        _ => value_key(item),
    }
}
