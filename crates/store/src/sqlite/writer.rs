//! The writer: one thread, one transaction for all writes that wait.
//!
//! ```text
//! take what waits ─► check and append each ─► COMMIT (one fsync) ─► publish events ─► answer
//! ```
//!
//! An expectation is checked inside the transaction, so it sees the writes before it in the same
//! batch; one that does not hold fails only its own write. Nothing is told to anyone before the commit.
//! Between batches the thread does compaction in small pieces.
//!
//! Those who were answered often write again at once. Taking what waits at that moment would split the
//! writers into two halves that commit in turns, so a batch lingers, for a fraction of the time that a
//! commit takes, for about as many writes as there were around the last one.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::checkpoint::Checkpointer;
use super::database::{PAGE_SIZE, from_sql, set_state_number, to_sql, write_error};
use super::queue::{Command, Linger, Most, Queue, Taken, closed};
use super::reader::{LAST_INDEXED, last_indexed};
use super::tail::Tail;
use super::visible::Version;
use crate::hub::Hub;
use crate::keys::weight;
use crate::{Entry, Event, Expect, Result, Revision, StoreError, Write};

/// What a batch holds at most.
const BATCH: Most = Most {
    count: 512,
    bytes: 4 << 20,
};
/// So many rows of the log are brought into the index at once.
const TAIL_VERSIONS: usize = 4096;
/// With fewer writers than this, a batch waits for none of them.
const LINGER_WRITERS: usize = 8;
/// The longest that a batch waits, and which part of the time of a commit.
const LINGER_MAX: Duration = Duration::from_millis(1);
const LINGER_PART: u32 = 4;
/// Rows of the log that one step of compaction looks at.
const SWEEP_ROWS: i64 = 512;
/// Pages that one step gives back to the file system.
const VACUUM_PAGES: i64 = 256;
/// Free pages that are kept for the next writes.
const FREE_PAGES_MIN: i64 = 512;
/// Memory is given back after this long without a write.
const IDLE: Duration = Duration::from_secs(10);

type Reply<T> = oneshot::Sender<Result<T>>;

pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) directory: PathBuf,
    pub(crate) queue: Arc<Queue>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) checkpointer: Arc<Checkpointer>,
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    pub(crate) swept: Revision,
    pub(crate) tail: Arc<Tail>,
    pub(crate) chore: Chore,
    pub(crate) linger: Linger,
    pub(crate) waiting: Vec<Reply<()>>,
}

/// What is left to do between batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chore {
    None,
    Sweep,
    Vacuum,
}

