//! Network policies and ingresses.

use ipnet::IpNet;

use crate::{
    node::{Errors, Node},
    pods::{self, handler},
    rules,
};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];

/// A network policy.
pub(crate) fn policy(policy: &Node, e: &mut Errors) {
    let spec = policy.get("spec");
    pods::label_selector(&spec.get("podSelector"), e);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.get(direction).items() {
            let ports = rule.get("ports");
            for port in ports.items() {
                policy_port(&port, e);
            }
            let peers = rule.get(peers);
            for peer in peers.items() {
                self::peer(&peer, e);
            }
        }
    }
    let types = spec.get("policyTypes");
    if types.len() > 2 {
        e.invalid(&types, "may not specify more than two policyTypes");
        return;
    }
    for ty in types.items() {
        e.one_of(&ty, &["Egress", "Ingress"]);
    }
}

fn policy_port(port: &Node, e: &mut Errors) {
    e.one_of_if_set(&port.get("protocol"), &PROTOCOLS);
    let (start, end) = (port.get("port"), port.get("endPort"));
    if start.is_set() {
        handler::port(&start, e);
        if let Some(last) = end.int() {
            match start.int() {
                Some(first) if last < first => {
                    e.invalid(&end, "must be greater than or equal to `port`");
                }
                Some(_) if !rules::is_port(last) => e.invalid(&end, rules::PORT_RANGE),
                Some(_) => {}
                None => e.invalid(&end, "may not be specified when `port` is non-numeric"),
            }
        }
    } else if end.is_set() {
        e.invalid(&end, "may not be specified when `port` is not specified");
    }
}

fn peer(peer: &Node, e: &mut Errors) {
    let (pods, namespaces, block) = (
        peer.get("podSelector"),
        peer.get("namespaceSelector"),
        peer.get("ipBlock"),
    );
    for selector in [&pods, &namespaces] {
        if selector.is_set() {
            pods::label_selector(selector, e);
        }
    }
    let selects = pods.is_set() || namespaces.is_set();
    if block.is_set() {
        ip_block(&block, e);
        if selects {
            e.forbidden(peer, "may not specify both ipBlock and another peer");
        }
    } else if !selects {
        e.required(peer, "must specify a peer");
    }
}

fn ip_block(block: &Node, e: &mut Errors) {
    let cidr = block.get("cidr");
    if !e.require(&cidr, "") {
        return;
    }
    e.check(&cidr, rules::cidr);
    let Ok(network) = cidr.str().parse::<IpNet>() else {
        return;
    };
    for except in block.get("except").items() {
        match except.str().parse::<IpNet>() {
            Err(_) => e.check(&except, rules::cidr),
            Ok(part) => {
                let within =
                    network.contains(&part.network()) && network.prefix_len() < part.prefix_len();
                if !within {
                    e.invalid(&except, "must be a strict subset of `cidr`");
                }
            }
        }
    }
}

/// An ingress.
pub(crate) fn ingress(ingress: &Node, e: &mut Errors) {
    let spec = ingress.get("spec");
    let (backend, list) = (spec.get("defaultBackend"), spec.get("rules"));
    if list.is_empty() && !backend.is_set() {
        e.invalid_as(
            &spec,
            spec.value().cloned().unwrap_or_default(),
            "either `defaultBackend` or `rules` must be specified",
        );
    }
    if backend.is_set() {
        ingress_backend(&backend, e);
    }
    for rule in list.items() {
        ingress_rule(&rule, e);
    }
    for tls in spec.get("tls").items() {
        let hosts = tls.get("hosts");
        for host in hosts.items() {
            self::host(&host, e);
        }
        let secret = tls.get("secretName");
        if !secret.is_empty() {
            e.check(&secret, rules::subdomain);
        }
    }
    let class = spec.get("ingressClassName");
    if class.is_set() {
        e.check(&class, rules::subdomain);
    }
}

fn host(host: &Node, e: &mut Errors) {
    if host.str().contains('*') {
        e.check(host, rules::wildcard_subdomain);
    } else {
        e.check(host, rules::subdomain);
    }
}

fn ingress_rule(rule: &Node, e: &mut Errors) {
    let host = rule.get("host");
    if !host.is_empty() {
        if rules::ip(host.str()).is_empty() {
            e.invalid(&host, "must be a DNS name, not an IP address");
        } else {
            self::host(&host, e);
        }
    }
    let http = rule.get("http");
    if !http.is_set() {
        return;
    }
    let paths = http.get("paths");
    e.require(&paths, "");
    for entry in paths.items() {
        let (path, ty) = (entry.get("path"), entry.get("pathType"));
        match ty.str() {
            "" => e.required(&ty, "pathType must be specified"),
            "Exact" | "Prefix" => {
                if !path.str().starts_with('/') {
                    e.invalid_as(&path, path.str(), "must be an absolute path");
                }
                for illegal in ["//", "/./", "/../", "%2f", "%2F"] {
                    if path.str().contains(illegal) {
                        e.invalid(&path, format!("must not contain '{illegal}'"));
                    }
                }
                for illegal in ["/..", "/."] {
                    if path.str().ends_with(illegal) {
                        e.invalid(&path, format!("cannot end with '{illegal}'"));
                    }
                }
            }
            "ImplementationSpecific" => {
                if !path.is_empty() && !path.str().starts_with('/') {
                    e.invalid(&path, "must be an absolute path");
                }
            }
            _ => e.not_supported(&ty, &PATH_TYPES),
        }
        ingress_backend(&entry.get("backend"), e);
    }
}

fn ingress_backend(backend: &Node, e: &mut Errors) {
    let (service, resource) = (backend.get("service"), backend.get("resource"));
    match (service.is_set(), resource.is_set()) {
        (true, true) => e.invalid_as(backend, "", "cannot set both resource and service backends"),
        (false, false) => e.required(backend, "resource or service backend is required"),
        (false, true) => {
            e.require(&resource.get("kind"), "");
            e.require(&resource.get("name"), "");
        }
        (true, false) => {
            let name = service.get("name");
            e.require_and_check(&name, rules::label_1035);
            let port = service.get("port");
            let (number, name) = (port.get("number"), port.get("name"));
            match (number.int_or_zero() != 0, !name.is_empty()) {
                (true, true) => e.invalid_as(
                    &port,
                    port.value().cloned().unwrap_or_default(),
                    "cannot set both port name & port number",
                ),
                (false, false) => {
                    e.required(&port, "port name or number is required");
                }
                (true, false) => {
                    if !rules::is_port(number.int_or_zero()) {
                        e.invalid(&number, rules::PORT_RANGE);
                    }
                }
                (false, true) => e.check(&name, rules::port_name),
            }
        }
    }
}

/// A class of ingresses.
pub(crate) fn ingress_class(class: &Node, e: &mut Errors) {
    let spec = class.get("spec");
    let controller = spec.get("controller");
    if e.require(&controller, "") {
        if controller.str().len() > 250 {
            e.too_long(&controller, 250);
        }
        let lower = controller.str().to_lowercase();
        let valid = lower
            .split_once('/')
            .is_some_and(|(domain, path)| rules::subdomain(domain).is_empty() && !path.is_empty());
        if !valid {
            e.invalid(
                &controller,
                "must be a domain-prefixed path (such as \"acme.io/foo\")",
            );
        }
    }
}

/// An update of a class of ingresses.
pub(crate) fn ingress_class_update(new: &Node, old: &Node, e: &mut Errors) {
    let (new, old) = (new.get("spec"), old.get("spec"));
    e.immutable(&new.get("controller"), &old.get("controller"));
}
