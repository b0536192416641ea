//! Random histories against a plain model in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use mosaic_store::{
    Entry, Event, Expect, ListOptions, Memory, Revision, Sqlite, Store, StoreError, Write,
};
use proptest::prelude::*;
use support::changes_until;
use support::etcd::Cluster;

/// Where the keys of one case lie, and what its operations may ask for.
#[derive(Debug, Clone)]
enum Operation {
    Write {
        key: usize,
        expect: Guess,
        /// The value's length; none deletes.
        value: Option<usize>,
    },
    Get(usize),
    List {
        prefix: usize,
        back: Option<u64>,
        after: Option<usize>,
        limit: Option<usize>,
    },
    Watch {
        prefix: usize,
        back: u64,
    },
    Compact {
        back: u64,
    },
    Reopen,
}

/// What a write expects, relative to what is.
#[derive(Debug, Clone, Copy)]
enum Guess {
    Right,
    Absent,
    Off(u64),
}

const KEYS: [&str; 8] = [
    "/a", "/a/b", "/a/b/c", "/a/bc", "/a/ü", "/b", "/b/a", "/b/a/z",
];
const PREFIXES: [&str; 7] = ["", "/", "/a", "/a/b", "/a/b/", "/b/", "/c"];

fn operation() -> impl Strategy<Value = Operation> {
    let guess = prop_oneof![
        6 => Just(Guess::Right),
        1 => Just(Guess::Absent),
        1 => (0..4_u64).prop_map(Guess::Off),
    ];
    let value = prop_oneof![3 => (0..3000_usize).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        10 => (0..KEYS.len(), guess, value)
            .prop_map(|(key, expect, value)| Operation::Write { key, expect, value }),
        1 => (0..KEYS.len()).prop_map(Operation::Get),
        3 => (
            0..PREFIXES.len(),
            proptest::option::of(0..20_u64),
            proptest::option::of(0..KEYS.len()),
            proptest::option::of(0..6_usize)
        )
            .prop_map(|(prefix, back, after, limit)| Operation::List { prefix, back, after, limit }),
        2 => (0..PREFIXES.len(), 0..20_u64)
            .prop_map(|(prefix, back)| Operation::Watch { prefix, back }),
        1 => (0..12_u64).prop_map(|back| Operation::Compact { back }),
        1 => Just(Operation::Reopen),
    ]
}

/// All that ever happened.
struct Model {
    start: Revision,
    current: Revision,
    compacted: Revision,
    changes: Vec<Event>,
}

impl Model {
    fn at(&self, revision: Revision) -> BTreeMap<Arc<str>, Entry> {
        let mut state = BTreeMap::new();
        for change in &self.changes {
            match change {
                Event::Put(entry) if entry.revision <= revision => {
                    state.insert(entry.key.clone(), entry.clone());
                }
                Event::Delete { key, revision: at } if *at <= revision => {
                    state.remove(key);
                }
                _ => {}
            }
        }
        state
    }

    fn after(&self, prefix: &str, revision: Revision) -> Vec<Event> {
        self.changes
            .iter()
            .filter(|change| match change {
                Event::Put(entry) => entry.revision > revision && entry.key.starts_with(prefix),
                Event::Delete { key, revision: at } => *at > revision && key.starts_with(prefix),
                Event::Progress(_) => false,
            })
            .cloned()
            .collect()
    }

    fn back(&self, back: u64) -> Revision {
        self.current.saturating_sub(back).max(self.start)
    }
}

async fn run_write(
    store: &Arc<dyn Store>,
    model: &mut Model,
    key: &str,
    guess: Guess,
    value: Option<usize>,
) {
    let actual = model.at(model.current).get(key).map(|e| e.revision);
    let expect = match (guess, actual) {
        (Guess::Right, Some(at)) => Expect::At(at),
        (Guess::Right, None) if value.is_none() => return,
        (Guess::Absent, _) if value.is_none() => return,
        (Guess::Right, None) | (Guess::Absent, _) => Expect::Absent,
        (Guess::Off(by), actual) => Expect::At(actual.unwrap_or(model.current).saturating_sub(by)),
    };
    let holds = match expect {
        Expect::Absent => actual.is_none(),
        Expect::At(at) => actual == Some(at),
    };
    let value = value.map(|length| bytes::Bytes::from(vec![b'v'; length]));
    let write = Write {
        key: key.into(),
        expect,
        value: value.clone(),
    };
    match store.write(write).await {
        Ok(revision) => {
            assert!(
                holds,
                "{key} was written against {expect:?}, it is {actual:?}"
            );
            assert!(revision > model.current);
            model.current = revision;
            model.changes.push(match value {
                Some(value) => Event::Put(Entry {
                    key: key.into(),
                    value,
                    revision,
                }),
                None => Event::Delete {
                    key: key.into(),
                    revision,
                },
            });
        }
        Err(StoreError::Conflict { key: k, actual: a }) => {
            assert!(!holds);
            assert_eq!((&*k, a), (key, actual));
        }
        Err(other) => panic!("{other}"),
    }
}

