//! What the machine's engines do by themselves: the reference for the store's own rates.

use std::path::Path;
use std::time::{Duration, Instant};

use etcd_client::{Compare, CompareOp, ResponseHeader, Txn, TxnOp};
use rusqlite::Connection;

use crate::etcd::{EtcdOptions, client};
use crate::sqlite::database::{internal, set_durable};
use crate::{Result, StoreError};

/// Where the measurement puts its keys in etcd.
const RAW_PREFIX: &str = "/mosaic-raw-rate/";

/// How many rows a second SQLite inserts on a directory's disk, under the settings of the store
/// (write-ahead log, each commit durable) but into one plain table, `batch` rows of `value_size` bytes a
/// transaction, measured for `time`. Blocks the thread; leaves nothing behind.
///
/// # Errors
/// If the directory cannot be written to.
pub fn raw_batch_rate(
    directory: &Path,
    value_size: usize,
    batch: usize,
    time: Duration,
) -> Result<f64> {
    let path = directory.join(format!("raw-rate-{}.db", std::process::id()));
    std::fs::create_dir_all(directory).map_err(|error| {
        StoreError::Internal(format!("cannot create {}: {error}", directory.display()))
    })?;
    let rate = insert_rate(&path, value_size, batch.max(1), time).map_err(internal);
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    rate
}

fn insert_rate(
    path: &Path,
    value_size: usize,
    batch: usize,
    time: Duration,
) -> rusqlite::Result<f64> {
    let mut connection = Connection::open(path)?;
    set_durable(&connection)?;
    connection.execute_batch(
        "CREATE TABLE raw (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB)",
    )?;
    let value = vec![b'v'; value_size];
    let mut rows = 0_u32;
    let start = Instant::now();
    while start.elapsed() < time {
        let transaction = connection.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO raw (key, value) VALUES (?1, ?2)")?;
            for _ in 0..batch {
                rows = rows.saturating_add(1);
                insert.execute((format!("/configmaps/default/raw-{rows}"), &value))?;
            }
        }
        transaction.commit()?;
    }
    Ok(f64::from(rows) / start.elapsed().as_secs_f64())
}

/// A write of etcd's whose rate [`raw_etcd_rate`] measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawWrite {
    /// A bare put, which overwrites whatever is there.
    Put,
    /// A transaction that puts a key if it is absent: what every safe create costs etcd.
    Create,
}

/// How many writes a second an etcd cluster takes from so many concurrent clients, `count` writes of
/// `value_size` bytes in all, each of another key below `/mosaic-raw-rate/`.
///
/// What was written stays: etcd 3.4 keeps a buffer as large as the largest deletion, and copies it for every
/// later transaction.
///
/// # Errors
/// If a write fails.
pub async fn raw_etcd_rate(
    endpoints: &[String],
    options: &EtcdOptions,
    write: RawWrite,
    value_size: usize,
    clients: usize,
    count: usize,
) -> Result<f64> {
    let clients = clients.max(1);
    let failed = |error: etcd_client::Error| StoreError::Unavailable(format!("etcd: {error}"));
    let mut first = client(endpoints, options).await?.kv_client();
    // Connects, so that this is not measured; the revision makes the keys those of this call.
    let answer = first.get(RAW_PREFIX, None).await.map_err(failed)?;
    let run = answer.header().map_or(0, ResponseHeader::revision);
    let start = Instant::now();
    let mut tasks = Vec::with_capacity(clients);
    for number in 0..clients {
        let mut kv = first.clone();
        let share = count / clients + usize::from(number < count % clients);
        tasks.push(tokio::spawn(async move {
            let value = vec![b'v'; value_size];
            for turn in 0..share {
                let key = format!("{RAW_PREFIX}{run}-{number}-{turn}");
                match write {
                    RawWrite::Put => {
                        kv.put(key, value.clone(), None).await?;
                    }
                    RawWrite::Create => {
                        let absent = Compare::mod_revision(key.clone(), CompareOp::Equal, 0);
                        let put = TxnOp::put(key, value.clone(), None);
                        kv.txn(Txn::new().when([absent]).and_then([put])).await?;
                    }
                }
            }
            Ok(())
        }));
    }
    let mut result = Ok(());
    for task in tasks {
        let done = task
            .await
            .map_err(|error| StoreError::Internal(error.to_string()))?;
        result = result.and(done.map_err(failed));
    }
    result?;
    Ok(f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / start.elapsed().as_secs_f64())
}
