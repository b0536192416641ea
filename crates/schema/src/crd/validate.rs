//! Holding a value against a compiled schema, with Kubernetes' messages.

use std::{cmp::Ordering, collections::HashSet};

use serde_json::{Map as JsonMap, Number, Value};

use crate::{FieldError, FieldErrorKind, ListKind, path::Path};

use super::{
    format,
    node::{JsonType, Limits, Logic, Node, is_integer},
};

/// At most this many errors are told.
const MAX_ERRORS: usize = 200;
/// How many times a node may meet a value. A schema that combines schemas many times over would
/// otherwise make a large object take minutes.
const MAX_STEPS: usize = 20_000_000;

/// What is wrong with a value; see [`super::Structural::validate`].
pub(super) fn validate(node: &Node, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut validator = Validator { steps: 0 };
    let mut errors = Vec::new();
    validator.node(node, value, old, &Path::Root, &mut errors);
    if validator.steps > MAX_STEPS {
        errors.push(FieldError::forbidden(
            "",
            "the object takes too long to validate against its schema",
        ));
    }
    errors.truncate(MAX_ERRORS);
    errors
}

struct Validator {
    steps: usize,
}

impl Validator {
    fn node(
        &mut self,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        errors: &mut Vec<FieldError>,
    ) {
        self.steps += 1;
        if self.steps > MAX_STEPS || errors.len() >= MAX_ERRORS {
            return;
        }
        // What was stored once stays acceptable, also if the schema has become stricter since.
        if old == Some(value) {
            return;
        }
        if value.is_null() && (node.nullable || node.nested) {
            return;
        }
        if let Some(error) = wrong_type(node, value, path) {
            errors.push(error);
            return;
        }
        if let Some(logic) = &node.logic {
            self.logic(logic, value, path, errors);
        }
        if let Some(limits) = &node.limits {
            check_limits(limits, node.json_type, value, path, errors);
        }
        match value {
            Value::Object(map) => self.object(node, map, old, path, errors),
            Value::Array(items) => self.array(node, items, old, path, errors),
            _ => {}
        }
    }

    fn object(
        &mut self,
        node: &Node,
        map: &JsonMap<String, Value>,
        old: Option<&Value>,
        path: &Path<'_>,
        errors: &mut Vec<FieldError>,
    ) {
        for name in &node.required {
            if !map.contains_key(&**name) {
                errors.push(FieldError::required(
                    Path::Field(path, name).to_string(),
                    "",
                ));
            }
        }
        if node.properties.is_empty() && node.additional.is_none() {
            return;
        }
        for (key, value) in map {
            let inner = node
                .properties
                .get(key.as_str())
                .or(node.additional.as_deref());
            if let Some(inner) = inner {
                let old = old.and_then(|old| old.get(key));
                self.node(inner, value, old, &Path::Field(path, key), errors);
            }
        }
    }

    fn array(
        &mut self,
        node: &Node,
        items: &[Value],
        old: Option<&Value>,
        path: &Path<'_>,
        errors: &mut Vec<FieldError>,
    ) {
        if let Some(inner) = &node.items {
            let old = OldItems::new(&node.list, old);
            for (index, item) in items.iter().enumerate() {
                self.node(
                    inner,
                    item,
                    old.find(item),
                    &Path::Index(path, index),
                    errors,
                );
            }
        }
        match &node.list {
            ListKind::Atomic => {}
            ListKind::Set => check_unique(items, |item| Some(item.clone()), path, errors),
            ListKind::Map(keys) => check_unique(items, |item| item_keys(item, keys), path, errors),
        }
    }

