//! Hands events to the open watches of this process.
//!
//! ```text
//! engine ── publish(events, revision) ──► hub ─► queue of watch 1 (its prefix only)
//!                                          │  └► queue of watch 2
//!                                          └ progress thread: tells the others how far they are
//! ```
//!
//! Publishing never waits: a watch whose queue is full is ended with an error and has to resume from
//! the last revision that it saw. Watches to which a batch brought nothing are told of its revision by
//! a thread, at most once in a short while, so that a thousand writes to one prefix do not wake the
//! watches of all the others a thousand times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::keys::weight;
use crate::{Event, Result, Revision, StoreError};

/// How many events may wait for one watch.
const QUEUE_EVENTS: usize = 8192;
/// How many bytes of keys and values may wait for one watch.
const QUEUE_BYTES: usize = 64 << 20;
/// Between two rounds of progress, each watch may cost this much.
const PROGRESS_INTERVAL_PER_WATCH: Duration = Duration::from_micros(50);
const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(1);
const PROGRESS_INTERVAL_MAX: Duration = Duration::from_millis(20);

/// The open watches and the revision that has been told to them.
pub(crate) struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    lagging: Condvar,
    revision: AtomicU64,
}

struct State {
    watches: Vec<Watch>,
    closed: bool,
    /// Whether some watch has not been told of the latest revision.
    behind: bool,
}

struct Watch {
    prefix: Arc<str>,
    queue: mpsc::Sender<Event>,
    told: Revision,
    link: Arc<Link>,
}

/// What both ends of a queue share.
#[derive(Default)]
struct Link {
    bytes: AtomicUsize,
    end: Mutex<Option<StoreError>>,
}

/// The receiving end of a watch.
pub(crate) struct Subscription {
    queue: mpsc::Receiver<Event>,
    link: Arc<Link>,
    after: Revision,
}

impl Hub {
    /// A hub at a revision, with its progress thread.
    pub(crate) fn start(revision: Revision) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                watches: Vec::new(),
                closed: false,
                behind: false,
            }),
            lagging: Condvar::new(),
            revision: AtomicU64::new(revision),
        });
        let for_thread = shared.clone();
        std::thread::Builder::new()
            .name("store-progress".into())
            .spawn(move || for_thread.tell_progress())
            .map_err(|error| StoreError::Internal(format!("cannot start a thread: {error}")))?;
        Ok(Self { shared })
    }

    /// The latest revision that was published.
    pub(crate) fn revision(&self) -> Revision {
        self.shared.revision.load(Ordering::Acquire)
    }

    /// Opens a watch of what comes after `after`. Answers with the hub's revision: everything later
    /// will arrive, nothing up to it.
    pub(crate) fn subscribe(
        &self,
        prefix: Arc<str>,
        after: Revision,
    ) -> Result<(Revision, Subscription)> {
        let (sender, receiver) = mpsc::channel(QUEUE_EVENTS);
        let link = Arc::new(Link::default());
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(closed());
        }
        let revision = self.revision();
        state.watches.retain(|watch| !watch.queue.is_closed());
        state.watches.push(Watch {
            prefix,
            queue: sender,
            told: revision.max(after),
            link: link.clone(),
        });
        Ok((
            revision,
            Subscription {
                queue: receiver,
                link,
                after,
            },
        ))
    }

    /// Hands out events, in the order of their revisions, and moves on to `revision`.
    pub(crate) fn publish(&self, events: &[Event], revision: Revision) {
        let mut state = self.shared.state.lock();
        if revision <= self.revision() && events.is_empty() {
            return;
        }
        let mut behind = false;
        state.watches.retain_mut(|watch| {
            let open = events.iter().all(|event| watch.offer(event));
            behind |= open && watch.told < revision;
            open
        });
        self.shared.revision.fetch_max(revision, Ordering::Release);
        if behind && !state.behind {
            state.behind = true;
            self.shared.lagging.notify_one();
        }
    }

    /// Ends every open watch, each with its own copy of an error, and goes on from `revision`.
    pub(crate) fn restart(&self, revision: Revision, error: impl Fn() -> StoreError) {
        let mut state = self.shared.state.lock();
        for watch in state.watches.drain(..) {
            watch.end(error());
        }
        self.shared.revision.fetch_max(revision, Ordering::Release);
    }

    /// Ends every open watch and lets no new one in.
    pub(crate) fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        for watch in state.watches.drain(..) {
            watch.end(closed());
        }
        self.shared.lagging.notify_all();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.close();
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store has been closed".into())
}

impl Shared {
    fn tell_progress(&self) {
        let mut state = self.state.lock();
        loop {
            while !state.behind && !state.closed {
                self.lagging.wait(&mut state);
            }
            if state.closed {
                return;
            }
            state.behind = false;
            let revision = self.revision.load(Ordering::Acquire);
            state.watches.retain_mut(|watch| watch.progress(revision));
            let watches = u32::try_from(state.watches.len()).unwrap_or(u32::MAX);
            let pause = PROGRESS_INTERVAL_PER_WATCH
                .saturating_mul(watches)
                .clamp(PROGRESS_INTERVAL_MIN, PROGRESS_INTERVAL_MAX);
            drop(state);
            std::thread::sleep(pause);
            state = self.state.lock();
            // A queue that was full had no room for progress; try again while any is behind.
            let revision = self.revision.load(Ordering::Acquire);
            state.behind |= state.watches.iter().any(|watch| watch.told < revision);
        }
    }
}

