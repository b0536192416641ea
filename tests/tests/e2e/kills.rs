//! `kill -9` at random moments under writes: of the server, of a member of etcd, of one of two servers.
//! After each: what was acknowledged is there, versions have not gone back, and who watches misses
//! nothing or is told so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use mosaic_tests::{Etcd, Http, Server, Watch, wait_until};
use rand::Rng;
use serde_json::Value;

use crate::{config_map, config_maps, kills, names, server_on, version};

fn path() -> String {
    config_maps("default")
}

fn watch_from(http: &Http, version: u64) -> anyhow::Result<Watch> {
    http.try_watch(&format!(
        "{}?watch=true&resourceVersion={version}&allowWatchBookmarks=true",
        path()
    ))
}

fn name_of(event: &Value) -> &str {
    event["object"]["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
}

/// What writers were told.
#[derive(Default)]
struct Ledger {
    /// The version of each object that was acknowledged.
    acknowledged: BTreeMap<String, u64>,
    /// The newest version that anybody has seen.
    newest: u64,
}

impl Ledger {
    fn add(&mut self, acknowledged: Vec<(String, u64)>) {
        for (name, version) in acknowledged {
            self.newest = self.newest.max(version);
            let twice = self.acknowledged.insert(name.clone(), version);
            assert_eq!(twice, None, "{name} was created twice");
        }
    }

    /// Everything is there, as it was acknowledged, and the versions did not go back.
    fn check(&mut self, http: &Http) {
        let list = http.get(&path()).ok();
        let stored: BTreeMap<&str, u64> = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .zip(names(&list))
            .map(|(item, name)| (name, version(item)))
            .collect();
        for (name, version) in &self.acknowledged {
            let found = stored.get(name.as_str());
            assert_eq!(found, Some(version), "{name} was acknowledged");
        }
        let now = version(&list);
        assert!(now >= self.newest, "at {now} after {}", self.newest);
        self.newest = now;
    }
}

/// Creates objects until `stop` or, where nobody tells it to, until there is no answer. A write whose answer is an
/// error or does not come is not in the list: it may have happened or not.
fn write(http: &Http, prefix: &str, stop: &AtomicBool, count: &AtomicUsize) -> Vec<(String, u64)> {
    let mut acknowledged = Vec::new();
    for i in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("{prefix}-{i}");
        match http.try_post(&path(), &config_map(&name)) {
            Ok(answer) if answer.status == 201 => {
                acknowledged.push((name, version(&answer.json())));
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {}
            // Nobody listens any more.
            Err(_) => break,
        }
    }
    acknowledged
}

/// Four writers at work on a server while `during` runs; it gets the count of what was acknowledged.
fn while_writing(
    http: &Http,
    prefix: &str,
    during: impl FnOnce(&AtomicUsize),
) -> Vec<(String, u64)> {
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (stop, count) = (&stop, &count);
                scope.spawn(move || write(http, &format!("{prefix}-w{writer}"), stop, count))
            })
            .collect();
        during(&count);
        stop.store(true, Ordering::Relaxed);
        writers
            .into_iter()
            .flat_map(|writer| writer.join().expect("a writer"))
            .collect()
    })
}

/// Waits for some more acknowledged writes: a random number, so that what follows comes at a random moment.
fn some_writes(count: &AtomicUsize) {
    let goal = count.load(Ordering::Relaxed) + rand::rng().random_range(1..120);
    wait_until("writes", || count.load(Ordering::Relaxed) >= goal);
}

/// A watcher that goes on after its watch broke hears of each of these once, or is told 410. `told` is
/// what it heard before, from version `since` on.
fn check_watcher(
    http: &Http,
    mut told: Vec<Value>,
    since: u64,
    marker: &str,
    of: &[(String, u64)],
) {
    let last = told.iter().map(|event| version(&event["object"])).max();
    let watch = match watch_from(http, last.unwrap_or(since)) {
        Ok(watch) => watch,
        Err(error) => {
            assert!(error.to_string().contains("410"), "{error}");
            return;
        }
    };
    http.post(&path(), &config_map(marker)).ok();
    let events = watch.until(|event| event["object"]["code"] == 410 || name_of(event) == marker);
    if events.iter().any(|event| event["object"]["code"] == 410) {
        return;
    }
    told.extend(events);
    heard_once(&told, of);
}