    fn logic(
        &mut self,
        logic: &Logic,
        value: &Value,
        path: &Path<'_>,
        errors: &mut Vec<FieldError>,
    ) {
        let failures = |validator: &mut Self, node: &Node| {
            let mut found = Vec::new();
            validator.node(node, value, None, path, &mut found);
            found
        };
        if !logic.any_of.is_empty() {
            let mut best: Option<Vec<FieldError>> = None;
            for node in &logic.any_of {
                let found = failures(self, node);
                if best.as_ref().is_none_or(|best| found.len() < best.len()) {
                    best = Some(found);
                }
                if best.as_ref().is_some_and(Vec::is_empty) {
                    break;
                }
            }
            if let Some(best) = best.filter(|best| !best.is_empty()) {
                errors.push(combined(path, "must validate at least one schema (anyOf)"));
                errors.extend(best);
            }
        }
        if !logic.one_of.is_empty() {
            let results: Vec<Vec<FieldError>> = logic
                .one_of
                .iter()
                .map(|node| failures(self, node))
                .collect();
            match results.iter().filter(|found| found.is_empty()).count() {
                1 => {}
                0 => {
                    errors.push(combined(
                        path,
                        "must validate one and only one schema (oneOf). Found none valid",
                    ));
                    errors.extend(results.into_iter().min_by_key(Vec::len).unwrap_or_default());
                }
                several => {
                    let detail = format!(
                        "must validate one and only one schema (oneOf). Found {several} valid alternatives"
                    );
                    errors.push(combined(path, &detail));
                }
            }
        }
        if !logic.all_of.is_empty() {
            let mut valid = 0;
            for node in &logic.all_of {
                let found = failures(self, node);
                valid += usize::from(found.is_empty());
                errors.extend(found);
            }
            if valid != logic.all_of.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                errors.push(combined(
                    path,
                    &format!("must validate all the schemas (allOf){none}"),
                ));
            }
        }
        if let Some(not) = &logic.not
            && failures(self, not).is_empty()
        {
            errors.push(combined(path, "must not validate the schema (not)"));
        }
    }
}

/// The items of the stored list, found by what tells items apart.
pub(super) struct OldItems<'a> {
    keys: &'a [Box<str>],
    items: std::collections::HashMap<String, &'a Value>,
}

impl<'a> OldItems<'a> {
    pub(super) fn new(list: &'a ListKind, old: Option<&'a Value>) -> Self {
        let ListKind::Map(keys) = list else {
            return Self {
                keys: &[],
                items: Default::default(),
            };
        };
        let old = old.and_then(Value::as_array).into_iter().flatten();
        let items = old
            .filter_map(|item| Some((item_keys(item, keys)?.to_string(), item)))
            .collect();
        Self { keys, items }
    }

    pub(super) fn find(&self, item: &Value) -> Option<&'a Value> {
        if self.items.is_empty() {
            return None;
        }
        self.items
            .get(&item_keys(item, self.keys)?.to_string())
            .copied()
    }
}

fn item_keys(item: &Value, keys: &[Box<str>]) -> Option<Value> {
    let item = item.as_object()?;
    let found = keys
        .iter()
        .filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())));
    Some(Value::Object(found.collect()))
}

fn check_unique(
    items: &[Value],
    identity: impl Fn(&Value) -> Option<Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let mut seen = HashSet::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Some(identity) = identity(item) else {
            continue;
        };
        if !seen.insert(identity.to_string()) {
            errors.push(FieldError::duplicate(
                Path::Index(path, index).to_string(),
                identity,
            ));
        }
    }
}

fn combined(path: &Path<'_>, detail: &str) -> FieldError {
    let place = path.to_string();
    let detail = format!("{place:?} {detail}");
    FieldError::invalid(place, "", detail)
}

fn wrong_type(node: &Node, value: &Value, path: &Path<'_>) -> Option<FieldError> {
    let (fits, expected) = match node.json_type {
        Some(expected) => (expected.fits(value), expected.name()),
        None if node.int_or_string => (
            JsonType::Integer.fits(value) || value.is_string(),
            "integer,string",
        ),
        None => return None,
    };
    if fits {
        return None;
    }
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if is_integer(number) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Some(type_invalid(path, found, expected))
}

fn type_invalid(path: &Path<'_>, found: &str, expected: &str) -> FieldError {
    let place = path.to_string();
    let detail = format!("{place} in body must be of type {expected}: {found:?}");
    FieldError {
        kind: FieldErrorKind::TypeInvalid,
        path: place,
        value: Some(Value::from(found)),
        detail,
    }
}

