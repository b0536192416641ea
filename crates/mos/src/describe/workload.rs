//! Deployments.

use jiff::Timestamp;
use mosaic_api::{meta, time};
use serde_json::Value;

use super::text::Report;
use super::{conditions, field, metadata, number, or_none, plain, pod, selector, text_at};

const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";

/// Describes a deployment with its replica sets.
pub(super) fn deployment(
    report: &mut Report,
    deployment: &Value,
    replica_sets: &[Value],
    now: Timestamp,
) {
    metadata(report, deployment);
    report.field("Created", meta::creation_timestamp(deployment));
    report.field("Selector", &selector(deployment.pointer("/spec/selector")));
    let status = |key: &str| number(deployment, &format!("/status/{key}"));
    report.field(
        "Replicas",
        &format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            deployment
                .pointer("/spec/replicas")
                .and_then(Value::as_i64)
                .unwrap_or(1),
            status("updatedReplicas"),
            status("replicas"),
            status("availableReplicas"),
            status("unavailableReplicas")
        ),
    );
    report.field("Strategy", text_at(deployment, "/spec/strategy/type"));
    report.field(
        "Min Ready Seconds",
        &number(deployment, "/spec/minReadySeconds").to_string(),
    );
    if let Some(rolling) = deployment.pointer("/spec/strategy/rollingUpdate") {
        let value = |key: &str| plain(rolling.get(key));
        report.field(
            "Rolling Update",
            &format!(
                "{} max unavailable, {} max surge",
                value("maxUnavailable"),
                value("maxSurge")
            ),
        );
    }
    report.section("Pod Template", |report| {
        pod::template(report, field(field(deployment, "spec"), "template"), now)
    });
    conditions(report, deployment);
    let revision = text_at(deployment, REVISION);
    let (new, old): (Vec<&Value>, Vec<&Value>) = replica_sets
        .iter()
        .partition(|set| text_at(set, REVISION) == revision);
    let old: Vec<String> = old
        .into_iter()
        .filter(|set| number(set, "/status/replicas") > 0)
        .map(|set| one(set, now))
        .collect();
    report.values("Old Replica Sets", &old);
    report.field(
        "New Replica Set",
        &or_none(&new.first().map(|set| one(set, now)).unwrap_or_default()),
    );
}

fn one(set: &Value, now: Timestamp) -> String {
    format!(
        "{} ({}/{} replicas created, {} old)",
        meta::name(set),
        number(set, "/status/replicas"),
        number(set, "/spec/replicas"),
        time::age(Some(meta::creation_timestamp(set)), now)
    )
}
