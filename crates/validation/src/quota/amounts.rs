//! Amounts of resources by name.

use std::collections::BTreeMap;

use mosaic_api::{peak, quantity::Quantity};
use serde_json::{Map, Value};

/// Amounts of resources by name, in the order of the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, Quantity>);

impl peak::Amounts for Amounts {
    fn add(&mut self, other: &Self) {
        self.add_all(other);
    }

    fn max(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let largest = self.0.entry(name.to_owned()).or_insert(amount);
            *largest = amount.max(*largest);
        }
    }
}

impl Amounts {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The amounts of a resource list as objects hold it; what cannot be read counts as absent.
    pub fn read(list: Option<&Value>) -> Self {
        let entries = list.and_then(Value::as_object).into_iter().flatten();
        Self(
            entries
                .filter_map(|(name, v)| Some((name.clone(), Quantity::from_value(v).ok()?)))
                .collect(),
        )
    }

    /// The amount of a resource.
    pub fn get(&self, name: &str) -> Option<Quantity> {
        self.0.get(name).copied()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and amounts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Adds to a resource.
    pub fn add(&mut self, name: impl Into<String>, amount: Quantity) {
        let sum = self.0.entry(name.into()).or_default();
        *sum = sum.add(amount);
    }

    /// Adds everything.
    pub fn add_all(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            self.add(name, amount);
        }
    }

    /// Takes everything away; may leave amounts below zero.
    pub fn subtract_all(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let rest = self.0.entry(name.to_owned()).or_default();
            *rest = rest.sub(amount);
        }
    }

    /// Sets a resource.
    pub(super) fn set(&mut self, name: &str, amount: Quantity) {
        self.0.insert(name.to_owned(), amount);
    }

    /// By how much this is more than `old`, of those resources of which it is more.
    #[must_use]
    pub fn increase_over(&self, old: &Self) -> Self {
        let more = self.iter().filter_map(|(name, amount)| {
            let more = amount.sub(old.get(name).unwrap_or_default());
            more.sign().is_gt().then(|| (name.to_owned(), more))
        });
        Self(more.collect())
    }

    /// The resource list, as objects hold it.
    pub fn to_object(&self) -> Map<String, Value> {
        self.iter()
            .map(|(name, amount)| (name.to_owned(), Value::String(amount.to_string())))
            .collect()
    }
}
