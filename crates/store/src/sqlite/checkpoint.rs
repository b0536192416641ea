//! Moves what was committed from the write-ahead log into the database file.
//!
//! A thread does it beside the writer, so that no write waits for it. A log starts over only when the
//! writer finds all of it moved, and a writer that hardly pauses is always a little ahead. So when the
//! log is long, the thread goes on until little is left, and the writer moves that little itself.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::database::{self, PAGE_SIZE, Role};
use crate::{Result, StoreError};

/// The thread starts when this much has not been moved.
const SOFT_BYTES: u64 = 4 << 20;
/// A log of this length should start over. Short enough for the file to be written anew soon instead of
/// growing, which a disk is slower to make durable.
const LONG_BYTES: u64 = 16 << 20;
/// So much of a long log the writer moves without being noticed. The thread leaves less.
const LITTLE_BYTES: u64 = 512 << 10;
/// The writer moves what there is when the log is this long; the file is cut back to it.
pub(crate) const HARD_BYTES: u64 = 2 * LONG_BYTES;
/// When a reader or a full disk was in the way, the writer tries again after this much more.
const RETRY_BYTES: u64 = 8 << 20;
/// A log that nothing is added to is moved after this long.
const IDLE: Duration = Duration::from_secs(2);

/// How long the log is, and the thread's bell.
pub(crate) struct Checkpointer {
    state: Mutex<State>,
    /// Held while one of the two checkpoints: SQLite would turn the other away.
    turn: Mutex<()>,
    bell: Condvar,
}

struct State {
    /// Bytes in the log, about.
    length: u64,
    /// Of those, bytes that the database file does not have yet.
    unmoved: u64,
    /// The length at which the writer checkpoints.
    limit: u64,
    failing: bool,
    closed: bool,
}

impl State {
    /// Whether the thread has something to do.
    fn is_due(&self) -> bool {
        let enough = if self.length < LONG_BYTES {
            SOFT_BYTES
        } else {
            LITTLE_BYTES
        };
        self.unmoved >= enough
    }
}

/// How a checkpoint went.
#[derive(Clone, Copy)]
struct Moved {
    frames: u64,
    moved: u64,
}

impl Checkpointer {
    pub(crate) fn start(path: &Path) -> Result<(Arc<Self>, JoinHandle<()>)> {
        let connection = database::connect(path, Role::Checkpointer).map_err(database::internal)?;
        let checkpointer = Arc::new(Self {
            state: Mutex::new(State {
                length: 0,
                // What a crash left in the log is not known: look once.
                unmoved: 1,
                limit: HARD_BYTES,
                failing: false,
                closed: false,
            }),
            turn: Mutex::default(),
            bell: Condvar::new(),
        });
        let for_thread = checkpointer.clone();
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || for_thread.run(&connection))
            .map_err(|error| StoreError::Internal(format!("cannot start a thread: {error}")))?;
        Ok((checkpointer, thread))
    }

    /// The writer has committed so many bytes; if the log is too long, it is moved on its connection.
    pub(crate) fn committed(&self, bytes: u64, writer: &Connection) {
        if bytes == 0 {
            return;
        }
        let mut state = self.state.lock();
        let was_clean = state.unmoved == 0;
        state.length += bytes;
        state.unmoved += bytes;
        let little_is_left = state.length >= LONG_BYTES
            && state.unmoved <= LITTLE_BYTES
            && state.limit == HARD_BYTES;
        if little_is_left || state.length >= state.limit {
            drop(state);
            if self.checkpoint(writer) {
                // Nobody else writes: the next write starts the log over, unless a reader is in it,
                // which the next checkpoint will find.
                self.state.lock().length = 0;
            }
        } else if was_clean || state.is_due() {
            self.bell.notify_one();
        }
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.bell.notify_all();
    }

    fn run(&self, connection: &Connection) {
        let mut state = self.state.lock();
        loop {
            while state.unmoved == 0 && !state.closed {
                self.bell.wait(&mut state);
            }
            self.bell
                .wait_while_for(&mut state, |s| !s.is_due() && !s.closed, IDLE);
            if state.closed {
                return;
            }
            drop(state);
            self.checkpoint(connection);
            state = self.state.lock();
            if state.failing && !state.closed {
                self.bell.wait_while_for(&mut state, |s| !s.closed, IDLE);
            }
        }
    }

    /// True if all of the log has been moved.
    fn checkpoint(&self, connection: &Connection) -> bool {
        let turn = self.turn.lock();
        let before = self.state.lock().length;
        let complete = self.record(checkpoint(connection), before);
        drop(turn);
        complete
    }

    fn record(&self, outcome: rusqlite::Result<Moved>, before: u64) -> bool {
        let mut state = self.state.lock();
        match outcome {
            Ok(outcome) => {
                let since = state.length.saturating_sub(before);
                let complete = outcome.frames == outcome.moved;
                let page = u64::from(PAGE_SIZE);
                state.failing = false;
                state.unmoved = outcome.frames.saturating_sub(outcome.moved) * page + since;
                state.length = outcome.frames * page + since;
                state.limit = if state.length < HARD_BYTES {
                    HARD_BYTES
                } else {
                    state.length + RETRY_BYTES
                };
                complete
            }
            Err(error) => {
                if !state.failing {
                    tracing::warn!(%error, "the store's log cannot be moved into its file now; it is kept");
                }
                state.failing = true;
                state.limit = state.length.max(HARD_BYTES) + RETRY_BYTES;
                false
            }
        }
    }
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<Moved> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        // -1, when there is no log yet, counts as nothing.
        Ok(Moved {
            frames: database::from_sql(row.get(1)?),
            moved: database::from_sql(row.get(2)?),
        })
    })
}
