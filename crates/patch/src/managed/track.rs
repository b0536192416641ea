//! Ownership after a write that is not an apply.

use mosaic_schema::Type;
use serde_json::{Map, Value};

use super::{
    Ledger, Writer,
    entry::{Entry, Operation, cap, sent as read_sent},
};
use crate::fields::{Delta, FieldSet, UNTRACKED, compare, created};

/// The ledger of a created, updated or patched object.
///
/// `new` is the object as it will be stored but for what admission and the store add; `old` is what was
/// there before, none for a create, and `stored` its ledger. Fields that changed become the writer's, and cease to be
/// anybody else's; fields that are gone cease to be anybody's. `ignore` holds the fields that this door
/// resets, which nobody gets to own through it.
///
/// A client may send managed fields of its own, which are taken out of `new`: they replace the stored ones when they are
/// valid, an empty list or a single empty entry clears them, and anything else is as if they had not been sent.
/// Through a subresource they are not looked at. An update of an object without managed fields does not
/// begin to track it.
pub fn track_update(
    new: &mut Value,
    old: Option<&Value>,
    stored: Ledger,
    ty: &Type,
    writer: &Writer<'_>,
    ignore: &FieldSet,
) -> Ledger {
    let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Ledger::default();
    };
    let sent = metadata.remove("managedFields");
    let replaced = sent.and_then(|sent| replacement(&sent, &stored, writer));
    let untouched = replaced.is_none();
    let mut entries = replaced.unwrap_or_else(|| stored.entries());
    if entries.is_empty() && old.is_some() {
        return Ledger::default();
    }

    let mut delta = match old {
        Some(old) => compare(old, new, ty),
        None => Delta {
            changed: created(new, ty),
            removed: FieldSet::default(),
        },
    };
    delta.changed = delta.changed.difference(&UNTRACKED);
    delta.removed = delta.removed.difference(&UNTRACKED);
    if delta.is_empty() && untouched {
        return stored;
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
    Ledger::of(entries)
}

/// The entries that a client wants instead of the stored ones; none if these stay.
fn replacement(sent: &Value, stored: &Ledger, writer: &Writer<'_>) -> Option<Vec<Entry>> {
    if !writer.subresource.is_empty() || stored.value().as_ref() == Some(sent) {
        return None;
    }
    if is_reset(sent) {
        return Some(Vec::new());
    }
    read_sent(sent).ok().filter(|entries| !entries.is_empty())
}

/// Whether a client asks for the managed fields to be cleared.
fn is_reset(sent: &Value) -> bool {
    match sent.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([entry]) => entry.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}
