//! How long an object waits whose children were refused, and what ends the wait early.
//!
//! Each try writes a status and events, and what it wrote wakes the object up. So the wait is not the queue's: an object
//! that is woken up meanwhile tells what is so, and creates nothing before its time. A quota that leaves more room is
//! worth a try at once.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::ResourceQuota, apimachinery::pkg::api::resource::Quantity as Amount,
};
use mosaic_api::Quantity;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    informer::{Change, Key},
    runner::retry_after,
};

#[derive(Debug, Default)]
struct Rest {
    /// How many tries failed in a row.
    failures: u32,
    /// Nothing is created before.
    until: Option<Instant>,
}

#[derive(Debug, Default)]
struct All {
    by_key: HashMap<Key, Rest>,
    /// The objects for which a try is under way, and whether they were woken up since it began.
    tries: HashMap<Key, bool>,
}

/// The objects of a kind whose children were refused.
#[derive(Debug, Default)]
pub(super) struct Resting(Mutex<All>);

impl Resting {
    /// How long nothing is to be created for an object.
    pub(super) fn left(&self, key: &Key, now: Instant) -> Option<Duration> {
        let until = self.0.lock().by_key.get(key)?.until?;
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// A try begins.
    pub(super) fn begins(&self, key: &Key) {
        self.0.lock().tries.insert(key.clone(), false);
    }

    /// A try ended, whatever came of it.
    pub(super) fn ended(&self, key: &Key) {
        self.0.lock().tries.remove(key);
    }

    /// A try was refused. Returns how long to wait before the next.
    pub(super) fn refused(&self, key: &Key, now: Instant) -> Duration {
        let mut all = self.0.lock();
        let was_woken = all.tries.get(key).is_some_and(|woken| *woken);
        let rest = all.by_key.entry(key.clone()).or_default();
        rest.failures = rest.failures.saturating_add(1);
        // What came during the try may have come too late for it.
        let wait = retry_after(if was_woken { 1 } else { rest.failures });
        rest.until = Some(now + wait);
        wait
    }

    /// A try worked, or the object is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().by_key.remove(key);
    }

    /// Ends the wait of an object.
    pub(super) fn wake(&self, key: &Key) {
        let mut all = self.0.lock();
        if let Some(woken) = all.tries.get_mut(key) {
            *woken = true;
        }
        if let Some(rest) = all.by_key.get_mut(key) {
            rest.until = None;
        }
    }

    /// Ends the waits in a namespace, and returns whose.
    pub(super) fn wake_namespace(&self, namespace: &str) -> Vec<Key> {
        let mut all = self.0.lock();
        let is_there = |key: &Key| &*key.0 == namespace;
        for (_, woken) in all.tries.iter_mut().filter(|(key, _)| is_there(key)) {
            *woken = true;
        }
        let resting = all.by_key.iter_mut();
        resting
            .filter(|(key, _)| is_there(key))
            .map(|(key, rest)| {
                rest.until = None;
                key.clone()
            })
            .collect()
    }
}

/// Whether there may be more room now than before.
pub(super) fn has_more_room(change: &Change<ResourceQuota>) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else {
        return change.new.is_none();
    };
    let hard = |quota: &ResourceQuota| quota.spec.as_ref().and_then(|spec| spec.hard.clone());
    let admitted = |quota: &ResourceQuota| quota.status.as_ref().and_then(|s| s.hard.clone());
    let used = |quota: &ResourceQuota| quota.status.as_ref().and_then(|s| s.used.clone());
    old.metadata.uid != new.metadata.uid
        || any_more(hard(old), hard(new))
        || any_more(admitted(old), admitted(new))
        // Less is used: more was used before.
        || any_more(used(new), used(old))
}

/// Whether an amount is larger in the second list, or is not limited there any more.
fn any_more(old: Option<BTreeMap<String, Amount>>, new: Option<BTreeMap<String, Amount>>) -> bool {
    let new = new.unwrap_or_default();
    let read = |amount: &Amount| amount.0.parse::<Quantity>().ok();
    old.unwrap_or_default()
        .iter()
        .any(|(name, old)| new.get(name).is_none_or(|new| read(new) > read(old)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn key(namespace: &str, name: &str) -> Key {
        (namespace.into(), name.into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_as_long_as_tries_failed_whatever_wakes_the_object_meanwhile() {
        let (resting, web) = (Resting::default(), key("n", "web"));
        let mut waits = Vec::new();
        for _ in 0..20 {
            let now = Instant::now();
            let wait = resting.refused(&web, now);
            // Its own status and its pods wake it up: the wait is neither over nor longer.
            for part in 1..4 {
                let left = resting.left(&web, now + wait * part / 4);
                assert_eq!(left, Some(wait - wait * part / 4));
            }
            assert_eq!(resting.left(&web, now + wait), None);
            waits.push(wait);
        }
        assert_eq!(waits[..3], [50, 100, 200].map(Duration::from_millis));
        assert_eq!(waits[19], Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn more_room_ends_waits_of_its_namespace() {
        let (resting, now) = (Resting::default(), Instant::now());
        let (here, there) = (key("here", "web"), key("there", "web"));
        for key in [&here, &there] {
            resting.refused(key, now);
        }
        assert_eq!(resting.wake_namespace("here"), std::slice::from_ref(&here));
        assert_eq!(resting.left(&here, now), None);
        assert!(resting.left(&there, now).is_some());
        // It may come while a try is under way, which then does not rest for long.
        for key in [&here, &there] {
            for _ in 0..8 {
                resting.refused(key, now);
            }
            resting.begins(key);
        }
        resting.wake_namespace("here");
        assert_eq!(resting.refused(&here, now), Duration::from_millis(50));
        // That is nothing to those of another namespace, nor to a later try.
        assert!(resting.refused(&there, now) > Duration::from_secs(1));
        resting.ended(&here);
        resting.begins(&here);
        assert!(resting.refused(&here, now) > Duration::from_secs(1));
    }

    #[test]
    fn more_room_is_a_larger_limit_or_less_that_is_used() {
        let quota = |hard: Value, used: Value| {
            let object = json!({ "metadata": { "name": "q", "uid": "q" },
                "spec": { "hard": hard }, "status": { "hard": hard, "used": used } });
            Some(Arc::new(
                serde_json::from_value::<ResourceQuota>(object).unwrap(),
            ))
        };
        let two = || quota(json!({ "pods": "2" }), json!({ "pods": "2" }));
        for (new, expected) in [
            (two(), false),
            (quota(json!({ "pods": "1" }), json!({ "pods": "2" })), false),
            (
                quota(json!({ "pods": "2", "cpu": "1" }), json!({ "pods": "2" })),
                false,
            ),
            (quota(json!({ "pods": "3" }), json!({ "pods": "2" })), true),
            (quota(json!({ "cpu": "1" }), json!({ "pods": "2" })), true),
            (quota(json!({ "pods": "2" }), json!({ "pods": "1" })), true),
            (None, true),
        ] {
            let change = Change { old: two(), new };
            assert_eq!(has_more_room(&change), expected, "{change:?}");
        }
        let change = Change {
            old: None,
            new: two(),
        };
        assert!(!has_more_room(&change));
    }
}
