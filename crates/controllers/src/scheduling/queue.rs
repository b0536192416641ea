//! Pods that wait for a host.
//!
//! ```text
//!   add ──▶ ready (the most important first) ──▶ next ──▶ a decision
//!             ▲                                            │ no host will do
//!             ├── wake: something changed that may help ── stuck
//!             └── due:  a while has passed ◀────────────── later (a write failed)
//! ```

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use mosaic_scheduler::{Explanation, Pod, PodKey};
use tokio::time::Instant;

/// The wait after the first write for a pod that failed; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest wait.
const LAST_RETRY: Duration = Duration::from_secs(10);
/// A pod that is stuck is tried again after this time even if nothing seems to help.
const STUCK: Duration = Duration::from_secs(300);

/// A pod's turn: by priority, then by age.
type Turn = (Reverse<i32>, i64, PodKey);

enum Place {
    Ready(Turn),
    Stuck(Arc<Explanation>, Instant),
    Later(Instant),
}

/// Pods that wait for a host.
#[derive(Default)]
pub(super) struct Queue {
    places: HashMap<PodKey, Place>,
    ready: BTreeSet<Turn>,
    /// When those that are stuck or wait are tried again in any case.
    due: BTreeMap<(Instant, PodKey), ()>,
    failures: HashMap<PodKey, u32>,
}

impl Queue {
    /// A pod waits for a decision.
    pub(super) fn add(&mut self, pod: &Pod) {
        self.take_out(&pod.key);
        let turn = (Reverse(pod.priority()), pod.created, pod.key.clone());
        self.ready.insert(turn.clone());
        self.places.insert(pod.key.clone(), Place::Ready(turn));
    }

    /// A pod waits no more.
    pub(super) fn remove(&mut self, pod: &PodKey) {
        self.take_out(pod);
        self.failures.remove(pod);
    }

    /// The pod whose turn it is. Whoever takes it decides what becomes of it.
    pub(super) fn next(&mut self) -> Option<PodKey> {
        let (_, _, key) = self.ready.pop_first()?;
        self.places.remove(&key);
        Some(key)
    }

    /// Whether a pod could be taken.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// No host will do for a pod.
    pub(super) fn stuck(&mut self, pod: PodKey, why: Arc<Explanation>, now: Instant) {
        self.take_out(&pod);
        let until = now + STUCK;
        self.due.insert((until, pod.clone()), ());
        self.places.insert(pod, Place::Stuck(why, until));
    }

    /// A write for a pod failed.
    pub(super) fn failed(&mut self, pod: PodKey, now: Instant) {
        self.take_out(&pod);
        let failures = self.failures.entry(pod.clone()).or_insert(0);
        let wait = FIRST_RETRY
            .saturating_mul(2_u32.saturating_pow(*failures))
            .min(LAST_RETRY);
        *failures = failures.saturating_add(1);
        self.due.insert((now + wait, pod.clone()), ());
        self.places.insert(pod, Place::Later(now + wait));
    }

    /// The pods that are stuck, and why.
    pub(super) fn all_stuck(&self) -> impl Iterator<Item = (&PodKey, &Arc<Explanation>)> {
        self.places.iter().filter_map(|(key, place)| match place {
            Place::Stuck(why, _) => Some((key, why)),
            Place::Ready(_) | Place::Later(_) => None,
        })
    }

    /// Why a pod is stuck, if it is.
    pub(super) fn why_stuck(&self, pod: &PodKey) -> Option<&Arc<Explanation>> {
        match self.places.get(pod)? {
            Place::Stuck(why, _) => Some(why),
            Place::Ready(_) | Place::Later(_) => None,
        }
    }

    /// Whether anything is stuck.
    pub(super) fn is_anything_stuck(&self) -> bool {
        // A pod that is stuck is due some time.
        !self.due.is_empty()
    }

