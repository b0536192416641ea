//! Field selectors: what they ask of an object's fields.

use std::{borrow::Cow, fmt};

use serde_json::Value;

use super::{MAX_BYTES, SelectorError};
use crate::{
    events,
    kind::{Resource, Source},
};

/// One condition: a field is, or is not, a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field, such as `spec.nodeName`.
    pub field: String,
    /// Whether the field must differ from the value.
    pub negated: bool,
    /// The value.
    pub value: String,
}

/// A field selector: every requirement must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Reads `metadata.name=x,spec.nodeName!=y`; in values `\,`, `\=` and `\\` stand for the
    /// character behind the backslash. An empty text selects everything.
    ///
    /// # Errors
    ///
    /// Says which part cannot be understood, as Kubernetes does.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_BYTES {
            return Err(SelectorError::too_long());
        }
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let mut requirements = Vec::new();
        for term in terms.into_iter().filter(|term| !term.is_empty()) {
            let Some((field, negated, value)) = split_term(term) else {
                return Err(SelectorError(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                )));
            };
            let value = unescape(value)?;
            // A requirement that names neither field nor value asks for nothing.
            if !(field.is_empty() && value.is_empty()) {
                requirements.push(FieldRequirement {
                    field: field.to_owned(),
                    negated,
                    value,
                });
            }
        }
        Ok(Self { requirements })
    }

    /// Selects the one object of a name.
    pub fn of_name(name: &str) -> Self {
        let requirement = FieldRequirement {
            field: "metadata.name".to_owned(),
            negated: false,
            value: name.to_owned(),
        };
        Self {
            requirements: vec![requirement],
        }
    }

    /// The requirements.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The one value that a field must have, where the selector says so.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements
            .iter()
            .find(|requirement| requirement.field == field && !requirement.negated)
            .map(|requirement| requirement.value.as_str())
    }

    /// Refuses fields that objects of this kind cannot be selected by.
    ///
    /// # Errors
    ///
    /// Names the first such field.
    pub fn check(&self, resource: &Resource) -> Result<(), SelectorError> {
        let known = |field: &str| {
            field == "metadata.name"
                || field == "metadata.namespace" && (resource.namespaced || is_built_in(resource))
                || resource
                    .selectable_fields
                    .iter()
                    .any(|selectable| *selectable.path == *field)
        };
        let unknown = self.requirements.iter().find(|r| !known(&r.field));
        let Some(FieldRequirement { field, .. }) = unknown else {
            return Ok(());
        };
        Err(SelectorError(
            if is_built_in(resource) && resource.selectable_fields.is_empty() {
                format!(
                    "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                )
            } else {
                format!("field label not supported: {field}")
            },
        ))
    }

    /// Whether values that are looked up by field meet every requirement.
    pub fn matches<'a>(&self, value: impl Fn(&str) -> Cow<'a, str>) -> bool {
        self.requirements.iter().all(|requirement| {
            (value(&requirement.field) == requirement.value) != requirement.negated
        })
    }

    /// Whether an object, as it is stored, meets every requirement.
    pub fn matches_object(&self, resource: &Resource, object: &Value) -> bool {
        self.matches(|field| field_value(resource, object, field))
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if requirement.negated { "!=" } else { "=" };
            let value = escape(&requirement.value);
            write!(f, "{comma}{}{operator}{value}", requirement.field)?;
        }
        Ok(())
    }
}

fn is_built_in(resource: &Resource) -> bool {
    matches!(resource.source, Source::BuiltIn)
}

/// What a field counts as for a selector, in an object as it is stored. Fields that are absent, or
/// that are no scalar, count as the default of the row.
pub fn field_value<'a>(resource: &Resource, object: &'a Value, field: &str) -> Cow<'a, str> {
    let default = resource
        .selectable_fields
        .iter()
        .find(|selectable| *selectable.path == *field)
        .map_or("", |selectable| selectable.default);
    let found = match (&*resource.group, &*resource.kind, field) {
        // The names of these fields are older than where their values stand.
        ("batch", "Job", "status.successful") => lookup(object, "status.succeeded"),
        ("", "Event", "source") => match lookup(object, "source.component") {
            Some(component) if !component.is_empty() => Some(component),
            _ => lookup(object, "reportingComponent"),
        },
        ("events.k8s.io", "Event", field) => lookup(object, &events::core_path(field)),
        _ => lookup(object, field),
    };
    found.unwrap_or(Cow::Borrowed(default))
}

fn lookup<'a>(object: &'a Value, path: &str) -> Option<Cow<'a, str>> {
    let mut value = object;
    for name in path.split('.') {
        value = value.get(name)?;
    }
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(_) | Value::Number(_) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}

/// Splits at commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(move |c| {
        let separates = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    })
    .collect()
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term
        .char_indices()
        .find(|(at, c)| *c == '=' || term.get(*at..).is_some_and(|rest| rest.starts_with("!=")))?
        .0;
    let (field, rest) = term.split_at_checked(at)?;
    if let Some(value) = rest.strip_prefix("!=") {
        return Some((field, true, value));
    }
    let value = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?;
    Some((field, false, value))
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(c @ ('\\' | ',' | '=')) => plain.push(c),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(SelectorError(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            // Kubernetes shows the character's number.
            ',' | '=' => {
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                )));
            }
            c => plain.push(c),
        }
    }
    Ok(plain)
}

fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
