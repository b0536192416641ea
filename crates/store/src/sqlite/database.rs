//! The database file: its schema, its settings, and what its errors mean.
//!
//! ```text
//! log     one row a write, in the order of revisions     revision │ previous │ deleted │ key │ value
//! by_key  the same by key, without the values            key │ revision │ deleted
//! state   numbers that outlive a restart                 compacted, swept, indexed
//! ```
//!
//! A key's present is its last row; its past, the rows before. A write appends to the log and does
//! nothing else; `by_key` follows in larger pieces, up to the revision `indexed` (see [`super::tail`]).
//! `previous` is the row that a row overwrites, so compaction walks the log once and finds what is
//! obsolete without searching.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::tail::Tail;
use super::visible::Version;
use crate::keys::key_from_bytes;
use crate::{Result, Revision, StoreError};

/// The name of the database in its directory.
pub(crate) const FILE: &str = "state.db";
/// Written into the file, so that a later layout is not mistaken for this one.
const FORMAT: i64 = 1;
/// A value of 2 to 3 KB leaves less of a page of this size unused than of a smaller one.
pub(crate) const PAGE_SIZE: u32 = 8192;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
    Checkpointer,
}

/// The settings under which a file is written, also by the measurement of the raw rate.
pub(crate) fn set_durable(connection: &Connection) -> rusqlite::Result<()> {
    // Has an effect on a new file only.
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -8192)?;
    Ok(())
}

/// Opens a connection; the writer's creates the file.
pub(crate) fn connect(path: &Path, role: Role) -> rusqlite::Result<Connection> {
    let access = match role {
        Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Role::Checkpointer => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match role {
        Role::Writer => {
            set_durable(&connection)?;
            // The checkpointer does it, beside the writer instead of in its way.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            connection.pragma_update(
                None,
                "journal_size_limit",
                to_sql(super::checkpoint::HARD_BYTES),
            )?;
        }
        Role::Reader | Role::Checkpointer => {
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.pragma_update(None, "cache_size", -512)?;
        }
    }
    Ok(connection)
}

/// What a database knows when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) revision: Revision,
    /// The oldest revision that can be read.
    pub(crate) compacted: Revision,
    /// Up to which revision obsolete rows have been deleted.
    pub(crate) swept: Revision,
}

const SCHEMA: &str = "
    CREATE TABLE log (
        revision INTEGER PRIMARY KEY,
        previous INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB
    ) STRICT;
    CREATE TABLE by_key (
        key BLOB NOT NULL,
        revision INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        PRIMARY KEY (key, revision)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE state (
        name TEXT PRIMARY KEY,
        number INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO state VALUES ('compacted', 0), ('swept', 0), ('indexed', 0);
";

/// Creates or checks the schema, and reads what the index by key does not have yet.
pub(crate) fn prepare(connection: &mut Connection, directory: &Path) -> Result<(Opened, Tail)> {
    let format: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| write_error(error, directory))?;
    match format {
        FORMAT => {}
        0 => create(connection).map_err(|error| write_error(error, directory))?,
        other => {
            return Err(StoreError::Internal(format!(
                "it has format {other}, and this version knows {FORMAT}"
            )));
        }
    }
    let transaction = connection.transaction().map_err(internal)?;
    let opened = Opened {
        revision: current_revision(&transaction).map_err(internal)?,
        compacted: state_number(&transaction, "compacted").map_err(internal)?,
        swept: state_number(&transaction, "swept").map_err(internal)?,
    };
    let tail = read_tail(&transaction)?;
    Ok((opened, tail))
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn read_tail(connection: &Connection) -> Result<Tail> {
    let indexed = state_number(connection, "indexed").map_err(internal)?;
    let mut statement = connection
        .prepare("SELECT key, revision, deleted FROM log WHERE revision > ?1 ORDER BY revision")
        .map_err(internal)?;
    let mut rows = statement.query([to_sql(indexed)]).map_err(internal)?;
    let mut versions = Vec::new();
    while let Some(row) = rows.next().map_err(internal)? {
        let version = Version {
            revision: from_sql(row.get(1).map_err(internal)?),
            deleted: row.get(2).map_err(internal)?,
        };
        versions.push((key_from_bytes(row.get(0).map_err(internal)?)?, version));
    }
    let tail = Tail::default();
    let reached = current_revision(connection).map_err(internal)?;
    tail.advance(indexed, versions, reached);
    Ok(tail)
}

/// The latest revision. An empty store is at 1, so that 0 can mean "none".
///
/// A row that compaction took away was no later than the revision that was compacted to, so this
/// does not go back.
pub(crate) fn current_revision(connection: &Connection) -> rusqlite::Result<Revision> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(revision) FROM log")?
        .query_row([], |row| row.get(0))?;
    let compacted = state_number(connection, "compacted")?;
    Ok(from_sql(last.unwrap_or(0)).max(compacted).max(1))
}

pub(crate) fn state_number(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let number: Option<i64> = connection
        .prepare_cached("SELECT number FROM state WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(from_sql(number.unwrap_or(0)))
}

pub(crate) fn set_state_number(
    connection: &Connection,
    name: &str,
    number: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE state SET number = ?2 WHERE name = ?1")?
        .execute((name, to_sql(number)))?;
    Ok(())
}

/// SQLite's integers have a sign; revisions never reach it.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// An error of a read.
pub(crate) fn internal(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(error.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Unavailable(error.to_string())
        }
        _ => StoreError::Internal(format!("sqlite: {error}")),
    }
}

/// An error of a write in a directory. An input or output error can be a full disk, which only the
/// disk can tell; otherwise it leaves open whether the write will be there after a crash.
pub(crate) fn write_error(error: rusqlite::Error, directory: &Path) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) if is_full(directory) => {
            StoreError::Full(error.to_string())
        }
        Some(ErrorCode::SystemIoFailure) => {
            StoreError::Unavailable(format!("the store's disk: {error}"))
        }
        _ => internal(error),
    }
}

fn is_full(directory: &Path) -> bool {
    let probe: PathBuf = directory.join("space-probe");
    let written = std::fs::File::create(&probe).and_then(|mut file| {
        file.write_all(&[0; 64 << 10])?;
        file.sync_all()
    });
    let _ = std::fs::remove_file(&probe);
    written.is_err_and(|error| {
        matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        )
    })
}
