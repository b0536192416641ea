//! One queue of moments for everything that waits in a process: hosts, pods, containers.

use std::{cmp::Reverse, collections::BinaryHeap};

use jiff::Timestamp;

/// What is to be done at moments, the earliest first.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Reverse<(Timestamp, K)>>,
}

impl<K: Ord> Timers<K> {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
        }
    }

    /// Adds a moment. What is not wanted any more is not taken out: who is woken looks whether it is time.
    pub(crate) fn add(&mut self, at: Timestamp, key: K) {
        self.heap.push(Reverse((at, key)));
    }

    /// The earliest moment.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out what is due.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<(Timestamp, K)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
