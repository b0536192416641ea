//! Sets of fields: which parts of an object somebody owns.
//!
//! A set is a tree whose edges are the keys of Kubernetes' `FieldsV1` format, in their canonical text:
//! `f:name` for a field, `k:{"name":"x"}` for an item of a list map, `v:"x"` for an item of a set and
//! `i:0` for a position. Keeping the text makes sets cheap to read from and to write to an object, and
//! lets them be compared with what is stored without being built at all.

mod collect;
mod compare;
mod json;
mod key;
mod remove;
mod view;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use std::{cmp::Ordering, fmt, sync::LazyLock};

use mosaic_schema::{Shape, Type};
use thiserror::Error;

pub(crate) use collect::created;
pub(crate) use compare::{Delta, compare};
pub(crate) use key::{KeyError, item_key, push_display as push_item_path, value_key};
pub use remove::remove;
pub(crate) use view::{ANY, Fields, View, view};

/// Why something is not a field set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldSetError {
    /// A part of the set is not a JSON object.
    #[error("a field set must be a JSON object")]
    NotAnObject,
    /// A key is not of one of the known forms.
    #[error("invalid key {0:?} in a field set")]
    InvalidKey(String),
    /// The set is nested too deeply.
    #[error("the field set is nested too deeply")]
    TooDeep,
    /// The set has too many fields.
    #[error("the field set has too many fields")]
    TooManyFields,
    /// An item of a list map or set cannot be told apart from others.
    #[error("{path}: {reason}")]
    Item {
        /// The list's path, such as `.spec.containers`.
        path: String,
        /// What is wrong with its item.
        reason: String,
    },
}

/// A set of fields of an object.
///
/// Membership is by node, not by subtree: a set may hold an item of a list without anything in it, or
/// a field in it without the item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Ordered by key, each key once; each node is owned or has children.
    nodes: Vec<Node>,
}

/// A field, and what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// The canonical key.
    key: String,
    /// Whether the field itself is in the set.
    owned: bool,
    children: FieldSet,
}

impl Node {
    /// A field in the set, with nothing below it.
    fn leaf(key: String) -> Self {
        Self {
            key,
            owned: true,
            children: FieldSet::default(),
        }
    }

    fn is_empty(&self) -> bool {
        !self.owned && self.children.nodes.is_empty()
    }
}

