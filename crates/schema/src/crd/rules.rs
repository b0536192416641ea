//! `x-kubernetes-validations`: rules over a value, and over a value and the stored one.

use serde_json::{Value, json};

use crate::{FieldError, FieldErrorKind, path::Path};

use super::{
    cel::{Fuel, Program, Val},
    node::{JsonType, Node},
    props::{Errors, Props},
    validate::OldItems,
};

/// What one rule may spend, as in Kubernetes.
const RULE_FUEL: u64 = 1_000_000;
/// What all rules over one object may spend.
const OBJECT_FUEL: u64 = 10_000_000;
/// At most this many errors are told.
const MAX_ERRORS: usize = 100;

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    source: Box<str>,
    program: Program,
    uses_old: bool,
    optional_old: bool,
    message: Option<Box<str>>,
    message_program: Option<Program>,
    kind: FieldErrorKind,
    /// The field below the value that the error is about; without a leading dot.
    field: Option<Box<str>>,
}

/// The rules of a schema.
pub(super) fn compile(props: &Props<'_>, errors: &mut Errors) -> Vec<Rule> {
    let rules = props
        .array("x-kubernetes-validations", errors)
        .iter()
        .enumerate();
    let mut compiled = Vec::new();
    for (index, rule) in rules {
        let path = format!("{}.x-kubernetes-validations[{index}]", props.path);
        match rule.as_object() {
            Some(map) => compiled.extend(compile_rule(&Props { map, path: &path }, errors)),
            None => errors.push(FieldError::invalid(path, rule.clone(), "must be an object")),
        }
    }
    compiled
}

fn compile_rule(props: &Props<'_>, errors: &mut Errors) -> Option<Rule> {
    let Some(source) = props
        .text("rule", errors)
        .filter(|rule| !rule.trim().is_empty())
    else {
        errors.require(props.path, "rule", "rule is not specified");
        return None;
    };
    let mut program = |key: &str, text: &str| match Program::compile(text) {
        Ok(program) => Some(program),
        Err(why) => {
            errors.invalid(props.path, key, text, format!("compilation failed: {why}"));
            None
        }
    };
    let compiled = program("rule", source)?;
    let message_source = props
        .get("messageExpression")
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty());
    let message_program = message_source.and_then(|text| program("messageExpression", text));
    let message = props.text("message", errors);
    if message.is_some_and(|message| message.contains('\n')) {
        errors.invalid(
            props.path,
            "message",
            message,
            "message must not contain line breaks",
        );
    }
    let reason = props.text("reason", errors);
    let kind = match reason {
        None | Some("FieldValueInvalid") => FieldErrorKind::Invalid,
        Some("FieldValueForbidden") => FieldErrorKind::Forbidden,
        Some("FieldValueRequired") => FieldErrorKind::Required,
        Some("FieldValueDuplicate") => FieldErrorKind::Duplicate,
        Some(other) => {
            let known = [
                "FieldValueRequired",
                "FieldValueInvalid",
                "FieldValueForbidden",
                "FieldValueDuplicate",
            ];
            errors.push(FieldError::not_supported(
                format!("{}.reason", props.path),
                other,
                &known,
            ));
            FieldErrorKind::Invalid
        }
    };
    let optional_old = props.flag("optionalOldSelf", errors);
    let uses_old = compiled.uses_old();
    if optional_old && !uses_old {
        errors.invalid(
            props.path,
            "optionalOldSelf",
            true,
            "may not be set if oldSelf is not used in rule",
        );
    }
    let field = props.text("fieldPath", errors).map(|path| {
        path.trim_start_matches('.')
            .replace("['", "[")
            .replace("']", "]")
    });
    Some(Rule {
        source: source.into(),
        program: compiled,
        uses_old,
        optional_old,
        message: message.map(Into::into),
        message_program,
        kind,
        field: field.map(Into::into),
    })
}

/// The rules that a value breaks. The value is otherwise valid.
pub(super) fn check(node: &Node, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut checker = Checker {
        fuel: OBJECT_FUEL,
        errors: Vec::new(),
    };
    checker.node(node, value, old, &Path::Root);
    checker.errors
}