/// What a batch did.
struct Applied {
    outcomes: Vec<Result<Revision>>,
    events: Vec<Event>,
    revision: Revision,
    /// Up to which revision the index has been brought.
    indexed: Revision,
    bytes: u64,
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut idle = false;
        loop {
            let wait = match (self.chore, idle) {
                (Chore::None, false) => IDLE,
                (Chore::None, true) => Duration::from_secs(3600),
                _ => Duration::ZERO,
            };
            match self.queue.take(BATCH, wait, self.linger) {
                Taken::Commands(commands) => {
                    idle = false;
                    self.carry_out(commands);
                }
                Taken::Nothing if self.chore == Chore::None => {
                    if !idle {
                        let _ = self.connection.execute_batch("PRAGMA shrink_memory");
                    }
                    idle = true;
                }
                Taken::Nothing => {}
                Taken::Closed => break,
            }
            self.do_chore();
        }
        self.answer_waiting(closed);
    }

    fn carry_out(&mut self, commands: Vec<Command>) {
        let mut writes = Vec::with_capacity(commands.len());
        let mut replies = Vec::with_capacity(commands.len());
        let mut rooms = Vec::with_capacity(commands.len());
        let mut compactions = Vec::new();
        for command in commands {
            match command {
                Command::Write { write, reply, room } => {
                    writes.push(write);
                    replies.push(reply);
                    rooms.push(room);
                }
                Command::Compact { revision, reply } => compactions.push((revision, reply)),
            }
        }
        if !writes.is_empty() {
            let started = Instant::now();
            let count = writes.len();
            match self.apply(&writes) {
                Ok(applied) => {
                    self.revision = applied.revision;
                    let versions = applied.events.iter().filter_map(version_of);
                    self.tail
                        .advance(applied.indexed, versions, applied.revision);
                    self.hub.publish(&applied.events, applied.revision);
                    for (reply, outcome) in replies.into_iter().zip(applied.outcomes) {
                        // Whoever asked may have gone away.
                        let _ = reply.send(outcome);
                    }
                    self.checkpointer.committed(applied.bytes, &self.connection);
                }
                Err(error) => {
                    tracing::warn!(%error, writes = writes.len(), "a batch of writes failed");
                    for reply in replies {
                        let _ = reply.send(Err(same(&error)));
                    }
                }
            }
            self.linger = linger(count + self.queue.len(), started.elapsed());
        }
        drop(rooms);
        for (revision, reply) in compactions {
            self.begin_compaction(revision, reply);
        }
    }

    fn apply(&mut self, writes: &[Write]) -> Result<Applied> {
        if !self.connection.is_autocommit() {
            // A rollback failed before, with the disk.
            self.connection
                .execute_batch("ROLLBACK")
                .map_err(|error| write_error(error, &self.directory))?;
        }
        self.append(writes)
            .map_err(|error| write_error(error, &self.directory))
    }

    fn append(&mut self, writes: &[Write]) -> rusqlite::Result<Applied> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut applied = Applied {
            outcomes: Vec::with_capacity(writes.len()),
            events: Vec::with_capacity(writes.len()),
            revision: self.revision,
            indexed: 0,
            bytes: 0,
        };
        if self.tail.len() >= TAIL_VERSIONS {
            applied.bytes += index(&transaction, &self.tail, self.revision)?;
            applied.indexed = self.revision;
        }
        // The versions that this batch has written so far.
        let mut written: HashMap<&str, Version> = HashMap::new();
        {
            let mut indexed = transaction.prepare_cached(LAST_INDEXED)?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO log (revision, previous, deleted, key, value) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for write in writes {
                let last = match written.get(&*write.key).copied() {
                    None => self.tail.last(&write.key),
                    here => here,
                };
                let last = match last {
                    None => last_indexed(&mut indexed, &write.key)?,
                    here => here,
                };
                let actual = last
                    .filter(|version| !version.deleted)
                    .map(|version| version.revision);
                if !holds(write.expect, actual) {
                    applied.outcomes.push(Err(StoreError::Conflict {
                        key: write.key.clone(),
                        actual,
                    }));
                    continue;
                }
                let version = Version {
                    revision: applied.revision + 1,
                    deleted: write.value.is_none(),
                };
                insert.execute((
                    to_sql(version.revision),
                    to_sql(actual.unwrap_or(0)),
                    version.deleted,
                    write.key.as_bytes(),
                    write.value.as_deref(),
                ))?;
                written.insert(&write.key, version);
                applied.revision = version.revision;
                applied.outcomes.push(Ok(version.revision));
                applied.events.push(event(write, version.revision));
                applied.bytes += weight(&write.key, write.value.as_ref()) as u64;
            }
        }
        // The pages that any commit changes.
        applied.bytes += 2 * u64::from(PAGE_SIZE);
        transaction.commit()?;
        Ok(applied)
    }

    fn begin_compaction(&mut self, revision: Revision, reply: Reply<()>) {
        if revision > self.revision {
            let _ = reply.send(Err(StoreError::Future {
                asked: revision,
                current: self.revision,
            }));
            return;
        }
        if revision > self.compacted {
            // First what is promised to be kept, then the deleting: a crash in between only leaves
            // rows that nobody can ask for, and the next start goes on with them.
            if let Err(error) = self.promise(revision) {
                let _ = reply.send(Err(write_error(error, &self.directory)));
                return;
            }
            self.compacted = revision;
        }
        self.waiting.push(reply);
        self.chore = Chore::Sweep;
    }

    /// Makes it durable that nothing before `revision` can be asked for. The index has all rows that
    /// will be deleted, so that they are deleted from it as well.
    fn promise(&mut self, revision: Revision) -> rusqlite::Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let bytes = index(&transaction, &self.tail, self.revision)?;
        set_state_number(&transaction, "compacted", revision)?;
        transaction.commit()?;
        self.tail.advance(self.revision, [], self.revision);
        self.checkpointer.committed(bytes, &self.connection);
        Ok(())
    }

    fn do_chore(&mut self) {
        let done = match self.chore {
            Chore::None => return,
            Chore::Sweep => self.sweep(),
            Chore::Vacuum => self.vacuum(),
        };
        match (self.chore, done) {
            (_, Ok(false)) => {}
            (Chore::Sweep, Ok(true)) => {
                for reply in self.waiting.drain(..) {
                    let _ = reply.send(Ok(()));
                }
                self.chore = Chore::Vacuum;
            }
            (_, Ok(true)) => self.chore = Chore::None,
            (_, Err(error)) => {
                let error = write_error(error, &self.directory);
                tracing::warn!(%error, "compaction stopped; the next one goes on from there");
                self.chore = Chore::None;
                self.answer_waiting(|| same(&error));
            }
        }
    }

    /// Deletes some of what later rows have made obsolete; true if there is no more of it.
    fn sweep(&mut self) -> rusqlite::Result<bool> {
        if self.swept >= self.compacted {
            return Ok(true);
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut reached = self.swept;
        let mut seen = 0;
        {
            let mut rows = transaction.prepare_cached(
                "SELECT revision, previous, deleted, key FROM log
                 WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3",
            )?;
            let mut delete = transaction.prepare_cached("DELETE FROM log WHERE revision = ?1")?;
            let mut forget = transaction
                .prepare_cached("DELETE FROM by_key WHERE key = ?1 AND revision = ?2")?;
            let rows = rows
                .query_map(
                    (to_sql(self.swept), to_sql(self.compacted), SWEEP_ROWS),
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
                )?
                .collect::<rusqlite::Result<Vec<(i64, i64, bool, Vec<u8>)>>>()?;
            for (revision, previous, deleted, key) in rows {
                seen += 1;
                reached = from_sql(revision);
                let obsolete = [
                    (previous > 0).then_some(previous),
                    deleted.then_some(revision),
                ];
                for row in obsolete.into_iter().flatten() {
                    delete.execute([row])?;
                    forget.execute((&key, row))?;
                }
            }
        }
        if seen < SWEEP_ROWS {
            reached = self.compacted;
        }
        set_state_number(&transaction, "swept", reached)?;
        transaction.commit()?;
        self.swept = reached;
        let touched = u64::try_from(seen).unwrap_or(0) * 4096;
        self.checkpointer.committed(touched, &self.connection);
        Ok(self.swept >= self.compacted)
    }

    /// Gives some free pages back to the file system; true if few enough are left.
    fn vacuum(&mut self) -> rusqlite::Result<bool> {
        let number = |name: &str| -> rusqlite::Result<i64> {
            self.connection
                .pragma_query_value(None, name, |row| row.get(0))
        };
        let free = number("freelist_count")?;
        if free <= FREE_PAGES_MIN.max(number("page_count")? / 4) {
            return Ok(true);
        }
        {
            let mut statement = self
                .connection
                .prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        let moved = u64::from(super::database::PAGE_SIZE) * VACUUM_PAGES.unsigned_abs();
        self.checkpointer.committed(moved, &self.connection);
        Ok(number("freelist_count")? >= free)
    }

    fn answer_waiting(&mut self, error: impl Fn() -> StoreError) {
        for reply in self.waiting.drain(..) {
            let _ = reply.send(Err(error()));
        }
    }
}

/// Brings the tail into the index, up to the latest revision; answers with about how many bytes of
/// pages that changed.
fn index(transaction: &Connection, tail: &Tail, revision: Revision) -> rusqlite::Result<u64> {
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO by_key (key, revision, deleted) VALUES (?1, ?2, ?3)",
    )?;
    let mut bytes = u64::from(PAGE_SIZE);
    for (key, version) in tail.part("", "").versions {
        insert.execute((key.as_bytes(), to_sql(version.revision), version.deleted))?;
        bytes += 512;
    }
    set_state_number(transaction, "indexed", revision)?;
    Ok(bytes)
}

