//! Defaults of the core kinds other than pods.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{Fields, each, ensure, object, pod::legacy_source, quantities, set, set_text, text};

/// Seconds for which a client sticks to a backend: three hours.
const SESSION_SECONDS: i64 = 10_800;

/// Defaults of a `Service`. Addresses and their families are given out by the server.
pub(crate) fn service(fields: &mut Fields) {
    let Some(spec) = ensure(fields, "spec") else {
        return;
    };
    set_text(spec, "sessionAffinity", "None");
    set_text(spec, "type", "ClusterIP");
    match text(spec, "sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let given = spec
                .get("sessionAffinityConfig")
                .and_then(|c| c.pointer("/clientIP/timeoutSeconds"))
                .is_some_and(|v| !v.is_null());
            if !given {
                let config = json!({"clientIP": {"timeoutSeconds": SESSION_SECONDS}});
                spec.insert("sessionAffinityConfig".to_owned(), config);
            }
        }
        _ => {}
    }
    for port in each(spec, "ports") {
        set_text(port, "protocol", "TCP");
        let unset = match port.get("targetPort") {
            None | Some(Value::Null) => true,
            Some(Value::String(name)) => name.is_empty(),
            Some(number) => number.as_i64() == Some(0),
        };
        if unset && let Some(number) = port.get("port").cloned() {
            port.insert("targetPort".to_owned(), number);
        }
    }
    let ty = text(spec, "type").to_owned();
    let external_addresses = spec
        .get("externalIPs")
        .and_then(Value::as_array)
        .is_some_and(|l| !l.is_empty());
    if matches!(ty.as_str(), "NodePort" | "LoadBalancer")
        || (ty == "ClusterIP" && external_addresses)
    {
        set_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(ty.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    if ty == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", true);
        if let Some(balancer) = object(fields, "status").and_then(|s| object(s, "loadBalancer")) {
            for ingress in each(balancer, "ingress") {
                if !text(ingress, "ip").is_empty() {
                    set(ingress, "ipMode", "VIP");
                }
            }
        }
    }
}

/// Defaults of a `Secret`: its type, and `stringData` written into `data`.
pub(crate) fn secret(fields: &mut Fields) {
    set_text(fields, "type", "Opaque");
    let Some(Value::Object(plain)) = fields.remove("stringData") else {
        return;
    };
    if plain.is_empty() {
        return;
    }
    if let Some(data) = ensure(fields, "data") {
        for (key, value) in plain {
            let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
            data.insert(key, Value::String(encoded));
        }
    }
}

/// Defaults of a `PersistentVolume`.
pub(crate) fn persistent_volume(fields: &mut Fields) {
    if let Some(spec) = object(fields, "spec") {
        set_text(spec, "persistentVolumeReclaimPolicy", "Retain");
        set(spec, "volumeMode", "Filesystem");
        quantities::list(spec, "capacity");
        for (name, source) in spec.iter_mut() {
            if let Some(source) = source.as_object_mut() {
                legacy_source(name, source);
            }
        }
    }
    if let Some(status) = ensure(fields, "status") {
        set_text(status, "phase", "Pending");
    }
}

/// Defaults of a `PersistentVolumeClaim`.
pub(crate) fn claim(fields: &mut Fields) {
    if let Some(spec) = object(fields, "spec") {
        set(spec, "volumeMode", "Filesystem");
        set(spec, "resources", Fields::new());
        quantities::requirements(spec);
    }
    if let Some(status) = ensure(fields, "status") {
        set_text(status, "phase", "Pending");
        quantities::list(status, "capacity");
        quantities::list(status, "allocatedResources");
    }
}

/// Defaults of `Endpoints`.
pub(crate) fn endpoints(fields: &mut Fields) {
    for subset in each(fields, "subsets") {
        for port in each(subset, "ports") {
            set_text(port, "protocol", "TCP");
        }
    }
}

/// Defaults of a `Namespace`: its name as a label, and its phase.
pub(crate) fn namespace(fields: &mut Fields) {
    if let Some(metadata) = object(fields, "metadata") {
        let name = text(metadata, "name").to_owned();
        if !name.is_empty()
            && let Some(labels) = ensure(metadata, "labels")
            && text(labels, "kubernetes.io/metadata.name") != name
        {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
        }
    }
    if let Some(status) = ensure(fields, "status") {
        set_text(status, "phase", "Active");
    }
}

/// Defaults of a `Node`: everything it has can be allocated.
pub(crate) fn node(fields: &mut Fields) {
    let Some(status) = object(fields, "status") else {
        return;
    };
    quantities::list(status, "capacity");
    quantities::list(status, "allocatable");
    if let Some(capacity @ Value::Object(_)) = status.get("capacity").cloned() {
        set(status, "allocatable", capacity);
    }
}

/// Defaults of a `LimitRange`: a container's limit is at most the maximum, its request the limit or
/// else the minimum.
pub(crate) fn limit_range(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    for item in each(spec, "limits") {
        for key in [
            "max",
            "min",
            "default",
            "defaultRequest",
            "maxLimitRequestRatio",
        ] {
            quantities::list(item, key);
        }
        if text(item, "type") != "Container" {
            continue;
        }
        for (from, to) in [
            ("max", "default"),
            ("default", "defaultRequest"),
            ("min", "defaultRequest"),
        ] {
            copy_missing(item, from, to);
        }
    }
}

fn copy_missing(item: &mut Fields, from: &str, to: &str) {
    let source: Map<String, Value> = match item.get(from) {
        Some(Value::Object(map)) if !map.is_empty() => map.clone(),
        _ => return,
    };
    if let Some(target) = ensure(item, to) {
        for (name, quantity) in source {
            target.entry(name).or_insert(quantity);
        }
    }
}
