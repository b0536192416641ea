//! The benchmark runs to its end and reports every figure; how fast anything is, is not tested.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{command, output};
use serde_json::Value;

/// The figures of each part, for whichever store.
const FIGURES: [&str; 30] = [
    "start_empty_ms",
    "idle_memory_mb",
    "configmap_creates_per_second",
    "configmap_create_p50_ms",
    "configmap_create_p99_ms",
    "configmap_create_server_cpu_us",
    "configmap_size_bytes",
    "configmap_creates_to_raw_ratio",
    "pod_creates_per_second",
    "pod_create_p50_ms",
    "pod_create_p99_ms",
    "pod_create_server_cpu_us",
    "pod_size_bytes",
    "pod_creates_to_raw_ratio",
    "gets_per_second",
    "get_p50_ms",
    "get_p99_ms",
    "get_server_cpu_us",
    "scale_pod_size_bytes",
    "scale_pod_creates_per_second",
    "scale_memory_mb",
    "events_per_write",
    "steady_writes_per_second",
    "steady_write_p50_ms",
    "steady_write_p99_ms",
    "steady_write_server_cpu_us",
    "list_pods_ms",
    "list_pods_size_mb",
    "scale_peak_memory_mb",
    "start_filled_ms",
];

fn figures(store: &str) -> Value {
    let text = output(command().args(["bench", "api", "--quick", "--json", "--store", store])).ok();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["conditions"]["store"], store);
    let figures = document["figures"].clone();
    for key in FIGURES {
        let figure = figures[key].as_f64();
        assert!(
            figure.is_some_and(|value| value > 0.0),
            "{key}: {figure:?} in {figures:#}"
        );
    }
    // A watcher is not told of what happens on other nodes.
    assert_eq!(figures["events_per_write"], 1.0);
    assert_eq!(figures["events_to_other_watchers"], 0.0);
    figures
}

#[test]
fn every_figure_is_there_with_sqlite() {
    let figures = figures("sqlite");
    assert!(figures["raw_sqlite_configmap_size_writes_per_second"].is_number());
}

#[test]
fn every_figure_is_there_with_etcd() {
    let figures = figures("etcd");
    assert!(figures["raw_etcd_configmap_size_creates_per_second"].is_number());
}

#[test]
fn a_missing_etcd_is_named() {
    let said = output(command().args([
        "bench",
        "api",
        "--quick",
        "--store",
        "etcd",
        "--etcd",
        "/nonexistent/etcd",
    ]))
    .failed(1);
    assert!(said.contains("/nonexistent/etcd"), "{said}");
}

#[test]
fn parts_can_be_chosen() {
    let text = output(command().args(["bench", "api", "--quick", "--measure", "idle"])).ok();
    assert!(text.contains("idle memory mb"), "{text}");
    assert!(!text.contains("gets per second"), "{text}");
}

/// The figures of each part of the measurement of scheduling; those with two names hold percentiles.
const SCHEDULE_FIGURES: [&str; 27] = [
    "bound_per_second",
    "creates_per_second",
    "create_to_bound_ms.p50",
    "create_to_bound_ms.p99",
    "create_to_running_ms.p50",
    "create_to_running_ms.p99",
    "server_rss_mb",
    "server_peak_rss_mb",
    "server_cpu_seconds",
    "server_cpu_until_bound_seconds",
    "steady_creates_per_second",
    "steady_create_to_bound_ms.p50",
    "steady_create_to_bound_ms.p99",
    "steady_create_to_running_ms.p99",
    "steady_server_cpu_us_per_pod",
    "constrained_bound_per_second",
    "constrained_create_to_bound_ms.p99",
    "constrained_create_to_running_ms.p99",
    "constrained_server_cpu_seconds",
    "rollout_seconds",
    "rollover_seconds",
    "rollover_server_cpu_seconds",
    "lost_hosts",
    "lost_hosts_declared_seconds",
    "lost_hosts_pods",
    "lost_hosts_replaced_p50_seconds",
    "lost_hosts_replaced_seconds",
];

#[test]
fn scheduling_is_measured_in_every_part() {
    let text = output(command().args(["bench", "schedule", "--quick", "--json"])).ok();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["conditions"]["hosts"], 20);
    for key in SCHEDULE_FIGURES {
        let figure = key
            .split('.')
            .fold(&document["figures"], |figure, key| &figure[key]);
        assert!(
            figure.as_f64().is_some_and(|value| value > 0.0),
            "{key}: {figure} in {document:#}"
        );
    }
    // A tenth of the hosts fell silent, with pods on them.
    assert_eq!(document["figures"]["lost_hosts"], 2.0);
}

#[test]
fn more_pods_than_fit_are_not_measured() {
    let said =
        output(command().args(["bench", "schedule", "--hosts", "10", "--pods", "501"])).failed(2);
    assert!(said.contains("at most 500"), "{said}");
}

/// Interrupted in the middle, a measurement leaves no process and no directory behind.
#[test]
fn an_interrupted_measurement_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let mut bench = command()
        .args(["bench", "schedule", "--quick", "--dir"])
        .arg(place.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let processes = || {
        // Both the server and the hosts name the directory in their command line.
        let wanted = place.path().to_str().unwrap().as_bytes().to_owned();
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
            .filter(|line| line.windows(wanted.len()).any(|part| part == wanted))
            .count()
    };
    // The measurement, its server and its hosts.
    wait_until(|| processes() == 3);
    let id = bench.id().to_string();
    let told = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(told.unwrap().success());
    assert_eq!(bench.wait().unwrap().code(), Some(1));
    wait_until(|| processes() == 0);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

fn wait_until(condition: impl Fn() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < until, "it does not come to be");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
