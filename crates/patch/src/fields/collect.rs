//! The fields that a value sets.

use mosaic_schema::Type;
use serde_json::{Map, Value};

use super::{
    FieldSet, FieldSetError, Node,
    key::{field_key, push_display},
    view::{View, key_of_item, view},
};

impl FieldSet {
    /// The fields that a configuration sets, as an apply owns them.
    ///
    /// Leaves, entries of maps and items of lists are fields of the set; objects with named fields are
    /// not, unless they are empty. What is in a list or map that is owned as a whole is not looked at.
    ///
    /// # Errors
    /// [`FieldSetError::Item`] when an item of a list map lacks a key, or an item of a set is no scalar.
    pub fn of(value: &Value, ty: &Type) -> Result<Self, FieldSetError> {
        let mut path = String::new();
        let mut nodes = Vec::new();
        applied(value, ty, &mut path, &mut nodes)?;
        Ok(Self::from_nodes(nodes))
    }
}

/// Collects what an apply owns below a value. Answers whether the value itself is a field of the set.
fn applied(
    value: &Value,
    ty: &Type,
    path: &mut String,
    nodes: &mut Vec<Node>,
) -> Result<bool, FieldSetError> {
    let parent = path.len();
    match view(value, ty) {
        View::Leaf => Ok(true),
        View::Fields(fields, members) => {
            nodes.reserve(members.len());
            for (name, member) in members {
                let child = fields.child(name);
                let key = field_key(name);
                push_display(&key, path);
                let mut below = Vec::new();
                let owned = applied(member, child.ty, path, &mut below)? || !child.named;
                path.truncate(parent);
                push(
                    nodes,
                    Node {
                        key,
                        owned,
                        children: FieldSet::from_nodes(below),
                    },
                );
            }
            Ok(members.is_empty())
        }
        View::Items(list, items) => {
            for item in items {
                let key = key_of_item(list, item).map_err(|error| FieldSetError::Item {
                    path: path.clone(),
                    reason: error.message(),
                })?;
                push_display(&key, path);
                let mut below = Vec::new();
                // A scalar is its own key; there is nothing below it.
                if item.is_object() {
                    applied(item, &list.items, path, &mut below)?;
                }
                path.truncate(parent);
                push(
                    nodes,
                    Node {
                        key,
                        owned: true,
                        children: FieldSet::from_nodes(below),
                    },
                );
            }
            Ok(false)
        }
    }
}

fn push(nodes: &mut Vec<Node>, node: Node) {
    if !node.is_empty() {
        nodes.push(node);
    }
}

/// The node of a value that only one side of a change has. `None` when it is nothing but what is always
/// there.
pub(super) fn appearing(key: String, value: &Value, ty: &Type, always_there: bool) -> Option<Node> {
    let mut nodes = Vec::new();
    push_appearing(&mut nodes, key, value, ty, always_there);
    nodes.pop()
}

/// Every field that comes to be, or ceases to be, with a value: objects, lists and maps included.
pub(super) fn whole(value: &Value, ty: &Type) -> FieldSet {
    FieldSet::from_nodes(collect(value, ty, false))
}

/// Every field that comes to be with a new object.
pub(crate) fn created(object: &Value, ty: &Type) -> FieldSet {
    FieldSet::from_nodes(collect(object, ty, true))
}

/// `parent_there` says whether what the value stands in existed on the other side of the change, in which
/// case the parts that are always there existed too.
fn collect(value: &Value, ty: &Type, parent_there: bool) -> Vec<Node> {
    match view(value, ty) {
        View::Leaf => Vec::new(),
        View::Fields(fields, members) => {
            let mut nodes = Vec::with_capacity(members.len());
            for (name, member) in members {
                let key = field_key(name);
                if is_scalar(member) {
                    // A leaf under any type: no need to look for one.
                    nodes.push(Node::leaf(key));
                    continue;
                }
                let child = fields.child(name);
                push_appearing(
                    &mut nodes,
                    key,
                    member,
                    child.ty,
                    parent_there && child.always_there,
                );
            }
            nodes
        }
        View::Items(list, items) => {
            let mut nodes = Vec::with_capacity(items.len());
            for item in items {
                // A list whose items cannot be told apart is taken as a whole.
                let Ok(key) = key_of_item(list, item) else {
                    return Vec::new();
                };
                let children = if item.is_object() {
                    collect(item, &list.items, false)
                } else {
                    Vec::new()
                };
                nodes.push(Node {
                    key,
                    owned: true,
                    children: FieldSet::from_nodes(children),
                });
            }
            // Of two items with the same key the first counts, as in a comparison.
            nodes.sort_by(|left, right| left.key.cmp(&right.key));
            nodes.dedup_by(|later, first| later.key == first.key);
            nodes
        }
    }
}

fn push_appearing(
    nodes: &mut Vec<Node>,
    key: String,
    value: &Value,
    ty: &Type,
    always_there: bool,
) {
    let children = FieldSet::from_nodes(collect(value, ty, always_there));
    let is_empty_object = value.as_object().is_some_and(Map::is_empty);
    let owned = !always_there || (children.is_empty() && !is_empty_object);
    if owned || !children.is_empty() {
        nodes.push(Node {
            key,
            owned,
            children,
        });
    }
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_))
}
