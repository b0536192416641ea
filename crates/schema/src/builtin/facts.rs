//! The rows of the merge table, and how they are found.

use serde_json::Value;

use crate::PatchStrategy;

use super::merge_keys::{ATOMIC, FIELDS};

/// Strategic merge patches merge the list's items.
pub(super) const MERGE: u8 = 1;
/// Strategic merge patches may clear what they do not name.
pub(super) const RETAIN_KEYS: u8 = 2;
/// Strategic merge patches replace the object.
pub(super) const REPLACE: u8 = 4;

/// How a field merges under server-side apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merge {
    /// As its JSON type does by itself.
    Plain,
    /// A list of scalars, each owned by itself.
    Set,
    /// A list of objects, told apart by these fields.
    Map(&'static [&'static str]),
    /// A map that is owned as a whole.
    AtomicMap,
}

/// What a field is besides its JSON type.
#[derive(Debug)]
pub(super) struct Row {
    definition: &'static str,
    field: &'static str,
    pub(super) merge: Merge,
    patch: u8,
    patch_key: &'static str,
    default: &'static str,
}

/// A row; `default` is JSON text, empty for none.
pub(super) const fn row(
    definition: &'static str,
    field: &'static str,
    merge: Merge,
    patch: u8,
    patch_key: &'static str,
    default: &'static str,
) -> Row {
    Row {
        definition,
        field,
        merge,
        patch,
        patch_key,
        default,
    }
}

impl Row {
    /// How a strategic merge patch treats the field.
    pub(super) fn patch(&self) -> PatchStrategy {
        PatchStrategy {
            merge: self.patch & MERGE != 0,
            merge_key: (!self.patch_key.is_empty()).then(|| self.patch_key.into()),
            retain_keys: self.patch & RETAIN_KEYS != 0,
            replace: self.patch & REPLACE != 0,
        }
    }

    /// The words of `x-kubernetes-patch-strategy`; empty for none.
    pub(super) fn patch_words(&self) -> String {
        let words = [
            (MERGE, "merge"),
            (RETAIN_KEYS, "retainKeys"),
            (REPLACE, "replace"),
        ];
        let chosen: Vec<&str> = words
            .iter()
            .filter(|(bit, _)| self.patch & bit != 0)
            .map(|(_, word)| *word)
            .collect();
        chosen.join(",")
    }

    /// The value of an absent field.
    pub(super) fn default(&self) -> Option<Value> {
        serde_json::from_str(self.default).ok()
    }
}

/// The row of a field, if it is more than its JSON type.
pub(super) fn find(definition: &str, field: &str) -> Option<&'static Row> {
    let at = FIELDS
        .binary_search_by(|row| (row.definition, row.field).cmp(&(definition, field)))
        .ok()?;
    FIELDS.get(at)
}

/// Whether objects of the definition are owned as a whole.
pub(super) fn is_atomic(definition: &str) -> bool {
    ATOMIC.binary_search(&definition).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_so_that_they_are_found() {
        assert!(FIELDS.is_sorted_by_key(|row| (row.definition, row.field)));
        assert!(ATOMIC.is_sorted());
    }

    #[test]
    fn defaults_are_json() {
        for row in FIELDS.iter().filter(|row| !row.default.is_empty()) {
            assert!(row.default().is_some(), "{}.{}", row.definition, row.field);
        }
    }
}
