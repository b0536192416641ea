//! `kill -9` at random moments: what was acknowledged is there, and revisions never go back.
//!
//! The test runs itself as the process that is killed. `MOSAIC_STORE_KILLS` says how often (25).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mosaic_store::{Expect, Revision, Sqlite, Store};
use rand::Rng;
use support::{create, delete, put};

const DIRECTORY: &str = "MOSAIC_STORE_CRASH_DIRECTORY";
const WRITERS: usize = 12;

/// Writes until it is killed, and says what was acknowledged. Does nothing in an ordinary test run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(directory).unwrap());
    say(&format!("open {}", store.revision().await.unwrap()));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.push(tokio::spawn(async move {
            let key = format!("/a/{writer}");
            let mut at = store.get(&key).await.unwrap().map(|e| e.revision);
            for count in 0_u64.. {
                let write = match at {
                    Some(at) if count % 17 == 16 => delete(&key, at),
                    Some(at) => put(&key, Expect::At(at), vec![b'v'; (count % 5000) as usize]),
                    None => put(&key, Expect::Absent, "new"),
                };
                let kind = match &write.value {
                    Some(value) => value.len().to_string(),
                    None => "deleted".into(),
                };
                let revision = store.write(write).await.unwrap();
                say(&format!("ack {writer} {revision} {kind}"));
                at = (kind != "deleted").then_some(revision);
                if writer == 0 && count % 50 == 49 {
                    store.compact(revision.saturating_sub(100)).await.unwrap();
                }
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The test that reads this may have what it wants.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

struct Acked {
    revision: Revision,
    /// The length of the value; none if the key was deleted.
    length: Option<usize>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    if std::env::var(DIRECTORY).is_ok() {
        return;
    }
    let kills = std::env::var("MOSAIC_STORE_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(25);
    let directory = tempfile::tempdir().unwrap();
    let mut acked: HashMap<usize, Acked> = HashMap::new();
    let mut highest = 0;
    let mut total = 0;
    for kill in 0..kills {
        let (lines, opened) = run_and_kill(directory.path());
        assert!(opened >= highest, "kill {kill}: {opened} < {highest}");
        total += lines.len();
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            let [_, writer, revision, kind] = words[..] else {
                panic!("{line}")
            };
            let revision: Revision = revision.parse().unwrap();
            highest = highest.max(revision);
            let acknowledged = Acked {
                revision,
                length: kind.parse().ok(),
            };
            acked.insert(writer.parse().unwrap(), acknowledged);
        }

        let store: Arc<dyn Store> = Arc::new(Sqlite::open(directory.path()).unwrap());
        let revision = store.revision().await.unwrap();
        assert!(revision >= highest, "kill {kill}: {revision} < {highest}");
        for (writer, acked) in &acked {
            let entry = store.get(&format!("/a/{writer}")).await.unwrap();
            // Its next write may have been made durable without having been acknowledged.
            match (&entry, acked.length) {
                (Some(entry), Some(length)) if entry.revision == acked.revision => {
                    assert_eq!(entry.value.len(), length);
                }
                (Some(entry), _) => assert!(entry.revision > acked.revision, "kill {kill}"),
                (None, Some(_)) => assert!(
                    revision > acked.revision && was_deleted(&store, *writer, acked.revision).await,
                    "kill {kill}: the write of {writer} at {} is lost",
                    acked.revision
                ),
                (None, None) => {}
            }
        }
        highest = create(&store, &format!("/check/{kill}"), "v").await;
        assert!(highest > revision);
    }
    println!("{kills} kills, {total} acknowledged writes");
    assert!(total > kills * WRITERS);
}

/// Whether a writer's key was deleted after a revision.
async fn was_deleted(store: &Arc<dyn Store>, writer: usize, after: Revision) -> bool {
    let key = format!("/a/{writer}");
    let mut events = store.watch(&key, after).await.unwrap();
    let goal = store.revision().await.unwrap();
    support::changes_until(&mut events, after, goal)
        .await
        .iter()
        .any(|event| support::show(event) == format!("{key} deleted"))
}

/// Runs the writing process for a random while. Answers with its acknowledgements and the revision at
/// which it opened the store.
fn run_and_kill(directory: &std::path::Path) -> (Vec<String>, Revision) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut opened = None;
    let mut acknowledged = Vec::new();
    let run_for = Duration::from_millis(rand::rng().random_range(0..120));
    let mut first: Option<Instant> = None;
    let mut killed = false;
    for line in output.lines() {
        let line = line.unwrap();
        // The last line may have been cut off by the kill; a whole one has all its words.
        if let Some(revision) = line.strip_prefix("open ") {
            opened = revision.parse().ok();
        } else if line.starts_with("ack ") && line.split(' ').count() == 4 {
            acknowledged.push(line);
            let since = first.get_or_insert_with(Instant::now);
            if !killed && since.elapsed() >= run_for {
                child.kill().unwrap();
                killed = true;
            }
        }
    }
    child.wait().unwrap();
    assert!(killed, "the writing process ended by itself");
    (acknowledged, opened.expect("it opened the store"))
}
