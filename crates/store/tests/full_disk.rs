//! A full disk: writes fail and say so, reads go on, and it recovers when there is room.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use mosaic_store::{Expect, ListOptions, Sqlite, SqliteOptions, Store, StoreError};
use support::{changes_until, create, delete, list, put};

/// A small file system, unmounted when dropped.
struct SmallDisk(PathBuf, #[allow(dead_code)] tempfile::TempDir);

impl SmallDisk {
    /// None where a test may not mount.
    fn mount(mebibytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(path, directory)),
            other => {
                eprintln!("a file system cannot be mounted here ({other:?})");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes until the disk is full; answers with how many writes were acknowledged.
async fn fill(store: &Arc<dyn Store>, name: &str) -> usize {
    for number in 0..20_000 {
        let key = format!("/{name}/{number:05}");
        match store.write(put(&key, Expect::Absent, vec![7; 8000])).await {
            Ok(_) => {}
            Err(StoreError::Full(_)) => return number,
            Err(other) => panic!("write {number}: {other}"),
        }
    }
    panic!("the disk does not get full");
}

async fn check_reads(store: &Arc<dyn Store>, name: &str, written: usize) {
    let page = list(store, &format!("/{name}/")).await;
    assert_eq!(page.entries.len(), written);
    assert!(page.entries.iter().all(|entry| entry.value.len() == 8000));
    let at = ListOptions {
        at: Some(page.entries[written / 2].revision),
        ..ListOptions::default()
    };
    let half = store.list(&format!("/{name}/"), at).await.unwrap();
    assert_eq!(half.entries.len(), written / 2 + 1);
    let entry = store.get(&format!("/{name}/00000")).await.unwrap();
    assert_eq!(entry.unwrap().value.len(), 8000);
    let mut events = store.watch(&format!("/{name}/"), 1).await.unwrap();
    let goal = store.revision().await.unwrap();
    assert_eq!(changes_until(&mut events, 1, goal).await.len(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_writes_only() {
    let Some(disk) = SmallDisk::mount(24) else {
        eprintln!("skipped: the test of the size limit stands in");
        return;
    };
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![0; 6 << 20]).unwrap();
    let data = disk.0.join("data");
    let open = || -> Arc<dyn Store> { Arc::new(Sqlite::open(&data).unwrap()) };
    let store = open();
    let written = fill(&store, "first").await;
    assert!(written > 100, "{written}");
    check_reads(&store, "first", written).await;
    // It stays full, for many at once as well.
    let mut tasks = Vec::new();
    for task in 0..20 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            store
                .write(put(
                    &format!("/many/{task}"),
                    Expect::Absent,
                    vec![7; 60_000],
                ))
                .await
        }));
    }
    for task in tasks {
        if let Err(error) = task.await.unwrap() {
            assert!(matches!(error, StoreError::Full(_)), "{error}");
        }
    }
    let before = store.revision().await.unwrap();

    std::fs::remove_file(&ballast).unwrap();
    let revision = create(&store, "/again", "v").await;
    assert!(revision > before);
    let page = list(&store, "/first/").await;
    assert_eq!(page.entries.len(), written);

    // Full again, and the process ends: all that was acknowledged is there.
    let more = fill(&store, "second").await;
    check_integrity(&data);
    drop(store);
    let store = open();
    check_reads(&store, "first", written).await;
    assert_eq!(list(&store, "/second/").await.entries.len(), more);
    assert_eq!(list(&store, "/first/").await.entries.len(), written);
    drop(store);
    check_integrity(&data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_limit_is_like_a_full_disk() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        max_bytes: Some(8 << 20),
    };
    let store: Arc<dyn Store> = Arc::new(Sqlite::open_with(directory.path(), &options).unwrap());
    let written = fill(&store, "first").await;
    assert!(written > 100, "{written}");
    check_reads(&store, "first", written).await;

    // With a higher limit, or room on the disk, it goes on where it was.
    drop(store);
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(directory.path()).unwrap());
    create(&store, "/again", "v").await;
    assert_eq!(list(&store, "/first/").await.entries.len(), written);

    // Compaction makes room that does not need the limit raised again.
    for entry in list(&store, "/first/").await.entries.iter().skip(1) {
        store
            .write(delete(&entry.key, entry.revision))
            .await
            .unwrap();
    }
    let revision = store.revision().await.unwrap();
    store.compact(revision).await.unwrap();
    drop(store);
    let store: Arc<dyn Store> = Arc::new(Sqlite::open_with(directory.path(), &options).unwrap());
    let more = fill(&store, "second").await;
    assert!(more > written / 2, "{more}");
    drop(store);
    check_integrity(directory.path());
}

fn check_integrity(directory: &Path) {
    let connection = rusqlite::Connection::open_with_flags(
        directory.join("state.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .unwrap();
    let answer: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(answer, "ok");
}