async fn run_list(store: &Arc<dyn Store>, model: &Model, prefix: &str, options: ListOptions) {
    let at = options.at.unwrap_or(model.current);
    let result = store.list(prefix, options.clone()).await;
    if at < model.compacted {
        assert!(
            matches!(result, Err(StoreError::Compacted { asked, .. }) if asked == at),
            "{result:?}"
        );
        return;
    }
    let page = result.unwrap();
    let mut expected: Vec<Entry> = model
        .at(at)
        .into_values()
        .filter(|e| e.key.starts_with(prefix))
        .filter(|e| options.after.as_ref().is_none_or(|after| e.key > *after))
        .collect();
    let all = expected.len();
    expected.truncate(options.limit.unwrap_or(usize::MAX));
    assert_eq!(page.remaining, (all - expected.len()) as u64, "{options:?}");
    assert_eq!(page.entries, expected, "{prefix} {options:?}");
    assert!(page.revision >= at);
}

async fn run(
    mut store: Arc<dyn Store>,
    operations: Vec<Operation>,
    reopen: Option<&dyn Fn() -> Arc<dyn Store>>,
) {
    let start = store.revision().await.unwrap();
    let mut model = Model {
        start,
        current: start,
        compacted: 0,
        changes: Vec::new(),
    };
    for operation in operations {
        match operation {
            Operation::Write { key, expect, value } => {
                run_write(&store, &mut model, KEYS[key], expect, value).await;
            }
            Operation::Get(key) => {
                let entry = store.get(KEYS[key]).await.unwrap();
                assert_eq!(entry.as_ref(), model.at(model.current).get(KEYS[key]));
            }
            Operation::List {
                prefix,
                back,
                after,
                limit,
            } => {
                let options = ListOptions {
                    at: back.map(|back| model.back(back)),
                    after: after.map(|key| KEYS[key].into()),
                    limit,
                    ..ListOptions::default()
                };
                run_list(&store, &model, PREFIXES[prefix], options).await;
            }
            Operation::Watch { prefix, back } => {
                let (prefix, after) = (PREFIXES[prefix], model.back(back));
                match store.watch(prefix, after).await {
                    Ok(mut events) => {
                        assert!(after >= model.compacted);
                        let goal = store.revision().await.unwrap();
                        assert!(goal >= model.current);
                        let seen = changes_until(&mut events, after, goal).await;
                        assert_eq!(seen, model.after(prefix, after), "{prefix} after {after}");
                    }
                    Err(StoreError::Compacted { asked, .. }) => {
                        assert_eq!(asked, after);
                        assert!(after < model.compacted);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            Operation::Compact { back } => {
                let to = model.back(back);
                store.compact(to).await.unwrap();
                model.compacted = model.compacted.max(to);
            }
            Operation::Reopen => {
                if let Some(reopen) = reopen {
                    drop(store);
                    store = reopen();
                    assert_eq!(store.revision().await.unwrap(), model.current);
                }
            }
        }
    }
    run_list(&store, &model, "", ListOptions::default()).await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_does_as_the_model(operations in proptest::collection::vec(operation(), 1..80)) {
        let directory = tempfile::tempdir().unwrap();
        // Who closed the store a moment ago may not have let go of it yet.
        let open = || -> Arc<dyn Store> {
            let opened = std::iter::repeat_with(|| Sqlite::open(directory.path()));
            let in_use = |error: &StoreError| error.to_string().contains("in use");
            let mut settled = opened.take(100_000).filter(|opened| !opened.as_ref().is_err_and(in_use));
            Arc::new(settled.next().expect("a store that was let go of").unwrap())
        };
        runtime().block_on(run(open(), operations, Some(&open)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn memory_does_as_the_model(operations in proptest::collection::vec(operation(), 1..80)) {
        let memory = Memory::new();
        let open = || -> Arc<dyn Store> { Arc::new(memory.clone()) };
        runtime().block_on(run(open(), operations, Some(&open)));
    }
}

#[test]
fn etcd_does_as_the_model() {
    let runtime = runtime();
    let cluster = runtime.block_on(Cluster::start(1, &[]));
    let config = ProptestConfig {
        cases: 16,
        ..ProptestConfig::with_source_file(file!())
    };
    let mut case = 0;
    let number = std::cell::RefCell::new(&mut case);
    proptest!(config, |(operations in proptest::collection::vec(operation(), 1..60))| {
        // Each case in a key space of its own; the names are of one length.
        let prefix = {
            let mut number = number.borrow_mut();
            **number += 1;
            format!("/case{:04}", **number)
        };
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(cluster.connect(&prefix).await);
            run(store, operations, None).await;
        });
    });
}
