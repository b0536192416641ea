//! What was measured, what is to be reached, and how both are shown.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::load::as_float;
use crate::failure::Failure;
use crate::output::{style, table};

/// What a figure is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    /// It may be more.
    AtLeast(f64),
    /// It may be less.
    AtMost(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// Which figure is to reach what.
pub(super) type Targets = fn(&str) -> Option<Target>;

/// The figures, in the order in which they were measured. A key ends with its unit, or is two names with a
/// dot between: those of one first name are shown together.
#[derive(Debug)]
pub(super) struct Figures {
    list: Vec<(String, f64)>,
    targets: Targets,
}

impl Figures {
    /// No figures yet, which will be held against these targets.
    pub(super) fn new(targets: Targets) -> Self {
        Self {
            list: Vec::new(),
            targets,
        }
    }

    /// Notes a figure.
    pub(super) fn add(&mut self, key: impl Into<String>, value: f64) {
        self.list.push((key.into(), value));
    }

    fn target(&self, key: &str) -> Option<Target> {
        (self.targets)(key)
    }

    /// The figures as JSON, with what they were measured under.
    pub(super) fn to_json(&self, conditions: Value) -> Value {
        let mut figures = Map::new();
        let mut targets = Map::new();
        for (key, value) in &self.list {
            let rounded = json!(rounded(*value));
            match key.split_once('.') {
                Some((first, second)) => {
                    let together = figures.entry(first).or_insert_with(|| json!({}));
                    if let Some(together) = together.as_object_mut() {
                        together.insert(second.to_owned(), rounded);
                    }
                }
                None => {
                    figures.insert(key.clone(), rounded);
                }
            }
            if let Some(target) = self.target(key) {
                let (name, bound) = match target {
                    Target::AtLeast(bound) => ("atLeast", bound),
                    Target::AtMost(bound) => ("atMost", bound),
                };
                targets.insert(
                    key.clone(),
                    json!({name: bound, "met": target.is_met(*value)}),
                );
            }
        }
        json!({"conditions": conditions, "figures": figures, "targets": targets})
    }

    /// Prints the figures for people.
    pub(super) fn print(&self) -> Result<(), Failure> {
        let rows: Vec<Vec<String>> = self
            .list
            .iter()
            .map(|(key, value)| {
                let target = self.target(key);
                let (bound, met) = match target {
                    Some(Target::AtLeast(bound)) => (format!(">= {bound}"), Some(*value >= bound)),
                    Some(Target::AtMost(bound)) => (format!("<= {bound}"), Some(*value <= bound)),
                    None => (String::new(), None),
                };
                let met = met.map_or("", |met| if met { "yes" } else { "no" });
                vec![
                    key.replace(['_', '.'], " "),
                    rounded(*value).to_string(),
                    bound,
                    met.to_owned(),
                ]
            })
            .collect();
        let headings = ["FIGURE", "VALUE", "TARGET", "MET"];
        let text = table::simple(&headings, rows, true, style::stdout());
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}

/// As many digits as mean something.
fn rounded(value: f64) -> f64 {
    let step = match value.abs() {
        size if size >= 1_000.0 => 1.0,
        size if size >= 10.0 => 10.0,
        _ => 1_000.0,
    };
    (value * step).round() / step
}

/// A time as a figure.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// An amount of memory as a figure.
pub(super) fn megabytes(bytes: u64) -> f64 {
    as_float(bytes) / 1e6
}

/// The middle one of some measurements; of an even number, the lower of the two.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_counts() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 1.0);
        assert_eq!(median(Vec::new()), 0.0);
    }

    #[test]
    fn figures_are_held_against_targets() {
        let mut figures = Figures::new(|key| {
            Some(match key {
                "gets_per_second" => Target::AtLeast(20_000.0),
                "idle_memory_mb" => Target::AtMost(60.0),
                _ => return None,
            })
        });
        figures.add("gets_per_second", 19_999.4);
        figures.add("idle_memory_mb", 59.96);
        figures.add("other_ms", 0.123_456);
        figures.add("some_ms.p50", 1.0);
        figures.add("some_ms.p99", 2.0);
        let shown = figures.to_json(json!({}));
        assert_eq!(shown["figures"]["gets_per_second"], json!(19_999.0));
        assert_eq!(
            shown["targets"]["gets_per_second"],
            json!({"atLeast": 20_000.0, "met": false})
        );
        assert_eq!(
            shown["targets"]["idle_memory_mb"],
            json!({"atMost": 60.0, "met": true})
        );
        assert_eq!(shown["figures"]["other_ms"], json!(0.123));
        assert!(shown["targets"].get("other_ms").is_none());
        assert_eq!(shown["figures"]["some_ms"], json!({"p50": 1.0, "p99": 2.0}));
    }
}
