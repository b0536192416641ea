//! What both engines must do. Each function takes a store of its own, empty but for what an engine
//! counts as its beginning.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mosaic_store::{Event, Expect, ListOptions, Store, StoreError};

use super::*;

type Subject = Arc<dyn Store>;

pub async fn create_update_delete(store: Subject) {
    assert_eq!(store.get("/a/x").await.unwrap(), None);
    let created = create(&store, "/a/x", "one").await;
    let entry = store.get("/a/x").await.unwrap().unwrap();
    assert_eq!(
        (&*entry.key, &*entry.value, entry.revision),
        ("/a/x", &b"one"[..], created)
    );

    let updated = store
        .write(put("/a/x", Expect::At(created), "two"))
        .await
        .unwrap();
    assert!(updated > created);
    assert_eq!(&*store.get("/a/x").await.unwrap().unwrap().value, b"two");

    let deleted = store.write(delete("/a/x", updated)).await.unwrap();
    assert!(deleted > updated);
    assert_eq!(store.get("/a/x").await.unwrap(), None);
    assert!(store.revision().await.unwrap() >= deleted);

    let again = create(&store, "/a/x", "").await;
    assert!(again > deleted);
    assert!(store.get("/a/x").await.unwrap().unwrap().value.is_empty());
}

pub async fn a_conflict_tells_the_actual_revision(store: Subject) {
    let revision = create(&store, "/a/x", "one").await;
    let missing = store.write(delete("/a/none", revision)).await;
    assert!(matches!(
        missing,
        Err(StoreError::Conflict { actual: None, .. })
    ));
    for write in [
        put("/a/x", Expect::Absent, "two"),
        put("/a/x", Expect::At(revision - 1), "two"),
        put("/a/x", Expect::At(revision + 1), "two"),
        put("/a/x", Expect::At(0), "two"),
        delete("/a/x", revision + 7),
    ] {
        match store.write(write.clone()).await {
            Err(StoreError::Conflict { key, actual }) => {
                assert_eq!((&*key, actual), ("/a/x", Some(revision)), "{write:?}");
            }
            other => panic!("{write:?} gave {other:?}"),
        }
    }
    let absent = store.write(put("/a/y", Expect::At(0), "two")).await;
    assert!(matches!(
        absent,
        Err(StoreError::Conflict { actual: None, .. })
    ));
    let deleted = store.write(delete("/a/x", revision)).await.unwrap();
    for stale in [revision, deleted] {
        assert!(matches!(
            store.write(put("/a/x", Expect::At(stale), "two")).await,
            Err(StoreError::Conflict { actual: None, .. })
        ));
    }
    assert_eq!(list(&store, "/a/").await.entries.len(), 0);
}

pub async fn senseless_writes_are_refused(store: Subject) {
    let no_value = mosaic_store::Write {
        key: "/a/x".into(),
        expect: Expect::Absent,
        value: None,
    };
    for write in [
        no_value,
        put("", Expect::Absent, "v"),
        put("\0mine", Expect::Absent, "v"),
        put(&"k".repeat(5000), Expect::Absent, "v"),
    ] {
        assert!(matches!(
            store.write(write).await,
            Err(StoreError::Internal(_))
        ));
    }
    assert_eq!(list(&store, "").await.entries, []);
}

pub async fn who_is_not_polled_holds_up_nobody(store: Subject) {
    let mut set_aside = Vec::new();
    for _ in 0..3 {
        let mut asking = store.revision();
        // Begun, and then left alone, as in a branch of a select that another branch was faster than.
        let _ = futures::poll!(&mut asking);
        set_aside.push(asking);
    }
    let others = async {
        store.revision().await.unwrap();
        store.get("/a").await.unwrap();
        list(&store, "/").await;
    };
    let answered = tokio::time::timeout(std::time::Duration::from_secs(60), others).await;
    answered.expect("an answer to who is polled");
}

