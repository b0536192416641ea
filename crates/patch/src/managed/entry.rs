//! The entries of `metadata.managedFields`.

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, value::RawValue};

use super::Writer;
use crate::fields::{Delta, FieldSet};

/// The most entries of the operation `Update` that an object keeps.
const MAX_UPDATE_ENTRIES: usize = 10;

/// The manager that the oldest entries are gathered under.
const ANCIENT_CHANGES: &str = "ancient-changes";

/// The format of the fields, the only one that there is.
const FORMAT: &str = "FieldsV1";

/// How fields came to be owned. The order is that of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// One entry of the ledger, with its members in the order of the text. What is empty is not there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    api_version: String,
    fields_type: String,
    #[serde(rename = "fieldsV1", default)]
    fields: Owned,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    manager: String,
    pub(crate) operation: Operation,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    subresource: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    time: String,
}

/// The fields of an entry.
///
/// Those of the store stay the text that they are until a write changes something in them: most writes
/// touch few fields of few entries.
#[derive(Debug, Clone)]
enum Owned {
    Stored(Box<RawValue>),
    Set(FieldSet),
}

impl Default for Owned {
    fn default() -> Self {
        Self::Set(FieldSet::default())
    }
}

impl Serialize for Owned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Stored(text) => text.serialize(serializer),
            Self::Set(set) => set.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Owned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(deserializer).map(Self::Stored)
    }
}

impl Owned {
    /// The fields. What the store holds was written by the server: should it be damaged, nothing is owned.
    fn into_set(self) -> FieldSet {
        match self {
            Self::Stored(text) => FieldSet::from_stored(text.get()).unwrap_or_default(),
            Self::Set(set) => set,
        }
    }

    /// Replaces the fields by what is made of them.
    fn change(&mut self, change: impl FnOnce(FieldSet) -> FieldSet) {
        let set = std::mem::take(self).into_set();
        *self = Self::Set(change(set));
    }

    /// Whether it is certain that none of the given fields is among them.
    fn is_apart_from(&self, other: &FieldSet) -> bool {
        match self {
            // A key is in the text as it is, unless the text has to escape something in it.
            Self::Stored(text) => other.roots().all(|key| {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b':';
                key.bytes().all(plain) && !text.get().contains(key)
            }),
            Self::Set(_) => false,
        }
    }
}

impl Entry {
    pub(crate) fn new(writer: &Writer<'_>, operation: Operation, set: FieldSet) -> Self {
        Self {
            api_version: writer.api_version.to_owned(),
            fields_type: FORMAT.to_owned(),
            fields: Owned::Set(set),
            manager: writer.manager.to_owned(),
            operation,
            subresource: writer.subresource.to_owned(),
            time: writer.time(),
        }
    }

    pub(crate) fn manager(&self) -> &str {
        &self.manager
    }

    pub(crate) fn api_version(&self) -> &str {
        &self.api_version
    }

    pub(crate) fn subresource(&self) -> &str {
        &self.subresource
    }

