//! Reads: a few connections that only read, used on blocking threads.
//!
//! Each read sees one state of the store from beginning to end, and neither waits for the writer nor
//! holds it up. The connections are opened at the start, so that reads need no room on a full disk.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement};
use tokio::sync::Semaphore;

use super::database::{self, Role, current_revision, from_sql, internal, state_number, to_sql};
use super::tail::Tail;
use super::visible::{Version, Visible};
use crate::keys::{key_from_bytes, list_start, prefix_end, weight};
use crate::replay::History;
use crate::{Entry, Event, ListOptions, Page, Result, Revision, StoreError};

const CONNECTIONS: usize = 4;
/// Long reads leave a connection to the short ones.
const LONG_READS: usize = CONNECTIONS - 1;
/// How many revisions, and about how many bytes, one read of history takes.
const HISTORY_REVISIONS: u64 = 1024;
const HISTORY_BYTES: usize = 4 << 20;

pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    any: Arc<Semaphore>,
    long: Arc<Semaphore>,
    tail: Arc<Tail>,
}

/// Gives a connection back, whatever happens to the read.
struct Borrowed<'a> {
    connection: Option<Connection>,
    pool: &'a Mutex<Vec<Connection>>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.lock().push(connection);
        }
    }
}

impl Readers {
    pub(crate) fn open(path: &Path, tail: Arc<Tail>) -> Result<Arc<Self>> {
        let mut idle = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let connection = database::connect(path, Role::Reader).map_err(internal)?;
            // Touches the log's index now rather than on a full disk.
            current_revision(&connection).map_err(internal)?;
            idle.push(connection);
        }
        Ok(Arc::new(Self {
            idle: Mutex::new(idle),
            any: Arc::new(Semaphore::new(CONNECTIONS)),
            long: Arc::new(Semaphore::new(LONG_READS)),
            tail,
        }))
    }

    pub(crate) async fn get(self: &Arc<Self>, key: &str) -> Result<Option<Entry>> {
        let key: Arc<str> = key.into();
        let tail = self.tail.clone();
        self.run(false, move |connection| get(connection, &tail, key))
            .await
    }

    pub(crate) async fn list(self: &Arc<Self>, prefix: &str, options: ListOptions) -> Result<Page> {
        let prefix: Arc<str> = prefix.into();
        let tail = self.tail.clone();
        self.run(true, move |connection| {
            list(connection, &tail, &prefix, &options)
        })
        .await
    }

    /// Fails unless a watch can start after a revision.
    pub(crate) async fn check_watch(self: &Arc<Self>, after: Revision) -> Result<()> {
        self.run(false, move |connection| {
            let transaction = connection.transaction().map_err(internal)?;
            let oldest = state_number(&transaction, "compacted").map_err(internal)?;
            let current = current_revision(&transaction).map_err(internal)?;
            check_kept(after, oldest, current)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        long: bool,
        read: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let gone = |_| StoreError::Unavailable("the store has been closed".into());
        let long = if long {
            Some(self.long.clone().acquire_owned().await.map_err(gone)?)
        } else {
            None
        };
        let any = self.any.clone().acquire_owned().await.map_err(gone)?;
        let readers = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut borrowed = Borrowed {
                connection: readers.idle.lock().pop(),
                pool: &readers.idle,
            };
            let result = match &mut borrowed.connection {
                Some(connection) => read(connection),
                None => Err(StoreError::Internal("no connection to read with".into())),
            };
            drop(borrowed);
            drop((long, any));
            result
        })
        .await;
        done.map_err(|error| StoreError::Internal(format!("a read was aborted: {error}")))?
    }
}

fn check_kept(asked: Revision, oldest: Revision, current: Revision) -> Result<()> {
    if asked > current {
        Err(StoreError::Future { asked, current })
    } else if asked < oldest {
        Err(StoreError::Compacted { asked, oldest })
    } else {
        Ok(())
    }
}

fn get(connection: &mut Connection, tail: &Tail, key: Arc<str>) -> Result<Option<Entry>> {
    loop {
        let recent = tail.last(&key);
        let transaction = connection.transaction().map_err(internal)?;
        let version = match recent {
            Some(version) => Some(version),
            None => transaction
                .prepare_cached(LAST_INDEXED)
                .and_then(|mut statement| last_indexed(&mut statement, &key))
                .map_err(internal)?,
        };
        let Some(Version {
            revision,
            deleted: false,
        }) = version
        else {
            return Ok(None);
        };
        let value = transaction
            .prepare_cached(VALUE)
            .and_then(|mut statement| value_of(&mut statement, revision))
            .map_err(internal)?;
        if let Some(value) = value {
            return Ok(Some(Entry {
                key,
                value,
                revision,
            }));
        }
        // Overwritten and compacted since the look at the tail: look again.
    }
}

/// Finds the last version of a key that the index has.
pub(crate) const LAST_INDEXED: &str =
    "SELECT revision, deleted FROM by_key WHERE key = ?1 ORDER BY revision DESC LIMIT 1";
const VALUE: &str = "SELECT value FROM log WHERE revision = ?1";

/// Runs [`LAST_INDEXED`].
pub(crate) fn last_indexed(
    statement: &mut Statement<'_>,
    key: &str,
) -> rusqlite::Result<Option<Version>> {
    statement
        .query_row([key.as_bytes()], |row| {
            Ok(Version {
                revision: from_sql(row.get(0)?),
                deleted: row.get(1)?,
            })
        })
        .optional()
}

