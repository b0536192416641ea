//! Services.

use std::collections::HashSet;

use crate::{
    node::{Errors, Node},
    pods::handler,
    rules,
};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const MAX_SESSION_SECONDS: i64 = 86_400;
const MAX_ADDRESSES: usize = 2;

/// A service.
pub(crate) fn service(service: &Node, e: &mut Errors) {
    let spec = service.get("spec");
    let ty = spec.get("type").str();
    let cluster_ip = spec.get("clusterIP");
    let headless = cluster_ip.str() == "None";
    let ports = spec.get("ports");
    if ports.is_empty() && !headless && ty != "ExternalName" {
        e.required(&ports, "");
    }
    match ty {
        "LoadBalancer" => {
            for port in ports.items() {
                let number = port.get("port");
                if number.int() == Some(10250) {
                    e.invalid(
                        &number,
                        "may not expose port 10250 externally since it is used by kubelet",
                    );
                }
            }
            if headless {
                e.invalid(
                    &cluster_ip,
                    "may not be set to 'None' for LoadBalancer services",
                );
            }
        }
        "NodePort" if headless => e.invalid(
            &cluster_ip,
            "may not be set to 'None' for NodePort services",
        ),
        "ExternalName" => external_name(&spec, e),
        _ => {}
    }
    e.one_of(&spec.get("type"), &TYPES);
    self::ports(&spec, ty, e);
    crate::meta::labels(&spec.get("selector"), e);
    affinity(&spec, e);
    addresses(&spec, ty, e);
    for ip in spec.get("externalIPs").items() {
        e.check(&ip, rules::ip);
    }
    traffic(&spec, ty, e);
    load_balancer(&spec, ty, e);
}

fn external_name(spec: &Node, e: &mut Errors) {
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let field = spec.get(field);
        if !field.is_empty() {
            e.forbidden(&field, "may not be set when `type` is 'ExternalName'");
        }
    }
    let name = spec.get("externalName");
    let text = name.str();
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        e.required(&name, "");
    } else {
        e.invalid_text(&name, name.str(), rules::subdomain(text));
    }
}

fn ports(spec: &Node, ty: &str, e: &mut Errors) {
    let list = spec.get("ports");
    let mut names = HashSet::new();
    let named = list.len() > 1;
    for port in list.items() {
        let name = port.get("name");
        if name.is_empty() {
            if named {
                e.required(&name, "");
            }
        } else {
            e.check(&name, rules::label);
            if !names.insert(name.str()) {
                e.duplicate(&name, name.str());
            }
        }
        let number = port.get("port");
        if !rules::is_port(number.int_or_zero()) {
            e.invalid_as(&number, number.int_or_zero(), rules::PORT_RANGE);
        }
        e.one_of(&port.get("protocol"), &PROTOCOLS);
        handler::port(&port.get("targetPort"), e);
        let protocol = port.get("appProtocol");
        if !protocol.is_empty() {
            e.check(&protocol, rules::qualified_name);
        }
        let node_port = port.get("nodePort");
        if node_port.int_or_zero() != 0 {
            if !matches!(ty, "NodePort" | "LoadBalancer") {
                e.forbidden(&node_port, format!("may not be used when `type` is '{ty}'"));
            } else if !rules::is_port(node_port.int_or_zero()) {
                e.invalid(&node_port, rules::PORT_RANGE);
            }
        }
    }
    let mut seen = HashSet::new();
    let mut node_ports = HashSet::new();
    for port in list.items() {
        let protocol = port.get("protocol").str();
        if !seen.insert((protocol, port.get("port").int_or_zero())) {
            let number = port.get("port").int_or_zero();
            e.duplicate(
                &port,
                serde_json::json!({"protocol": protocol, "port": number}),
            );
        }
        let node_port = port.get("nodePort");
        let number = node_port.int_or_zero();
        if number != 0 && !node_ports.insert((protocol, number)) {
            e.duplicate(&node_port, number);
        }
    }
}

fn affinity(spec: &Node, e: &mut Errors) {
    let affinity = spec.get("sessionAffinity");
    e.one_of(&affinity, &["ClientIP", "None"]);
    let config = spec.get("sessionAffinityConfig");
    match affinity.str() {
        "None" if config.is_set() => {
            e.forbidden(&config, "must not be set when session affinity is None")
        }
        "ClientIP" => {
            let client = config.get("clientIP");
            let seconds = client.get("timeoutSeconds");
            if !(1..=MAX_SESSION_SECONDS).contains(&seconds.int_or_zero()) {
                e.invalid(
                    &seconds,
                    format!(
                        "must be greater than 0 and less than or equal to {MAX_SESSION_SECONDS}"
                    ),
                );
            }
        }
        _ => {}
    }
}