    /// Takes over the time of another entry, or its having none.
    pub(crate) fn set_time_of(&mut self, other: &Self) {
        self.time.clone_from(&other.time);
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

    /// The fields of the entry.
    pub(crate) fn into_set(self) -> FieldSet {
        self.fields.into_set()
    }

    /// A copy of the fields of the entry.
    pub(crate) fn set(&self) -> FieldSet {
        self.fields.clone().into_set()
    }

    fn take_in(&mut self, taken: FieldSet) {
        self.fields.change(|set| set.union(taken));
    }

    /// Takes in fields that the writer set.
    pub(crate) fn take_by(&mut self, writer: &Writer<'_>, taken: FieldSet) {
        self.take_in(taken);
        self.time = writer.time();
    }

    /// Gives up what others changed or removed.
    pub(crate) fn yield_to(&mut self, delta: &Delta) {
        for gone in [&delta.changed, &delta.removed] {
            if !self.fields.is_apart_from(gone) {
                self.fields.change(|set| set.difference(gone));
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match &self.fields {
            Owned::Stored(text) => text.get() == "{}",
            Owned::Set(set) => set.is_empty(),
        }
    }

    fn seconds(&self) -> i64 {
        self.time
            .parse::<Timestamp>()
            .map_or(0, Timestamp::as_second)
    }

    /// The order of the ledger.
    fn order(&self, other: &Self) -> Ordering {
        self.operation
            .cmp(&other.operation)
            .then_with(|| self.seconds().cmp(&other.seconds()))
            .then_with(|| self.manager.cmp(&other.manager))
            .then_with(|| self.api_version.cmp(&other.api_version))
            .then_with(|| self.subresource.cmp(&other.subresource))
    }

    /// An entry that a client sent. Members of other names and types are as if they had not been sent.
    fn sent(entry: &Map<String, Value>, index: usize) -> Result<Self, String> {
        let text = |key: &str| {
            let text = entry.get(key).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let fields = entry.get("fieldsV1").unwrap_or(&Value::Null);
        let set = FieldSet::from_fields_v1(fields).map_err(|error| error.to_string())?;
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        let entry = Self {
            api_version: text("apiVersion"),
            fields_type: text("fieldsType"),
            fields: Owned::Set(set),
            manager: text("manager"),
            operation,
            subresource: text("subresource"),
            time: text("time"),
        };
        if entry.api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match entry.fields_type.as_str() {
            FORMAT => Ok(entry),
            "" => Err(format!(
                "missing fieldsType in managed fields entry {index}"
            )),
            other => Err(format!(
                "invalid fieldsType {other:?} in managed fields entry {index}"
            )),
        }
    }
}

/// Reads a ledger that a client sent. Of two entries for the same manager the later counts.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn sent(entries: &Value) -> Result<Vec<Entry>, String> {
    let Value::Array(sent) = entries else {
        return Err("managedFields must be a list".to_owned());
    };
    let mut entries: Vec<Entry> = Vec::with_capacity(sent.len());
    for (index, entry) in sent.iter().enumerate() {
        let Value::Object(entry) = entry else {
            return Err("an entry must be an object".to_owned());
        };
        let entry = Entry::sent(entry, index)?;
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

/// Brings a ledger in order, without empty entries.
pub(crate) fn arrange(entries: &mut Vec<Entry>) {
    entries.retain(|entry| !entry.is_empty());
    entries.sort_by(Entry::order);
}

/// Keeps the number of entries from updates in bounds: the oldest of each version become one.
pub(crate) fn cap(entries: &mut Vec<Entry>) {
    let is_update = |entry: &Entry| entry.operation == Operation::Update && !entry.is_empty();
    let count = entries.iter().filter(|entry| is_update(entry)).count();
    let mut surplus = count.saturating_sub(MAX_UPDATE_ENTRIES);
    if surplus == 0 {
        return;
    }
    let (mut updates, mut kept): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(entries).into_iter().partition(is_update);
    updates.sort_by(Entry::order);
    // By version: the first entry seen, which later ones are gathered into.
    let mut gathered: BTreeMap<String, Entry> = BTreeMap::new();
    for entry in updates {
        if surplus == 0 {
            kept.push(entry);
            continue;
        }
        match gathered.get_mut(entry.api_version()) {
            None => {
                gathered.insert(entry.api_version().to_owned(), entry);
            }
            Some(bucket) => {
                ANCIENT_CHANGES.clone_into(&mut bucket.manager);
                bucket.subresource.clear();
                bucket.set_time_of(&entry);
                bucket.take_in(entry.into_set());
                surplus -= 1;
            }
        }
    }
    for bucket in gathered.into_values() {
        // An earlier bucket of the version may be recent enough to have stayed.
        match kept.iter_mut().find(|entry| entry.is_same_as(&bucket)) {
            Some(earlier) => earlier.take_in(bucket.into_set()),
            None => kept.push(bucket),
        }
    }
    *entries = kept;
}
