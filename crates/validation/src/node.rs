//! A cursor over an object that knows its path.
//!
//! Validation reads objects as JSON. A [`Node`] is a value together with the way to it; the path is only
//! spelled out when an error is recorded, so a valid object costs no allocation. Absent fields and
//! `null` are the same, as they are to Kubernetes; a value of another JSON type than asked for reads as
//! absent, since decoding has refused it before.

use std::fmt::Write as _;

use mosaic_schema::{FieldError, FieldErrorKind};
use serde_json::Value;

/// One step of a path.
#[derive(Debug, Clone, Copy)]
enum Segment<'p> {
    Root,
    Field(&'p str),
    Index(usize),
    Key(&'p str),
}

/// A value, or the absence of one, at a path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'v, 'p> {
    value: Option<&'v Value>,
    segment: Segment<'p>,
    parent: Option<&'p Node<'v, 'p>>,
}

impl<'v, 'p> Node<'v, 'p> {
    /// A whole object.
    pub(crate) fn root(value: &'v Value) -> Self {
        Self {
            value: Some(value),
            segment: Segment::Root,
            parent: None,
        }
    }

    /// The field of that name.
    pub(crate) fn get<'q>(&'q self, name: &'q str) -> Node<'v, 'q> {
        Node {
            value: self
                .value
                .and_then(|v| v.get(name))
                .filter(|v| !v.is_null()),
            segment: Segment::Field(name),
            parent: Some(self),
        }
    }

    /// The value under that key of a map: the path shows it in brackets.
    pub(crate) fn key<'q>(&'q self, key: &'q str) -> Node<'v, 'q> {
        Node {
            segment: Segment::Key(key),
            ..self.get(key)
        }
    }

    /// The path of an item that need not exist.
    pub(crate) fn index<'q>(&'q self, index: usize) -> Node<'v, 'q> {
        Node {
            value: self
                .value
                .and_then(|v| v.get(index))
                .filter(|v| !v.is_null()),
            segment: Segment::Index(index),
            parent: Some(self),
        }
    }

    /// The items of a list; none if it is absent.
    pub(crate) fn items<'q>(&'q self) -> impl Iterator<Item = Node<'v, 'q>> + use<'v, 'q> {
        let list: &'v [Value] = self
            .value
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice);
        list.iter().enumerate().map(move |(index, value)| Node {
            value: Some(value).filter(|v| !v.is_null()),
            segment: Segment::Index(index),
            parent: Some(self),
        })
    }

    /// The entries of a map; none if it is absent.
    pub(crate) fn entries<'q>(
        &'q self,
    ) -> impl Iterator<Item = (&'v str, Node<'v, 'q>)> + use<'v, 'q>
    where
        'v: 'q,
    {
        self.value
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(move |(key, value)| {
                let node = Node {
                    value: Some(value).filter(|v| !v.is_null()),
                    segment: Segment::Key(key.as_str()),
                    parent: Some(self),
                };
                (key.as_str(), node)
            })
    }

    /// The fields that are set.
    pub(crate) fn fields<'q>(
        &'q self,
    ) -> impl Iterator<Item = (&'v str, Node<'v, 'q>)> + use<'v, 'q>
    where
        'v: 'q,
    {
        self.entries()
            .filter(|(_, node)| node.is_set())
            .map(|(key, node)| {
                let node = Node {
                    segment: Segment::Field(key),
                    ..node
                };
                (key, node)
            })
    }

    /// The value, if it is set.
    pub(crate) fn value(&self) -> Option<&'v Value> {
        self.value
    }

    /// Whether it is neither absent nor `null`.
    pub(crate) fn is_set(&self) -> bool {
        self.value.is_some()
    }

    /// The text; empty if absent.
    pub(crate) fn str(&self) -> &'v str {
        self.value.and_then(Value::as_str).unwrap_or_default()
    }

    /// The whole number.
    pub(crate) fn int(&self) -> Option<i64> {
        self.value.and_then(Value::as_i64)
    }

    /// The whole number; 0 if absent.
    pub(crate) fn int_or_zero(&self) -> i64 {
        self.int().unwrap_or_default()
    }

    /// Whether it is `true`.
    pub(crate) fn is_true(&self) -> bool {
        self.value.and_then(Value::as_bool).unwrap_or_default()
    }

    /// The number of items or entries.
    pub(crate) fn len(&self) -> usize {
        match self.value {
            Some(Value::Array(list)) => list.len(),
            Some(Value::Object(map)) => map.len(),
            _ => 0,
        }
    }

    /// Whether there are no items, entries or letters in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self.value {
            None => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            Some(_) => false,
        }
    }

    /// Whether both are the same to Kubernetes: an absent field equals an empty one.
    pub(crate) fn same(&self, other: &Node<'_, '_>) -> bool {
        self.value == other.value || (self.is_empty() && other.is_empty())
    }

    /// The path, such as `spec.containers[0].image`.
    pub(crate) fn path(&self) -> String {
        let mut text = String::new();
        self.write_path(&mut text);
        text
    }

    fn write_path(&self, text: &mut String) {
        if let Some(parent) = self.parent {
            parent.write_path(text);
        }
        match self.segment {
            Segment::Root => {}
            Segment::Field(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Segment::Index(index) => {
                let _ = write!(text, "[{index}]");
            }
            Segment::Key(key) => {
                let _ = write!(text, "[{key}]");
            }
        }
    }
}

/// What is wrong with an object.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    list: Vec<FieldError>,
}

/// The message of a field that must not change.
pub(crate) const IMMUTABLE: &str = "field is immutable";