fn addresses(spec: &Node, ty: &str, e: &mut Errors) {
    if ty == "ExternalName" {
        return;
    }
    let first = spec.get("clusterIP");
    let list = spec.get("clusterIPs");
    if list.len() > MAX_ADDRESSES {
        e.too_many(&list, MAX_ADDRESSES);
    }
    if list.is_empty() {
        if !first.is_empty() && first.str() != "None" {
            e.check(&first, rules::ip);
        }
        return;
    }
    if list.index(0).str() != first.str() {
        e.invalid_as(
            &list,
            list.value().cloned().unwrap_or_default(),
            "first value must match `clusterIP`",
        );
    }
    for address in list.items() {
        if address.str() == "None" {
            if list.len() > 1 {
                e.invalid(&address, "must be the only value when it is 'None'");
            }
            continue;
        }
        e.check(&address, rules::ip);
    }
    if list.len() == 2 {
        let family = |ip: &Node| ip.str().contains(':');
        if family(&list.index(0)) == family(&list.index(1)) {
            e.invalid(&list, "may specify no more than one IP for each IP family");
        }
    }
    e.one_of_if_set(
        &spec.get("ipFamilyPolicy"),
        &["PreferDualStack", "RequireDualStack", "SingleStack"],
    );
    for family in spec.get("ipFamilies").items() {
        e.one_of(&family, &["IPv4", "IPv6"]);
    }
}

fn traffic(spec: &Node, ty: &str, e: &mut Errors) {
    let external = matches!(ty, "NodePort" | "LoadBalancer")
        || (ty == "ClusterIP" && !spec.get("externalIPs").is_empty());
    let policy = spec.get("externalTrafficPolicy");
    if external {
        if !policy.is_empty() {
            e.one_of(&policy, &["Cluster", "Local"]);
        } else {
            e.required(&policy, "");
        }
    } else if !policy.is_empty() {
        e.invalid(
            &policy,
            "may only be set for externally-accessible services",
        );
    }
    let internal = spec.get("internalTrafficPolicy");
    if matches!(ty, "ClusterIP" | "NodePort" | "LoadBalancer") {
        if internal.is_set() {
            e.one_of(&internal, &["Cluster", "Local"]);
        } else {
            e.required(&internal, "");
        }
    }
    let distribution = spec.get("trafficDistribution");
    e.one_of_if_set(
        &distribution,
        &["PreferClose", "PreferSameNode", "PreferSameZone"],
    );
    let health = spec.get("healthCheckNodePort");
    if health.int_or_zero() < 0 {
        e.invalid(&health, "must be greater than or equal to 0");
    } else if health.int_or_zero() > 0 && !(ty == "LoadBalancer" && policy.str() == "Local") {
        e.invalid(
            &health,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        );
    }
}

fn load_balancer(spec: &Node, ty: &str, e: &mut Errors) {
    let ranges = spec.get("loadBalancerSourceRanges");
    if !ranges.is_empty() && ty != "LoadBalancer" {
        e.forbidden(&ranges, "may only be used when `type` is 'LoadBalancer'");
    }
    for range in ranges.items() {
        e.invalid_text(&range, range.str(), rules::cidr(range.str().trim()));
    }
    for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        let field = spec.get(field);
        if field.is_set() && ty != "LoadBalancer" {
            e.forbidden(&field, "may only be used when `type` is 'LoadBalancer'");
        }
    }
    if ty == "LoadBalancer" && !spec.get("allocateLoadBalancerNodePorts").is_set() {
        e.required(
            &spec.get("allocateLoadBalancerNodePorts"),
            "field is required when `type` is 'LoadBalancer'",
        );
    }
    let class = spec.get("loadBalancerClass");
    if class.is_set() {
        e.check(&class, rules::qualified_name);
    }
}

/// An update of a service: its address stays as long as it has a use for one.
pub(crate) fn update(new: &Node, old: &Node, e: &mut Errors) {
    let (new, old) = (new.get("spec"), old.get("spec"));
    let external = |spec: &Node| spec.get("type").str() == "ExternalName";
    if !external(&new) && !external(&old) {
        let (address, old_address) = (new.get("clusterIP"), old.get("clusterIP"));
        if !old_address.is_empty() && address.str() != old_address.str() {
            e.invalid_as(
                &new.get("clusterIPs").index(0),
                address.str(),
                "may not change once set",
            );
        }
    }
    let balanced = |spec: &Node| spec.get("type").str() == "LoadBalancer";
    if balanced(&new) && balanced(&old) {
        let (class, old_class) = (new.get("loadBalancerClass"), old.get("loadBalancerClass"));
        if !class.same(&old_class) {
            e.invalid(&class, "may not change once set");
        }
    }
}

/// The status of a service.
pub(crate) fn status(new: &Node, _: &Node, e: &mut Errors) {
    let status = new.get("status");
    let balancer = status.get("loadBalancer");
    let ingress = balancer.get("ingress");
    if !ingress.is_empty() && new.get("spec").get("type").str() != "LoadBalancer" {
        e.forbidden(
            &ingress,
            "may only be used when `spec.type` is \"LoadBalancer\"",
        );
        return;
    }
    for point in ingress.items() {
        let ip = point.get("ip");
        if !ip.is_empty() {
            e.check(&ip, rules::ip);
        }
        let host = point.get("hostname");
        if !host.is_empty() {
            e.check(&host, rules::subdomain);
        }
    }
}