/// Runs [`VALUE`].
fn value_of(statement: &mut Statement<'_>, revision: Revision) -> rusqlite::Result<Option<Bytes>> {
    statement
        .query_row([to_sql(revision)], |row| blob(row, 0))
        .optional()
}

fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    Ok(Bytes::from(
        row.get::<_, Option<Vec<u8>>>(column)?.unwrap_or_default(),
    ))
}

fn list(
    connection: &mut Connection,
    tail: &Tail,
    prefix: &str,
    options: &ListOptions,
) -> Result<Page> {
    let start = list_start(prefix, options.after.as_deref());
    let recent = tail.part(prefix, &start);
    let transaction = connection.transaction().map_err(internal)?;
    let indexed = state_number(&transaction, "indexed").map_err(internal)?;
    let oldest = state_number(&transaction, "compacted").map_err(internal)?;
    let current = recent.reached.max(indexed);
    let revision = match options.at {
        None => current,
        Some(at) => {
            check_kept(at, oldest.max(1), current)?;
            at
        }
    };
    let mut page = Page {
        entries: Vec::new(),
        revision,
        remaining: 0,
    };
    let limit = options.limit.unwrap_or(usize::MAX);
    let most = options.bytes.unwrap_or(usize::MAX);
    let mut bytes = 0;
    let mut values = transaction.prepare_cached(VALUE).map_err(internal)?;
    let mut take = |key: &[u8], revision: Revision| -> Result<()> {
        if page.entries.len() >= limit || bytes >= most {
            page.remaining += 1;
            return Ok(());
        }
        let value = value_of(&mut values, revision).map_err(internal)?;
        let value = value.ok_or_else(|| {
            StoreError::Internal(format!("the row of revision {revision} is missing"))
        })?;
        bytes += value.len();
        page.entries.push(Entry {
            key: key_from_bytes(key.to_vec())?,
            value,
            revision,
        });
        Ok(())
    };

    // What the index has got since the look at the tail is not taken twice.
    let mut recent = recent
        .versions
        .into_iter()
        .filter(|(_, version)| version.revision > indexed)
        .peekable();
    let mut visible = Visible::at(revision);
    let mut statement = transaction
        .prepare_cached(
            "SELECT key, revision, deleted FROM by_key
             WHERE key >= ?1 AND key < ?2 ORDER BY key, revision",
        )
        .map_err(internal)?;
    let mut rows = statement
        .query((start.as_bytes(), prefix_end(prefix.as_bytes())))
        .map_err(internal)?;
    while let Some(row) = rows.next().map_err(internal)? {
        let key = row
            .get_ref(0)
            .and_then(|value| value.as_blob().map_err(Into::into))
            .map_err(internal)?;
        while let Some((earlier, version)) = recent.next_if(|(k, _)| k.as_bytes() < key) {
            visible.next(earlier.as_bytes(), version, &mut take)?;
        }
        let version = Version {
            revision: from_sql(row.get(1).map_err(internal)?),
            deleted: row.get(2).map_err(internal)?,
        };
        visible.next(key, version, &mut take)?;
    }
    for (key, version) in recent {
        visible.next(key.as_bytes(), version, &mut take)?;
    }
    visible.finish(&mut take)?;
    Ok(page)
}

/// The log, as a watch of one prefix reads it.
pub(crate) struct Log {
    readers: Arc<Readers>,
    prefix: Arc<str>,
}

impl Log {
    pub(crate) fn new(readers: Arc<Readers>, prefix: Arc<str>) -> Self {
        Self { readers, prefix }
    }
}

#[async_trait::async_trait]
impl History for Log {
    async fn read(&mut self, position: Revision, goal: Revision) -> Result<(Vec<Event>, Revision)> {
        let prefix = self.prefix.clone();
        let goal = goal.min(position.saturating_add(HISTORY_REVISIONS));
        self.readers
            .run(true, move |connection| {
                history(connection, &prefix, position, goal)
            })
            .await
    }
}

fn history(
    connection: &mut Connection,
    prefix: &str,
    position: Revision,
    goal: Revision,
) -> Result<(Vec<Event>, Revision)> {
    let transaction = connection.transaction().map_err(internal)?;
    let oldest = state_number(&transaction, "compacted").map_err(internal)?;
    check_kept(position, oldest, Revision::MAX)?;
    // NOT INDEXED: in the order of revisions, never through the index by key.
    let mut statement = transaction
        .prepare_cached(
            "SELECT revision, key, deleted, value FROM log NOT INDEXED
             WHERE revision > ?1 AND revision <= ?2 AND key >= ?3 AND key < ?4
             ORDER BY revision",
        )
        .map_err(internal)?;
    let mut rows = statement
        .query((
            to_sql(position),
            to_sql(goal),
            prefix.as_bytes(),
            prefix_end(prefix.as_bytes()),
        ))
        .map_err(internal)?;
    let mut events = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next().map_err(internal)? {
        let revision = from_sql(row.get(0).map_err(internal)?);
        let key = key_from_bytes(row.get(1).map_err(internal)?)?;
        if row.get(2).map_err(internal)? {
            bytes += weight(&key, None);
            events.push(Event::Delete { key, revision });
        } else {
            let value = blob(row, 3).map_err(internal)?;
            bytes += weight(&key, Some(&value));
            events.push(Event::Put(Entry {
                key,
                value,
                revision,
            }));
        }
        if bytes >= HISTORY_BYTES {
            return Ok((events, revision));
        }
    }
    Ok((events, goal))
}
