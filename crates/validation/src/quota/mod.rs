//! What objects count for in resource quotas and limit ranges. Pure: who keeps the sums is the server.
//!
//! ```text
//! usage(object) ─ increase over the stored one ─ for each quota of the namespace that `covers` it:
//!     `missing`  → the object must say what it needs
//!     `exceeds`  → it does not fit
//! ```

mod amounts;
pub mod limit_range;
mod pods;
mod scopes;

use mosaic_api::{
    GroupKind,
    quantity::{Format, Quantity},
};
use serde_json::{Map, Value};

pub use self::{
    amounts::Amounts,
    pods::{pod_limits, pod_requests},
    scopes::covers,
};

/// What a namespace's images may take in the cluster's registry, in bytes, each blob once. The registry counts it and
/// holds to it.
pub const IMAGE_STORAGE: &str = "mosaic/image-storage";

/// Kinds of the core group that a quota also counts under their bare name.
const COUNTED_BY_NAME: [&str; 6] = [
    "configmaps",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
];
const CLASS_SUFFIX: &str = ".storageclass.storage.k8s.io/";

fn one() -> Quantity {
    Quantity::from_units(1, Format::DecimalSi)
}

/// The name by which objects of a kind are counted: `count/pods`, `count/deployments.apps`.
pub fn count_name(group: &str, plural: &str) -> String {
    if group.is_empty() {
        format!("count/{plural}")
    } else {
        format!("count/{plural}.{group}")
    }
}

/// What an object uses of everything that a quota can limit.
pub fn usage(kind: &GroupKind, plural: &str, object: &Value) -> Amounts {
    let mut amounts = Amounts::new();
    amounts.add(count_name(&kind.group, plural), one());
    if !kind.group.is_empty() {
        return amounts;
    }
    if COUNTED_BY_NAME.contains(&plural) {
        amounts.add(plural, one());
    }
    match kind.kind.as_ref() {
        "Pod" => pods::usage(object, &mut amounts),
        "Service" => service(object, &mut amounts),
        "PersistentVolumeClaim" => claim(object, &mut amounts),
        _ => {}
    }
    amounts
}

fn service(object: &Value, amounts: &mut Amounts) {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let ports = spec.get("ports").and_then(Value::as_array);
    let count = |ports: usize| {
        Quantity::from_units(i64::try_from(ports).unwrap_or(i64::MAX), Format::DecimalSi)
    };
    let all = ports.map_or(0, Vec::len);
    let with_node_port = ports
        .into_iter()
        .flatten()
        .filter(|p| p.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0)
        .count();
    match spec.get("type").and_then(Value::as_str) {
        Some("NodePort") => amounts.add("services.nodeports", count(all)),
        Some("LoadBalancer") => {
            let allocates = spec
                .get("allocateLoadBalancerNodePorts")
                .and_then(Value::as_bool)
                != Some(false);
            let node_ports = if allocates { all } else { with_node_port };
            amounts.add("services.nodeports", count(node_ports));
            amounts.add("services.loadbalancers", one());
        }
        _ => {}
    }
}

fn claim(object: &Value, amounts: &mut Amounts) {
    let class = object
        .pointer("/spec/storageClassName")
        .and_then(Value::as_str)
        .filter(|class| !class.is_empty());
    let read = |path: &str| {
        object
            .pointer(path)
            .and_then(|v| Quantity::from_value(v).ok())
    };
    // While a claim shrinks or grows, the larger amount is what it holds.
    let storage =
        read("/spec/resources/requests/storage").max(read("/status/allocatedResources/storage"));
    if let Some(storage) = storage {
        amounts.add("requests.storage", storage);
        if let Some(class) = class {
            amounts.add(format!("{class}{CLASS_SUFFIX}requests.storage"), storage);
        }
    }
    if let Some(class) = class {
        amounts.add(
            format!("{class}{CLASS_SUFFIX}persistentvolumeclaims"),
            one(),
        );
    }
}

/// What must be given for a quota to be able to count a pod, and is not: the text of the refusal.
///
/// `hard` are the limits of a quota named `quota` that covers the pod.
pub fn missing(
    quota: &str,
    hard: &Map<String, Value>,
    kind: &GroupKind,
    object: &Value,
) -> Option<String> {
    if !kind.group.is_empty() || kind.kind.as_ref() != "Pod" {
        return None;
    }
    let what = pods::missing(hard, object)?;
    Some(format!("failed quota: {quota}: must specify {what}"))
}

/// Whether `delta` more than `used` is over the limits `hard` of the quota named `quota`: the text of
/// the refusal. What a quota does not limit does not count.
pub fn exceeds(
    quota: &str,
    hard: &Map<String, Value>,
    used: &Map<String, Value>,
    delta: &Amounts,
) -> Option<String> {
    let mut requested = Vec::new();
    let mut in_use = Vec::new();
    let mut limited = Vec::new();
    for (name, more) in delta.iter() {
        let Some(limit) = hard.get(name).and_then(|v| Quantity::from_value(v).ok()) else {
            continue;
        };
        let now = used
            .get(name)
            .and_then(|v| Quantity::from_value(v).ok())
            .unwrap_or_default();
        if more.sign().is_gt() && now.add(more) > limit {
            requested.push(format!("{name}={more}"));
            in_use.push(format!("{name}={now}"));
            limited.push(format!("{name}={limit}"));
        }
    }
    if requested.is_empty() {
        return None;
    }
    Some(format!(
        "exceeded quota: {quota}, requested: {}, used: {}, limited: {}",
        requested.join(","),
        in_use.join(","),
        limited.join(",")
    ))
}
