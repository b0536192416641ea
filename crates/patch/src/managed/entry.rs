//! The entries of `metadata.managedFields`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Writer;
use crate::fields::{Delta, FieldSet, intersects};

/// The most entries of the operation `Update` that an object keeps.
const MAX_UPDATE_ENTRIES: usize = 10;

/// The manager that the oldest entries are gathered under.
const ANCIENT_CHANGES: &str = "ancient-changes";

/// How fields came to be owned. The order is that of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// One entry of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: Option<String>,
    /// Canonical `FieldsV1` as the server stored it, until the set is asked for.
    stored: Option<Value>,
    /// The fields, once nothing is `stored`.
    set: FieldSet,
}

/// Where entries come from, and so how far they are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Written by the server before.
    Store,
    /// Sent by a client.
    Client,
}

impl Entry {
    pub(crate) fn new(writer: &Writer<'_>, operation: Operation, set: FieldSet) -> Self {
        Self {
            manager: writer.manager.to_owned(),
            operation,
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.to_owned(),
            time: Some(writer.time()),
            stored: None,
            set,
        }
    }

    /// Whether the entry is the writer's own for this operation. Whoever applies stays the same manager
    /// whatever version it applies in.
    pub(crate) fn is_of(&self, writer: &Writer<'_>, operation: Operation) -> bool {
        self.manager == writer.manager
            && self.operation == operation
            && self.subresource == writer.subresource
            && (operation == Operation::Apply || self.api_version == writer.api_version)
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// The fields of the entry. What the store holds was written by the server: should it be damaged, the
    /// entry owns nothing.
    pub(crate) fn set(&mut self) -> &mut FieldSet {
        if let Some(fields) = self.stored.take() {
            self.set = FieldSet::from_fields_v1(fields).unwrap_or_default();
        }
        &mut self.set
    }

    /// Whether the entry owns any of these fields.
    fn owns_any(&self, fields: &FieldSet) -> bool {
        match &self.stored {
            Some(stored) => intersects(stored, fields),
            None => !self.set.intersection(fields).is_empty(),
        }
    }

    /// Gives up what others changed or removed.
    pub(crate) fn yield_to(&mut self, delta: &Delta) {
        if self.owns_any(&delta.changed) || self.owns_any(&delta.removed) {
            let set = self.set();
            *set = std::mem::take(set)
                .difference(&delta.changed)
                .difference(&delta.removed);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match &self.stored {
            Some(fields) => fields.as_object().is_none_or(Map::is_empty),
            None => self.set.is_empty(),
        }
    }

    fn seconds(&self) -> i64 {
        self.time
            .as_deref()
            .and_then(|time| time.parse::<Timestamp>().ok())
            .map_or(0, Timestamp::as_second)
    }

    fn decode(entry: Value, index: usize, origin: Origin) -> Result<Self, String> {
        let Value::Object(mut entry) = entry else {
            return Err("an entry must be an object".to_owned());
        };
        let mut text = |name: &str| match entry.remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match text("fieldsType").as_str() {
            "FieldsV1" => {}
            "" => {
                return Err(format!(
                    "missing fieldsType in managed fields entry {index}"
                ));
            }
            other => {
                return Err(format!(
                    "invalid fieldsType {other:?} in managed fields entry {index}"
                ));
            }
        }
        let (manager, subresource, time) = (text("manager"), text("subresource"), text("time"));
        let fields = entry
            .remove("fieldsV1")
            .unwrap_or_else(|| Value::Object(Map::new()));
        let (stored, set) = match origin {
            Origin::Store => (Some(fields), FieldSet::default()),
            Origin::Client => (
                None,
                FieldSet::from_fields_v1(fields).map_err(|error| error.to_string())?,
            ),
        };
        Ok(Self {
            manager,
            operation,
            api_version,
            subresource,
            time: (!time.is_empty()).then_some(time),
            stored,
            set,
        })
    }

    fn encode(self) -> Value {
        let fields = self.stored.unwrap_or_else(|| self.set.into_fields_v1());
        let operation = match self.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut entry = Map::new();
        entry.insert("apiVersion".to_owned(), Value::String(self.api_version));
        entry.insert("fieldsType".to_owned(), Value::from("FieldsV1"));
        entry.insert("fieldsV1".to_owned(), fields);
        entry.insert("manager".to_owned(), Value::String(self.manager));
        entry.insert("operation".to_owned(), Value::from(operation));
        if !self.subresource.is_empty() {
            entry.insert("subresource".to_owned(), Value::String(self.subresource));
        }
        if let Some(time) = self.time {
            entry.insert("time".to_owned(), Value::String(time));
        }
        Value::Object(entry)
    }
}

/// Reads the ledger. Of two entries for the same manager the later counts.
pub(crate) fn decode(entries: Value, origin: Origin) -> Result<Vec<Entry>, String> {
    let Value::Array(encoded) = entries else {
        return Err("managedFields must be a list".to_owned());
    };
    let mut entries: Vec<Entry> = Vec::with_capacity(encoded.len());
    for (index, entry) in encoded.into_iter().enumerate() {
        let entry = Entry::decode(entry, index, origin)?;
        match entries
            .iter_mut()
            .find(|earlier| earlier.is_same_as(&entry))
        {
            Some(earlier) => *earlier = entry,
            None => entries.push(entry),
        }
    }
    Ok(entries)
}

/// Writes the ledger, in order, without empty entries. `None` when nobody owns anything.
pub(crate) fn encode(mut entries: Vec<Entry>) -> Option<Value> {
    entries.retain(|entry| !entry.is_empty());
    if entries.is_empty() {
        return None;
    }
    entries.sort_by_cached_key(|entry| {
        (
            entry.operation,
            entry.seconds(),
            entry.manager.clone(),
            entry.api_version.clone(),
            entry.subresource.clone(),
        )
    });
    Some(Value::Array(
        entries.into_iter().map(Entry::encode).collect(),
    ))
}

/// Keeps the number of entries from updates in bounds: the oldest of each version become one.
pub(crate) fn cap(entries: &mut Vec<Entry>) {
    entries.retain(|entry| !entry.is_empty());
    let (mut updates, mut kept): (Vec<Entry>, Vec<Entry>) = std::mem::take(entries)
        .into_iter()
        .partition(|entry| entry.operation == Operation::Update);
    let mut surplus = updates.len().saturating_sub(MAX_UPDATE_ENTRIES);
    if surplus > 0 {
        updates.sort_by_cached_key(|entry| {
            (
                entry.seconds(),
                entry.manager.clone(),
                entry.api_version.clone(),
            )
        });
        let mut remaining = Vec::with_capacity(updates.len());
        // By version: the first entry seen, which others are gathered into.
        let mut gathered: BTreeMap<String, Entry> = BTreeMap::new();
        for mut entry in updates {
            if surplus == 0 {
                remaining.push(entry);
                continue;
            }
            match gathered.get_mut(&entry.api_version) {
                None => {
                    gathered.insert(entry.api_version.clone(), entry);
                }
                Some(bucket) => {
                    let set = std::mem::take(entry.set());
                    let all = std::mem::take(bucket.set()).union(set);
                    *bucket.set() = all;
                    bucket.manager = ANCIENT_CHANGES.to_owned();
                    bucket.subresource = String::new();
                    bucket.time = entry.time;
                    surplus -= 1;
                }
            }
        }
        // An earlier bucket of the version may be among those that were recent enough to stay.
        for mut bucket in gathered.into_values() {
            match remaining.iter_mut().find(|entry| entry.is_same_as(&bucket)) {
                Some(earlier) => {
                    let set = std::mem::take(bucket.set());
                    let all = std::mem::take(earlier.set()).union(set);
                    *earlier.set() = all;
                }
                None => remaining.push(bucket),
            }
        }
        updates = remaining;
    }
    kept.append(&mut updates);
    *entries = kept;
}
