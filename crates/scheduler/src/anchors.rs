//! Finds the selectors that may match labels, without asking each of them.
//!
//! Nearly every selector wants some label to have one value (`app=web`). It is kept under that label, and
//! asked only by who has it.

use std::collections::HashMap;

use mosaic_api::{LabelSelector, selector::Operator};

use crate::model::Labels;

/// Numbers of selectors, by a label that they want.
#[derive(Debug, Clone, Default)]
pub(crate) struct Anchors {
    by_label: HashMap<Box<str>, HashMap<Box<str>, Vec<u32>>>,
    /// Those that want no label in particular.
    others: Vec<u32>,
}

/// A label and the only value of it with which all of these selectors may match.
fn anchor<'a>(
    mut selectors: impl Iterator<Item = &'a LabelSelector>,
) -> Option<(&'a str, &'a str)> {
    selectors.find_map(|selector| {
        selector.requirements().iter().find_map(|requirement| {
            let equal = matches!(
                requirement.operator(),
                Operator::In | Operator::Equals | Operator::DoubleEquals
            );
            match requirement.values() {
                [value] if equal => Some((requirement.key(), value.as_str())),
                _ => None,
            }
        })
    })
}

impl Anchors {
    /// Keeps a number under selectors of which every one must match.
    pub(crate) fn insert<'a>(
        &mut self,
        selectors: impl Iterator<Item = &'a LabelSelector>,
        number: u32,
    ) {
        match anchor(selectors) {
            Some((key, value)) => {
                let values = self.by_label.entry(key.into()).or_default();
                values.entry(value.into()).or_default().push(number);
            }
            None => self.others.push(number),
        }
    }

    /// Takes a number out that was kept under these selectors.
    pub(crate) fn remove<'a>(
        &mut self,
        selectors: impl Iterator<Item = &'a LabelSelector>,
        number: u32,
    ) {
        let Some((key, value)) = anchor(selectors) else {
            self.others.retain(|known| *known != number);
            return;
        };
        let Some(values) = self.by_label.get_mut(key) else {
            return;
        };
        if let Some(numbers) = values.get_mut(value) {
            numbers.retain(|known| *known != number);
            if numbers.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            self.by_label.remove(key);
        }
    }

    /// The numbers of all selectors that may match, each once.
    pub(crate) fn candidates(&self, labels: &Labels) -> impl Iterator<Item = u32> {
        let wanted = labels
            .iter()
            .filter_map(|(key, value)| self.by_label.get(key)?.get(value));
        wanted.flatten().chain(&self.others).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn labels(text: &str) -> Labels {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        let labels: BTreeMap<String, String> = pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Labels::from(Some(labels))
    }

    #[test]
    fn only_selectors_that_may_match_are_found() {
        let texts = [
            "app=a",
            "app in (a,b)",
            "tier=x,app=a",
            "app!=a",
            "",
            "app==b",
        ];
        let selectors: Vec<LabelSelector> = texts
            .iter()
            .map(|text| LabelSelector::parse(text).unwrap())
            .collect();
        let mut anchors = Anchors::default();
        for (selector, number) in selectors.iter().zip(0..) {
            anchors.insert(std::iter::once(selector), number);
        }
        let found = |anchors: &Anchors, text: &str| {
            let mut found: Vec<u32> = anchors.candidates(&labels(text)).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(found(&anchors, "app=a"), [0, 1, 2, 3, 4]);
        assert_eq!(found(&anchors, "app=b"), [1, 3, 4, 5]);
        assert_eq!(found(&anchors, "other=a"), [1, 3, 4]);
        for (selector, number) in selectors.iter().zip(0..).skip(1) {
            anchors.remove(std::iter::once(selector), number);
        }
        assert_eq!(found(&anchors, "app=a,tier=x"), [0]);
        anchors.remove(selectors.iter().take(1), 0);
        assert!(anchors.by_label.is_empty() && anchors.others.is_empty());
    }
}
