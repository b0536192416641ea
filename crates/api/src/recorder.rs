//! Events that are told again and again, as one object that counts: what recorders of Kubernetes' components do.
//!
//! Which event is the same as an earlier one is remembered here; who writes them keeps a [`Folder`] and carries out what
//! it says.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::time;

/// More events than this are not remembered.
const MOST: usize = 4_096;
/// An event that was not told for so long is told as a new one.
const LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// The longest message, in bytes; and the longest part of an object's name that an event's begins with.
const LONGEST: (usize, usize) = (1_024, 200);

/// What is told of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The reference to the object.
    pub about: Value,
    /// The reference to another one that it is also about; null for none.
    pub related: Value,
    /// Whether something is wrong.
    pub is_warning: bool,
    /// Why, in one word.
    pub reason: String,
    /// What was done, in one word; empty if nothing is said of it.
    pub action: String,
    /// What happened, for people.
    pub message: String,
}

/// Who tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The component, such as `replicaset-controller`.
    pub component: String,
    /// The host that it is on; empty for none.
    pub host: String,
    /// Which of several such components.
    pub instance: String,
    /// Whether other words are another event, as a kubelet has it; otherwise the latest words count.
    pub by_message: bool,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A new event, to be created in this namespace.
    Create(String, Value),
    /// An event of this namespace and name, to be changed by this merge patch.
    Count(String, String, Value),
}

/// Remembers what was told.
#[derive(Debug, Default)]
pub struct Folder(HashMap<String, Known>);

#[derive(Debug)]
struct Known {
    name: String,
    count: u32,
    last: Timestamp,
}

impl Folder {
    /// What is to be written of something that is told now.
    pub fn tell(&mut self, source: &Source, told: &Told, now: Timestamp) -> Record {
        let namespace = match text(&told.about, "namespace") {
            "" => "default",
            namespace => namespace,
        };
        let message = shortened(&told.message, LONGEST.0);
        let key = key(source, told);
        let old = |known: &Known| now.duration_since(known.last) > LIFETIME;
        if let Some(known) = self.0.get_mut(&key).filter(|known| !old(known)) {
            known.count = known.count.saturating_add(1);
            known.last = now;
            let patch = json!({
                "count": known.count, "lastTimestamp": time::format(now), "message": message,
            });
            return Record::Count(namespace.to_owned(), known.name.clone(), patch);
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, known| !old(known));
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let object = shortened(text(&told.about, "name"), LONGEST.1);
        let name = format!("{object}.{:x}", now.as_nanosecond());
        let event = event(source, told, (namespace, &name, message), now);
        let known = Known {
            name,
            count: 1,
            last: now,
        };
        self.0.insert(key, known);
        Record::Create(namespace.to_owned(), event)
    }

    /// What was told before is not there any more, or never was: it is told as a new event the next time.
    pub fn forget(&mut self, source: &Source, told: &Told) {
        self.0.remove(&key(source, told));
    }
}