pub async fn lists_are_ordered_and_can_be_paged(store: Subject) {
    for key in ["/a/c", "/a/a", "/b/a", "/a/b", "/a/d", "/a"] {
        create(&store, key, key).await;
    }
    let all = list(&store, "/a/").await;
    assert_eq!(keys(&all), ["/a/a", "/a/b", "/a/c", "/a/d"]);
    assert_eq!(all.remaining, 0);
    assert_eq!(all.revision, store.revision().await.unwrap());
    assert!(all.entries.iter().all(|e| e.key.as_bytes() == &*e.value));

    let page = |after: Option<&str>, limit| ListOptions {
        at: Some(all.revision),
        after: after.map(Into::into),
        limit: Some(limit),
        ..ListOptions::default()
    };
    let first = store.list("/a/", page(None, 3)).await.unwrap();
    assert_eq!(keys(&first), ["/a/a", "/a/b", "/a/c"]);
    assert_eq!((first.remaining, first.revision), (1, all.revision));

    // What happens between two pages does not show.
    let c = first.entries.last().unwrap().revision;
    store.write(delete("/a/c", c)).await.unwrap();
    create(&store, "/a/e", "new").await;
    let second = store.list("/a/", page(Some("/a/c"), 3)).await.unwrap();
    assert_eq!(keys(&second), ["/a/d"]);
    assert_eq!((second.remaining, second.revision), (0, all.revision));

    let exact = store.list("/a/", page(Some("/a/b"), 2)).await.unwrap();
    assert_eq!((keys(&exact), exact.remaining), (vec!["/a/c", "/a/d"], 0));
    let none = store.list("/a/", page(None, 0)).await.unwrap();
    assert_eq!((none.entries.len(), none.remaining), (0, 4));
    let before = store.list("/a/", page(Some("/"), 9)).await.unwrap();
    assert_eq!(before.entries.len(), 4);
    // Keys are their values, of four bytes each.
    let few = |bytes| ListOptions {
        bytes: Some(bytes),
        ..page(None, 9)
    };
    let begun = store.list("/a/", few(5)).await.unwrap();
    assert_eq!((keys(&begun), begun.remaining), (vec!["/a/a", "/a/b"], 2));
    let reached = store.list("/a/", few(4)).await.unwrap();
    assert_eq!((keys(&reached), reached.remaining), (vec!["/a/a"], 3));
    let past = store.list("/a/", page(Some("/a/zz"), 9)).await.unwrap();
    assert_eq!((past.entries.len(), past.remaining), (0, 0));
    assert_eq!(list(&store, "").await.entries.len(), 6);
}

pub async fn an_older_revision_can_be_listed(store: Subject) {
    let mut states: Vec<(Revision, BTreeMap<String, String>)> = Vec::new();
    let mut state = BTreeMap::new();
    let mut revisions = BTreeMap::new();
    for step in 0..40_u32 {
        let key = format!("/a/{}", step * 7 % 5);
        let value = step.to_string();
        let write = match revisions.get(&key) {
            None => put(&key, Expect::Absent, value.clone()),
            Some(&at) if step % 3 == 0 => delete(&key, at),
            Some(&at) => put(&key, Expect::At(at), value.clone()),
        };
        let deletes = write.value.is_none();
        let revision = store.write(write).await.unwrap();
        if deletes {
            revisions.remove(&key);
            state.remove(&key);
        } else {
            revisions.insert(key.clone(), revision);
            state.insert(key, value);
        }
        states.push((revision, state.clone()));
    }
    for (revision, state) in states {
        let options = ListOptions {
            at: Some(revision),
            ..ListOptions::default()
        };
        let page = store.list("/a/", options).await.unwrap();
        assert_eq!(page.revision, revision);
        let seen: BTreeMap<_, _> = page
            .entries
            .iter()
            .map(|e| {
                let value = String::from_utf8_lossy(&e.value).into_owned();
                (e.key.to_string(), value)
            })
            .collect();
        assert_eq!(seen, state, "at {revision}");
    }
}

pub async fn prefixes_do_not_leak(store: Subject) {
    for key in ["/a/b", "/a/b/x", "/a/bc", "/a/bc/x", "/a/c", "/a0", "/a"] {
        create(&store, key, "v").await;
    }
    for (prefix, expected) in [
        ("/a/b/", &["/a/b/x"][..]),
        ("/a/bc", &["/a/bc", "/a/bc/x"]),
        ("/a/b", &["/a/b", "/a/b/x", "/a/bc", "/a/bc/x"]),
        ("/a/d", &[]),
    ] {
        assert_eq!(keys(&list(&store, prefix).await), expected, "{prefix}");
        let mut events = store.watch(prefix, 0).await.unwrap();
        let goal = store.revision().await.unwrap();
        let mut seen: Vec<_> = changes_until(&mut events, 0, goal)
            .await
            .iter()
            .map(show)
            .collect();
        seen.sort();
        let mut expected: Vec<_> = expected.iter().map(|key| format!("{key}=v")).collect();
        expected.sort();
        assert_eq!(seen, expected, "{prefix}");
    }
}