fn heard_once(told: &[Value], of: &[(String, u64)]) {
    let mut heard: BTreeMap<&str, usize> = BTreeMap::new();
    for event in told.iter().filter(|event| event["type"] != "BOOKMARK") {
        *heard.entry(name_of(event)).or_default() += 1;
    }
    for (name, _) in of {
        let times = heard.get(name.as_str()).copied().unwrap_or(0);
        assert_eq!(times, 1, "the watcher heard {times} times of {name}");
    }
}

/// What a watch told before it broke.
fn rest(watch: &Watch) -> Vec<Value> {
    std::iter::from_fn(|| watch.next()).collect()
}

#[test]
fn a_server_that_is_killed_while_it_writes_loses_nothing_that_it_acknowledged() {
    let server = Server::start();
    let mut ledger = Ledger::default();
    for round in 0..kills(20) {
        let http = server.http();
        ledger.check(&http);
        let since = ledger.newest;
        let watch = watch_from(&http, since).expect("a watch");
        let written = while_writing(&http, &format!("r{round}"), |count| {
            some_writes(count);
            server.kill();
        });
        let told = rest(&watch);
        server.start_again();
        let http = server.http();
        ledger.add(written.clone());
        ledger.check(&http);
        let never = told.iter().map(|event| version(&event["object"])).max();
        assert!(
            never <= Some(ledger.newest),
            "a watcher was told of what never was"
        );
        check_watcher(&http, told, since, &format!("r{round}-marker"), &written);
    }
}

#[test]
fn a_member_of_etcd_is_killed_under_writes_and_nothing_is_lost() {
    let mut etcd = Etcd::start(3);
    let server = server_on(&etcd);
    let http = server.http();
    let mut ledger = Ledger::default();
    for round in 0..kills(5) {
        ledger.check(&http);
        let watch = watch_from(&http, ledger.newest).expect("a watch");
        let member = rand::rng().random_range(0..etcd.len());
        let written = while_writing(&http, &format!("r{round}"), |count| {
            some_writes(count);
            etcd.kill(member);
            // Two of three are enough to go on with.
            some_writes(count);
            etcd.start_again(member);
            some_writes(count);
        });
        ledger.add(written.clone());
        ledger.check(&http);
        let marker = format!("r{round}-marker");
        http.post(&path(), &config_map(&marker)).ok();
        let told = watch.until(|event| name_of(event) == marker);
        heard_once(&told, &written);
    }
}

#[test]
fn one_of_two_servers_is_killed_under_writes_and_nothing_is_lost() {
    let etcd = Etcd::start(1);
    let servers = [server_on(&etcd), server_on(&etcd)];
    let mut ledger = Ledger::default();
    for round in 0..kills(5) {
        let at = rand::rng().random_range(0..2);
        let (victim, other) = (&servers[at], &servers[1 - at]);
        ledger.check(&other.http());
        let since = ledger.newest;
        let lost = watch_from(&victim.http(), since).expect("a watch");
        let kept = watch_from(&other.http(), since).expect("a watch");

        let mut of_victim = Vec::new();
        let of_other = while_writing(&other.http(), &format!("r{round}-other"), |count| {
            of_victim = while_writing(&victim.http(), &format!("r{round}-victim"), |count| {
                some_writes(count);
                victim.kill();
            });
            some_writes(count);
        });
        let told = rest(&lost);
        let written: Vec<_> = of_victim.into_iter().chain(of_other).collect();
        ledger.add(written.clone());
        ledger.check(&other.http());
        // Who watched the dead one goes on at the other.
        let marker = format!("r{round}-marker");
        check_watcher(&other.http(), told, since, &marker, &written);
        heard_once(&kept.until(|event| name_of(event) == marker), &written);
        // What controllers do goes on.
        let namespace = other.namespace(&format!("r{round}"));
        wait_until("the new namespace's service account", || {
            let account = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
            other.http().get(&account).status == 200
        });
        victim.start_again();
        ledger.check(&victim.http());
    }
}
