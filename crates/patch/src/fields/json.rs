//! The `FieldsV1` format.

use serde_json::{Map, Value};

use super::{FieldSet, FieldSetError, Node, key::canonical};
use crate::limits::{MAX_DEPTH, MAX_FIELDS};

/// The key that stands for the node it is in.
const SELF: &str = ".";

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
            let children_empty = node.children.is_empty();
            let mut members = write(node.children);
            if node.owned && !children_empty {
                members.insert(SELF.to_owned(), Value::Object(Map::new()));
            }
            (node.key, Value::Object(members))
        })
        .collect()
}

/// Whether any field of the set is in the canonical `FieldsV1`, without reading all of it.
pub(crate) fn intersects(fields: &Value, set: &FieldSet) -> bool {
    set.nodes.iter().any(|node| {
        let Some(Value::Object(child)) = fields.get(&node.key) else {
            return false;
        };
        let child_owned = child.is_empty() || child.contains_key(SELF);
        (node.owned && child_owned)
            || (!node.children.is_empty()
                && fields
                    .get(&node.key)
                    .is_some_and(|child| intersects(child, &node.children)))
    })
}
