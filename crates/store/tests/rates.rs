//! How fast it is, for people to read: `cargo test -p mosaic-store --test rates -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mosaic_store::{EtcdOptions, Expect, Sqlite, Store, raw_batch_rate, raw_put_rate};
use support::etcd::Cluster;
use support::{create, put};

const VALUE: usize = 2048;

async fn write_rate(store: &Arc<dyn Store>, writers: usize, each: usize) -> f64 {
    let value = bytes::Bytes::from(vec![b'v'; VALUE]);
    let start = Instant::now();
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let (store, value) = (store.clone(), value.clone());
        tasks.push(tokio::spawn(async move {
            for number in 0..each {
                let key = format!("/configmaps/default/bench-{writer}-{number}");
                store
                    .write(put(&key, Expect::Absent, value.clone()))
                    .await
                    .unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    (writers * each) as f64 / start.elapsed().as_secs_f64()
}

fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a check"]
async fn sqlite_rates() {
    for round in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let raw =
            |batch| raw_batch_rate(directory.path(), VALUE, batch, Duration::from_secs(2)).unwrap();
        for (writers, each) in [(1, 2000), (64, 1000), (256, 250)] {
            let store = Sqlite::open(directory.path().join(writers.to_string())).unwrap();
            let store: Arc<dyn Store> = Arc::new(store);
            let before = raw(writers);
            let bytes = written_bytes();
            let rate = write_rate(&store, writers, each).await;
            let bytes = (written_bytes() - bytes) / (writers * each) as u64;
            let after = raw(writers);
            println!(
                "{round}: {writers} writers: {rate:.0}/s ({bytes} bytes a row); raw, batches of {writers}: {before:.0}/s before, {after:.0}/s after"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a check"]
async fn sqlite_memory() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        line.unwrap().to_owned()
    };
    println!("before: {}", resident());
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(directory.path()).unwrap());
    println!("opened: {}", resident());
    write_rate(&store, 64, 1000).await;
    println!("after 64,000 writes: {}", resident());
    drop(store);
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(directory.path()).unwrap());
    let start = Instant::now();
    let keys = support::list(&store, "/").await.entries.len();
    println!("list of {keys}: {:?}, {}", start.elapsed(), resident());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a check"]
async fn etcd_rates() {
    let cluster = Cluster::start(1, &[]).await;
    let store: Arc<dyn Store> = Arc::new(cluster.connect("/mosaic").await);
    let options = EtcdOptions::default();
    let raw = raw_put_rate(&cluster.endpoints(), &options, VALUE, 64, 10_000)
        .await
        .unwrap();
    println!("raw, 64 clients: {raw:.0}/s");
    let rate = write_rate(&store, 64, 150).await;
    println!("store, 64 writers: {rate:.0}/s");
}

/// Latency of single writes at a fixed pace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a check"]
async fn sqlite_latency() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(directory.path()).unwrap());
    let mut at = create(&store, "/a/x", "v").await;
    let mut times = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    for _ in 0..5000 {
        ticks.tick().await;
        let start = Instant::now();
        at = store
            .write(put("/a/x", Expect::At(at), vec![b'v'; VALUE]))
            .await
            .unwrap();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    for percent in [50, 90, 99] {
        println!("p{percent}: {:?}", times[times.len() * percent / 100]);
    }
    println!("max: {:?}", times.last().unwrap());
}
