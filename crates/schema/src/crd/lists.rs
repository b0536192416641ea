//! What a schema says of how a list merges.

use crate::{FieldError, ListKind, Shape};

use super::{
    compile::{Compiled, Compiler},
    node::{JsonType, Node},
    props::Props,
};

impl Compiler {
    /// The `x-kubernetes-list-type` of a list, and its keys.
    pub(super) fn list_type(
        &mut self,
        props: &Props<'_>,
        json_type: Option<JsonType>,
        items: Option<&Compiled>,
        node: &Node,
    ) -> ListKind {
        let path = props.path;
        let keys = props.texts("x-kubernetes-list-map-keys", &mut self.errors);
        let text = props.text("x-kubernetes-list-type", &mut self.errors);
        if text.is_some() && json_type != Some(JsonType::Array) {
            let found = json_type.map_or("", JsonType::name);
            self.errors.invalid(
                path,
                "type",
                found,
                "must be array if x-kubernetes-list-type is specified",
            );
            return ListKind::Atomic;
        }
        if !keys.is_empty() && text != Some("map") {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            self.errors.invalid(
                path,
                "x-kubernetes-list-type",
                text.unwrap_or_default(),
                detail,
            );
        }
        let Some(items) = items else {
            return ListKind::Atomic;
        };
        match text {
            None | Some("atomic") => ListKind::Atomic,
            Some("set") => {
                let whole = match &items.ty.shape {
                    Shape::Object(object) => object.atomic,
                    Shape::Map(map) => map.atomic,
                    Shape::List(list) => list.kind == ListKind::Atomic,
                    _ => true,
                };
                if !whole {
                    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
                    self.errors
                        .invalid(path, "items.x-kubernetes-map-type", "granular", detail);
                }
                if items.ty.nullable {
                    let detail = "cannot be nullable when x-kubernetes-list-type is set";
                    self.errors.forbid(path, "items.nullable", detail);
                }
                ListKind::Set
            }
            Some("map") => self.list_map(path, &keys, items, node),
            Some(other) => {
                let path = format!("{path}.x-kubernetes-list-type");
                self.errors.push(FieldError::not_supported(
                    path,
                    other,
                    &["atomic", "set", "map"],
                ));
                ListKind::Atomic
            }
        }
    }

    fn list_map(&mut self, path: &str, keys: &[&str], items: &Compiled, node: &Node) -> ListKind {
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.errors
                .require(path, "x-kubernetes-list-map-keys", detail);
        }
        let Shape::Object(object) = &items.ty.shape else {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            self.errors.invalid(path, "items.type", "", detail);
            return ListKind::Atomic;
        };
        if items.ty.nullable {
            self.errors.forbid(
                path,
                "items.nullable",
                "cannot be nullable when x-kubernetes-list-type is map",
            );
        }
        for (index, key) in keys.iter().enumerate() {
            if keys.get(..index).is_some_and(|before| before.contains(key)) {
                let path = format!("{path}.x-kubernetes-list-map-keys[{index}]");
                self.errors.push(FieldError::duplicate(path, *key));
            }
            let Some(field) = object.fields.get(*key) else {
                let detail = "entries must all be names of item properties";
                self.errors.invalid(
                    path,
                    &format!("x-kubernetes-list-map-keys[{index}]"),
                    *key,
                    detail,
                );
                continue;
            };
            let property = format!("items.properties[{key}]");
            if matches!(
                field.ty.shape,
                Shape::Object(_) | Shape::Map(_) | Shape::List(_) | Shape::Any
            ) {
                let detail =
                    "must be a scalar type if parent array's x-kubernetes-list-type is map";
                self.errors
                    .invalid(path, &format!("{property}.type"), "", detail);
            }
            let required = node
                .items
                .as_ref()
                .is_some_and(|items| items.required.iter().any(|name| **name == **key));
            if !required && field.default.is_none() {
                let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                self.errors
                    .require(path, &format!("{property}.default"), detail);
            }
        }
        ListKind::Map(keys.iter().map(|key| (*key).into()).collect())
    }
}
