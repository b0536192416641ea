//! What the machine's engines do by themselves: the reference for the store's own rates.

use std::path::Path;
use std::time::{Duration, Instant};

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

/// How many puts a second an etcd cluster takes from so many concurrent clients, `count` puts of
/// `value_size` bytes in all. Deletes what it wrote.
///
/// # Errors
/// If a put fails.
pub async fn raw_put_rate(
    endpoints: &[String],
    options: &EtcdOptions,
    value_size: usize,
    clients: usize,
    count: usize,
) -> Result<f64> {
    let clients = clients.max(1);
    let failed = |error: etcd_client::Error| StoreError::Unavailable(format!("etcd: {error}"));
    let mut first = client(endpoints, options).await?.kv_client();
    // Connects, so that this is not measured.
    first.get(RAW_PREFIX, None).await.map_err(failed)?;
    let start = Instant::now();
    let mut tasks = Vec::with_capacity(clients);
    for number in 0..clients {
        let mut kv = first.clone();
        let share = count / clients + usize::from(number < count % clients);
        tasks.push(tokio::spawn(async move {
            let value = vec![b'v'; value_size];
            for put in 0..share {
                let key = format!("{RAW_PREFIX}{number}-{put}");
                kv.put(key, value.clone(), None).await?;
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
    let elapsed = start.elapsed().as_secs_f64();
    let all = etcd_client::DeleteOptions::new().with_prefix();
    let _ = first.delete(RAW_PREFIX, Some(all)).await;
    result?;
    Ok(f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / elapsed)
}
