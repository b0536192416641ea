//! Label selectors of aggregation rules.

use serde_json::Value;

use crate::values;

/// A `LabelSelector`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    /// An operator that is not known: nothing matches, so that no right comes of it.
    Never,
}

impl Selector {
    pub(crate) fn from_value(value: &Value) -> Self {
        let mut requirements = Vec::new();
        if let Some(labels) = values::at(value, &["matchLabels"]).as_object() {
            requirements.extend(labels.iter().map(|(key, value)| match value.as_str() {
                Some(value) => Requirement::In(key.clone(), vec![value.to_owned()]),
                None => Requirement::Never,
            }));
        }
        for expression in values::items(value, &["matchExpressions"]) {
            let key = values::text(expression, &["key"]).to_owned();
            let list = || {
                values::texts(expression, &["values"])
                    .map(str::to_owned)
                    .collect()
            };
            requirements.push(match values::text(expression, &["operator"]) {
                "In" => Requirement::In(key, list()),
                "NotIn" => Requirement::NotIn(key, list()),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::Absent(key),
                _ => Requirement::Never,
            });
        }
        Self { requirements }
    }

    /// Whether labels (an object of texts) match. A selector without requirements matches all.
    pub(crate) fn matches(&self, labels: &Value) -> bool {
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        self.requirements
            .iter()
            .all(|requirement| match requirement {
                Requirement::In(key, list) => {
                    label(key).is_some_and(|value| list.iter().any(|item| item == value))
                }
                Requirement::NotIn(key, list) => {
                    label(key).is_none_or(|value| list.iter().all(|item| item != value))
                }
                Requirement::Exists(key) => label(key).is_some(),
                Requirement::Absent(key) => label(key).is_none(),
                Requirement::Never => false,
            })
    }
}
