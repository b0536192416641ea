//! What a `Rebalance` asks for.

use mosaic_api::{LabelSelector, selector::SelectorError};
use serde_json::Value;

/// What pods are moved for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// Pods that would not be allowed where they are go elsewhere.
    Constraints,
    /// Hosts that hold little are emptied.
    Packing {
        /// Of which no more than this share (0 to 1) is requested, of processor or memory, whichever is more.
        max_requested: f32,
    },
    /// Hosts that hold more than others give pods away.
    Spreading {
        /// Of which more than this share (0 to 1) is requested beyond the average.
        max_deviation: f32,
    },
}

/// What a plan may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What pods are moved for.
    pub goal: Goal,
    /// The hosts that pods are taken from and moved to.
    pub nodes: LabelSelector,
    /// The namespaces whose pods may be moved.
    pub namespaces: LabelSelector,
    /// The pods that may be moved.
    pub pods: LabelSelector,
    /// How many pods are moved at the same time; at least 1.
    pub at_a_time: usize,
    /// The most moves of a plan.
    pub most_moves: usize,
    /// What each move must win, as a share (0 to 1) of a host.
    pub min_gain: f32,
}

/// Why the spec of a `Rebalance` cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// There is no such goal.
    #[error("spec.goal: {0:?} is no goal: Constraints, Packing and Spreading are")]
    Goal(String),
    /// A selector cannot be read.
    #[error("spec.{field}: {source}")]
    Selector {
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        source: SelectorError,
    },
}

impl Options {
    /// Options for a goal, of all hosts and pods, as the API server fills them in.
    pub fn new(goal: Goal) -> Self {
        Self {
            goal,
            nodes: LabelSelector::everything(),
            namespaces: LabelSelector::everything(),
            pods: LabelSelector::everything(),
            at_a_time: 1,
            most_moves: 20,
            min_gain: 0.02,
        }
    }

    /// Reads a `Rebalance` object. What is absent counts as the API server's default, so that an object that was
    /// never sent there says the same.
    ///
    /// # Errors
    ///
    /// There is no such goal, or a selector cannot be read.
    pub fn from_object(object: &Value) -> Result<Self, OptionsError> {
        let number = |path: &str, default: i64, least: i64, most: i64| {
            let given = object.pointer(path).and_then(Value::as_i64);
            given.unwrap_or(default).clamp(least, most)
        };
        let share = |path: &str, default: i64| number(path, default, 0, 100) as f32 / 100.0;
        let count = |path: &str, default: i64, most: i64| {
            usize::try_from(number(path, default, 1, most)).unwrap_or(1)
        };
        let goal = object.pointer("/spec/goal").and_then(Value::as_str);
        let goal = match goal.unwrap_or_default() {
            "Constraints" => Goal::Constraints,
            "Packing" => Goal::Packing {
                max_requested: share("/spec/packing/maxRequestedPercent", 50),
            },
            "Spreading" => Goal::Spreading {
                max_deviation: share("/spec/spreading/maxDeviationPercent", 10),
            },
            other => return Err(OptionsError::Goal(other.to_owned())),
        };
        let selector = |field: &'static str| {
            let selector = object.get("spec").and_then(|spec| spec.get(field));
            match selector.filter(|selector| !selector.is_null()) {
                None => Ok(LabelSelector::everything()),
                given => LabelSelector::from_object(given)
                    .map_err(|source| OptionsError::Selector { field, source }),
            }
        };
        Ok(Self {
            goal,
            nodes: selector("nodeSelector")?,
            namespaces: selector("namespaceSelector")?,
            pods: selector("podSelector")?,
            at_a_time: count("/spec/limits/movesAtATime", 1, 100),
            most_moves: count("/spec/limits/movesPerRun", 20, 100),
            min_gain: share("/spec/limits/minGainPercent", 2),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_absent_is_as_the_server_fills_it_in() {
        let read = |goal: &str| Options::from_object(&json!({ "spec": { "goal": goal } }));
        let packing = Goal::Packing { max_requested: 0.5 };
        assert_eq!(read("Packing"), Ok(Options::new(packing)));
        let spreading = Goal::Spreading { max_deviation: 0.1 };
        assert_eq!(read("Spreading"), Ok(Options::new(spreading)));
        assert_eq!(read("Constraints"), Ok(Options::new(Goal::Constraints)));
        assert_eq!(read("packing"), Err(OptionsError::Goal("packing".into())));
        assert_eq!(
            Options::from_object(&json!([])),
            Err(OptionsError::Goal(String::new()))
        );
    }

    #[test]
    fn odd_values_do_no_harm() {
        let object = json!({ "spec": {
            "goal": "Packing", "podSelector": null, "packing": { "maxRequestedPercent": 400 },
            "limits": { "movesAtATime": -1, "movesPerRun": 1e300, "minGainPercent": "much" },
        } });
        let options = Options::from_object(&object).unwrap();
        assert_eq!(options.goal, Goal::Packing { max_requested: 1.0 });
        assert_eq!(
            (options.at_a_time, options.most_moves, options.min_gain),
            (1, 20, 0.02)
        );
        let object = json!({ "spec": { "goal": "Packing", "nodeSelector": { "matchExpressions": [{ "key": "a", "operator": "Near" }] } } });
        let error = Options::from_object(&object).unwrap_err();
        assert!(
            error.to_string().starts_with("spec.nodeSelector: "),
            "{error}"
        );
    }
}