pub async fn a_watch_replays_and_then_follows(store: Subject) {
    let start = store.revision().await.unwrap();
    let x = create(&store, "/a/x", "1").await;
    create(&store, "/b/x", "1").await;
    let y = create(&store, "/a/y", "1").await;
    let mut all = store.watch("/a/", start).await.unwrap();
    let mut late = store.watch("/a/", x).await.unwrap();
    let mut live = store
        .watch("/a/", store.revision().await.unwrap())
        .await
        .unwrap();
    let x2 = store.write(put("/a/x", Expect::At(x), "2")).await.unwrap();
    create(&store, "/b/y", "1").await;
    let last = store.write(delete("/a/y", y)).await.unwrap();
    assert!(last > x2);

    let show_all = |events: Vec<Event>| events.iter().map(show).collect::<Vec<_>>();
    assert_eq!(
        show_all(changes_until(&mut all, start, last).await),
        ["/a/x=1", "/a/y=1", "/a/x=2", "/a/y deleted"]
    );
    assert_eq!(
        show_all(changes_until(&mut late, x, last).await),
        ["/a/y=1", "/a/x=2", "/a/y deleted"]
    );
    assert_eq!(
        show_all(changes_until(&mut live, y, last).await),
        ["/a/x=2", "/a/y deleted"]
    );
}

/// Watches that start at any moment see every change once, in order, while many write.
pub async fn watches_keep_the_order_of_concurrent_writers(store: Subject) {
    const WRITERS: usize = 16;
    const WRITES: usize = 40;
    let start = store.revision().await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.push(tokio::spawn(async move {
            let key = format!("/a/{writer:02}");
            let mut at = create(&store, &key, "0").await;
            let mut acked = vec![at];
            for write in 1..WRITES {
                at = store
                    .write(put(&key, Expect::At(at), write.to_string()))
                    .await
                    .unwrap();
                acked.push(at);
            }
            acked
        }));
    }
    let mut watchers = Vec::new();
    for number in 0..8 {
        let store = store.clone();
        watchers.push(tokio::spawn(async move {
            let after = if number % 2 == 0 {
                start
            } else {
                store.revision().await.unwrap()
            };
            (after, store.watch("/a/", after).await.unwrap())
        }));
        tokio::task::yield_now().await;
    }
    let mut acked = HashSet::new();
    for writer in writers {
        for revision in writer.await.unwrap() {
            assert!(acked.insert(revision), "revision {revision} given twice");
        }
    }
    let goal = *acked.iter().max().unwrap();
    assert!(store.revision().await.unwrap() >= goal);
    for watcher in watchers {
        let (after, mut events) = watcher.await.unwrap();
        let changes = changes_until(&mut events, after, goal).await;
        let seen: HashSet<_> = changes.iter().map(revision_of).collect();
        let expected: HashSet<_> = acked.iter().copied().filter(|r| *r > after).collect();
        assert_eq!(seen, expected, "after {after}");
        let mut last_of_key = BTreeMap::new();
        for change in &changes {
            let Event::Put(entry) = change else {
                panic!("{change:?}")
            };
            let value: usize = String::from_utf8_lossy(&entry.value).parse().unwrap();
            if let Some(before) = last_of_key.insert(entry.key.clone(), value) {
                assert_eq!(value, before + 1, "{}", entry.key);
            }
        }
    }
}

