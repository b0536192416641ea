//! Endpoints and endpoint slices.

use std::{collections::HashSet, net::IpAddr};

use crate::{
    meta,
    node::{Errors, Node},
    rules,
};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const MAX_SLICE_ENDPOINTS: usize = 1000;
const MAX_SLICE_PORTS: usize = 20_000;
const MAX_SLICE_ADDRESSES: usize = 100;
const MAX_HINTS: usize = 8;

/// Endpoints.
pub(crate) fn endpoints(endpoints: &Node, e: &mut Errors) {
    let subsets = endpoints.get("subsets");
    for subset in subsets.items() {
        let (ready, not_ready) = (subset.get("addresses"), subset.get("notReadyAddresses"));
        if ready.is_empty() && not_ready.is_empty() {
            e.required(&subset, "must specify `addresses` or `notReadyAddresses`");
        }
        for list in [ready, not_ready] {
            for address in list.items() {
                let ip = address.get("ip");
                e.check(&ip, rules::ip);
                special(&ip, e);
                let host = address.get("hostname");
                if !host.is_empty() {
                    e.check(&host, rules::label);
                }
                let node = address.get("nodeName");
                if node.is_set() {
                    e.check(&node, rules::subdomain);
                }
            }
        }
        let ports = subset.get("ports");
        let named = ports.len() > 1;
        for port in ports.items() {
            let name = port.get("name");
            if name.is_empty() {
                if named {
                    e.required(&name, "");
                }
            } else {
                e.check(&name, rules::label);
            }
            let number = port.get("port");
            if !rules::is_port(number.int_or_zero()) {
                e.invalid_as(&number, number.int_or_zero(), rules::PORT_RANGE);
            }
            e.one_of(&port.get("protocol"), &PROTOCOLS);
        }
    }
}

/// Addresses to which no traffic of a service may be sent.
fn special(node: &Node, e: &mut Errors) {
    let Ok(ip) = node.str().parse::<IpAddr>() else {
        return;
    };
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if ip.is_unspecified() {
        e.invalid(node, format!("may not be unspecified ({ip})"));
    }
    if ip.is_loopback() {
        e.invalid(
            node,
            "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        );
    }
    if link_local {
        e.invalid(
            node,
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        );
    }
    let link_local_multicast = match ip {
        IpAddr::V4(ip) => ip.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(ip) => ip.octets().starts_with(&[0xff, 0x02]),
    };
    if link_local_multicast {
        e.invalid(
            node,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        );
    }
}

/// An endpoint slice.
pub(crate) fn slice(slice: &Node, e: &mut Errors) {
    let ty = slice.get("addressType");
    e.one_of(&ty, &["FQDN", "IPv4", "IPv6"]);
    let list = slice.get("endpoints");
    if list.len() > MAX_SLICE_ENDPOINTS {
        e.too_many(&list, MAX_SLICE_ENDPOINTS);
        return;
    }
    for endpoint in list.items() {
        let addresses = endpoint.get("addresses");
        if addresses.is_empty() {
            e.required(&addresses, "must contain at least 1 address");
        } else if addresses.len() > MAX_SLICE_ADDRESSES {
            e.too_many(&addresses, MAX_SLICE_ADDRESSES);
        }
        for address in addresses.items() {
            match ty.str() {
                "IPv4" if !matches!(address.str().parse(), Ok(IpAddr::V4(_))) => {
                    e.invalid(&address, "must be an IPv4 address");
                }
                "IPv6" if !matches!(address.str().parse(), Ok(IpAddr::V6(_))) => {
                    e.invalid(&address, "must be an IPv6 address");
                }
                "IPv4" | "IPv6" => special(&address, e),
                "FQDN" => e.check(&address, rules::subdomain),
                _ => {}
            }
        }
        let node = endpoint.get("nodeName");
        if node.is_set() {
            e.check(&node, rules::subdomain);
        }
        let topology = endpoint.get("deprecatedTopology");
        meta::labels(&topology, e);
        let host = endpoint.get("hostname");
        if host.is_set() {
            e.check(&host, rules::label);
        }
        let hints = endpoint.get("hints");
        let zones = hints.get("forZones");
        if zones.len() > MAX_HINTS {
            e.too_many(&zones, MAX_HINTS);
        }
    }
    slice_ports(&slice.get("ports"), e);
}

fn slice_ports(ports: &Node, e: &mut Errors) {
    if ports.len() > MAX_SLICE_PORTS {
        e.too_many(ports, MAX_SLICE_PORTS);
        return;
    }
    let mut names = HashSet::new();
    for port in ports.items() {
        let name = port.get("name");
        if !name.is_empty() {
            e.check(&name, rules::label);
        }
        if !names.insert(name.str()) {
            e.duplicate(&name, name.str());
        }
        let number = port.get("port");
        if number.int().is_some_and(|n| !rules::is_port(n)) {
            e.invalid(&number, rules::PORT_RANGE);
        }
        e.one_of(&port.get("protocol"), &PROTOCOLS);
        let protocol = port.get("appProtocol");
        if !protocol.is_empty() {
            e.check(&protocol, rules::qualified_name);
        }
    }
}

/// An update of an endpoint slice.
pub(crate) fn slice_update(new: &Node, old: &Node, e: &mut Errors) {
    e.immutable(&new.get("addressType"), &old.get("addressType"));
}
