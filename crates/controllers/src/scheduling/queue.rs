//! Pods that wait for a host.
//!
//! ```text
//!   add ──▶ ready ──▶ next ──▶ a decision
//!             ▲                    │ no host will do        │ a write failed
//!             │ its back-off       ▼                        ▼
//!             ├──────────────── stuck ◀─ add: something   later
//!             │                    │     may help           │
//!             └─ due ◀─────────────┴────────────────────────┘
//! ```
//!
//! The most important pod is next, and of those that are equally important the one that has waited longest. A pod for
//! which no host would do is not tried again before its back-off is over, whatever happens, and then lets those go
//! first that come within as long a time again: however many are stuck, new ones do not wait behind them, and
//! nobody waits for ever.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use mosaic_scheduler::{Explanation, Pod, PodKey};
use tokio::time::Instant;

/// The waits after writes for a pod that failed.
const WRITES: BackOff = BackOff {
    first: Duration::from_millis(100),
    last: Duration::from_secs(10),
};
/// The waits after decisions that no host will do: those of Kubernetes.
const DECISIONS: BackOff = BackOff {
    first: Duration::from_secs(1),
    last: Duration::from_secs(10),
};
/// A pod that is stuck is tried again after this time even if nothing seems to help.
const STUCK: Duration = Duration::from_secs(300);

/// Waits that double with each failure.
struct BackOff {
    first: Duration,
    last: Duration,
}

impl BackOff {
    /// The wait after so many failures; none after none.
    fn after(&self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => self
                .first
                .saturating_mul(2_u32.saturating_pow(doublings))
                .min(self.last),
        }
    }
}

/// A pod's turn: by priority, then by the time since which it counts as waiting, then by age.
type Turn = (Reverse<i32>, Instant, i64, PodKey);

enum Place {
    Ready(Turn),
    Stuck {
        why: Arc<Explanation>,
        /// Not before this time it is tried again.
        rests_until: Instant,
        due: Instant,
    },
    Later(Instant),
}

/// How often it went wrong with a pod.
#[derive(Default)]
struct Failures {
    decisions: u32,
    writes: u32,
}

/// Pods that wait for a host.
#[derive(Default)]
pub(super) struct Queue {
    places: HashMap<PodKey, Place>,
    ready: BTreeSet<Turn>,
    /// When those that are stuck or wait are tried again.
    due: BTreeSet<(Instant, PodKey)>,
    failures: HashMap<PodKey, Failures>,
}

impl Queue {
    /// A pod waits for a decision. One that is stuck gets it when its back-off is over; one that is ready keeps
    /// its turn.
    pub(super) fn add(&mut self, pod: &Pod, now: Instant) {
        match self.places.get_mut(&pod.key) {
            Some(Place::Ready(_) | Place::Later(_)) => {}
            Some(Place::Stuck {
                rests_until, due, ..
            }) if *rests_until > now => {
                self.due.remove(&(*due, pod.key.clone()));
                *due = *rests_until;
                self.due.insert((*due, pod.key.clone()));
            }
            Some(Place::Stuck { .. }) | None => self.make_ready(pod, now),
        }
    }

    fn make_ready(&mut self, pod: &Pod, now: Instant) {
        self.take_out(&pod.key);
        let failures = self.failures.get(&pod.key).map_or(0, |f| f.decisions);
        let since = now + DECISIONS.after(failures);
        let turn = (Reverse(pod.priority()), since, pod.created, pod.key.clone());
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
        let (_, _, _, key) = self.ready.pop_first()?;
        self.places.remove(&key);
        Some(key)
    }

    /// Whether a pod could be taken.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// It was decided that no host will do for a pod.
    pub(super) fn stuck(&mut self, pod: PodKey, why: Arc<Explanation>, now: Instant) {
        let failures = self.failures.entry(pod.clone()).or_default();
        failures.decisions = failures.decisions.saturating_add(1);
        let rest = DECISIONS.after(failures.decisions);
        self.lay_aside(pod, why, now + rest, now + STUCK);
    }