/// Of those who write one key at once, each time one wins, and nothing is lost.
pub async fn concurrent_writers_of_one_key_take_turns(store: Subject) {
    create(&store, "/a/counter", "0").await;
    let mut tasks = Vec::new();
    for _ in 0..12 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut done = 0;
            while done < 10 {
                let entry = store.get("/a/counter").await.unwrap().unwrap();
                let count: u32 = String::from_utf8_lossy(&entry.value).parse().unwrap();
                let write = put(
                    "/a/counter",
                    Expect::At(entry.revision),
                    (count + 1).to_string(),
                );
                match store.write(write).await {
                    Ok(_) => done += 1,
                    Err(StoreError::Conflict { actual, .. }) => {
                        assert!(actual.unwrap() > entry.revision);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(
        &*store.get("/a/counter").await.unwrap().unwrap().value,
        b"120"
    );
}

pub async fn many_writers_create_at_once(store: Subject) {
    let mut tasks = Vec::new();
    for writer in 0..200 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let revision = create(&store, &format!("/a/{writer:03}"), "v").await;
            assert!(store.revision().await.unwrap() >= revision);
            let entry = store.get(&format!("/a/{writer:03}")).await.unwrap();
            assert_eq!(entry.unwrap().revision, revision);
            revision
        }));
    }
    let mut revisions = HashSet::new();
    for task in tasks {
        assert!(revisions.insert(task.await.unwrap()));
    }
    let page = list(&store, "/a/").await;
    assert_eq!(page.entries.len(), 200);
    assert!(page.entries.is_sorted_by(|a, b| a.key < b.key));
}

pub async fn compaction_forgets_what_was_before(store: Subject) {
    let x = create(&store, "/a/x", "1").await;
    let y = create(&store, "/a/y", "1").await;
    let x2 = store.write(put("/a/x", Expect::At(x), "2")).await.unwrap();
    let gone = store.write(delete("/a/y", y)).await.unwrap();
    let z = create(&store, "/a/z", "1").await;
    let mut open = store.watch("/a/", z).await.unwrap();

    assert!(matches!(
        store.compact(z + 1000).await,
        Err(StoreError::Future { asked, .. }) if asked == z + 1000
    ));
    store.compact(gone).await.unwrap();
    // Again, and to an older one: nothing to do.
    store.compact(gone).await.unwrap();
    store.compact(x).await.unwrap();

    for asked in [0, 1, x, x2] {
        let at = ListOptions {
            at: Some(asked),
            ..ListOptions::default()
        };
        match store.list("/a/", at).await {
            Err(StoreError::Compacted { asked: a, oldest }) => {
                assert_eq!((a, oldest), (asked, gone));
            }
            other => panic!("list at {asked}: {other:?}"),
        }
        match store.watch("/a/", asked).await {
            Err(StoreError::Compacted { asked: a, oldest }) => {
                assert_eq!((a, oldest), (asked, gone));
            }
            Err(other) => panic!("watch after {asked}: {other}"),
            Ok(_) => panic!("watch after {asked} was opened"),
        }
    }
    let at = |revision| ListOptions {
        at: Some(revision),
        ..ListOptions::default()
    };
    let then = store.list("/a/", at(gone)).await.unwrap();
    assert_eq!(keys(&then), ["/a/x"]);
    assert_eq!((then.entries[0].revision, then.revision), (x2, gone));
    assert_eq!(keys(&list(&store, "/a/").await), ["/a/x", "/a/z"]);

    let mut kept = store.watch("/a/", gone).await.unwrap();
    let last = create(&store, "/a/w", "1").await;
    for (events, after, expected) in [
        (&mut kept, gone, &["/a/z=1", "/a/w=1"][..]),
        (&mut open, z, &["/a/w=1"]),
    ] {
        let seen = changes_until(events, after, last).await;
        assert_eq!(seen.iter().map(show).collect::<Vec<_>>(), expected);
    }
    // Compacting to the very last revision, a deletion, does not set the revision back.
    let w = store.write(delete("/a/w", last)).await.unwrap();
    store.compact(w).await.unwrap();
    assert!(store.revision().await.unwrap() >= w);
    assert!(create(&store, "/a/w", "1").await > w);
}

