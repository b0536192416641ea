//! Events are one set of objects served in two forms, `v1` and `events.k8s.io/v1`.
//!
//! They are stored as `v1`. The newer form renames fields and demotes the old counting ones to
//! `deprecated…`; nothing else differs, so both ways are renamings.

use serde_json::{Map, Value};

/// `v1` name, `events.k8s.io/v1` name.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// The `v1` form of an `events.k8s.io/v1` event. Anything but an object stays as it is.
pub fn to_core(event: Value) -> Value {
    rename(event, "v1", |name| {
        RENAMED
            .iter()
            .find(|(_, new)| *new == name)
            .map(|(core, _)| *core)
    })
}

/// The `events.k8s.io/v1` form of a `v1` event. Anything but an object stays as it is.
pub fn from_core(event: Value) -> Value {
    rename(event, "events.k8s.io/v1", |name| {
        RENAMED
            .iter()
            .find(|(core, _)| *core == name)
            .map(|(_, new)| *new)
    })
}

/// The `v1` path of a field that a field selector on `events.k8s.io/v1` names, such as
/// `involvedObject.name` for `regarding.name`.
pub fn core_path(path: &str) -> String {
    let (head, rest) = path.split_once('.').map_or((path, ""), |(h, r)| (h, r));
    let head = RENAMED
        .iter()
        .find(|(_, new)| *new == head)
        .map_or(head, |(core, _)| *core);
    if rest.is_empty() {
        head.to_owned()
    } else {
        format!("{head}.{rest}")
    }
}

fn rename(
    event: Value,
    api_version: &str,
    new_name: impl Fn(&str) -> Option<&'static str>,
) -> Value {
    let Value::Object(fields) = event else {
        return event;
    };
    let mut renamed = Map::new();
    for (name, value) in fields {
        let name = new_name(&name).map_or(name, str::to_owned);
        renamed.insert(name, value);
    }
    if renamed.contains_key("apiVersion") {
        renamed.insert("apiVersion".to_owned(), api_version.into());
    }
    Value::Object(renamed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_reads_the_same_after_going_there_and_back() {
        let core = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": "a.1"},
            "involvedObject": {"kind": "Pod", "name": "a"},
            "related": {"kind": "Node", "name": "n"},
            "reason": "Pulled", "message": "m", "type": "Normal", "count": 3,
            "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:06Z",
            "eventTime": null, "series": {"count": 2},
            "reportingComponent": "kubelet", "reportingInstance": "n",
        });
        let new = from_core(core.clone());
        assert_eq!(new["regarding"]["name"], "a");
        assert_eq!(new["note"], "m");
        assert_eq!(new["reportingController"], "kubelet");
        assert_eq!(new["deprecatedCount"], 3);
        assert_eq!(new["apiVersion"], "events.k8s.io/v1");
        assert_eq!(new.get("message"), None);
        assert_eq!(to_core(new), core);
    }

    #[test]
    fn selector_paths_name_stored_fields() {
        assert_eq!(core_path("regarding.name"), "involvedObject.name");
        assert_eq!(core_path("reportingController"), "reportingComponent");
        assert_eq!(core_path("type"), "type");
    }
}
