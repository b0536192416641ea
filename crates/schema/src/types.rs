//! The structural type of an API object.
//!
//! One model serves built-in and custom kinds alike. It answers the questions that every write asks:
//! which fields exist, of what JSON type, what is filled in when they are absent, and how lists and
//! maps merge under server-side apply and strategic merge patches. What a *value* may be beyond its
//! JSON type (ranges, patterns, cross-field rules) is validation and lives elsewhere.
//!
//! Types are immutable after they are built and shared by `Arc`. They form a tree: where a Kubernetes
//! type refers to itself (only `JSONSchemaProps` does) the inner reference is [`Shape::Any`].

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

/// One node of a structural type.
#[derive(Debug, Clone, Default)]
pub struct Type {
    /// The OpenAPI definition that this node is, such as `io.k8s.api.core.v1.PodSpec`; none for
    /// anonymous nodes.
    pub name: Option<Arc<str>>,
    /// Whether an explicit `null` is a value of its own rather than an absent field.
    pub nullable: bool,
    /// The JSON type.
    pub shape: Shape,
}

/// The JSON type of a [`Type`].
#[derive(Debug, Clone, Default)]
pub enum Shape {
    /// Any JSON value, kept as it is (`RawExtension`, `JSON`, `x-kubernetes-preserve-unknown-fields`
    /// on something without a type).
    #[default]
    Any,
    /// A string.
    String(StringFormat),
    /// `true` or `false`.
    Boolean,
    /// A whole number that fits 32 bits.
    Int32,
    /// A whole number that fits 64 bits.
    Int64,
    /// Any number.
    Number,
    /// A number or a string (`IntOrString`).
    IntOrString,
    /// A resource quantity: a string, or a number that is read as one.
    Quantity,
    /// An object with known fields.
    Object(Object),
    /// An object with free keys.
    Map(Map),
    /// An array.
    List(List),
}

/// What a string holds, where that changes how it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StringFormat {
    /// Text.
    #[default]
    Plain,
    /// Base64 of bytes.
    Byte,
    /// RFC 3339 with seconds (`Time`).
    DateTime,
}

/// An object with known fields.
#[derive(Debug, Clone, Default)]
pub struct Object {
    /// The fields by their JSON name.
    pub fields: BTreeMap<Box<str>, Field>,
    /// Whether fields that are not named are kept (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// Whether the object is owned as a whole under server-side apply (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Whether it is an API object of its own, with `apiVersion`, `kind` and `metadata`
    /// (`x-kubernetes-embedded-resource`).
    pub embedded: bool,
}

/// A field of an [`Object`].
#[derive(Debug, Clone, Default)]
pub struct Field {
    /// The type of the field's value.
    pub ty: Arc<Type>,
    /// Whether the schema lists the field as required. Built-in kinds leave the check to validation,
    /// as Kubernetes does: there an absent required field is its zero value.
    pub required: bool,
    /// What the field is when it is absent.
    pub default: Option<Value>,
    /// How a strategic merge patch treats the field.
    pub patch: PatchStrategy,
}

/// The `x-kubernetes-patch-strategy` of a [`Field`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists: whether the patch's items are merged into the list rather than replacing it.
    pub merge: bool,
    /// Lists of objects: the field that tells items apart.
    pub merge_key: Option<Box<str>>,
    /// Objects: whether fields absent from the patch are cleared (`retainKeys`).
    pub retain_keys: bool,
    /// Objects: whether the patch's value takes the place of the old one instead of being merged into
    /// it (`replace`; only the selector of a disruption budget has it).
    pub replace: bool,
}

/// An object with free keys.
#[derive(Debug, Clone, Default)]
pub struct Map {
    /// The type of every value.
    pub values: Arc<Type>,
    /// Whether the map is owned as a whole under server-side apply.
    pub atomic: bool,
}

/// An array.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// The type of every item.
    pub items: Arc<Type>,
    /// How the list merges under server-side apply.
    pub kind: ListKind,
}

/// The `x-kubernetes-list-type` of a [`List`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListKind {
    /// Owned as a whole.
    #[default]
    Atomic,
    /// Scalars, each at most once and owned by itself.
    Set,
    /// Objects told apart by these fields, each owned by itself.
    Map(Vec<Box<str>>),
}

impl Type {
    /// The fields, where the type is an object with known fields.
    pub fn object(&self) -> Option<&Object> {
        match &self.shape {
            Shape::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The field of that JSON name, where the type is an object that has it.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.object()?.fields.get(name)
    }
}