fn text<'a>(reference: &'a Value, field: &str) -> &'a str {
    reference
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn shortened(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// What events that are the same have in common. The version of an object is none of it.
fn key(source: &Source, told: &Told) -> String {
    const OBJECT: [&str; 5] = ["kind", "namespace", "name", "uid", "fieldPath"];
    let objects =
        [&told.about, &told.related].map(|object| OBJECT.map(|field| text(object, field)));
    let words = source.by_message.then_some(&told.message);
    json!([
        objects,
        told.is_warning,
        told.reason,
        told.action,
        source.component,
        source.host,
        words
    ])
    .to_string()
}

fn event(
    source: &Source,
    told: &Told,
    (namespace, name, message): (&str, &str, &str),
    now: Timestamp,
) -> Value {
    let mut from = json!({ "component": source.component });
    if !source.host.is_empty()
        && let Some(fields) = from.as_object_mut()
    {
        fields.insert("host".to_owned(), source.host.as_str().into());
    }
    let mut event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": name, "namespace": namespace },
        "involvedObject": told.about,
        "type": if told.is_warning { "Warning" } else { "Normal" },
        "reason": told.reason, "message": message, "count": 1,
        "firstTimestamp": time::format(now), "lastTimestamp": time::format(now),
        "source": from,
        "reportingComponent": source.component, "reportingInstance": source.instance,
    });
    if let Some(fields) = event.as_object_mut() {
        if !told.action.is_empty() {
            fields.insert("action".to_owned(), told.action.as_str().into());
        }
        if !told.related.is_null() {
            fields.insert("related".to_owned(), told.related.clone());
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source {
            component: "replicaset-controller".into(),
            instance: "one".into(),
            ..Source::default()
        }
    }

    fn told(version: u32, message: &str) -> Told {
        Told {
            about: json!({ "kind": "ReplicaSet", "namespace": "shop", "name": "web", "uid": "u",
                "resourceVersion": version.to_string() }),
            is_warning: true,
            reason: "FailedCreate".into(),
            message: message.into(),
            ..Told::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    #[test]
    fn an_event_that_is_told_again_counts() {
        let mut folder = Folder::default();
        let Record::Create(namespace, event) = folder.tell(&source(), &told(1, "one"), at(0))
        else {
            panic!("it is new");
        };
        assert_eq!(namespace, "shop");
        for (field, value) in [
            ("count", json!(1)),
            ("type", json!("Warning")),
            ("firstTimestamp", json!("2026-01-01T00:00:00Z")),
            ("lastTimestamp", json!("2026-01-01T00:00:00Z")),
            ("source", json!({ "component": "replicaset-controller" })),
            ("reportingInstance", json!("one")),
        ] {
            assert_eq!(event[field], value, "{field}");
        }
        let name = event["metadata"]["name"].as_str().unwrap();
        // The object was written meanwhile: that makes it no other.
        let again = folder.tell(&source(), &told(2, "two"), at(60));
        let patch =
            json!({ "count": 2, "lastTimestamp": "2026-01-01T00:01:00Z", "message": "two" });
        assert_eq!(again, Record::Count("shop".into(), name.into(), patch));
    }

    #[test]
    fn what_differs_or_is_long_ago_is_another_event() {
        let is_new = |record| matches!(record, Record::Create(..));
        let mut folder = Folder::default();
        assert!(is_new(folder.tell(&source(), &told(1, "one"), at(0))));
        let related = Told {
            related: json!({ "kind": "Pod", "name": "web-1" }),
            ..told(1, "one")
        };
        assert!(is_new(folder.tell(&source(), &related, at(0))));
        assert!(is_new(folder.tell(&source(), &told(1, "one"), at(700))));
        folder.forget(&source(), &told(1, "one"));
        assert!(is_new(folder.tell(&source(), &told(1, "one"), at(701))));
        let kubelet = Source {
            by_message: true,
            ..source()
        };
        assert!(is_new(folder.tell(&kubelet, &told(1, "one"), at(0))));
        assert!(!is_new(folder.tell(&kubelet, &told(1, "one"), at(1))));
        assert!(is_new(folder.tell(&kubelet, &told(1, "two"), at(1))));
    }

    #[test]
    fn it_remembers_no_more_than_so_many_and_words_are_cut() {
        let mut folder = Folder::default();
        for number in 0..2 * MOST {
            let mut told = told(1, &"ü".repeat(2_000));
            told.about["name"] = json!(format!("{}{number}", "x".repeat(250)));
            let Record::Create(_, event) = folder.tell(&source(), &told, at(0)) else {
                panic!("{number}");
            };
            assert!(event["message"].as_str().unwrap().len() <= LONGEST.0);
            assert!(event["metadata"]["name"].as_str().unwrap().len() < 253);
        }
        assert!(folder.0.len() <= MOST);
    }
}
