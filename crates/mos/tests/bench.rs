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
