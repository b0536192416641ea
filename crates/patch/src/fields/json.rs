//! The `FieldsV1` format.

use serde_json::{Map, Value};

use super::{FieldSet, FieldSetError, Node, key::canonical};
use crate::limits::{MAX_DEPTH, MAX_FIELDS};

/// The key that stands for the node it is in.
pub(super) const SELF: &str = ".";

impl FieldSet {
    /// Reads a set from `FieldsV1`. Keys are brought into canonical form, keys of unknown kinds are left
    /// out.
    ///
    /// # Errors
    /// When it is not an object, a key is malformed, or it is deeper or larger than
    /// [`MAX_DEPTH`] and [`MAX_FIELDS`].
    pub fn from_fields_v1(fields: Value) -> Result<Self, FieldSetError> {
        let mut budget = MAX_FIELDS;
        let (set, _) = read(fields, 0, &mut budget)?;
        Ok(set)
    }

    /// Writes the set as `FieldsV1`.
    pub fn into_fields_v1(self) -> Value {
        Value::Object(write(self))
    }
}

/// Reads a node's children. The flag says whether the node itself is in the set.
fn read(
    fields: Value,
    depth: usize,
    budget: &mut usize,
) -> Result<(FieldSet, bool), FieldSetError> {
    let members = match fields {
        Value::Object(members) => members,
        Value::Null => Map::new(),
        _ => return Err(FieldSetError::NotAnObject),
    };
    if depth > MAX_DEPTH {
        return Err(FieldSetError::TooDeep);
    }
    *budget = budget
        .checked_sub(members.len())
        .ok_or(FieldSetError::TooManyFields)?;
    let mut owned = false;
    let mut nodes = Vec::with_capacity(members.len());
    for (key, value) in members {
        if key == SELF {
            owned = true;
            continue;
        }
        let Some(key) = canonical(key)? else { continue };
        let (children, child_owned) = read(value, depth + 1, budget)?;
        nodes.push(Node {
            key,
            owned: child_owned,
            children,
        });
    }
    // A node without children stands for itself.
    owned |= nodes.is_empty();
    Ok((FieldSet::from_nodes(nodes), owned))
}

fn write(set: FieldSet) -> Map<String, Value> {
    set.nodes
        .into_iter()
        .map(|node| {
            let members = write_node(node.owned, node.children);
            (node.key, Value::Object(members))
        })
        .collect()
}

fn write_node(owned: bool, children: FieldSet) -> Map<String, Value> {
    let owned = owned && !children.is_empty();
    let mut members = write(children);
    if owned {
        members.insert(SELF.to_owned(), Value::Object(Map::new()));
    }
    members
}

/// Whether a node of canonical `FieldsV1` is itself in the set.
fn is_owned(node: &Map<String, Value>) -> bool {
    node.is_empty() || node.contains_key(SELF)
}

/// Takes fields out of canonical `FieldsV1`: [`FieldSet::difference`] at the cost of what is taken out.
pub(crate) fn subtract(fields: &mut Value, gone: &FieldSet) {
    let Value::Object(members) = fields else {
        return;
    };
    for node in &gone.nodes {
        let Some(child) = members.get_mut(&node.key) else {
            continue;
        };
        let owned = child.as_object().is_some_and(is_owned) && !node.owned;
        subtract(child, &node.children);
        let Value::Object(child) = child else {
            continue;
        };
        child.remove(SELF);
        match (owned, child.is_empty()) {
            (false, true) => {
                members.remove(&node.key);
            }
            (true, false) => {
                child.insert(SELF.to_owned(), Value::Object(Map::new()));
            }
            _ => {}
        }
    }
}

/// Takes fields, and what is below them, out of canonical `FieldsV1`:
/// [`FieldSet::recursive_difference`] in place.
pub(crate) fn subtract_recursively(fields: &mut Value, gone: &FieldSet) {
    let Value::Object(members) = fields else {
        return;
    };
    for node in &gone.nodes {
        let Some(child) = members.get_mut(&node.key) else {
            continue;
        };
        let was_leaf = child.as_object().is_some_and(Map::is_empty);
        subtract_recursively(child, &node.children);
        let is_empty = child.as_object().is_none_or(Map::is_empty);
        if node.owned || (is_empty && !was_leaf) {
            members.remove(&node.key);
        } else if let Value::Object(child) = child
            && child.len() == 1
        {
            // Only the node itself is left, which then says so by having nothing below.
            child.remove(SELF);
        }
    }
}

/// Puts fields into canonical `FieldsV1`: [`FieldSet::union`] at the cost of what is put in.
pub(crate) fn add(fields: &mut Value, taken: FieldSet) {
    if !fields.is_object() {
        *fields = Value::Object(Map::new());
    }
    let Value::Object(members) = fields else {
        return;
    };
    for node in taken.nodes {
        let Some(child) = members.get_mut(&node.key) else {
            let child = write_node(node.owned, node.children);
            members.insert(node.key, Value::Object(child));
            continue;
        };
        let owned = node.owned || child.as_object().is_some_and(is_owned);
        add(child, node.children);
        let Value::Object(child) = child else {
            continue;
        };
        child.remove(SELF);
        if owned && !child.is_empty() {
            child.insert(SELF.to_owned(), Value::Object(Map::new()));
        }
    }
}
