//! Services: what the server gave out stays when a client does not mention it, and goes when the type
//! no longer has a use for it.

use serde_json::{Value, json};

use crate::defaults::{Fields, each, object, text};

/// Whether services of that type have an address in the cluster.
fn has_address(ty: &str) -> bool {
    matches!(ty, "ClusterIP" | "NodePort" | "LoadBalancer")
}

/// Whether services of that type have a port on every node.
fn has_node_ports(ty: &str, spec: &Fields) -> bool {
    match ty {
        "NodePort" => true,
        "LoadBalancer" => {
            spec.get("allocateLoadBalancerNodePorts")
                .and_then(Value::as_bool)
                != Some(false)
        }
        _ => false,
    }
}

fn has_health_check_port(ty: &str, spec: &Fields) -> bool {
    ty == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

/// A new service: `clusterIPs` follows `clusterIP`.
pub(crate) fn service(fields: &mut Fields) {
    fields.insert("status".to_owned(), json!({"loadBalancer": {}}));
    if let Some(spec) = object(fields, "spec") {
        addresses_from_address(spec);
    }
}

fn addresses_from_address(spec: &mut Fields) {
    let address = text(spec, "clusterIP").to_owned();
    if !address.is_empty() && is_empty_list(spec, "clusterIPs") {
        spec.insert("clusterIPs".to_owned(), json!([address]));
    }
}

fn is_empty_list(spec: &Fields, key: &str) -> bool {
    spec.get(key)
        .is_none_or(|v| v.is_null() || v.as_array().is_some_and(Vec::is_empty))
}

/// An update of a service.
pub(crate) fn service_update(fields: &mut Fields, old: &Fields) {
    let (Some(spec), Some(old)) = (
        object(fields, "spec"),
        old.get("spec").and_then(Value::as_object),
    ) else {
        return;
    };
    let ty = text(spec, "type").to_owned();
    let old_ty = text(old, "type");
    keep_allocated(spec, &ty, old, old_ty);
    addresses_follow(spec, old);
    drop_unused(spec, &ty, old, old_ty);
}

fn keep_allocated(spec: &mut Fields, ty: &str, old: &Fields, old_ty: &str) {
    if has_address(ty) && has_address(old_ty) {
        if text(spec, "clusterIP").is_empty()
            && let Some(address) = old.get("clusterIP")
        {
            spec.insert("clusterIP".to_owned(), address.clone());
        }
        if is_empty_list(spec, "clusterIPs")
            && text(spec, "clusterIP") == text(old, "clusterIP")
            && let Some(addresses) = old.get("clusterIPs")
        {
            spec.insert("clusterIPs".to_owned(), addresses.clone());
        }
        for key in ["ipFamilies", "ipFamilyPolicy"] {
            if spec.get(key).is_none_or(Value::is_null)
                && let Some(value) = old.get(key)
            {
                spec.insert(key.to_owned(), value.clone());
            }
        }
    }
    if has_node_ports(ty, spec) && has_node_ports(old_ty, old) {
        keep_node_ports(spec, old);
    }
    if has_health_check_port(ty, spec)
        && has_health_check_port(old_ty, old)
        && is_zero(spec.get("healthCheckNodePort"))
        && let Some(port) = old.get("healthCheckNodePort")
    {
        spec.insert("healthCheckNodePort".to_owned(), port.clone());
    }
}

fn is_zero(value: Option<&Value>) -> bool {
    value.is_none_or(|v| v.is_null() || v.as_i64() == Some(0))
}

/// Ports are the same port by protocol and number.
fn keep_node_ports(spec: &mut Fields, old: &Fields) {
    let empty = Vec::new();
    let list = |fields: &Fields| fields.get("ports").and_then(Value::as_array).cloned();
    let old_ports = list(old).unwrap_or_default();
    let mut taken: Vec<Value> = spec
        .get("ports")
        .and_then(Value::as_array)
        .unwrap_or(&empty)
        .iter()
        .filter_map(|port| port.get("nodePort").cloned())
        .filter(|number| !is_zero(Some(number)))
        .collect();
    for port in each(spec, "ports") {
        if !is_zero(port.get("nodePort")) {
            continue;
        }
        let same = old_ports.iter().find(|o| {
            o.get("port") == port.get("port") && o.get("protocol") == port.get("protocol")
        });
        if let Some(number) = same.and_then(|o| o.get("nodePort"))
            && !is_zero(Some(number))
            && !taken.contains(number)
        {
            taken.push(number.clone());
            port.insert("nodePort".to_owned(), number.clone());
        }
    }
}

/// `clusterIP` is the first of `clusterIPs`: a client that changed one of them means both.
fn addresses_follow(spec: &mut Fields, old: &Fields) {
    let address_changed = text(spec, "clusterIP") != text(old, "clusterIP");
    let addresses_changed = spec.get("clusterIPs") != old.get("clusterIPs");
    if address_changed && !addresses_changed {
        if text(spec, "clusterIP").is_empty() {
            spec.remove("clusterIPs");
        } else {
            let address = text(spec, "clusterIP").to_owned();
            let mut list = vec![Value::from(address)];
            let rest = spec.get("clusterIPs").and_then(Value::as_array);
            list.extend(rest.into_iter().flatten().skip(1).cloned());
            spec.insert("clusterIPs".to_owned(), Value::Array(list));
        }
    } else {
        addresses_from_address(spec);
    }
}

fn drop_unused(spec: &mut Fields, ty: &str, old: &Fields, old_ty: &str) {
    if has_address(old_ty) && !has_address(ty) {
        if spec.get("clusterIP") == old.get("clusterIP") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        for key in ["ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            if spec.get(key) == old.get(key) {
                spec.remove(key);
            }
        }
    }
    if has_node_ports(old_ty, old) && !has_node_ports(ty, spec) {
        let old_ports: Vec<Value> = old
            .get("ports")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|p| p.get("nodePort").cloned())
            .collect();
        for port in each(spec, "ports") {
            if port.get("nodePort").is_some_and(|n| old_ports.contains(n)) {
                port.remove("nodePort");
            }
        }
    }
    if has_health_check_port(old_ty, old)
        && !has_health_check_port(ty, spec)
        && spec.get("healthCheckNodePort") == old.get("healthCheckNodePort")
    {
        spec.remove("healthCheckNodePort");
    }
    if old_ty == "LoadBalancer" && ty != "LoadBalancer" {
        for key in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if spec.get(key) == old.get(key) {
                spec.remove(key);
            }
        }
    }
    let external = matches!(ty, "NodePort" | "LoadBalancer")
        || (ty == "ClusterIP" && !is_empty_list(spec, "externalIPs"));
    if !external && spec.get("externalTrafficPolicy") == old.get("externalTrafficPolicy") {
        spec.remove("externalTrafficPolicy");
    }
}