pub async fn the_future_is_an_error(store: Subject) {
    let current = create(&store, "/a/x", "1").await;
    let asked = current + 1000;
    let at = ListOptions {
        at: Some(asked),
        ..ListOptions::default()
    };
    match store.list("/a/", at).await {
        Err(StoreError::Future {
            asked: a,
            current: c,
        }) => {
            assert_eq!((a, c), (asked, current));
        }
        other => panic!("{other:?}"),
    }
    match store.watch("/a/", asked).await {
        Err(StoreError::Future {
            asked: a,
            current: c,
        }) => {
            assert_eq!((a, c), (asked, current));
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a watch of the future was opened"),
    }
}

pub async fn every_watch_reaches_the_revision(store: Subject) {
    let mut idle = store.watch("/idle/", 0).await.unwrap();
    let mut reached = 0;
    for round in 0..20 {
        create(&store, &format!("/busy/{round}"), "v").await;
        let goal = store.revision().await.unwrap();
        assert!(goal > reached);
        while reached < goal {
            match next(&mut idle).await.unwrap() {
                Event::Progress(revision) => {
                    assert!(
                        revision > reached,
                        "progress went from {reached} to {revision}"
                    );
                    reached = revision;
                }
                other => panic!("{other:?}"),
            }
        }
        // A watch that is opened only now gets there too.
        let mut late = store.watch("/idle/", goal - 1).await.unwrap();
        assert_eq!(changes_until(&mut late, goal - 1, goal).await, []);
    }
}

pub async fn revisions_only_grow(store: Subject) {
    let mut last = store.revision().await.unwrap();
    assert!(last >= 1);
    for round in 0..50 {
        let revision = create(&store, &format!("/a/{round}"), "v").await;
        assert!(revision > last);
        let now = store.revision().await.unwrap();
        assert!(now >= revision);
        assert_eq!(list(&store, "/none/").await.revision, now);
        last = now;
    }
}

pub async fn large_values(store: Subject) {
    let value: Vec<u8> = (0..3 << 19).map(|i: u32| (i % 251) as u8).collect();
    let start = store.revision().await.unwrap();
    let mut live = store.watch("/big/", start).await.unwrap();
    let mut last = 0;
    for number in 0..12 {
        let key = format!("/big/{number:02}");
        last = store
            .write(put(&key, Expect::Absent, value.clone()))
            .await
            .unwrap();
    }
    assert_eq!(
        store.get("/big/03").await.unwrap().unwrap().value,
        value.as_slice()
    );
    let page = list(&store, "/big/").await;
    assert_eq!(page.entries.len(), 12);
    assert!(page.entries.iter().all(|e| e.value == value.as_slice()));
    let mut replay = store.watch("/big/", start).await.unwrap();
    for events in [&mut live, &mut replay] {
        let changes = changes_until(events, start, last).await;
        assert_eq!(changes.len(), 12);
        for change in changes {
            assert!(matches!(change, Event::Put(e) if e.value == value.as_slice()));
        }
    }
}

pub async fn keys_are_any_text(store: Subject) {
    let mut names = vec![
        "/a/naïve",
        "/a/ключ",
        "/a/鍵",
        "/a/🗝",
        "/a/ ",
        "/a/%2F",
        "/a/'\"",
        "/a/a\u{0}b",
        "/a/\u{10ffff}",
        "/a/\u{7f}",
    ];
    let start = store.revision().await.unwrap();
    for name in &names {
        create(&store, name, name).await;
    }
    names.sort_unstable();
    let page = list(&store, "/a/").await;
    assert_eq!(keys(&page), names);
    for name in &names {
        let entry = store.get(name).await.unwrap().unwrap();
        assert_eq!(entry.value, name.as_bytes());
        assert_eq!(keys(&list(&store, name).await), [*name]);
    }
    let mut events = store.watch("/a/", start).await.unwrap();
    let changes = changes_until(&mut events, start, page.revision).await;
    assert_eq!(changes.len(), names.len());
}

/// More history than one piece of a replay.
pub async fn a_long_history_is_replayed_whole(store: Subject) {
    const KEYS: usize = 50;
    const ROUNDS: usize = 60;
    let start = store.revision().await.unwrap();
    let mut tasks = Vec::new();
    for key in 0..KEYS {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let key = format!("/{}/{key}", ["a", "b"][key % 2]);
            let mut at = create(&store, &key, "0").await;
            for round in 1..ROUNDS {
                at = store
                    .write(put(&key, Expect::At(at), round.to_string()))
                    .await
                    .unwrap();
            }
            at
        }));
    }
    let mut goal = 0;
    for task in tasks {
        goal = goal.max(task.await.unwrap());
    }
    let mut events = store.watch("/a/", start).await.unwrap();
    let changes = changes_until(&mut events, start, goal).await;
    assert_eq!(changes.len(), KEYS / 2 * ROUNDS);
    let next_write = create(&store, "/a/last", "v").await;
    let changes = changes_until(&mut events, goal, next_write).await;
    assert_eq!(changes.iter().map(show).collect::<Vec<_>>(), ["/a/last=v"]);
}
