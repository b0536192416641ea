//! What a compiled schema says about a value.

use std::{collections::BTreeMap, sync::OnceLock};

use regex::Regex;
use serde_json::{Number, Value};

use crate::ListKind;

use super::{pattern, rules::Rule};

/// The `type` of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonType {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

impl JsonType {
    pub(super) const NAMES: [&str; 6] =
        ["array", "boolean", "integer", "number", "object", "string"];

    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "array" => Self::Array,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "object" => Self::Object,
            "string" => Self::String,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
            Self::String => "string",
        }
    }

    pub(super) fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Array, Value::Array(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::Number, Value::Number(_))
            | (Self::Object, Value::Object(_))
            | (Self::String, Value::String(_)) => true,
            (Self::Integer, Value::Number(number)) => is_integer(number),
            _ => false,
        }
    }
}

/// Whether a number has no fraction; `1.0` counts as an integer, as it does in Go.
pub(super) fn is_integer(number: &Number) -> bool {
    number.is_i64()
        || number.is_u64()
        || number
            .as_f64()
            .is_some_and(|n| n.fract() == 0.0 && n.abs() < 9.0e15)
}

/// One node of a compiled schema.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) json_type: Option<JsonType>,
    pub(super) nullable: bool,
    pub(super) int_or_string: bool,
    /// Inside `anyOf` and the like, where nothing is said about the type.
    pub(super) nested: bool,
    pub(super) properties: BTreeMap<Box<str>, Node>,
    pub(super) additional: Option<Box<Node>>,
    pub(super) items: Option<Box<Node>>,
    pub(super) required: Vec<Box<str>>,
    pub(super) list: ListKind,
    pub(super) limits: Option<Box<Limits>>,
    pub(super) logic: Option<Box<Logic>>,
    /// Rules in CEL over the value.
    pub(super) rules: Vec<Rule>,
    /// Whether there are rules over the value or over anything inside of it.
    pub(super) has_rules: bool,
}

impl Node {
    /// Whether there are rules over anything inside of the value.
    pub(super) fn inner_rules(&self) -> bool {
        let inner = self
            .items
            .iter()
            .chain(&self.additional)
            .map(|node| &**node);
        inner
            .chain(self.properties.values())
            .any(|node| node.has_rules)
    }
}

/// What a single value may be.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) maximum: Option<Number>,
    pub(super) exclusive_maximum: bool,
    pub(super) minimum: Option<Number>,
    pub(super) exclusive_minimum: bool,
    pub(super) multiple_of: Option<Number>,
    pub(super) max_length: Option<u64>,
    pub(super) min_length: Option<u64>,
    pub(super) pattern: Option<Pattern>,
    pub(super) format: Option<Box<str>>,
    pub(super) max_items: Option<u64>,
    pub(super) min_items: Option<u64>,
    pub(super) max_properties: Option<u64>,
    pub(super) min_properties: Option<u64>,
    pub(super) choices: Option<Vec<Value>>,
}

impl Limits {
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            maximum,
            exclusive_maximum: _,
            minimum,
            exclusive_minimum: _,
            multiple_of,
            max_length,
            min_length,
            pattern,
            format,
            max_items,
            min_items,
            max_properties,
            min_properties,
            choices,
        } = self;
        let counts = [
            max_length,
            min_length,
            max_items,
            min_items,
            max_properties,
            min_properties,
        ];
        maximum.is_none()
            && minimum.is_none()
            && multiple_of.is_none()
            && pattern.is_none()
            && format.is_none()
            && choices.is_none()
            && counts.iter().all(|count| count.is_none())
    }
}

/// Schemas that are combined over one value.
#[derive(Debug, Default)]
pub(super) struct Logic {
    pub(super) all_of: Vec<Node>,
    pub(super) any_of: Vec<Node>,
    pub(super) one_of: Vec<Node>,
    pub(super) not: Option<Node>,
}

impl Logic {
    pub(super) fn is_empty(&self) -> bool {
        self.all_of.is_empty()
            && self.any_of.is_empty()
            && self.one_of.is_empty()
            && self.not.is_none()
    }
}

/// A regular expression in Go's syntax. Compiled when it is first used: a large schema has hundreds,
/// and each takes tens of kilobytes.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) source: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn new(source: &str) -> Self {
        Self {
            source: source.into(),
            compiled: OnceLock::new(),
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    /// The compiled pattern; none if it is not a pattern.
    pub(super) fn regex(&self) -> Option<&Regex> {
        self.compiled
            .get_or_init(|| pattern::compile(&self.source).ok())
            .as_ref()
    }
}
