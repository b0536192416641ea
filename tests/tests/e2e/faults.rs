//! Power cuts, dying members, full disks.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mosaic_tests::{Etcd, Http, PatchKind, Server, ServerOptions, Store, wait_until};
use rand::Rng;
use serde_json::{Value, json};

use crate::{config_map, config_maps, names, version};

/// How many times the kill loop kills; the long run is `MOSAIC_KILLS=200`.
fn kills() -> usize {
    std::env::var("MOSAIC_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20)
}

/// Writes until the server stops answering: what it acknowledged, as names and versions.
fn write_until_dead(http: &Http, prefix: &str, count: &AtomicUsize) -> Vec<(String, u64)> {
    let path = config_maps("default");
    let mut acknowledged = Vec::new();
    for i in 0.. {
        let name = format!("{prefix}-{i}");
        match http.try_post(&path, &config_map(&name)) {
            Ok(answer) if answer.status == 201 => {
                acknowledged.push((name, version(&answer.json())));
                count.fetch_add(1, Ordering::Relaxed);
            }
            _ => return acknowledged,
        }
    }
    acknowledged
}

#[test]
fn a_server_that_is_killed_while_it_writes_loses_nothing_that_it_acknowledged() {
    let server = Server::start();
    let path = config_maps("default");
    let mut seen_version = 0;
    let mut all: Vec<String> = Vec::new();
    for round in 0..kills() {
        let http = server.http();
        let list = http.get(&format!("{path}?limit=1")).ok();
        let now = version(&list);
        assert!(
            now >= seen_version,
            "round {round}: the version went back from {seen_version} to {now}"
        );

        let watch = http.watch(&format!(
            "{path}?watch=true&resourceVersion={now}&allowWatchBookmarks=true"
        ));
        let count = AtomicUsize::new(0);
        let kill_after = rand::rng().random_range(1..120);
        let acknowledged: Vec<(String, u64)> = thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (http, count) = (&http, &count);
                    scope.spawn(move || {
                        write_until_dead(http, &format!("r{round}-w{writer}"), count)
                    })
                })
                .collect();
            wait_until("enough writes", || {
                count.load(Ordering::Relaxed) >= kill_after
            });
            server.kill();
            writers
                .into_iter()
                .flat_map(|writer| writer.join().expect("a writer"))
                .collect()
        });
        let mut told = Vec::new();
        while let Some(event) = watch.next() {
            told.push(event);
        }

        server.start_again();
        let http = server.http();
        let list = http.get(&path).ok();
        let stored: BTreeSet<&str> = names(&list).into_iter().collect();
        all.extend(acknowledged.iter().map(|(name, _)| name.clone()));
        for name in &all {
            assert!(
                stored.contains(name.as_str()),
                "round {round}: {name} was acknowledged and is gone"
            );
        }
        let newest = acknowledged
            .iter()
            .map(|(_, version)| *version)
            .max()
            .unwrap_or(0);
        seen_version = version(&list);
        assert!(
            seen_version >= newest,
            "round {round}: at {seen_version} after {newest} was acknowledged"
        );
        let told_of = told
            .iter()
            .map(|event| version(&event["object"]))
            .max()
            .unwrap_or(now);
        assert!(
            told_of <= seen_version,
            "round {round}: a watcher was told of {told_of}, which never was"
        );

        // The watcher goes on from what it saw last and misses nothing, or is told that it cannot.
        let from = told_of;
        match http.try_watch(&format!("{path}?watch=true&resourceVersion={from}")) {
            Ok(watch) => {
                let marker = format!("r{round}-marker");
                http.post(&path, &config_map(&marker)).ok();
                let events = watch.until(|event| {
                    event["object"]["code"] == 410
                        || event["object"]["metadata"]["name"] == marker.as_str()
                });
                let gone = events.iter().any(|event| event["object"]["code"] == 410);
                told.extend(events);
                let missed = acknowledged.iter().find(|(name, _)| {
                    !told
                        .iter()
                        .any(|event| event["object"]["metadata"]["name"] == name.as_str())
                });
                assert!(
                    gone || missed.is_none(),
                    "round {round}: the watcher never heard of {missed:?}"
                );
                all.push(marker);
            }
            Err(error) => assert!(error.to_string().contains("410"), "round {round}: {error}"),
        }
    }
}