fn version_of(event: &Event) -> Option<(Arc<str>, Version)> {
    let (key, revision, deleted) = match event {
        Event::Put(entry) => (&entry.key, entry.revision, false),
        Event::Delete { key, revision } => (key, *revision, true),
        Event::Progress(_) => return None,
    };
    Some((key.clone(), Version { revision, deleted }))
}

/// How long the next batch waits, after one of which there were so many writers.
fn linger(writers: usize, commit: Duration) -> Linger {
    Linger {
        expected: writers,
        time: if writers < LINGER_WRITERS {
            Duration::ZERO
        } else {
            (commit / LINGER_PART).min(LINGER_MAX)
        },
    }
}

fn holds(expect: Expect, actual: Option<Revision>) -> bool {
    match expect {
        Expect::Absent => actual.is_none(),
        Expect::At(revision) => actual == Some(revision),
    }
}

fn event(write: &Write, revision: Revision) -> Event {
    match &write.value {
        Some(value) => Event::Put(Entry {
            key: write.key.clone(),
            value: value.clone(),
            revision,
        }),
        None => Event::Delete {
            key: write.key.clone(),
            revision,
        },
    }
}

/// One failure of a batch is told to each of its writes.
fn same(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full(text) => StoreError::Full(text.clone()),
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
        other => StoreError::Internal(other.to_string()),
    }
}
