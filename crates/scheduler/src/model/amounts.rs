//! Amounts of resources.

use std::sync::Arc;

use super::read::ResourceList;

/// The most that one amount counts as: sums of thousands of them still fit.
pub const MAX_AMOUNT: i64 = 1 << 50;

/// Amounts of resources: what a pod needs, or what a host has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Amounts {
    /// Thousandths of a processor core.
    pub cpu_millis: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Bytes of local disk that is not a volume.
    pub ephemeral: i64,
    /// Whole units of everything else, sorted by name, each once.
    pub extended: Vec<(Arc<str>, i64)>,
}

// Sums wrap, so that what was added can always be taken away; amounts are far too small to get there.
impl mosaic_api::peak::Amounts for Amounts {
    fn add(&mut self, other: &Self) {
        self.combine(other, i64::wrapping_add);
    }

    fn max(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }
}

impl Amounts {
    pub(super) fn read(list: &ResourceList) -> Self {
        let mut amounts = Self::default();
        for (name, quantity) in list {
            let whole = quantity.0.value().clamp(0, MAX_AMOUNT);
            match name.as_ref() {
                "cpu" => amounts.cpu_millis = quantity.0.milli_value().clamp(0, MAX_AMOUNT),
                "memory" => amounts.memory = whole,
                "ephemeral-storage" => amounts.ephemeral = whole,
                // How many pods there may be is no amount that pods ask for.
                "pods" => {}
                _ => amounts.extended.push((Arc::from(name.as_ref()), whole)),
            }
        }
        amounts.extended.sort_unstable();
        amounts
    }

    /// The amount of a resource other than processor, memory and local disk.
    pub fn extended(&self, name: &str) -> i64 {
        let found = self.extended.iter().find(|(known, _)| &**known == name);
        found.map_or(0, |(_, amount)| *amount)
    }

    pub(crate) fn sub(&mut self, other: &Self) {
        self.combine(other, i64::wrapping_sub);
        self.extended.retain(|(_, amount)| *amount != 0);
    }

    fn combine(&mut self, other: &Self, by: impl Fn(i64, i64) -> i64) {
        self.cpu_millis = by(self.cpu_millis, other.cpu_millis);
        self.memory = by(self.memory, other.memory);
        self.ephemeral = by(self.ephemeral, other.ephemeral);
        for (name, amount) in &other.extended {
            match self.extended.binary_search_by(|(known, _)| known.cmp(name)) {
                Ok(at) => {
                    if let Some((_, own)) = self.extended.get_mut(at) {
                        *own = by(*own, *amount);
                    }
                }
                Err(at) => self.extended.insert(at, (name.clone(), by(0, *amount))),
            }
        }
    }

    /// Takes over what `other` says about a resource, for the resources it mentions.
    pub(super) fn set_mentioned(&mut self, list: &ResourceList) {
        let other = Self::read(list);
        for name in list.keys() {
            match name.as_ref() {
                "cpu" => self.cpu_millis = other.cpu_millis,
                "memory" => self.memory = other.memory,
                "ephemeral-storage" => self.ephemeral = other.ephemeral,
                "pods" => {}
                name => {
                    let amount = other.extended(name);
                    self.extended.retain(|(known, _)| &**known != name);
                    self.extended.push((Arc::from(name), amount));
                    self.extended.sort_unstable();
                }
            }
        }
    }
}
