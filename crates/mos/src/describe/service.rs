//! Services.

use serde_json::Value;

use super::text::Report;
use super::{join, list, metadata, number, or_none, pairs, plain, text_at};

/// Addresses shown of a port; a service may have thousands.
const MAX_ADDRESSES: usize = 8;

/// Describes a service with its endpoints.
pub(super) fn describe(report: &mut Report, service: &Value, slices: &[Value]) {
    metadata(report, service);
    report.field("Selector", &pairs(service.pointer("/spec/selector")));
    report.field("Type", text_at(service, "/spec/type"));
    report.field_if_any("External Name", text_at(service, "/spec/externalName"));
    report.field(
        "IP Families",
        &or_none(&join(service.pointer("/spec/ipFamilies"), ", ")),
    );
    report.field(
        "IPs",
        &or_none(&join(service.pointer("/spec/clusterIPs"), ", ")),
    );
    report.field_if_any(
        "External IPs",
        &join(service.pointer("/spec/externalIPs"), ", "),
    );
    let ingress: Vec<String> = list(service, "/status/loadBalancer/ingress")
        .map(|ingress| {
            format!(
                "{}{}",
                text_at(ingress, "/ip"),
                text_at(ingress, "/hostname")
            )
        })
        .collect();
    report.field_if_any("Load Balancer Ingress", &ingress.join(", "));
    for port in list(service, "/spec/ports") {
        let name = text_at(port, "/name");
        let shown = if name.is_empty() { "<unnamed>" } else { name };
        let protocol = text_at(port, "/protocol");
        report.field(
            "Port",
            &format!("{shown} {}/{protocol}", number(port, "/port")),
        );
        report.field(
            "Target Port",
            &format!("{}/{protocol}", plain(port.get("targetPort"))),
        );
        let node_port = plain(port.get("nodePort"));
        if !node_port.is_empty() {
            report.field("Node Port", &format!("{node_port}/{protocol}"));
        }
        report.field("Endpoints", &endpoints(slices, name));
    }
    report.field(
        "Session Affinity",
        text_at(service, "/spec/sessionAffinity"),
    );
    report.field_if_any(
        "Internal Traffic Policy",
        text_at(service, "/spec/internalTrafficPolicy"),
    );
    report.field_if_any(
        "External Traffic Policy",
        text_at(service, "/spec/externalTrafficPolicy"),
    );
}

/// The addresses that are ready behind a port.
fn endpoints(slices: &[Value], port_name: &str) -> String {
    let mut found = Vec::new();
    for slice in slices {
        let port = list(slice, "/ports").find(|port| text_at(port, "/name") == port_name);
        let Some(port) = port.and_then(|port| port.get("port")) else {
            continue;
        };
        for endpoint in list(slice, "/endpoints") {
            if endpoint
                .pointer("/conditions/ready")
                .and_then(Value::as_bool)
                == Some(false)
            {
                continue;
            }
            for address in list(endpoint, "/addresses") {
                let address = address.as_str().unwrap_or_default();
                found.push(if address.contains(':') {
                    format!("[{address}]:{port}")
                } else {
                    format!("{address}:{port}")
                });
            }
        }
    }
    let more = found.len().saturating_sub(MAX_ADDRESSES);
    found.truncate(MAX_ADDRESSES);
    let mut text = or_none(&found.join(","));
    if more > 0 {
        text.push_str(&format!(" + {more} more"));
    }
    text
}
