//! The ledger as it is stored.

use serde_json::{Value, value::RawValue};

use super::entry::{Entry, arrange};

/// `metadata.managedFields` as the JSON text that is stored, apart from the object whose fields it is
/// about: parsed it would be the larger part of most objects, and hardly anybody looks at it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger(String);

impl Ledger {
    /// The ledger that an object is stored with; none if nobody owns anything of it.
    pub fn stored(text: Option<&RawValue>) -> Self {
        Self(text.map(|text| text.get().to_owned()).unwrap_or_default())
    }

    /// Takes the ledger out of an object.
    pub fn take_from(object: &mut Value) -> Self {
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        let taken = metadata.and_then(|metadata| metadata.remove("managedFields"));
        let taken = taken.filter(|fields| !fields.is_null());
        Self(taken.map(|fields| fields.to_string()).unwrap_or_default())
    }

    /// Puts the ledger into an object, which has `metadata`.
    pub fn put_into(&self, object: &mut Value) {
        if let Some(fields) = self.value()
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.insert("managedFields".to_owned(), fields);
        }
    }

    /// The JSON text; none if nobody owns anything.
    pub fn text(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&self.0)
    }

    /// The ledger, parsed; none if nobody owns anything, or what was stored is damaged.
    pub(super) fn value(&self) -> Option<Value> {
        serde_json::from_str(self.text()?).ok()
    }

    /// The entries. Should what was stored be damaged, there are none.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.text()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// The ledger of entries.
    pub(super) fn of(mut entries: Vec<Entry>) -> Self {
        arrange(&mut entries);
        if entries.is_empty() {
            return Self::default();
        }
        // Writing texts and sets to memory does not fail.
        Self(serde_json::to_string(&entries).unwrap_or_default())
    }
}