struct Checker {
    fuel: u64,
    errors: Vec<FieldError>,
}

impl Checker {
    fn node(&mut self, node: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>) {
        if !node.has_rules || value.is_null() || self.fuel == 0 || self.errors.len() >= MAX_ERRORS {
            return;
        }
        for rule in &node.rules {
            self.rule(rule, node, value, old, path);
        }
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if let Some(inner) = node
                        .properties
                        .get(key.as_str())
                        .or(node.additional.as_deref())
                    {
                        self.node(
                            inner,
                            value,
                            old.and_then(|old| old.get(key)),
                            &Path::Field(path, key),
                        );
                    }
                }
            }
            Value::Array(items) => {
                let Some(inner) = &node.items else { return };
                let old = OldItems::new(&node.list, old);
                for (index, item) in items.iter().enumerate() {
                    self.node(inner, item, old.find(item), &Path::Index(path, index));
                }
            }
            _ => {}
        }
    }

    fn rule(
        &mut self,
        rule: &Rule,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
    ) {
        // What is stored and unchanged stays acceptable; a rule over a change needs one.
        if !rule.uses_old && old == Some(value)
            || rule.uses_old && old.is_none() && !rule.optional_old
        {
            return;
        }
        let this = Val::json(value, Some(node));
        let stored = old.map(|old| Val::json(old, Some(node)));
        let stored = match (rule.optional_old, stored) {
            (true, stored) => Some(Val::Optional(stored.map(std::rc::Rc::new))),
            (false, stored) => stored,
        };
        let allowed = self.fuel.min(RULE_FUEL);
        let mut fuel = Fuel::new(allowed);
        let result = rule.program.run(this.clone(), stored.clone(), &mut fuel);
        let failure = match result {
            Ok(Val::Bool(true)) => None,
            Ok(Val::Bool(false)) => {
                let made = rule
                    .message_program
                    .as_ref()
                    .and_then(|program| program.run(this, stored, &mut fuel).ok());
                Some(self.broken(rule, node, made.as_ref().and_then(message_text), path))
            }
            Ok(other) => {
                let detail = format!(
                    "rule must evaluate to a bool but is {}: {}",
                    other.type_name(),
                    rule.source
                );
                Some(FieldError::invalid(
                    path.to_string(),
                    type_name(node),
                    detail,
                ))
            }
            Err(error) => Some(FieldError::invalid(
                path.to_string(),
                type_name(node),
                explain(rule, &error),
            )),
        };
        self.fuel -= allowed - fuel.left();
        self.errors.extend(failure);
    }

    fn broken(
        &self,
        rule: &Rule,
        node: &Node,
        made: Option<String>,
        path: &Path<'_>,
    ) -> FieldError {
        let message = made.or_else(|| {
            rule.message
                .as_deref()
                .map(|message| message.trim().to_owned())
        });
        let detail = message.unwrap_or_else(|| format!("failed rule: {}", rule.source.trim()));
        let place = match &rule.field {
            Some(field) if field.starts_with('[') => format!("{path}{field}"),
            Some(field) => Path::Field(path, field).to_string(),
            None => path.to_string(),
        };
        let value = match rule.kind {
            FieldErrorKind::Invalid | FieldErrorKind::Duplicate => Some(json!(type_name(node))),
            _ => None,
        };
        FieldError {
            kind: rule.kind,
            path: place,
            value,
            detail,
        }
    }
}

fn message_text(value: &Val<'_>) -> Option<String> {
    value
        .as_text()
        .map(str::trim)
        .filter(|text| !text.is_empty() && !text.contains('\n'))
        .map(ToOwned::to_owned)
}

fn type_name(node: &Node) -> &'static str {
    node.json_type.map_or("", JsonType::name)
}

fn explain(rule: &Rule, error: &str) -> String {
    let shown = rule.message.as_deref().unwrap_or(&rule.source);
    if error.starts_with("no such overload") {
        format!(
            "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
        )
    } else if error.starts_with("operation cancelled") {
        format!(
            "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
        )
    } else {
        format!("{error} evaluating rule: {shown}")
    }
}
