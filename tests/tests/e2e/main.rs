//! End-to-end tests: one file for each group of behaviours.

mod admission;
mod apply;
mod audit;
mod bucket;
mod cli;
mod controller;
mod custom;
mod deletion;
mod discovery;
mod documents;
mod errors;
mod faults;
mod helm;
mod images;
mod kills;
mod list;
mod matrix;
mod objects;
mod oci_client;
mod registry;
mod rights;
mod rollouts;
mod several;
mod tables;
mod watch;

use mosaic_tests::{Etcd, Server, ServerOptions, Store};
use serde_json::{Value, json};

/// How often a loop kills; the long run is `MOSAIC_KILLS=200`.
fn kills(otherwise: usize) -> usize {
    std::env::var("MOSAIC_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// A server that keeps its objects in this etcd.
fn server_on(etcd: &Etcd) -> Server {
    Server::start_with(ServerOptions {
        store: Store::Etcd(etcd.addresses()),
        ..ServerOptions::default()
    })
}

/// A config map with some data.
fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
}

/// The path of a namespace's config maps.
fn config_maps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// An object's version as the number that it is.
fn version(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str();
    text.and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("no version in {object}"))
}

/// The names of a list's items.
fn names(list: &Value) -> Vec<&str> {
    let items = list["items"]
        .as_array()
        .unwrap_or_else(|| panic!("no list: {list}"));
    items
        .iter()
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect()
}