impl Errors {
    /// Everything that was recorded, in order.
    pub(crate) fn into_vec(self) -> Vec<FieldError> {
        self.list
    }

    /// How many were recorded.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// Records an error made elsewhere.
    pub(crate) fn push(&mut self, error: FieldError) {
        self.list.push(error);
    }

    /// The field must be given.
    pub(crate) fn required(&mut self, node: &Node<'_, '_>, detail: &str) {
        self.list.push(FieldError::required(node.path(), detail));
    }

    /// The field must be given if it is empty: whether it is there.
    pub(crate) fn require(&mut self, node: &Node<'_, '_>, detail: &str) -> bool {
        let given = !node.is_empty();
        if !given {
            self.required(node, detail);
        }
        given
    }

    /// The field's own value is wrong.
    pub(crate) fn invalid(&mut self, node: &Node<'_, '_>, detail: impl Into<String>) {
        let value = node.value().cloned().unwrap_or(Value::Null);
        self.invalid_as(node, value, detail);
    }

    /// The field is wrong, and the message shows another value than the field's own.
    pub(crate) fn invalid_as(
        &mut self,
        node: &Node<'_, '_>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) {
        self.list
            .push(FieldError::invalid(node.path(), value, detail));
    }

    /// A text is wrong in each of these ways.
    pub(crate) fn invalid_text(
        &mut self,
        node: &Node<'_, '_>,
        text: &str,
        why: impl IntoIterator<Item = String>,
    ) {
        for detail in why {
            self.invalid_as(node, text, detail);
        }
    }

    /// Checks the field's text by a rule of [`crate::rules`].
    pub(crate) fn check(&mut self, node: &Node<'_, '_>, rule: fn(&str) -> Vec<String>) {
        self.invalid_text(node, node.str(), rule(node.str()));
    }

    /// As [`Errors::check`], for a text that must be given.
    pub(crate) fn require_and_check(&mut self, node: &Node<'_, '_>, rule: fn(&str) -> Vec<String>) {
        if self.require(node, "") {
            self.check(node, rule);
        }
    }

    /// The field may not be set or changed.
    pub(crate) fn forbidden(&mut self, node: &Node<'_, '_>, detail: impl Into<String>) {
        self.list.push(FieldError::forbidden(node.path(), detail));
    }

    /// The value stands twice.
    pub(crate) fn duplicate(&mut self, node: &Node<'_, '_>, value: impl Into<Value>) {
        self.list.push(FieldError::duplicate(node.path(), value));
    }

    /// The value is none of those known.
    pub(crate) fn not_supported(&mut self, node: &Node<'_, '_>, known: &[&str]) {
        self.list
            .push(FieldError::not_supported(node.path(), node.str(), known));
    }

    /// What the field names does not exist.
    pub(crate) fn not_found(&mut self, node: &Node<'_, '_>, value: impl Into<Value>) {
        self.list.push(FieldError {
            kind: FieldErrorKind::NotFound,
            path: node.path(),
            value: Some(value.into()),
            detail: String::new(),
        });
    }

    /// The value takes more bytes than it may.
    pub(crate) fn too_long(&mut self, node: &Node<'_, '_>, max: usize) {
        self.list.push(FieldError {
            kind: FieldErrorKind::TooLong,
            path: node.path(),
            value: None,
            detail: format!("may not be more than {max} bytes"),
        });
    }

    /// The list has more items than it may.
    pub(crate) fn too_many(&mut self, node: &Node<'_, '_>, max: usize) {
        self.list.push(FieldError {
            kind: FieldErrorKind::TooMany,
            path: node.path(),
            value: Some(node.len().into()),
            detail: format!("must have at most {max} items"),
        });
    }

    /// Refuses a text that is not one of `known`; an empty text is missing.
    pub(crate) fn one_of(&mut self, node: &Node<'_, '_>, known: &[&str]) {
        if node.is_empty() {
            self.required(node, "");
        } else if !known.contains(&node.str()) {
            self.not_supported(node, known);
        }
    }

    /// Refuses a text that is given and not one of `known`.
    pub(crate) fn one_of_if_set(&mut self, node: &Node<'_, '_>, known: &[&str]) {
        if node.is_set() && !known.contains(&node.str()) {
            self.not_supported(node, known);
        }
    }

    /// Refuses a number below zero.
    pub(crate) fn not_negative(&mut self, node: &Node<'_, '_>) {
        if node.int().is_some_and(|n| n < 0) {
            self.invalid(node, "must be greater than or equal to 0");
        }
    }

    /// Refuses a change of the field.
    pub(crate) fn immutable(&mut self, new: &Node<'_, '_>, old: &Node<'_, '_>) {
        if !new.same(old) {
            self.invalid(new, IMMUTABLE);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_spelled_as_kubernetes_does() {
        let object = json!({"spec": {"containers": [{"image": ""}], "nodeSelector": {"a/b": "c"}}});
        let root = Node::root(&object);
        let spec = root.get("spec");
        let containers = spec.get("containers");
        let first = containers.index(0);
        assert_eq!(first.get("image").path(), "spec.containers[0].image");
        assert_eq!(
            spec.get("nodeSelector").key("a/b").path(),
            "spec.nodeSelector[a/b]"
        );
    }

    #[test]
    fn null_is_absent() {
        let object = json!({"a": null, "l": [null]});
        let root = Node::root(&object);
        assert!(!root.get("a").is_set());
        assert!(root.get("l").items().all(|item| !item.is_set()));
    }
}
