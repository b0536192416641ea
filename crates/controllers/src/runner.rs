//! The work queue that every controller runs on: keys wait in it once, however often they are added, are
//! never worked on twice at the same time, and come back later and later while they fail.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    future::poll_fn,
    hash::Hash,
    panic::AssertUnwindSafe,
    pin::pin,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    channel::mpsc::{self, UnboundedReceiver, UnboundedSender},
    future::BoxFuture,
    stream::FuturesUnordered,
};
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use tokio::time::Instant;

use crate::error::{Error, Result};

/// The wait after the first failure of a key; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// The longest wait between two tries of a key that fails.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The longest that a key waits: a clock has an end, and what users ask for may lie beyond it.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// What follows a reconciliation that worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, until the key is added again.
    Done,
    /// The key is worked on again after this time, if it is not added before.
    After(Duration),
}

/// The end of a work queue that keys are added at.
#[derive(Debug)]
pub(crate) struct Queue<K>(UnboundedSender<ScheduleRequest<K>>);

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The end of a work queue that keys are taken from.
pub(crate) type Requests<K> = UnboundedReceiver<ScheduleRequest<K>>;

/// A work queue.
pub(crate) fn queue<K>() -> (Queue<K>, Requests<K>) {
    // Unbounded, and still small: whatever waits is merged into one entry a key whenever the worker is polled.
    let (sender, receiver) = mpsc::unbounded();
    (Queue(sender), receiver)
}

impl<K> Queue<K> {
    /// Adds a key.
    pub(crate) fn add(&self, key: K) {
        self.add_after(key, Duration::ZERO);
    }

    /// Adds a key that can wait for this long: all that is added meanwhile is worked on at once.
    pub(crate) fn add_after(&self, message: K, delay: Duration) {
        // It fails when the worker is gone, and with it the need for the key.
        let _ = self.0.unbounded_send(ScheduleRequest {
            message,
            // Whoever wanted to wait longer looks again.
            run_at: Instant::now() + delay.min(LONGEST_WAIT),
        });
    }
}

/// How long a key that failed so many times in a row (at least once) has to wait.
pub(crate) fn retry_after(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(LAST_RETRY)
}

/// Works on the keys of a queue, at most so many at a time, for as long as it is polled.
pub(crate) async fn work<K, F, Fut>(
    controller: &'static str,
    concurrency: usize,
    queue: &Queue<K>,
    requests: Requests<K>,
    reconcile: F,
) where
    K: Hash + Eq + Clone + Debug + Send + Unpin,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result<Next>> + Send,
{
    let mut waiting = pin!(scheduler(requests));
    let mut running: FuturesUnordered<BoxFuture<'_, (K, Result<Next>)>> = FuturesUnordered::new();
    let mut busy: HashSet<K> = HashSet::new();
    let mut failures: HashMap<K, u32> = HashMap::new();
    loop {
        let full = running.len() >= concurrency;
        let next = poll_fn(|cx| {
            if full {
                waiting.as_mut().hold().poll_next_unpin(cx)
            } else {
                waiting
                    .as_mut()
                    .hold_unless(|key| !busy.contains(key))
                    .poll_next_unpin(cx)
            }
        });
        tokio::select! {
            biased;
            Some((key, result)) = running.next(), if !running.is_empty() => {
                busy.remove(&key);
                match result {
                    Ok(next) => {
                        failures.remove(&key);
                        if let Next::After(delay) = next {
                            queue.add_after(key, delay);
                        }
                    }
                    Err(error) => {
                        let count = failures.entry(key.clone()).or_insert(0);
                        *count = count.saturating_add(1);
                        let delay = retry_after(*count);
                        if error.is_conflict() {
                            tracing::debug!(controller, ?key, %error, "tried again after a conflict");
                        } else {
                            tracing::warn!(controller, ?key, %error, again_in = ?delay, "reconciliation failed");
                        }
                        queue.add_after(key, delay);
                    }
                }
            }
            Some(key) = next => {
                busy.insert(key.clone());
                let result = AssertUnwindSafe(reconcile(key.clone())).catch_unwind();
                // An object that nobody was prepared for must not stop the work on all others.
                let result = result.map(|done| {
                    done.unwrap_or_else(|_| Err(Error::Other("a step panicked".to_owned())))
                });
                running.push(Box::pin(async move { (key, result.await) }));
            }
            else => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn retries_wait_longer_and_longer_but_not_for_ever() {
        assert_eq!(retry_after(1), Duration::from_millis(50));
        assert_eq!(retry_after(2), Duration::from_millis(100));
        assert_eq!(retry_after(u32::MAX), LAST_RETRY);
        assert!((1..100).all(|n| retry_after(n) <= retry_after(n + 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn neither_an_endless_wait_nor_a_panic_stops_the_work() {
        let (queue, requests) = queue::<u8>();
        let (done, mut seen) = mpsc::unbounded();
        queue.add_after(0, Duration::MAX);
        queue.add(1);
        queue.add(2);
        let worked = work("test", 1, &queue, requests, |key| {
            let done = done.clone();
            async move {
                assert_ne!(key, 1, "for this test");
                let _ = done.unbounded_send(key);
                Ok(Next::After(Duration::MAX))
            }
        });
        tokio::select! {
            () = worked => panic!("the work ended"),
            key = seen.next() => assert_eq!(key, Some(2)),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_is_never_worked_on_twice_at_a_time() {
        let (queue, requests) = queue::<u8>();
        for key in [1, 2, 1, 1, 2] {
            queue.add(key);
        }
        let active = Mutex::new(HashSet::new());
        let runs = AtomicU32::new(0);
        let worker = work("test", 8, &queue, requests, |key| {
            let (active, runs, queue) = (&active, &runs, &queue);
            async move {
                assert!(active.lock().insert(key), "{key} twice at the same time");
                if runs.fetch_add(1, Ordering::Relaxed) < 2 {
                    queue.add(key);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                active.lock().remove(&key);
                Ok(Next::Done)
            }
        });
        let _ = tokio::time::timeout(Duration::from_secs(100), worker).await;
        // Each key once, and once more for what was added while it was worked on.
        assert_eq!(runs.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_until_it_works() {
        let (queue, requests) = queue::<&str>();
        queue.add("key");
        let tries = Arc::new(AtomicU32::new(0));
        let worker = work("test", 1, &queue, requests, |_| {
            let tries = tries.clone();
            async move {
                match tries.fetch_add(1, Ordering::Relaxed) {
                    0..5 => Err(Error::Other("not yet".into())),
                    5 => Ok(Next::After(Duration::from_secs(5))),
                    _ => Ok(Next::Done),
                }
            }
        });
        let _ = tokio::time::timeout(Duration::from_secs(1000), worker).await;
        assert_eq!(tries.load(Ordering::Relaxed), 7);
    }
}
