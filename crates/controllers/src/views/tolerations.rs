//! What pods tolerate, held once for all pods that say the same: nearly all say nothing of their own, and get
//! the same two tolerations from the server.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use mosaic_api::taints;
use serde::{Deserialize, Deserializer};

use super::{TaintView, shared::Pool};

/// How many different lists are looked out for.
const SHARED: usize = 1024;

static LISTS: LazyLock<Pool<[Toleration]>> = LazyLock::new(|| Pool::new(SHARED));

/// A toleration that bears on taints with the effect `NoExecute`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Toleration {
    /// The taint; empty for all.
    #[serde(default)]
    key: Box<str>,
    /// The taint's value; not looked at if `exists`.
    #[serde(default)]
    value: Box<str>,
    /// `Exists` or `Equal`.
    #[serde(default)]
    operator: Box<str>,
    /// Empty for all.
    #[serde(default)]
    effect: Box<str>,
    /// How long it is tolerated; for ever without a number.
    #[serde(default)]
    toleration_seconds: Option<i64>,
}

impl Toleration {
    fn is_about(&self, taint: &TaintView) -> bool {
        let toleration = taints::Toleration {
            key: &self.key,
            operator: &self.operator,
            value: &self.value,
            effect: &self.effect,
        };
        toleration.tolerates(taints::Taint {
            key: &taint.key,
            value: &taint.value,
            effect: &taint.effect,
        })
    }
}

/// How long a pod stays on a host with taints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endures {
    /// For ever, or as long as nothing changes.
    Always,
    /// This long after it met them.
    For(Duration),
}

/// What a pod tolerates of taints with the effect `NoExecute`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tolerations(Arc<[Toleration]>);

impl Default for Tolerations {
    fn default() -> Self {
        shared(Vec::new())
    }
}

impl<'de> Deserialize<'de> for Tolerations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Option::<Vec<Toleration>>::deserialize(deserializer)?;
        let of_effect = |toleration: &Toleration| matches!(&*toleration.effect, "" | NO_EXECUTE);
        Ok(shared(
            read.into_iter().flatten().filter(of_effect).collect(),
        ))
    }
}

/// The effect of taints that drive pods away.
pub(crate) const NO_EXECUTE: &str = "NoExecute";

fn shared(list: Vec<Toleration>) -> Tolerations {
    Tolerations(LISTS.share(list))
}

impl Tolerations {
    /// How long a pod with these stays on a host with these taints: it must tolerate each taint with the effect
    /// `NoExecute`, and stays for the shortest time that one of the tolerations it needs for that says.
    pub(crate) fn endure(&self, taints: &[TaintView]) -> Endures {
        let mut shortest = Endures::Always;
        for taint in taints.iter().filter(|taint| &*taint.effect == NO_EXECUTE) {
            let mut used = self.0.iter().filter(|one| one.is_about(taint)).peekable();
            if used.peek().is_none() {
                return Endures::For(Duration::ZERO);
            }
            for seconds in used.filter_map(|toleration| toleration.toleration_seconds) {
                // Less than no time is no time.
                let time = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
                shortest = match shortest {
                    Endures::For(known) => Endures::For(known.min(time)),
                    Endures::Always => Endures::For(time),
                };
            }
        }
        shortest
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tolerations(value: Value) -> Tolerations {
        serde_json::from_value(value).unwrap()
    }

    fn taints(list: &[(&str, &str, &str)]) -> Vec<TaintView> {
        list.iter()
            .map(|(key, value, effect)| TaintView {
                key: (*key).into(),
                value: (*value).into(),
                effect: (*effect).into(),
                time_added: None,
            })
            .collect()
    }

    #[test]
    fn the_shortest_time_of_the_tolerations_that_are_needed_counts() {
        let seconds = |seconds| Endures::For(Duration::from_secs(seconds));
        let one = json!([{ "key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9 }]);
        let two = json!([
            { "key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9 },
            { "key": "b", "value": "x", "tolerationSeconds": 5 },
        ]);
        let all = json!([{ "operator": "Exists" }]);
        let (a, b) = (("a", "", "NoExecute"), ("b", "x", "NoExecute"));
        for (tolerations_, taints_, expected) in [
            (json!([]), vec![], Endures::Always),
            (json!([]), vec![("a", "", "NoSchedule")], Endures::Always),
            (json!([]), vec![a], seconds(0)),
            (one.clone(), vec![a], seconds(9)),
            (one, vec![a, b], seconds(0)),
            (two.clone(), vec![a, b], seconds(5)),
            (two, vec![("b", "y", "NoExecute")], seconds(0)),
            (all, vec![a, b], Endures::Always),
            (
                json!([{ "key": "a", "effect": "NoSchedule" }]),
                vec![a],
                seconds(0),
            ),
            (
                json!([{ "key": "a", "tolerationSeconds": -5 }]),
                vec![a],
                seconds(0),
            ),
        ] {
            let endured = tolerations(tolerations_.clone()).endure(&taints(&taints_));
            assert_eq!(endured, expected, "{tolerations_} of {taints_:?}");
        }
    }

    #[test]
    fn pods_that_say_the_same_share_it() {
        let list = || tolerations(json!([{ "key": "shared-by-a-test", "operator": "Exists" }]));
        assert!(Arc::ptr_eq(&list().0, &list().0));
        let other = tolerations(json!([{ "key": "another-test", "operator": "Exists" }]));
        assert_ne!(list(), other);
        // Null is a list too.
        assert_eq!(tolerations(Value::Null), Tolerations::default());
    }
}
