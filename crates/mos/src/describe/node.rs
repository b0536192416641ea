//! Nodes.

use jiff::Timestamp;
use mosaic_api::{meta, time};
use mosaic_validation::quota::pod_requests;
use serde_json::Value;

use super::text::Report;
use super::{conditions, list, metadata, or_none, plain, text_at};

/// Describes a node with the pods on it.
pub(super) fn describe(report: &mut Report, node: &Value, pods: &[Value], now: Timestamp) {
    metadata(report, node);
    report.field("Roles", &or_none(&roles(node)));
    report.field("Created", meta::creation_timestamp(node));
    let taints: Vec<String> = list(node, "/spec/taints")
        .map(|taint| {
            let value = text_at(taint, "/value");
            let value = if value.is_empty() {
                String::new()
            } else {
                format!("={value}")
            };
            format!(
                "{}{value}:{}",
                text_at(taint, "/key"),
                text_at(taint, "/effect")
            )
        })
        .collect();
    report.values("Taints", &taints);
    report.field(
        "Unschedulable",
        &node
            .pointer("/spec/unschedulable")
            .and_then(Value::as_bool)
            .unwrap_or_default()
            .to_string(),
    );
    conditions(report, node);
    report.section("Addresses", |report| {
        for address in list(node, "/status/addresses") {
            report.field(text_at(address, "/type"), text_at(address, "/address"));
        }
    });
    for (label, at) in [
        ("Capacity", "/status/capacity"),
        ("Allocatable", "/status/allocatable"),
    ] {
        report.section(label, |report| {
            for (name, value) in node
                .pointer(at)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                report.field(name, &plain(Some(value)));
            }
        });
    }
    report.section("System Info", |report| {
        for (name, value) in node
            .pointer("/status/nodeInfo")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if !value.is_object() {
                report.field(&super::generic::label(name), &plain(Some(value)));
            }
        }
    });
    report.field_if_any("Pod CIDR", text_at(node, "/spec/podCIDR"));
    report.field_if_any("Provider ID", text_at(node, "/spec/providerID"));
    let rows: Vec<Vec<String>> = pods
        .iter()
        .map(|pod| {
            let requests = pod_requests(pod);
            let sum = |key: &str| requests.get(key).unwrap_or_default().to_string();
            vec![
                meta::namespace(pod).to_owned(),
                meta::name(pod).to_owned(),
                sum("cpu"),
                sum("memory"),
                time::age(Some(meta::creation_timestamp(pod)), now),
            ]
        })
        .collect();
    report.field("Pods", &rows.len().to_string());
    if !rows.is_empty() {
        report.table(
            &[
                "Namespace",
                "Name",
                "CPU Requests",
                "Memory Requests",
                "Age",
            ],
            rows,
        );
    }
}

fn roles(node: &Value) -> String {
    let roles: Vec<&str> = meta::labels(node)
        .into_iter()
        .flatten()
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) => Some(role),
                None if key == "kubernetes.io/role" => value.as_str(),
                None => None,
            },
        )
        .collect();
    roles.join(",")
}
