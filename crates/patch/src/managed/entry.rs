//! The entries of `metadata.managedFields`.

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Writer;
use crate::fields::{Delta, FieldSet, add, subtract};

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
///
/// An entry of the store stays as it was read but for what a write changes in it: most writes touch few
/// fields of few entries.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The entry as JSON, without its fields.
    head: Map<String, Value>,
    pub(crate) operation: Operation,
    fields: Owned,
}

/// The fields of an entry.
#[derive(Debug, Clone)]
enum Owned {
    /// Canonical `FieldsV1`, as the server stored it.
    Stored(Value),
    Set(FieldSet),
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
        Self::with_fields(writer, operation, Owned::Set(set))
    }

    /// An entry for what comes to be with an object, given as canonical `FieldsV1`.
    pub(crate) fn of_created(writer: &Writer<'_>, fields: Value) -> Self {
        Self::with_fields(writer, Operation::Update, Owned::Stored(fields))
    }

    fn with_fields(writer: &Writer<'_>, operation: Operation, fields: Owned) -> Self {
        let name = match operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut head = Map::new();
        head.insert("apiVersion".to_owned(), Value::from(writer.api_version));
        head.insert("fieldsType".to_owned(), Value::from("FieldsV1"));
        head.insert("manager".to_owned(), Value::from(writer.manager));
        head.insert("operation".to_owned(), Value::from(name));
        if !writer.subresource.is_empty() {
            head.insert("subresource".to_owned(), Value::from(writer.subresource));
        }
        head.insert("time".to_owned(), Value::from(writer.time()));
        Self {
            head,
            operation,
            fields,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.head
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(crate) fn manager(&self) -> &str {
        self.text("manager")
    }

    pub(crate) fn api_version(&self) -> &str {
        self.text("apiVersion")
    }

    pub(crate) fn subresource(&self) -> &str {
        self.text("subresource")
    }

    /// Takes over the time of another entry, or its having none.
    pub(crate) fn set_time_of(&mut self, other: &Self) {
        match other.head.get("time") {
            Some(time) => self.head.insert("time".to_owned(), time.clone()),
            None => self.head.remove("time"),
        };
    }

    /// Whether the entry is the writer's own for this operation. Whoever applies stays the same manager
    /// whatever version it applies in.
    pub(crate) fn is_of(&self, writer: &Writer<'_>, operation: Operation) -> bool {
        self.manager() == writer.manager
            && self.operation == operation
            && self.subresource() == writer.subresource
            && (operation == Operation::Apply || self.api_version() == writer.api_version)
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.manager() == other.manager()
            && self.operation == other.operation
            && self.subresource() == other.subresource()
            && (self.operation == Operation::Apply || self.api_version() == other.api_version())
    }

    /// The fields of the entry. What the store holds was written by the server: should it be damaged, the
    /// entry owns nothing.
    pub(crate) fn into_set(self) -> FieldSet {
        match self.fields {
            Owned::Stored(fields) => FieldSet::from_fields_v1(fields).unwrap_or_default(),
            Owned::Set(set) => set,
        }
    }

    /// A copy of the fields of the entry.
    pub(crate) fn set(&self) -> FieldSet {
        self.clone().into_set()
    }

    fn take_in(&mut self, taken: FieldSet) {
        match &mut self.fields {
            Owned::Stored(fields) => add(fields, taken),
            Owned::Set(set) => *set = std::mem::take(set).union(taken),
        }
    }

    /// Takes in fields that the writer set.
    pub(crate) fn take_by(&mut self, writer: &Writer<'_>, taken: FieldSet) {
        self.take_in(taken);
        self.head
            .insert("time".to_owned(), Value::from(writer.time()));
    }

    /// Gives up what others changed or removed.
    pub(crate) fn yield_to(&mut self, delta: &Delta) {
        for gone in [&delta.changed, &delta.removed] {
            match &mut self.fields {
                Owned::Stored(fields) => subtract(fields, gone),
                Owned::Set(set) => *set = std::mem::take(set).difference(gone),
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match &self.fields {
            Owned::Stored(fields) => fields.as_object().is_none_or(Map::is_empty),
            Owned::Set(set) => set.is_empty(),
        }
    }

    fn seconds(&self) -> i64 {
        self.text("time")
            .parse::<Timestamp>()
            .map_or(0, Timestamp::as_second)
    }

    /// The order of the ledger.
    fn order(&self, other: &Self) -> Ordering {
        self.operation
            .cmp(&other.operation)
            .then_with(|| self.seconds().cmp(&other.seconds()))
            .then_with(|| self.manager().cmp(other.manager()))
            .then_with(|| self.api_version().cmp(other.api_version()))
            .then_with(|| self.subresource().cmp(other.subresource()))
    }

    fn decode(entry: Value, index: usize, origin: Origin) -> Result<Self, String> {
        const TEXTS: [&str; 6] = [
            "apiVersion",
            "fieldsType",
            "manager",
            "operation",
            "subresource",
            "time",
        ];
        let Value::Object(mut head) = entry else {
            return Err("an entry must be an object".to_owned());
        };
        let fields = head
            .remove("fieldsV1")
            .unwrap_or_else(|| Value::Object(Map::new()));
        let fields = match origin {
            Origin::Store => Owned::Stored(fields),
            Origin::Client => {
                head.retain(|key, value| {
                    TEXTS.contains(&key.as_str())
                        && value.as_str().is_some_and(|text| !text.is_empty())
                });
                let set = FieldSet::from_fields_v1(fields).map_err(|error| error.to_string())?;
                Owned::Set(set)
            }
        };
        let mut entry = Self {
            head,
            operation: Operation::Update,
            fields,
        };
        entry.operation = match entry.text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        if entry.api_version().is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match entry.text("fieldsType") {
            "FieldsV1" => Ok(entry),
            "" => Err(format!(
                "missing fieldsType in managed fields entry {index}"
            )),
            other => Err(format!(
                "invalid fieldsType {other:?} in managed fields entry {index}"
            )),
        }
    }

    fn encode(self) -> Value {
        let mut entry = self.head;
        let fields = match self.fields {
            Owned::Stored(fields) => fields,
            Owned::Set(set) => set.into_fields_v1(),
        };
        entry.insert("fieldsV1".to_owned(), fields);
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
    entries.sort_by(Entry::order);
    encode_as_read(entries)
}

/// Writes a ledger of which nothing has changed.
pub(crate) fn encode_as_read(entries: Vec<Entry>) -> Option<Value> {
    let encoded: Vec<Value> = entries.into_iter().map(Entry::encode).collect();
    (!encoded.is_empty()).then_some(Value::Array(encoded))
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
                bucket
                    .head
                    .insert("manager".to_owned(), Value::from(ANCIENT_CHANGES));
                bucket.head.remove("subresource");
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