    /// Nothing was decided about a pod: something that has to be there first is missing.
    pub(super) fn incomplete(&mut self, pod: PodKey, why: Arc<Explanation>, now: Instant) {
        self.lay_aside(pod, why, now, now + STUCK);
    }

    fn lay_aside(
        &mut self,
        pod: PodKey,
        why: Arc<Explanation>,
        rests_until: Instant,
        due: Instant,
    ) {
        self.take_out(&pod);
        self.due.insert((due, pod.clone()));
        let place = Place::Stuck {
            why,
            rests_until,
            due,
        };
        self.places.insert(pod, place);
    }

    /// A write for a pod failed.
    pub(super) fn failed(&mut self, pod: PodKey, now: Instant) {
        self.take_out(&pod);
        let failures = self.failures.entry(pod.clone()).or_default();
        failures.writes = failures.writes.saturating_add(1);
        let due = now + WRITES.after(failures.writes);
        self.due.insert((due, pod.clone()));
        self.places.insert(pod, Place::Later(due));
    }

    /// The pods that are stuck, and why.
    pub(super) fn all_stuck(&self) -> impl Iterator<Item = (&PodKey, &Arc<Explanation>)> {
        self.places.iter().filter_map(|(key, place)| match place {
            Place::Stuck { why, .. } => Some((key, why)),
            Place::Ready(_) | Place::Later(_) => None,
        })
    }

    /// The pods that are stuck and that nothing has helped yet, and why.
    pub(super) fn all_unhelped(&self) -> impl Iterator<Item = (&PodKey, &Arc<Explanation>)> {
        self.places.iter().filter_map(|(key, place)| match place {
            Place::Stuck {
                why,
                rests_until,
                due,
            } if rests_until != due => Some((key, why)),
            _ => None,
        })
    }

    /// Why a pod is stuck, if it is.
    pub(super) fn why_stuck(&self, pod: &PodKey) -> Option<&Arc<Explanation>> {
        match self.places.get(pod)? {
            Place::Stuck { why, .. } => Some(why),
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
        while let Some((at, _)) = self.due.first()
            && *at <= now
            && let Some((_, key)) = self.due.pop_first()
        {
            self.places.remove(&key);
            over.push(key);
        }
        over
    }

    /// When the next wait is over.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A pod's turn has come together with another's.
    pub(super) fn take_out(&mut self, pod: &PodKey) {
        match self.places.remove(pod) {
            Some(Place::Ready(turn)) => {
                self.ready.remove(&turn);
            }
            Some(Place::Stuck { due, .. } | Place::Later(due)) => {
                self.due.remove(&(due, pod.clone()));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn all(queue: &mut Queue) -> Vec<PodKey> {
        std::iter::from_fn(|| queue.next()).collect()
    }

    const DAY: &str = "2026-01-01T00:00:00Z";

    #[test]
    fn the_most_important_is_next_then_who_has_waited_longest() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(&pod("second", 0, "2026-01-01T00:00:00Z"), now + seconds(1));
        queue.add(&pod("first", 0, "2026-01-02T00:00:00Z"), now);
        queue.add(
            &pod("important", 10, "2026-01-03T00:00:00Z"),
            now + seconds(2),
        );
        // That it changes costs a pod nothing.
        queue.add(&pod("first", 0, "2026-01-02T00:00:00Z"), now + seconds(3));
        assert_eq!(
            all(&mut queue),
            [key("important"), key("first"), key("second")]
        );
    }

    #[test]
    fn of_those_that_came_together_the_oldest_is_next() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(&pod("a", 0, "2026-01-02T00:00:00Z"), now);
        queue.add(&pod("b", 0, "2026-01-01T00:00:00Z"), now);
        assert_eq!(all(&mut queue), [key("b"), key("a")]);
    }

    #[test]
    fn waits_double_up_to_the_last() {
        let waits: Vec<u64> = [0, 1, 2, 3, 4, 5, 40, u32::MAX]
            .map(|failures| DECISIONS.after(failures).as_secs())
            .into();
        assert_eq!(waits, [0, 1, 2, 4, 8, 10, 10, 10]);
    }

    #[test]
    fn a_stuck_pod_that_is_helped_waits_for_its_back_off() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        let stuck = pod("stuck", 0, DAY);
        for wait in [1, 2, 4, 8, 10, 10] {
            queue.add(&stuck, now);
            assert_eq!(queue.next(), Some(key("stuck")));
            queue.stuck(key("stuck"), Arc::default(), now);
            assert_eq!(queue.next_due(), Some(now + STUCK));
            assert_eq!(queue.all_unhelped().count(), 1);
            // However often something helps, and whatever is asked in between.
            for _ in 0..3 {
                queue.add(&stuck, now);
                assert!(!queue.is_ready());
                assert_eq!(queue.next_due(), Some(now + seconds(wait)));
                assert_eq!(queue.all_unhelped().count(), 0);
                assert_eq!(queue.all_stuck().count(), 1);
            }
            now += seconds(wait);
            assert_eq!(queue.due(now), [key("stuck")]);
        }
        // Another pod of that name knows nothing of it.
        queue.remove(&key("stuck"));
        queue.stuck(key("stuck"), Arc::default(), now);
        queue.add(&stuck, now);
        assert_eq!(queue.next_due(), Some(now + seconds(1)));
    }

    #[test]
    fn a_stuck_pod_whose_back_off_is_over_is_tried_as_soon_as_something_helps() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.stuck(key("a"), Arc::default(), now);
        queue.add(&pod("a", 0, DAY), now + seconds(1));
        assert_eq!(queue.next(), Some(key("a")));
    }

