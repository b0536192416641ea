//! What was measured, what is to be reached, and how both are shown.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

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

/// The figures that a server is to reach on two cores. Against etcd they are not demanded.
pub(super) fn target(key: &str) -> Option<Target> {
    Some(match key {
        "configmap_creates_per_second" => Target::AtLeast(8_000.0),
        "gets_per_second" => Target::AtLeast(20_000.0),
        "steady_write_p99_ms" => Target::AtMost(10.0),
        "list_pods_ms" => Target::AtMost(1_000.0),
        "idle_memory_mb" => Target::AtMost(60.0),
        "scale_memory_mb" => Target::AtMost(450.0),
        "start_empty_ms" => Target::AtMost(1_000.0),
        "start_filled_ms" => Target::AtMost(5_000.0),
        _ => return None,
    })
}

/// The figures, in the order in which they were measured. A key ends with its unit.
#[derive(Debug, Default)]
pub(super) struct Figures {
    list: Vec<(String, f64)>,
    with_targets: bool,
}

impl Figures {
    /// No figures yet; they are held against the targets if so wished.
    pub(super) fn new(with_targets: bool) -> Self {
        Self {
            list: Vec::new(),
            with_targets,
        }
    }

    /// Notes a figure.
    pub(super) fn add(&mut self, key: impl Into<String>, value: f64) {
        self.list.push((key.into(), value));
    }

    fn target(&self, key: &str) -> Option<Target> {
        target(key).filter(|_| self.with_targets)
    }

    /// The figures as JSON, with what they were measured under.
    pub(super) fn to_json(&self, conditions: Value) -> Value {
        let mut figures = Map::new();
        let mut targets = Map::new();
        for (key, value) in &self.list {
            figures.insert(key.clone(), json!(rounded(*value)));
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
                    key.replace('_', " "),
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
        let mut figures = Figures::new(true);
        figures.add("gets_per_second", 19_999.4);
        figures.add("idle_memory_mb", 59.96);
        figures.add("other_ms", 0.123_456);
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
    }
}
