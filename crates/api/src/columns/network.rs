//! The columns of services, endpoints, ingresses and network policies.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::read::{
    AGE, NAME, NONE, SELECTOR, Spec, UNSET, age, first_of, has, int, joined, labels, list, name,
    scalar, selector, text, text_or,
};

/// How many of many are shown.
const SHOWN: usize = 3;

pub(super) const SERVICE: &[Spec] = &[
    NAME,
    ("Type", "string", 0, "How the service is reached."),
    ("Cluster-IP", "string", 0, "The address inside."),
    ("External-IP", "string", 0, "The addresses outside."),
    ("Port(s)", "string", 0, "The ports it listens on."),
    AGE,
    SELECTOR,
];

pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(object, "/spec/ports")
        .iter()
        .map(|port| {
            let number = int(port, "/port");
            let protocol = text(port, "/protocol");
            match int(port, "/nodePort") {
                node_port if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
                _ => format!("{number}/{protocol}"),
            }
        })
        .collect();
    let ports = if ports.is_empty() {
        NONE.to_owned()
    } else {
        ports.join(",")
    };
    let address = text_or(object, "/spec/clusterIP", NONE);
    vec![
        name(object),
        text(object, "/spec/type").into(),
        text_or(object, "/spec/clusterIPs/0", address).into(),
        external_address(object).into(),
        ports.into(),
        age(object, now),
        labels(object, "/spec/selector").into(),
    ]
}

fn external_address(service: &Value) -> String {
    let own = joined(service, "/spec/externalIPs");
    match text(service, "/spec/type") {
        "ClusterIP" | "NodePort" if own.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" => own,
        "LoadBalancer" => {
            let balancers = load_balancers(service);
            match (balancers.is_empty(), own.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                (false, true) => balancers,
                (true, false) => own,
                (false, false) => format!("{balancers},{own}"),
            }
        }
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn load_balancers(object: &Value) -> String {
    let points: BTreeSet<&str> = list(object, "/status/loadBalancer/ingress")
        .iter()
        .map(|point| text_or(point, "/ip", text(point, "/hostname")))
        .filter(|point| !point.is_empty())
        .collect();
    points.into_iter().collect::<Vec<_>>().join(",")
}

pub(super) const ENDPOINTS: &[Spec] = &[
    NAME,
    ("Endpoints", "string", 0, "The addresses and their ports."),
    AGE,
];

pub(super) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let subsets = list(object, "/subsets");
    let addresses = subsets.iter().flat_map(|subset| {
        // Headless services may have addresses without ports.
        let ports = match list(subset, "/ports") {
            [] => vec![None],
            ports => ports.iter().map(Some).collect(),
        };
        ports.into_iter().flat_map(move |port| {
            list(subset, "/addresses").iter().map(move |address| {
                let ip = text(address, "/ip");
                match port {
                    None => ip.to_owned(),
                    Some(port) if ip.contains(':') => format!("[{ip}]:{}", int(port, "/port")),
                    Some(port) => format!("{ip}:{}", int(port, "/port")),
                }
            })
        })
    });
    let shown = if subsets.is_empty() {
        NONE.to_owned()
    } else {
        first_of(addresses, SHOWN)
    };
    vec![name(object), shown.into(), age(object, now)]
}

pub(super) const ENDPOINT_SLICE: &[Spec] = &[
    NAME,
    ("AddressType", "string", 0, "IPv4, IPv6 or FQDN."),
    ("Ports", "string", 0, "The ports of every endpoint."),
    ("Endpoints", "string", 0, "The addresses."),
    AGE,
];

pub(super) fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports = list(object, "/ports").iter().map(|port| {
        if has(port, "/port") {
            int(port, "/port").to_string()
        } else {
            scalar(port, "/name", "*")
        }
    });
    let addresses = list(object, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .map(|address| scalar(address, "", ""));
    let or_unset = |text: String| -> Value {
        if text.is_empty() {
            UNSET.into()
        } else {
            text.into()
        }
    };
    vec![
        name(object),
        text(object, "/addressType").into(),
        or_unset(first_of(ports, SHOWN)),
        or_unset(first_of(addresses, SHOWN)),
        age(object, now),
    ]
}

pub(super) const INGRESS: &[Spec] = &[
    NAME,
    (
        "Class",
        "string",
        0,
        "The name of the IngressClass resource that should be used for additional configuration",
    ),
    (
        "Hosts",
        "string",
        0,
        "Hosts that incoming requests are matched against before the ingress rule",
    ),
    (
        "Address",
        "string",
        0,
        "Address is a list containing ingress points for the load-balancer",
    ),
    (
        "Ports",
        "string",
        0,
        "Ports of TLS configurations that open",
    ),
    AGE,
];

pub(super) fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let hosts = list(object, "/spec/rules")
        .iter()
        .map(|rule| text(rule, "/host").to_owned())
        .filter(|host| !host.is_empty());
    let hosts = match first_of(hosts, SHOWN) {
        none if none.is_empty() => "*".to_owned(),
        hosts => hosts,
    };
    let ports = match list(object, "/spec/tls") {
        [] => "80",
        _ => "80, 443",
    };
    vec![
        name(object),
        text_or(object, "/spec/ingressClassName", NONE).into(),
        hosts.into(),
        load_balancers(object).into(),
        ports.into(),
        age(object, now),
    ]
}

pub(super) const INGRESS_CLASS: &[Spec] = &[
    NAME,
    (
        "Controller",
        "string",
        0,
        "Controller that is responsible for handling this class",
    ),
    (
        "Parameters",
        "string",
        0,
        "A reference to a resource with additional parameters",
    ),
    AGE,
];

pub(super) fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = match object.pointer("/spec/parameters") {
        Some(parameters) if !parameters.is_null() => {
            let kind = text(parameters, "/kind");
            let name = text(parameters, "/name");
            match text(parameters, "/apiGroup") {
                "" => format!("{kind}/{name}"),
                group => format!("{kind}.{group}/{name}"),
            }
        }
        _ => NONE.to_owned(),
    };
    vec![
        name(object),
        text(object, "/spec/controller").into(),
        parameters.into(),
        age(object, now),
    ]
}

pub(super) const NETWORK_POLICY: &[Spec] = &[
    NAME,
    ("Pod-Selector", "string", 0, "Which pods it is about."),
    AGE,
];

pub(super) fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    // Without a selector it is about every pod, as with an empty one.
    let pods = selector(object, "/spec/podSelector");
    vec![name(object), pods.into(), age(object, now)]
}
