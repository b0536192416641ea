//! Ownership after a write that is not an apply.

use mosaic_schema::Type;
use serde_json::{Map, Value};

use super::{
    Writer,
    entry::{Entry, Operation, Origin, cap, decode, encode, encode_as_read},
};
use crate::fields::{Delta, FieldSet, UNTRACKED, compare, created, subtract, subtract_recursively};

/// Brings `metadata.managedFields` of a created, updated or patched object up to date.
///
/// `new` is the object as it will be stored but for what admission and the store add; `old` is what was
/// there before, none for a create. Fields that changed become the writer's, and cease to be anybody
/// else's; fields that are gone cease to be anybody's. `ignore` holds the fields that this door resets,
/// which nobody gets to own through it.
///
/// A client may send managed fields of its own: they replace the stored ones when they are valid, an
/// empty list or a single empty entry clears them, and anything else is as if they had not been sent.
/// Through a subresource they are not looked at. An update of an object without managed fields does not
/// begin to track it.
pub fn track_update(
    new: &mut Value,
    old: Option<&Value>,
    ty: &Type,
    writer: &Writer<'_>,
    ignore: &FieldSet,
) {
    let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let sent = metadata.remove("managedFields");
    let stored = old.and_then(managed_fields);
    let Ledger {
        mut entries,
        untouched,
    } = ledger(sent, stored, writer);
    if entries.is_empty() && old.is_some() {
        return;
    }

    let mut delta = match old {
        Some(old) => compare(old, new, ty),
        None => {
            let mut fields = created(new, ty);
            subtract(&mut fields, &UNTRACKED);
            if entries.is_empty() {
                subtract_recursively(&mut fields, ignore);
                put(new, encode(vec![Entry::of_created(writer, fields)]));
                return;
            }
            Delta {
                changed: FieldSet::from_fields_v1(fields).unwrap_or_default(),
                removed: FieldSet::default(),
            }
        }
    };
    delta.changed = delta.changed.difference(&UNTRACKED);
    delta.removed = delta.removed.difference(&UNTRACKED);
    if delta.is_empty() && untouched {
        put(new, encode_as_read(entries));
        return;
    }

    for entry in &mut entries {
        entry.yield_to(&delta);
    }
    let taken = delta.changed.recursive_difference(ignore);
    if !taken.is_empty() {
        match entries
            .iter_mut()
            .find(|entry| entry.is_of(writer, Operation::Update))
        {
            Some(entry) => entry.take_by(writer, taken),
            None => entries.push(Entry::new(writer, Operation::Update, taken)),
        }
    }
    cap(&mut entries);
    put(new, encode(entries));
}

pub(super) fn managed_fields(object: &Value) -> Option<&Value> {
    object
        .get("metadata")?
        .get("managedFields")
        .filter(|fields| !fields.is_null())
}

pub(super) fn put(object: &mut Value, managed_fields: Option<Value>) {
    if let (Some(metadata), Some(fields)) = (
        object.get_mut("metadata").and_then(Value::as_object_mut),
        managed_fields,
    ) {
        metadata.insert("managedFields".to_owned(), fields);
    }
}

/// The entries that a write starts from.
struct Ledger {
    entries: Vec<Entry>,
    /// Whether they are those of the store, as they are there.
    untouched: bool,
}

fn ledger(sent: Option<Value>, stored: Option<&Value>, writer: &Writer<'_>) -> Ledger {
    let from_store = || Ledger {
        entries: stored
            .and_then(|stored| decode(stored.clone(), Origin::Store).ok())
            .unwrap_or_default(),
        untouched: true,
    };
    let Some(sent) = sent else {
        return from_store();
    };
    if stored == Some(&sent) {
        // Sent back as it was read: no need to read it as if it came from a stranger.
        return match decode(sent, Origin::Store) {
            Ok(entries) => Ledger {
                entries,
                untouched: true,
            },
            Err(_) => from_store(),
        };
    }
    if !writer.subresource.is_empty() {
        return from_store();
    }
    if is_reset(&sent) {
        return Ledger {
            entries: Vec::new(),
            untouched: false,
        };
    }
    match decode(sent, Origin::Client) {
        Ok(entries) if !entries.is_empty() => Ledger {
            entries,
            untouched: false,
        },
        _ => from_store(),
    }
}

/// Whether a client asks for the managed fields to be cleared.
fn is_reset(sent: &Value) -> bool {
    match sent.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([entry]) => entry.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}
