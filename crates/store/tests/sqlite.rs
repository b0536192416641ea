//! What only the embedded engine promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use futures::StreamExt;
use mosaic_store::{Expect, Sqlite, Store, StoreError};
use support::{PATIENCE, create, delete, list, next, put};

fn open(directory: &std::path::Path) -> Arc<dyn Store> {
    Arc::new(Sqlite::open(directory).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_belongs_to_one_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let Err(error) = Sqlite::open(directory.path()) else {
        panic!("opened twice");
    };
    assert!(error.to_string().contains("in use by another"), "{error}");
    let revision = create(&store, "/a/x", "v").await;
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.revision().await.unwrap(), revision);
    assert!(store.exclusive());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_store_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("state.db"),
        "no database at all".repeat(1000),
    )
    .unwrap();
    let Err(error) = Sqlite::open(directory.path()) else {
        panic!("opened");
    };
    assert!(error.to_string().contains("state.db"), "{error}");

    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let connection = rusqlite::Connection::open(directory.path().join("state.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let Err(error) = Sqlite::open(directory.path()) else {
        panic!("opened");
    };
    assert!(error.to_string().contains("format 99"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_the_watches_and_keeps_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut events = store.watch("/a/", 1).await.unwrap();
    create(&store, "/a/x", "v").await;
    next(&mut events).await.unwrap();
    drop(store);
    assert!(matches!(
        next(&mut events).await,
        Err(StoreError::Unavailable(_))
    ));
    let ended = tokio::time::timeout(PATIENCE, events.next()).await.unwrap();
    assert!(ended.is_none());
    assert_eq!(list(&open(directory.path()), "/a/").await.entries.len(), 1);
}

/// A watch that nobody reads is cut off; it can be taken up again where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_watch_holds_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut slow = store.watch("/a/", 1).await.unwrap();
    create(&store, "/a/first", "v").await;
    next(&mut slow).await.unwrap();
    let mut tasks = Vec::new();
    for writer in 0..64 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..150 {
                create(&store, &format!("/a/{writer}-{number}"), "v").await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let goal = store.revision().await.unwrap();
    let mut last = 0;
    loop {
        match next(&mut slow).await {
            Ok(event) => last = support::revision_of(&event),
            Err(error) => {
                assert!(error.to_string().contains("too slow"), "{error}");
                break;
            }
        }
    }
    assert!(last < goal);
    let mut again = store.watch("/a/", last).await.unwrap();
    let rest = support::changes_until(&mut again, last, goal).await;
    assert_eq!(rest.len() as u64, goal - last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_gives_space_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut at = create(&store, "/a/x", "v").await;
    let big = vec![1_u8; 100_000];
    for _ in 0..400 {
        at = store
            .write(put("/a/x", Expect::At(at), big.clone()))
            .await
            .unwrap();
    }
    let kept = create(&store, "/a/y", "kept").await;
    at = store.write(delete("/a/x", at)).await.unwrap();
    store.compact(at).await.unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.revision().await.unwrap(), at);
    let size = || {
        std::fs::metadata(directory.path().join("state.db"))
            .unwrap()
            .len()
    };
    // The file shrinks between batches, and on disk when the log has been moved.
    create(&store, "/a/z", "v").await;
    let deadline = std::time::Instant::now() + PATIENCE;
    while size() > 10 << 20 {
        assert!(std::time::Instant::now() < deadline, "{} bytes", size());
        store
            .compact(store.revision().await.unwrap())
            .await
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(store.get("/a/y").await.unwrap().unwrap().revision, kept);
}

/// The log does not grow with the number of writes, also if they never pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let value = vec![1_u8; 200_000];
    let mut tasks = Vec::new();
    for writer in 0..8 {
        let (store, value) = (store.clone(), value.clone());
        tasks.push(tokio::spawn(async move {
            for number in 0..120 {
                let key = format!("/a/{writer}/{number}");
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
    let log = std::fs::metadata(directory.path().join("state.db-wal"))
        .unwrap()
        .len();
    assert!(log < 100 << 20, "the log has {log} bytes after 192 MB");
}
