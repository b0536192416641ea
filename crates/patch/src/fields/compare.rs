//! Which fields differ between two versions of an object.

use std::cmp::Ordering;

use mosaic_schema::{List, Type};
use serde_json::{Map, Value};

use super::{
    FieldSet, Node,
    collect::{appearing, whole},
    key::field_key,
    view::{Fields, View, key_of_item, view},
};
use crate::equality::same;

/// What differs between two versions of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    /// Fields that were added or whose value is another.
    pub(crate) changed: FieldSet,
    /// Fields that are gone.
    pub(crate) removed: FieldSet,
}

impl Delta {
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

/// What differs between two versions.
pub(crate) fn compare(old: &Value, new: &Value, ty: &Type) -> Delta {
    let below = compare_values(old, new, ty, 0);
    Delta {
        changed: FieldSet::from_nodes(below.changed),
        removed: FieldSet::from_nodes(below.removed),
    }
}

/// What differs in and below one value.
#[derive(Default)]
struct Below {
    /// Whether the value, a leaf, is another one.
    modified: bool,
    changed: Vec<Node>,
    removed: Vec<Node>,
}

impl Below {
    /// Takes in what differs in and below a child.
    fn child(&mut self, key: impl FnOnce() -> String, child: Self) {
        let (changed, removed) = (
            child.modified || !child.changed.is_empty(),
            !child.removed.is_empty(),
        );
        if !changed && !removed {
            return;
        }
        let key = key();
        if removed {
            let node = Node {
                key: key.clone(),
                owned: false,
                children: FieldSet::from_nodes(child.removed),
            };
            self.removed.push(node);
        }
        if changed {
            self.changed.push(Node {
                key,
                owned: child.modified,
                children: FieldSet::from_nodes(child.changed),
            });
        }
    }
}

fn compare_values(old: &Value, new: &Value, ty: &Type, depth: usize) -> Below {
    let nothing = Map::new();
    match (view(old, ty), view(new, ty)) {
        (View::Fields(fields, old), View::Fields(_, new)) => {
            compare_fields(fields, old, new, depth)
        }
        // Null stands for an object or list without anything in it.
        (View::Fields(fields, old), View::Leaf) if new.is_null() => {
            compare_fields(fields, old, &nothing, depth)
        }
        (View::Leaf, View::Fields(fields, new)) if old.is_null() => {
            compare_fields(fields, &nothing, new, depth)
        }
        (View::Items(list, old_items), View::Items(_, new_items)) => {
            compare_items(list, old_items, new_items, depth).unwrap_or_else(|| leaf(old, new))
        }
        (View::Items(list, items), View::Leaf) if new.is_null() => {
            compare_items(list, items, &[], depth).unwrap_or_else(|| leaf(old, new))
        }
        (View::Leaf, View::Items(list, items)) if old.is_null() => {
            compare_items(list, &[], items, depth).unwrap_or_else(|| leaf(old, new))
        }
        (View::Leaf, View::Leaf) => leaf(old, new),
        // A value of another kind: what was in the old one is gone, what is in the new one came.
        _ => Below {
            modified: true,
            changed: whole(new, ty).nodes,
            removed: whole(old, ty).nodes,
        },
    }
}

fn leaf(old: &Value, new: &Value) -> Below {
    Below {
        modified: !same(old, new),
        ..Below::default()
    }
}

fn compare_fields(
    fields: Fields<'_>,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    depth: usize,
) -> Below {
    let mut below = Below::default();
    // Both are in order of their keys: one pass over the two finds what they share.
    let mut old = old.iter().peekable();
    let mut new = new.iter().peekable();
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some((old_name, _)), Some((new_name, _))) => old_name.cmp(new_name),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return below,
        };
        match order {
            Ordering::Less => {
                if let Some((name, value)) = old.next() {
                    let child = fields.child(name);
                    below.removed.extend(appearing(
                        field_key(name),
                        value,
                        child.ty,
                        child.always_there,
                    ));
                }
            }
            Ordering::Greater => {
                if let Some((name, value)) = new.next() {
                    let child = fields.child(name);
                    below.changed.extend(appearing(
                        field_key(name),
                        value,
                        child.ty,
                        child.always_there,
                    ));
                }
            }
            Ordering::Equal => {
                if let (Some((name, old)), Some((_, new))) = (old.next(), new.next())
                    && !is_plainly_equal(old, new, depth)
                {
                    let child = compare_values(old, new, fields.child(name).ty, depth + 1);
                    below.child(|| field_key(name), child);
                }
            }
        }
    }
}

/// Whether two values are the same, as far as that is cheaper to see than to descend.
///
/// Most of an object does not change, and what is the same needs neither types nor keys. What differs is
/// looked at again one level below, so this is for the upper levels and for scalars.
fn is_plainly_equal(old: &Value, new: &Value, depth: usize) -> bool {
    const LEVELS: usize = 8;
    let nested = old.is_object() || old.is_array();
    (!nested || depth < LEVELS) && old == new
}

/// Compares lists item by item, whatever their order. `None` when items cannot be told apart.
fn compare_items(list: &List, old: &[Value], new: &[Value], depth: usize) -> Option<Below> {
    let old = keyed(list, old)?;
    let new = keyed(list, new)?;
    let mut below = Below::default();
    let mut old = old.into_iter().peekable();
    let mut new = new.into_iter().peekable();
    loop {
        match (old.peek(), new.peek()) {
            (Some((old_key, _)), Some((new_key, _))) if old_key == new_key => {
                if let (Some((key, old)), Some((_, new))) = (old.next(), new.next()) {
                    // A scalar is its own key: the same key is the same value.
                    if old.is_object() && !is_plainly_equal(old, new, depth) {
                        below.child(|| key, compare_values(old, new, &list.items, depth + 1));
                    }
                }
            }
            (Some((old_key, _)), Some((new_key, _))) if old_key > new_key => {
                if let Some((key, item)) = new.next() {
                    below
                        .changed
                        .extend(appearing(key, item, item_type(list, item), false));
                }
            }
            (Some(_), _) => {
                if let Some((key, item)) = old.next() {
                    below
                        .removed
                        .extend(appearing(key, item, item_type(list, item), false));
                }
            }
            (None, Some(_)) => {
                if let Some((key, item)) = new.next() {
                    below
                        .changed
                        .extend(appearing(key, item, item_type(list, item), false));
                }
            }
            (None, None) => return Some(below),
        }
    }
}

fn item_type<'a>(list: &'a List, item: &Value) -> &'a Type {
    if item.is_object() {
        &list.items
    } else {
        &super::ANY
    }
}

/// Items by key, in order of keys; of items with the same key, the first.
fn keyed<'a>(list: &List, items: &'a [Value]) -> Option<Vec<(String, &'a Value)>> {
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        keyed.push((key_of_item(list, item).ok()?, item));
    }
    keyed.sort_by(|(left, _), (right, _)| left.cmp(right));
    keyed.dedup_by(|(later, _), (earlier, _)| later == earlier);
    Some(keyed)
}