impl Watch {
    /// Queues an event if it is the watch's; false if the watch is over.
    fn offer(&mut self, event: &Event) -> bool {
        let (key, revision, value) = match event {
            Event::Put(entry) => (&entry.key, entry.revision, Some(&entry.value)),
            Event::Delete { key, revision } => (key, *revision, None),
            Event::Progress(_) => return true,
        };
        if !key.starts_with(&*self.prefix) {
            return true;
        }
        let bytes = weight(key, value);
        let waiting = self.link.bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting > 0 && waiting + bytes > QUEUE_BYTES {
            self.end(self.fell_behind());
            return false;
        }
        match self.queue.try_send(event.clone()) {
            Ok(()) => {
                self.told = self.told.max(revision);
                true
            }
            Err(TrySendError::Full(_)) => {
                self.end(self.fell_behind());
                false
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// Queues how far the watch is; false if it is over.
    fn progress(&mut self, revision: Revision) -> bool {
        if self.told >= revision {
            return !self.queue.is_closed();
        }
        match self.queue.try_send(Event::Progress(revision)) {
            Ok(()) => {
                self.told = revision;
                true
            }
            Err(TrySendError::Full(_)) => true,
            Err(TrySendError::Closed(_)) => false,
        }
    }

    fn fell_behind(&self) -> StoreError {
        StoreError::Unavailable(format!(
            "the watch of {} was too slow to follow and must resume from the last revision it saw",
            self.prefix
        ))
    }

    fn end(&self, error: StoreError) {
        *self.link.end.lock() = Some(error);
    }
}

impl Subscription {
    /// Lets only events after a later revision through.
    pub(crate) fn skip_to(&mut self, revision: Revision) {
        self.after = self.after.max(revision);
    }

    /// The next event; none after the error that ended the watch.
    pub(crate) async fn next(&mut self) -> Option<Result<Event>> {
        while let Some(event) = self.queue.recv().await {
            let revision = match &event {
                Event::Put(entry) => {
                    self.taken(weight(&entry.key, Some(&entry.value)));
                    entry.revision
                }
                Event::Delete { key, revision } => {
                    self.taken(weight(key, None));
                    *revision
                }
                Event::Progress(revision) => *revision,
            };
            if revision > self.after {
                return Some(Ok(event));
            }
        }
        self.link.end.lock().take().map(Err)
    }

    fn taken(&self, bytes: usize) {
        self.link.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entry;
    use bytes::Bytes;

    fn put(key: &str, revision: Revision, size: usize) -> Event {
        Event::Put(Entry {
            key: key.into(),
            value: Bytes::from(vec![0; size]),
            revision,
        })
    }

    #[tokio::test]
    async fn a_watch_sees_its_prefix_and_hears_of_the_rest() {
        let hub = Hub::start(4).unwrap();
        let (at, mut watch) = hub.subscribe("/a/".into(), 4).unwrap();
        assert_eq!(at, 4);
        hub.publish(&[put("/a/x", 5, 1), put("/b/x", 6, 1)], 6);
        assert_eq!(watch.next().await.unwrap().unwrap(), put("/a/x", 5, 1));
        assert_eq!(watch.next().await.unwrap().unwrap(), Event::Progress(6));
        assert_eq!(hub.revision(), 6);
    }

    #[tokio::test]
    async fn a_watch_that_is_too_slow_is_ended_and_holds_up_nobody() {
        let hub = Hub::start(0).unwrap();
        let (_, mut slow) = hub.subscribe("/".into(), 0).unwrap();
        for revision in 1..=QUEUE_EVENTS as u64 + 1 {
            hub.publish(&[put("/x", revision, 1)], revision);
        }
        let mut seen = 0;
        let error = loop {
            match slow.next().await.unwrap() {
                Ok(_) => seen += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(seen, QUEUE_EVENTS);
        assert!(error.to_string().contains("too slow"), "{error}");
        assert!(slow.next().await.is_none());
    }

    #[tokio::test]
    async fn large_values_count_by_their_bytes() {
        let hub = Hub::start(0).unwrap();
        let (_, mut slow) = hub.subscribe("/".into(), 0).unwrap();
        for revision in 1..=5 {
            hub.publish(&[put("/x", revision, QUEUE_BYTES / 4)], revision);
        }
        for _ in 0..3 {
            slow.next().await.unwrap().unwrap();
        }
        assert!(slow.next().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn watches_end_when_the_hub_restarts_or_closes() {
        let hub = Hub::start(1).unwrap();
        let (_, mut watch) = hub.subscribe("/".into(), 1).unwrap();
        hub.restart(9, || StoreError::Compacted {
            asked: 1,
            oldest: 5,
        });
        assert!(matches!(
            watch.next().await,
            Some(Err(StoreError::Compacted { oldest: 5, .. }))
        ));
        let (at, mut watch) = hub.subscribe("/".into(), 9).unwrap();
        assert_eq!(at, 9);
        hub.close();
        assert!(matches!(
            watch.next().await,
            Some(Err(StoreError::Unavailable(_)))
        ));
        assert!(hub.subscribe("/".into(), 9).is_err());
    }
}
