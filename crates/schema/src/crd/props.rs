//! Reading the keywords of a schema, each of its own JSON type.

use serde_json::{Map as JsonMap, Number, Value};

use crate::{FieldError, FieldErrorKind};

use super::{
    node::{Limits, Pattern},
    pattern,
};

/// Errors of a schema, at most this many: after that, one more would help nobody.
const MAX_ERRORS: usize = 100;

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<FieldError>);

/// Whether the patterns of a schema are tried while it is compiled: thousands take seconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patterns {
    /// What is not a pattern is an error.
    Try,
    /// They were tried when the schema was stored.
    Trust,
}

impl Errors {
    pub(super) fn push(&mut self, error: FieldError) {
        if self.0.len() < MAX_ERRORS {
            self.0.push(error);
        }
    }

    pub(super) fn forbid(&mut self, path: &str, key: &str, detail: &str) {
        self.push(FieldError::forbidden(format!("{path}.{key}"), detail));
    }

    pub(super) fn invalid(
        &mut self,
        path: &str,
        key: &str,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) {
        self.push(FieldError::invalid(format!("{path}.{key}"), value, detail));
    }

    pub(super) fn require(&mut self, path: &str, key: &str, detail: &str) {
        self.push(FieldError::required(format!("{path}.{key}"), detail));
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_ERRORS
    }

    /// The errors in order of their text, so that the same schema always gives the same answer.
    pub(super) fn finish(mut self) -> Vec<FieldError> {
        self.0.sort_by_key(ToString::to_string);
        self.0
    }

    fn wrong_type(&mut self, path: &str, key: &str, value: &Value, expected: &str) {
        self.push(FieldError {
            kind: FieldErrorKind::TypeInvalid,
            path: format!("{path}.{key}"),
            value: Some(value.clone()),
            detail: format!("must be {expected}"),
        });
    }
}

/// The keywords of one schema.
pub(super) struct Props<'a> {
    pub(super) map: &'a JsonMap<String, Value>,
    pub(super) path: &'a str,
}

impl<'a> Props<'a> {
    /// A keyword that is given, and not as `null`.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn flag(&self, key: &str, errors: &mut Errors) -> bool {
        match self.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                errors.wrong_type(self.path, key, other, "true or false");
                false
            }
        }
    }

    pub(super) fn text(&self, key: &str, errors: &mut Errors) -> Option<&'a str> {
        match self.get(key)? {
            Value::String(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
            other => {
                errors.wrong_type(self.path, key, other, "a string");
                None
            }
        }
    }

    pub(super) fn number(&self, key: &str, errors: &mut Errors) -> Option<Number> {
        match self.get(key)? {
            Value::Number(number) => Some(number.clone()),
            other => {
                errors.wrong_type(self.path, key, other, "a number");
                None
            }
        }
    }

    fn count(&self, key: &str, errors: &mut Errors) -> Option<u64> {
        let value = self.get(key)?;
        let count = value.as_u64();
        if count.is_none() {
            errors.wrong_type(self.path, key, value, "a whole number that is not negative");
        }
        count
    }

    pub(super) fn object(
        &self,
        key: &str,
        errors: &mut Errors,
    ) -> Option<&'a JsonMap<String, Value>> {
        match self.get(key)? {
            Value::Object(map) => Some(map),
            other => {
                errors.wrong_type(self.path, key, other, "an object");
                None
            }
        }
    }

    pub(super) fn array(&self, key: &str, errors: &mut Errors) -> &'a [Value] {
        match self.get(key) {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(other) => {
                errors.wrong_type(self.path, key, other, "an array");
                &[]
            }
        }
    }

    pub(super) fn texts(&self, key: &str, errors: &mut Errors) -> Vec<&'a str> {
        let items = self.array(key, errors);
        let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
        if let (false, Some(value)) = (texts.len() == items.len(), self.get(key)) {
            errors.wrong_type(self.path, key, value, "an array of strings");
        }
        texts
    }

    /// What a single value may be.
    pub(super) fn limits(&self, patterns: Patterns, errors: &mut Errors) -> Option<Box<Limits>> {
        let choices = self.array("enum", errors);
        let limits = Limits {
            maximum: self.number("maximum", errors),
            exclusive_maximum: self.flag("exclusiveMaximum", errors),
            minimum: self.number("minimum", errors),
            exclusive_minimum: self.flag("exclusiveMinimum", errors),
            multiple_of: self.multiple_of(errors),
            max_length: self.count("maxLength", errors),
            min_length: self.count("minLength", errors),
            pattern: self.pattern(patterns, errors),
            format: self.text("format", errors).map(Into::into),
            max_items: self.count("maxItems", errors),
            min_items: self.count("minItems", errors),
            max_properties: self.count("maxProperties", errors),
            min_properties: self.count("minProperties", errors),
            choices: (!choices.is_empty()).then(|| choices.to_vec()),
        };
        (!limits.is_empty()).then(|| Box::new(limits))
    }

    fn multiple_of(&self, errors: &mut Errors) -> Option<Number> {
        let number = self.number("multipleOf", errors)?;
        if number.as_f64().is_some_and(|factor| factor > 0.0) {
            return Some(number);
        }
        errors.invalid(self.path, "multipleOf", number, "must be positive");
        None
    }

    fn pattern(&self, patterns: Patterns, errors: &mut Errors) -> Option<Pattern> {
        let source = self.text("pattern", errors)?;
        let tried = match patterns {
            Patterns::Try => pattern::compile(source).map(drop),
            Patterns::Trust => Ok(()),
        };
        match tried {
            Ok(()) => Some(Pattern::new(source)),
            Err(why) => {
                let detail = format!("must be a valid regular expression, but isn't: {why}");
                errors.invalid(self.path, "pattern", source, detail);
                None
            }
        }
    }
}