fn check_limits(
    limits: &Limits,
    json_type: Option<JsonType>,
    value: &Value,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let mut invalid = |shown: Value, detail: String| {
        let place = path.to_string();
        let detail = format!("{place} in body {detail}");
        errors.push(FieldError::invalid(place, shown, detail));
    };
    match value {
        Value::Number(number) => {
            for detail in number_complaints(limits, number) {
                invalid(value.clone(), detail);
            }
        }
        Value::String(text) => {
            if let Some(min) = limits.min_length.filter(|min| length(text) < *min) {
                invalid(
                    value.clone(),
                    format!("should be at least {min} chars long"),
                );
            }
            if let Some(pattern) = limits
                .pattern
                .as_ref()
                .filter(|pattern| !pattern.matches(text))
            {
                invalid(value.clone(), format!("should match '{}'", pattern.source));
            }
            if let Some(max) = limits.max_length.filter(|max| length(text) > *max) {
                errors.push(FieldError {
                    kind: FieldErrorKind::TooLong,
                    path: path.to_string(),
                    value: None,
                    detail: format!("may not be more than {max} bytes"),
                });
            }
            let typed = matches!(json_type, Some(JsonType::String) | None);
            if let Some(format) = limits
                .format
                .as_deref()
                .filter(|format| typed && !format::fits(format, text))
            {
                errors.push(type_invalid(path, text, format));
            }
        }
        Value::Array(items) => {
            let count = items.len() as u64;
            if let Some(min) = limits.min_items.filter(|min| count < *min) {
                invalid(count.into(), format!("should have at least {min} items"));
            }
            if let Some(max) = limits.max_items.filter(|max| count > *max) {
                errors.push(too_many(path, count, max));
            }
        }
        Value::Object(map) => {
            let count = map.len() as u64;
            if let Some(min) = limits.min_properties.filter(|min| count < *min) {
                invalid(
                    count.into(),
                    format!("should have at least {min} properties"),
                );
            }
            if let Some(max) = limits.max_properties.filter(|max| count > *max) {
                errors.push(too_many(path, count, max));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    if let Some(choices) = &limits.choices
        && !choices.iter().any(|choice| same(choice, value))
    {
        let texts: Vec<String> = choices.iter().map(shown).collect();
        let known: Vec<&str> = texts.iter().map(String::as_str).collect();
        errors.push(FieldError::not_supported(
            path.to_string(),
            value.clone(),
            &known,
        ));
    }
}

fn number_complaints(limits: &Limits, number: &Number) -> Vec<String> {
    let mut complaints = Vec::new();
    if let Some(max) = &limits.maximum {
        match (compare(number, max), limits.exclusive_maximum) {
            (Ordering::Greater | Ordering::Equal, true) => {
                complaints.push(format!("should be less than {}", plain(max)))
            }
            (Ordering::Greater, false) => {
                complaints.push(format!("should be less than or equal to {}", plain(max)))
            }
            _ => {}
        }
    }
    if let Some(min) = &limits.minimum {
        match (compare(number, min), limits.exclusive_minimum) {
            (Ordering::Less | Ordering::Equal, true) => {
                complaints.push(format!("should be greater than {}", plain(min)))
            }
            (Ordering::Less, false) => {
                complaints.push(format!("should be greater than or equal to {}", plain(min)))
            }
            _ => {}
        }
    }
    if let Some(factor) = limits
        .multiple_of
        .as_ref()
        .filter(|factor| !is_multiple(number, factor))
    {
        complaints.push(format!("should be a multiple of {}", plain(factor)));
    }
    complaints
}

fn compare(a: &Number, b: &Number) -> Ordering {
    match (a.as_i64(), b.as_i64(), a.as_f64(), b.as_f64()) {
        (Some(a), Some(b), _, _) => a.cmp(&b),
        (_, _, Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        _ => Ordering::Equal,
    }
}

fn is_multiple(number: &Number, factor: &Number) -> bool {
    match (
        number.as_i64(),
        factor.as_i64(),
        number.as_f64(),
        factor.as_f64(),
    ) {
        (Some(number), Some(factor), _, _) => {
            number.checked_rem(factor).is_none_or(|rest| rest == 0)
        }
        (_, _, Some(number), Some(factor)) if factor != 0.0 => {
            let quotient = number / factor;
            (quotient - quotient.round()).abs() < 1e-9
        }
        _ => true,
    }
}

/// Go prints `10.0` as `10`.
fn plain(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

/// Whether two values are the same, `1` and `1.0` included.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b) == Ordering::Equal,
        _ => a == b,
    }
}

fn shown(choice: &Value) -> String {
    match choice {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How many characters a text has.
fn length(text: &str) -> u64 {
    if text.is_ascii() {
        text.len() as u64
    } else {
        text.chars().count() as u64
    }
}

fn too_many(path: &Path<'_>, count: u64, max: u64) -> FieldError {
    FieldError {
        kind: FieldErrorKind::TooMany,
        path: path.to_string(),
        value: Some(count.into()),
        detail: format!("must have at most {max} items"),
    }
}