#[test]
fn a_member_of_etcd_dies_and_nothing_is_lost() {
    let mut etcd = Etcd::start(3);
    let options = ServerOptions {
        store: Store::Etcd(etcd.addresses()),
        ..ServerOptions::default()
    };
    let server = Server::start_with(options);
    let http = server.http();
    let path = config_maps("default");
    let start = version(&http.get(&path).ok());
    let watch = http.watch(&format!("{path}?watch=true&resourceVersion={start}"));
    let mut acknowledged = Vec::new();
    for member in 0..etcd.len() {
        // A write that is answered with an error may or may not be there; it is tried again.
        let mut write = |prefix: &str| {
            for i in 0..20 {
                let name = format!("m{member}-{prefix}-{i}");
                wait_until("a write", || {
                    http.try_post(&path, &config_map(&name))
                        .is_ok_and(|answer| [201, 409].contains(&answer.status))
                });
                acknowledged.push(name);
            }
        };
        write("before");
        etcd.kill(member);
        write("without");
        etcd.start_again(member);
        write("after");
    }
    let list = http.get(&path).ok();
    let stored = names(&list);
    for name in &acknowledged {
        assert!(
            stored.contains(&name.as_str()),
            "{name} was acknowledged and is gone"
        );
    }
    let last = acknowledged.last().expect("some").clone();
    let seen = watch.until(|event| event["object"]["metadata"]["name"] == last.as_str());
    for name in &acknowledged {
        let times = seen
            .iter()
            .filter(|event| event["object"]["metadata"]["name"] == name.as_str())
            .count();
        assert_eq!(times, 1, "the watcher heard {times} times of {name}");
    }
}

/// A file system of its own, of a few MiB, for as long as the value lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }

    fn resize(&self, size: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(self.0.path())
            .status();
        assert!(status.expect("mount").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_stops_writes_and_nothing_else() {
    let Some(disk) = SmallDisk::mount("24m") else {
        eprintln!("not tried: mounting a small file system takes root");
        return;
    };
    let data_dir = disk.0.path().join("data");
    let server = Server::start_with(ServerOptions {
        data_dir: Some(data_dir),
        ..ServerOptions::default()
    });
    let http = server.http();
    let path = config_maps("default");
    let large = |name: &str| {
        // Not compressible, should the store try.
        let noise: String = (0..500_000)
            .map(|_| char::from(rand::rng().random_range(b'a'..=b'z')))
            .collect();
        json!({"metadata": {"name": name}, "data": {"noise": noise}})
    };
    let mut stored = Vec::new();
    let refused = loop {
        let name = format!("c-{}", stored.len());
        let answer = http.post(&path, &large(&name));
        if answer.status != 201 {
            break answer;
        }
        stored.push(name);
        assert!(stored.len() < 100, "the disk never became full");
    };
    let status: Value = refused.json();
    assert_eq!(status["kind"], "Status");
    assert!(refused.status >= 500, "{refused}");
    assert!(
        status["message"]
            .as_str()
            .is_some_and(|text| text.contains("full")),
        "{refused}"
    );

    for _ in 0..3 {
        assert_eq!(
            names(
                &http
                    .get(&format!("{path}?fieldSelector=metadata.name%3Dc-0"))
                    .ok()
            ),
            ["c-0"]
        );
        http.get(&format!("{path}/c-0")).ok();
        assert_ne!(http.post(&path, &large("no-room")).status, 201);
    }
    http.get(&format!("{path}/no-room")).fails(404, "NotFound");

    disk.resize("96m");
    wait_until("writes to go on", || {
        http.post(&path, &config_map("room")).status == 201
    });
    http.patch(
        PatchKind::Merge,
        &format!("{path}/c-0"),
        &json!({"data": {"a": "b"}}),
    )
    .ok();
    server.kill();
    server.start_again();
    let http = server.http();
    for name in &stored {
        http.get(&format!("{path}/{name}")).ok();
    }
    http.get(&format!("{path}/room")).ok();
    drop(server);
}

#[test]
fn a_server_stops_cleanly_when_asked_to() {
    let server = Server::start();
    let http = server.http();
    let path = config_maps("default");
    let start = version(&http.get(&path).ok());
    let watch = http.watch(&format!("{path}?watch=true&resourceVersion={start}"));
    http.post(&path, &config_map("last")).ok();
    watch.until(|event| event["object"]["metadata"]["name"] == "last");
    assert_eq!(server.stop(), 0, "{}", server.log());
    while watch.next().is_some() {}
    server.start_again();
    server.http().get(&format!("{path}/last")).ok();
}
