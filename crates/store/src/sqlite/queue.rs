//! The queue to the writer: bounded, and drained in batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::keys::weight;
use crate::{Result, Revision, StoreError, Write};

/// How many KiB may wait. Each write counts as at least [`KIB_MIN`], which bounds their number.
const KIB_MAX: u32 = 64 << 10;
const KIB_MIN: u32 = 8;

/// What the writer is asked for.
pub(crate) enum Command {
    Write {
        write: Write,
        reply: oneshot::Sender<Result<Revision>>,
        room: OwnedSemaphorePermit,
    },
    Compact {
        revision: Revision,
        reply: oneshot::Sender<Result<()>>,
    },
}

impl Command {
    fn weight(&self) -> usize {
        match self {
            Command::Write { write, .. } => weight(&write.key, write.value.as_ref()),
            Command::Compact { .. } => 0,
        }
    }
}

/// What the writer finds.
pub(crate) enum Taken {
    Commands(Vec<Command>),
    Nothing,
    Closed,
}

/// How much is taken at once, at most.
#[derive(Clone, Copy)]
pub(crate) struct Most {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

/// How long a batch waits for how many commands.
#[derive(Clone, Copy)]
pub(crate) struct Linger {
    pub(crate) expected: usize,
    pub(crate) time: Duration,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Command>,
    /// The writer sleeps until there are so many.
    wanted: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            room: Arc::new(Semaphore::new(KIB_MAX as usize)),
        }
    }

    /// Waits until there is room for a write and holds it.
    pub(crate) async fn reserve(&self, write: &Write) -> Result<OwnedSemaphorePermit> {
        let kib = weight(&write.key, write.value.as_ref()) >> 10;
        let kib = u32::try_from(kib)
            .unwrap_or(KIB_MAX)
            .clamp(KIB_MIN, KIB_MAX);
        self.room
            .clone()
            .acquire_many_owned(kib)
            .await
            .map_err(|_| closed())
    }

    pub(crate) fn push(&self, command: Command) -> Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(closed());
        }
        state.commands.push_back(command);
        let enough = state.commands.len() >= state.wanted;
        drop(state);
        if enough {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Up to so many commands and about so many bytes; waits for the first one as long as it may. When
    /// there is one, it lingers a little for as many as there probably will be.
    pub(crate) fn take(&self, most: Most, wait: Duration, linger: Linger) -> Taken {
        let mut state = self.state.lock();
        self.wait_for(&mut state, 1, wait);
        if !state.commands.is_empty() {
            self.wait_for(&mut state, linger.expected.min(most.count), linger.time);
        }
        let mut taken = Vec::new();
        let mut size = 0;
        while taken.len() < most.count && size < most.bytes {
            let Some(command) = state.commands.pop_front() else {
                break;
            };
            size += command.weight();
            taken.push(command);
        }
        if !taken.is_empty() {
            Taken::Commands(taken)
        } else if state.closed {
            Taken::Closed
        } else {
            Taken::Nothing
        }
    }

    fn wait_for(&self, state: &mut MutexGuard<'_, State>, wanted: usize, time: Duration) {
        if time.is_zero() || state.commands.len() >= wanted {
            return;
        }
        state.wanted = wanted;
        let more = |s: &mut State| s.commands.len() < s.wanted && !s.closed;
        self.filled.wait_while_for(state, more, time);
    }

    /// How many commands wait.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().commands.len()
    }

    /// Lets nothing more in; what is queued is still taken.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.room.close();
        self.filled.notify_all();
    }
}

pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("the store has been closed".into())
}