    /// The pods whose wait is over; whoever gets them adds or removes them.
    pub(super) fn due(&mut self, now: Instant) -> Vec<PodKey> {
        let mut over = Vec::new();
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((_, key), ()) = entry.remove_entry();
            self.places.remove(&key);
            over.push(key);
        }
        over
    }

    /// When the next wait is over.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), ())| *at)
    }

    fn take_out(&mut self, pod: &PodKey) {
        match self.places.remove(pod) {
            Some(Place::Ready(turn)) => {
                self.ready.remove(&turn);
            }
            Some(Place::Stuck(_, at) | Place::Later(at)) => {
                self.due.remove(&(at, pod.clone()));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pod(name: &str, priority: i32, created: &str) -> Pod {
        let json = json!({
            "metadata": { "name": name, "namespace": "ns", "uid": name, "creationTimestamp": created },
            "spec": { "priority": priority, "containers": [{ "name": "c" }] },
        });
        Pod::from_json(json.to_string().as_bytes()).unwrap()
    }

    fn key(name: &str) -> PodKey {
        PodKey::new("ns", name)
    }

    #[test]
    fn the_most_important_is_next_then_the_oldest() {
        let mut queue = Queue::default();
        queue.add(&pod("young", 0, "2026-01-02T00:00:00Z"));
        queue.add(&pod("old", 0, "2026-01-01T00:00:00Z"));
        queue.add(&pod("important", 10, "2026-01-03T00:00:00Z"));
        let order: Vec<PodKey> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(order, [key("important"), key("old"), key("young")]);
    }

    #[test]
    fn waits_become_longer_and_are_over_in_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.failed(key("a"), now);
        assert_eq!(queue.next_due(), Some(now + FIRST_RETRY));
        assert_eq!(queue.due(now), []);
        assert_eq!(queue.due(now + FIRST_RETRY), [key("a")]);
        queue.failed(key("a"), now);
        assert_eq!(queue.next_due(), Some(now + 2 * FIRST_RETRY));
        queue.remove(&key("a"));
        assert_eq!(queue.next_due(), None);
        queue.failed(key("a"), now);
        assert_eq!(queue.next_due(), Some(now + FIRST_RETRY));
        for _ in 0..40 {
            queue.failed(key("a"), now);
        }
        assert_eq!(queue.next_due(), Some(now + LAST_RETRY));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u8),
        Remove(u8),
        Next,
        Stuck(u8),
        Failed(u8),
        Due(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..6_u8).prop_map(Step::Add),
            (0..6_u8).prop_map(Step::Remove),
            Just(Step::Next),
            (0..6_u8).prop_map(Step::Stuck),
            (0..6_u8).prop_map(Step::Failed),
            (0..400_u64).prop_map(Step::Due),
        ]
    }

    proptest! {
        /// A pod is in one place only, and in none once it was taken out.
        #[test]
        fn a_pod_is_in_one_place(steps in prop::collection::vec(step(), 0..60)) {
            let start = Instant::now();
            let mut queue = Queue::default();
            let mut model: BTreeMap<PodKey, &str> = BTreeMap::new();
            let name = |at: u8| format!("p{at}");
            for step in steps {
                match step {
                    Step::Add(at) => {
                        queue.add(&pod(&name(at), i32::from(at % 2), "2026-01-01T00:00:00Z"));
                        model.insert(key(&name(at)), "ready");
                    }
                    Step::Remove(at) => {
                        queue.remove(&key(&name(at)));
                        model.remove(&key(&name(at)));
                    }
                    Step::Next => {
                        if let Some(next) = queue.next() {
                            prop_assert_eq!(model.remove(&next), Some("ready"));
                        } else {
                            prop_assert!(!model.values().any(|place| *place == "ready"));
                        }
                    }
                    Step::Stuck(at) => {
                        queue.stuck(key(&name(at)), Arc::default(), start);
                        model.insert(key(&name(at)), "stuck");
                    }
                    Step::Failed(at) => {
                        queue.failed(key(&name(at)), start);
                        model.insert(key(&name(at)), "later");
                    }
                    Step::Due(seconds) => {
                        for over in queue.due(start + Duration::from_secs(seconds)) {
                            let was = model.remove(&over);
                            prop_assert!(was == Some("later") || was == Some("stuck"));
                        }
                    }
                }
                let waiting = model.values().filter(|place| **place != "ready").count();
                prop_assert_eq!(queue.due.len(), waiting);
                prop_assert_eq!(queue.ready.len(), model.len() - waiting);
                prop_assert_eq!(queue.places.len(), model.len());
                let stuck = model.values().filter(|place| **place == "stuck").count();
                prop_assert_eq!(queue.all_stuck().count(), stuck);
            }
        }
    }
}
