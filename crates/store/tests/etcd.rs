//! What only the engine on etcd promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mosaic_store::{Etcd, EtcdOptions, Event, Expect, Revision, Store, StoreError};
use rand::Rng;
use support::etcd::{Cluster, impatient};
use support::{changes_until, create, list, next, put};

/// Two servers on one cluster see each other's writes; another prefix sees none of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_share_a_cluster() {
    let cluster = Cluster::start(1, &[]).await;
    let one: Arc<dyn Store> = Arc::new(cluster.connect("/mosaic").await);
    let two: Arc<dyn Store> = Arc::new(cluster.connect("/mosaic").await);
    let other: Arc<dyn Store> = Arc::new(cluster.connect("/other").await);
    assert!(!one.exclusive());
    let start = two.revision().await.unwrap();
    let mut events = two.watch("/a/", start).await.unwrap();
    let mut foreign = other.watch("", start).await.unwrap();
    let revision = create(&one, "/a/x", "one").await;
    assert_eq!(two.get("/a/x").await.unwrap().unwrap().revision, revision);
    assert!(two.revision().await.unwrap() >= revision);
    let changes = changes_until(&mut events, start, revision).await;
    assert_eq!(changes.len(), 1);
    let update = put("/a/x", Expect::At(revision), "two");
    let revision = two.write(update.clone()).await.unwrap();
    assert!(matches!(
        one.write(update).await,
        Err(StoreError::Conflict { actual, .. }) if actual == Some(revision)
    ));

    // The foreign write moved the revision; a watch that sees none of it gets there nevertheless.
    let goal = other.revision().await.unwrap();
    assert!(goal >= revision);
    assert_eq!(changes_until(&mut foreign, start, goal).await, []);
    assert_eq!(list(&other, "").await.entries, []);
    // What the store wrote for itself does not show.
    let mut all = other.watch("", start).await.unwrap();
    let goal = other.revision().await.unwrap();
    assert_eq!(changes_until(&mut all, start, goal).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_is_away_is_unavailable_and_comes_back() {
    let mut cluster = Cluster::start(1, &[]).await;
    let options = EtcdOptions {
        request_timeout: Duration::from_millis(600),
        watch_patience: Duration::from_millis(1500),
        ..EtcdOptions::default()
    };
    let store: Arc<dyn Store> = Arc::new(cluster.connect_with("/mosaic", options.clone()).await);
    let revision = create(&store, "/a/x", "v").await;
    let mut events = store.watch("/a/", revision).await.unwrap();
    cluster.members[0].kill();
    let unavailable = |error: StoreError| {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    };
    unavailable(store.get("/a/x").await.unwrap_err());
    unavailable(store.revision().await.unwrap_err());
    let write = put("/a/y", Expect::Absent, "v");
    unavailable(store.write(write).await.unwrap_err());
    unavailable(store.watch("/a/", revision).await.err().unwrap());
    // Those who wait together fail together.
    let asking = (0..50).map(|_| store.revision());
    for answer in futures::future::join_all(asking).await {
        unavailable(answer.unwrap_err());
    }
    // An open watch ends instead of being silent for ever.
    loop {
        match next(&mut events).await {
            Ok(Event::Progress(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break unavailable(error),
        }
    }
    let nobody = Etcd::connect(&cluster.endpoints(), "/mosaic", options).await;
    unavailable(nobody.err().unwrap());

    cluster.members[0].start();
    let deadline = tokio::time::Instant::now() + support::PATIENCE;
    while store.get("/a/x").await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
    }
    let mut events = store.watch("/a/", revision).await.unwrap();
    let last = create(&store, "/a/z", "v").await;
    let changes = changes_until(&mut events, revision, last).await;
    assert_eq!(support::show(changes.last().unwrap()), "/a/z=v");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_up_quota_is_a_full_disk() {
    let cluster = Cluster::start(1, &["--quota-backend-bytes", "8388608"]).await;
    let store: Arc<dyn Store> = Arc::new(cluster.connect("/mosaic").await);
    let value = vec![1_u8; 400_000];
    let mut written = 0;
    let error = loop {
        let key = format!("/a/{written:03}");
        match store.write(put(&key, Expect::Absent, value.clone())).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 500, "the quota is never reached");
    };
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert_eq!(list(&store, "/a/").await.entries.len(), written);
    let again = store.write(put("/b", Expect::Absent, "v")).await;
    assert!(matches!(again, Err(StoreError::Full(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_etcd_is_refused() {
    let cluster = Cluster::start(1, &[]).await;
    let store: Arc<dyn Store> = Arc::new(cluster.connect("/mosaic").await);
    let result = store
        .write(put("/a/x", Expect::Absent, vec![0; 5 << 20]))
        .await;
    assert!(
        matches!(&result, Err(StoreError::TooLarge(_))),
        "{result:?}"
    );
    assert_eq!(store.get("/a/x").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_and_certificates_are_checked() {
    let connect = async |endpoints: &[&str], tls| {
        let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        let options = EtcdOptions {
            tls,
            request_timeout: Duration::from_millis(300),
            ..EtcdOptions::default()
        };
        Etcd::connect(&endpoints, "", options)
            .await
            .err()
            .expect("there is no such etcd")
            .to_string()
    };
    assert!(connect(&[], None).await.contains("no etcd endpoint"));
    let no_ca = connect(&["https://127.0.0.1:1"], None).await;
    assert!(no_ca.contains("certificate authority"), "{no_ca}");
    let no_file = connect(
        &["https://127.0.0.1:1"],
        Some(mosaic_store::EtcdTls {
            ca: Some("/nonexistent/ca.pem".into()),
            ..Default::default()
        }),
    )
    .await;
    assert!(no_file.contains("/nonexistent/ca.pem"), "{no_file}");
    let refused = connect(&["http://127.0.0.1:1"], None).await;
    assert!(refused.contains("cannot be reached"), "{refused}");
}

/// Members are killed at random under writes: what was acknowledged is there, a watch sees it all, and
/// the store goes on. `MOSAIC_STORE_MEMBER_KILLS` says how often (4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_may_die() {
    const WRITERS: usize = 6;
    let kills: usize = std::env::var("MOSAIC_STORE_MEMBER_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(4);
    let mut cluster = Cluster::start(3, &[]).await;
    let store: Arc<dyn Store> = Arc::new(cluster.connect_with("/mosaic", impatient()).await);
    let start = create(&store, "/first", "v").await;
    let mut events = store.watch("/a/", start).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let acks = Arc::new(tokio::sync::Mutex::new(Vec::<(String, Revision)>::new()));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (store, stopped, acks) = (store.clone(), stopped.clone(), acks.clone());
        writers.push(tokio::spawn(async move {
            let mut unknown = 0;
            for number in 0.. {
                if *stopped.borrow() {
                    break;
                }
                let key = format!("/a/{writer}-{number}");
                match store.write(put(&key, Expect::Absent, "v")).await {
                    Ok(revision) => acks.lock().await.push((key, revision)),
                    Err(StoreError::Unavailable(_)) => unknown += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            unknown
        }));
    }
    for kill in 0..kills {
        wait_for_acks(&acks, 50).await;
        let victim = rand::rng().random_range(0..cluster.members.len());
        cluster.members[victim].kill();
        // Two of three are enough to go on with.
        wait_for_acks(&acks, 50).await;
        cluster.members[victim].start();
        wait_for_answer(&cluster.members[victim].endpoint).await;
        println!(
            "kill {kill} of member {victim}: {} acknowledged",
            acks.lock().await.len()
        );
    }
    stop.send(true).unwrap();
    let mut unknown = 0;
    for writer in writers {
        unknown += writer.await.unwrap();
    }
    let acks = acks.lock().await.clone();
    println!("{} acknowledged, {unknown} unknown", acks.len());
    let page = list(&store, "/a/").await;
    let stored: HashMap<_, _> = page
        .entries
        .iter()
        .map(|entry| (entry.key.to_string(), entry.revision))
        .collect();
    for (key, revision) in &acks {
        assert_eq!(stored.get(key), Some(revision), "{key}");
    }
    assert!(stored.len() <= acks.len() + unknown);
    let goal = store.revision().await.unwrap();
    let changes = changes_until(&mut events, start, goal).await;
    assert_eq!(changes.len(), stored.len());
}

async fn wait_for_acks(acks: &tokio::sync::Mutex<Vec<(String, Revision)>>, more: usize) {
    let goal = acks.lock().await.len() + more;
    let deadline = tokio::time::Instant::now() + support::PATIENCE;
    while acks.lock().await.len() < goal {
        assert!(
            tokio::time::Instant::now() < deadline,
            "writes do not go on"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a member is part of the cluster again.
async fn wait_for_answer(endpoint: &str) {
    let deadline = tokio::time::Instant::now() + support::PATIENCE;
    while Etcd::connect(&[endpoint.to_owned()], "/probe", impatient())
        .await
        .is_err()
    {
        assert!(tokio::time::Instant::now() < deadline, "{endpoint}");
    }
}

/// A member that hangs (its process is stopped) keeps its connections open and answers nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_may_hang() {
    let cluster = Cluster::start(3, &[]).await;
    let options = EtcdOptions {
        request_timeout: Duration::from_millis(1500),
        ..EtcdOptions::default()
    };
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for _ in 0..4 {
        // Each store knows all members, and starts with whichever it likes.
        stores.push(Arc::new(
            cluster.connect_with("/mosaic", options.clone()).await,
        ));
    }
    let start = create(&stores[0], "/first", "v").await;
    let mut watches = Vec::new();
    for store in &stores {
        watches.push(store.watch("/a/", start).await.unwrap());
    }
    let pid = cluster.members[0].pid();
    signal("-STOP", pid);
    for (number, store) in stores.iter().enumerate() {
        // A read finds another member; a write whose member hangs is of unknown outcome at worst once.
        assert!(store.get("/first").await.unwrap().is_some());
        let key = format!("/a/{number}");
        let deadline = tokio::time::Instant::now() + support::PATIENCE;
        loop {
            match store.write(put(&key, Expect::Absent, "v")).await {
                Ok(_) | Err(StoreError::Conflict { .. }) => break,
                Err(StoreError::Unavailable(_)) => {}
                Err(other) => panic!("{other}"),
            }
            assert!(tokio::time::Instant::now() < deadline);
        }
    }
    for (store, watch) in stores.iter().zip(&mut watches) {
        let goal = store.revision().await.unwrap();
        assert_eq!(changes_until(watch, start, goal).await.len(), stores.len());
    }
    signal("-CONT", pid);
}

fn signal(signal: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}
