//! Any object: its fields, with readable labels.

use mosaic_api::meta;
use serde_json::Value;

use super::text::Report;
use super::{metadata, plain, text_at};

/// Deeper than this a value is shown as JSON.
const MAX_LEVELS: usize = 24;

/// Describes any object.
pub(super) fn describe(report: &mut Report, object: &Value) {
    metadata(report, object);
    report.field("API Version", meta::api_version(object));
    report.field("Kind", meta::kind(object));
    report.field("Created", meta::creation_timestamp(object));
    let Some(fields) = object.as_object() else {
        return;
    };
    for (key, value) in fields
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"))
    {
        entry(report, &label(key), value, 0);
    }
}

/// Describes a secret, without giving it away.
pub(super) fn secret(report: &mut Report, object: &Value) {
    metadata(report, object);
    report.field("Type", text_at(object, "/type"));
    report.section("Data", |report| {
        for (key, value) in object
            .get("data")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let encoded = value.as_str().unwrap_or_default();
            // Base64 has four characters for three bytes, filled up with `=`.
            let fill = encoded
                .bytes()
                .rev()
                .take_while(|byte| *byte == b'=')
                .count();
            report.field(
                key,
                &format!("{} bytes", (encoded.len() / 4 * 3).saturating_sub(fill)),
            );
        }
    });
}

fn entry(report: &mut Report, label: &str, value: &Value, level: usize) {
    match value {
        Value::Object(map) if map.is_empty() => report.field(label, "{}"),
        Value::Array(items) if items.is_empty() => report.field(label, "[]"),
        Value::Object(_) | Value::Array(_) if level >= MAX_LEVELS => {
            report.field(label, &value.to_string())
        }
        Value::Object(map) => report.section(label, |report| {
            for (key, value) in map {
                entry(report, &self::label(key), value, level + 1);
            }
        }),
        Value::Array(items)
            if items
                .iter()
                .all(|item| !item.is_object() && !item.is_array()) =>
        {
            let texts: Vec<String> = items.iter().map(|item| plain(Some(item))).collect();
            report.values(label, &texts);
        }
        Value::Array(items) => report.section(label, |report| {
            for item in items {
                match item {
                    Value::Object(map) => {
                        report.verbatim("-");
                        report.nested(|report| {
                            for (key, value) in map {
                                entry(report, &self::label(key), value, level + 2);
                            }
                        });
                    }
                    other => report.verbatim(&format!("- {other}")),
                }
            }
        }),
        Value::String(text) if text.contains('\n') => report.section(label, |report| {
            for line in text.lines() {
                report.verbatim(line);
            }
        }),
        other => report.field(label, &plain(Some(other))),
    }
}

/// `minReadySeconds` → `Min Ready Seconds`. Keys that are not names of fields stay as they are.
pub(super) fn label(key: &str) -> String {
    if key.is_empty()
        || !key.starts_with(|c: char| c.is_ascii_lowercase())
        || !key.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        return key.to_owned();
    }
    let mut label = String::new();
    let chars: Vec<char> = key.chars().collect();
    for (index, c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| chars.get(before));
        let after = chars.get(index + 1);
        let starts_word = c.is_ascii_uppercase()
            && (before.is_some_and(|b| !b.is_ascii_uppercase())
                || after.is_some_and(|a| a.is_ascii_lowercase()));
        if starts_word && index > 0 {
            label.push(' ');
        }
        label.push(if index == 0 {
            c.to_ascii_uppercase()
        } else {
            *c
        });
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_words() {
        assert_eq!(label("minReadySeconds"), "Min Ready Seconds");
        assert_eq!(label("loadBalancerIP"), "Load Balancer IP");
        assert_eq!(label("podCIDR"), "Pod CIDR");
        assert_eq!(label("app.kubernetes.io/name"), "app.kubernetes.io/name");
        assert_eq!(label("index.html"), "index.html");
    }
}