impl FieldSet {
    /// The set of fields at these paths, each given by field names.
    ///
    /// ```
    /// # use mosaic_patch::FieldSet;
    /// let set = FieldSet::from_field_names(&[&["status"], &["spec", "replicas"]]);
    /// assert_eq!(set.to_string(), ".status\n.spec.replicas");
    /// ```
    pub fn from_field_names(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let mut one = Self::default();
            for (steps_below, name) in path.iter().rev().enumerate() {
                one = Self {
                    nodes: vec![Node {
                        key: key::field_key(name),
                        owned: steps_below == 0,
                        children: one,
                    }],
                };
            }
            set = set.union(one);
        }
        set
    }

    /// Puts nodes in order; where a key stands twice, its nodes become one.
    pub(crate) fn from_nodes(mut nodes: Vec<Node>) -> Self {
        if !nodes.is_sorted_by(|left, right| left.key < right.key) {
            nodes.sort_by(|left, right| left.key.cmp(&right.key));
            let mut distinct: Vec<Node> = Vec::with_capacity(nodes.len());
            for node in nodes {
                match distinct.last_mut() {
                    Some(last) if last.key == node.key => {
                        last.owned |= node.owned;
                        last.children = std::mem::take(&mut last.children).union(node.children);
                    }
                    _ => distinct.push(node),
                }
            }
            nodes = distinct;
        }
        Self { nodes }
    }

    /// The keys of the outermost fields.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.key.as_str())
    }

    /// Whether no field is in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many fields are in the set.
    pub fn len(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| usize::from(node.owned) + node.children.len())
            .sum()
    }

    /// Whether the field at that path of field names is in the set.
    pub fn contains(&self, path: &[&str]) -> bool {
        let mut set = self;
        for (index, name) in path.iter().enumerate() {
            let Some(node) = set.node(&key::field_key(name)) else {
                return false;
            };
            if index + 1 == path.len() {
                return node.owned;
            }
            set = &node.children;
        }
        false
    }

    fn node(&self, key: &str) -> Option<&Node> {
        let index = self
            .nodes
            .binary_search_by(|node| node.key.as_str().cmp(key))
            .ok()?;
        self.nodes.get(index)
    }

    /// The fields that are in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if self.nodes.is_empty() {
            return other;
        }
        if other.nodes.is_empty() {
            return self;
        }
        let mut nodes = Vec::with_capacity(self.nodes.len().max(other.nodes.len()));
        let mut left = self.nodes.into_iter().peekable();
        let mut right = other.nodes.into_iter().peekable();
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(l), Some(r)) => l.key.cmp(&r.key),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            match order {
                Ordering::Less => nodes.extend(left.next()),
                Ordering::Greater => nodes.extend(right.next()),
                Ordering::Equal => {
                    if let (Some(l), Some(r)) = (left.next(), right.next()) {
                        nodes.push(Node {
                            key: l.key,
                            owned: l.owned || r.owned,
                            children: l.children.union(r.children),
                        });
                    }
                }
            }
        }
        Self { nodes }
    }

    /// The fields that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let nodes = self.nodes.iter().filter_map(|left| {
            let right = other.node(&left.key)?;
            let node = Node {
                key: left.key.clone(),
                owned: left.owned && right.owned,
                children: left.children.intersection(&right.children),
            };
            (!node.is_empty()).then_some(node)
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    /// The fields that are in this set and not in the other. What is below a removed field stays.
    #[must_use]
    pub fn difference(self, other: &Self) -> Self {
        self.without(other, false)
    }

    /// The fields that are neither in the other set nor below a field of it.
    #[must_use]
    pub fn recursive_difference(self, other: &Self) -> Self {
        self.without(other, true)
    }

    fn without(mut self, other: &Self, recursive: bool) -> Self {
        if other.nodes.is_empty() {
            return self;
        }
        self.nodes.retain_mut(|node| {
            let Some(gone) = other.node(&node.key) else {
                return true;
            };
            if gone.owned {
                if recursive {
                    return false;
                }
                node.owned = false;
            }
            node.children = std::mem::take(&mut node.children).without(&gone.children, recursive);
            !node.is_empty()
        });
        self
    }

    /// The fields of the set that have no field of the set below them.
    #[must_use]
    pub fn leaves(&self) -> Self {
        let nodes = self.nodes.iter().map(|node| Node {
            key: node.key.clone(),
            owned: node.owned && node.children.is_empty(),
            children: node.children.leaves(),
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    /// The paths of the fields, as conflicts show them: `.spec.containers[name="x"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.push_paths(&mut String::new(), &mut paths);
        paths
    }

    fn push_paths(&self, prefix: &mut String, paths: &mut Vec<String>) {
        let parent = prefix.len();
        for node in self.nodes.iter().filter(|node| node.owned) {
            key::push_display(&node.key, prefix);
            paths.push(prefix.clone());
            prefix.truncate(parent);
        }
        for node in self.nodes.iter().filter(|node| !node.children.is_empty()) {
            key::push_display(&node.key, prefix);
            node.children.push_paths(prefix, paths);
            prefix.truncate(parent);
        }
    }

    /// Adds every named field that has a field of the set below it. A set that an apply leaves holds
    /// `.spec.replicas` and not `.spec`; to find out what may be removed, `.spec` counts as held too.
    #[must_use]
    pub(crate) fn with_named_parents(mut self, ty: &Type) -> Self {
        for node in &mut self.nodes {
            let (child, named) = match (&ty.shape, node.key.strip_prefix("f:")) {
                (Shape::Object(object), Some(name)) => match object.fields.get(name) {
                    Some(field) => (&*field.ty, true),
                    None => (&ANY, false),
                },
                (Shape::Map(map), Some(_)) => (&*map.values, false),
                (Shape::List(list), None) => (&*list.items, false),
                _ => (&ANY, false),
            };
            node.owned |= named && !node.children.is_empty();
            node.children = std::mem::take(&mut node.children).with_named_parents(child);
        }
        self
    }
}

/// What nobody owns: what an object is, and the metadata that the server writes.
pub(crate) static UNTRACKED: LazyLock<FieldSet> = LazyLock::new(|| {
    FieldSet::from_field_names(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

/// One path a line.
impl fmt::Display for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.paths().join("\n"))
    }
}
