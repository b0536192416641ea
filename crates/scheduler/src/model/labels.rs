//! Labels of an object.

use std::collections::BTreeMap;

/// Labels, sorted by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        // Most objects have a handful, for which this beats a binary search.
        let found = self.0.iter().find(|(known, _)| &**known == key);
        found.map(|(_, value)| &**value)
    }

    /// Keys and values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

impl From<Option<BTreeMap<String, String>>> for Labels {
    fn from(labels: Option<BTreeMap<String, String>>) -> Self {
        let labels = labels.unwrap_or_default().into_iter();
        Self(
            labels
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

impl mosaic_api::selector::Labels for Labels {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key)
    }
}
