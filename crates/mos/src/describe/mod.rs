//! Objects described for people. Pure: from the object, what belongs to it, its events and the time.

mod generic;
mod node;
mod pod;
mod service;
pub(crate) mod text;
mod workload;

use jiff::Timestamp;
use mosaic_api::meta;
use serde_json::Value;

use text::Report;

/// What is known of an object apart from itself.
#[derive(Debug, Default)]
pub(crate) struct Related {
    /// Its events, the latest last; none if they could not be read.
    pub(crate) events: Option<Vec<Value>>,
    /// Pods on a node.
    pub(crate) pods: Vec<Value>,
    /// Replica sets of a deployment.
    pub(crate) replica_sets: Vec<Value>,
    /// Endpoint slices of a service.
    pub(crate) endpoint_slices: Vec<Value>,
}

/// The description, which ends with the events.
pub(crate) fn describe(object: &Value, related: &Related, now: Timestamp) -> String {
    let mut report = Report::new();
    let group = meta::group_of(meta::api_version(object));
    match (group, meta::kind(object)) {
        ("", "Pod") => pod::describe(&mut report, object, now),
        ("", "Node") => node::describe(&mut report, object, &related.pods, now),
        ("", "Service") => service::describe(&mut report, object, &related.endpoint_slices),
        ("apps", "Deployment") => {
            workload::deployment(&mut report, object, &related.replica_sets, now)
        }
        ("", "Secret") => generic::secret(&mut report, object),
        _ => generic::describe(&mut report, object),
    }
    events(&mut report, related.events.as_deref(), now);
    report.finish()
}

/// A template of pods.
pub(crate) fn template(template: &Value, now: Timestamp) -> String {
    let mut report = Report::new();
    report.section("Pod Template", |report| {
        pod::template(report, template, now)
    });
    report.finish()
}

fn events(report: &mut Report, events: Option<&[Value]>, now: Timestamp) {
    match events {
        None => report.field("Events", "<not readable>"),
        Some([]) => report.field("Events", "<none>"),
        Some(events) => {
            report.heading("Events");
            let rows = events
                .iter()
                .map(|event| {
                    let cells = crate::commands::events::cells(event, now);
                    let cell = |index: usize| cells.get(index).cloned().unwrap_or_default();
                    vec![cell(1), cell(2), cell(0), cell(4)]
                })
                .collect();
            report.table(&["Type", "Reason", "Age", "Message"], rows);
        }
    }
}

/// Name, namespace, labels, annotations: how every description begins.
fn metadata(report: &mut Report, object: &Value) {
    report.field("Name", meta::name(object));
    report.field_if_any("Namespace", meta::namespace(object));
    report.map("Labels", object.pointer("/metadata/labels"), "=");
    report.map("Annotations", object.pointer("/metadata/annotations"), ": ");
    if let Some(deleted) = meta::deletion_timestamp(object) {
        report.field("Deletion Time", deleted);
        let finalizers: Vec<&str> = meta::finalizers(object).collect();
        report.field("Finalizers", &finalizers.join(", "));
    }
    if let Some(owner) = meta::controller(object) {
        report.field("Controlled By", &format!("{}/{}", owner.kind, owner.name));
    }
}

fn conditions(report: &mut Report, object: &Value) {
    let rows: Vec<Vec<String>> = list(object, "/status/conditions")
        .map(|condition| {
            ["/type", "/status", "/reason", "/message"]
                .iter()
                .map(|at| text_at(condition, at).to_owned())
                .collect()
        })
        .collect();
    if !rows.is_empty() {
        report.heading("Conditions");
        report.table(&["Type", "Status", "Reason", "Message"], rows);
    }
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A field, or null where there is none.
fn field<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// A value of any plain type as text; empty if it is not there.
fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn number(value: &Value, pointer: &str) -> i64 {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// What is in a list; nothing if there is none.
pub(crate) fn list<'a>(
    value: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = &'a Value> + use<'a> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn join(value: Option<&Value>, separator: &str) -> String {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items
        .map(|item| plain(Some(item)))
        .collect::<Vec<_>>()
        .join(separator)
}

/// A map as `a=1,b=2`.
fn pairs(value: Option<&Value>) -> String {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    let text = entries
        .map(|(key, value)| format!("{key}={}", plain(Some(value))))
        .collect::<Vec<_>>()
        .join(",");
    or_none(&text)
}

/// A label selector as it is written on a command line.
fn selector(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "<none>".into();
    };
    let mut terms: Vec<String> = value
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", plain(Some(value))))
        .collect();
    for term in list(value, "/matchExpressions") {
        let key = text_at(term, "/key");
        let values = join(term.get("values"), ",");
        terms.push(match text_at(term, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            other => format!("{key} {other} ({values})"),
        });
    }
    or_none(&terms.join(","))
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "<none>".into()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests;