    #[test]
    fn a_pod_about_which_nothing_was_decided_has_no_back_off() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.incomplete(key("a"), Arc::default(), now);
        assert!(!queue.is_ready());
        queue.add(&pod("a", 0, DAY), now);
        assert_eq!(queue.next(), Some(key("a")));
    }

    #[test]
    fn a_new_pod_does_not_wait_behind_a_crowd_that_was_stuck() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for at in 0..100 {
            queue.stuck(key(&format!("old-{at}")), Arc::default(), now);
        }
        let woken = now + seconds(1);
        for at in 0..100 {
            queue.add(&pod(&format!("old-{at}"), 0, DAY), woken);
        }
        let later = "2026-01-02T00:00:00Z";
        queue.add(&pod("new", 0, later), woken + Duration::from_millis(900));
        assert_eq!(queue.next(), Some(key("new")));
        // But not for ever: newer ones than that come after them.
        queue.add(
            &pod("newest", 0, later),
            woken + Duration::from_millis(1100),
        );
        assert_eq!(all(&mut queue).last(), Some(&key("newest")));
    }

    #[test]
    fn waits_after_writes_become_longer_and_are_over_in_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.failed(key("a"), now);
        assert_eq!(queue.next_due(), Some(now + WRITES.first));
        assert_eq!(queue.due(now), []);
        assert_eq!(queue.due(now + WRITES.first), [key("a")]);
        queue.failed(key("a"), now);
        assert_eq!(queue.next_due(), Some(now + 2 * WRITES.first));
        queue.remove(&key("a"));
        assert_eq!(queue.next_due(), None);
        queue.failed(key("a"), now);
        assert_eq!(queue.next_due(), Some(now + WRITES.first));
        for _ in 0..40 {
            queue.failed(key("a"), now);
        }
        assert_eq!(queue.next_due(), Some(now + WRITES.last));
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
                        queue.add(&pod(&name(at), i32::from(at % 2), DAY), start);
                        // Whoever waits does so to the end.
                        model.entry(key(&name(at))).or_insert("ready");
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
