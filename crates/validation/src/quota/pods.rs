//! What a pod uses.

use std::collections::{BTreeMap, BTreeSet};

use mosaic_api::peak::peak;
use serde_json::{Map, Value};

use super::{Amounts, one};

fn list<'a>(spec: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    spec.get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// What a pod requests: the most that its containers need at one time, and its overhead.
pub fn pod_requests(pod: &Value) -> Amounts {
    total(pod, "requests")
}

/// What a pod is limited to, by the same rule.
pub fn pod_limits(pod: &Value) -> Amounts {
    total(pod, "limits")
}

fn total(pod: &Value, key: &str) -> Amounts {
    let Some(spec) = pod.get("spec") else {
        return Amounts::new();
    };
    let of = |holder: &Value| Amounts::read(holder.get("resources").and_then(|r| r.get(key)));
    let stays = |container: &Value| {
        container.get("restartPolicy").and_then(Value::as_str) == Some("Always")
    };
    let starting = list(spec, "initContainers").map(|container| (stays(container), of(container)));
    let mut sum = peak(list(spec, "containers").map(of), starting);
    for (name, amount) in of(spec).iter() {
        sum.set(name, amount);
    }
    let overhead = Amounts::read(spec.get("overhead"));
    if key == "requests" {
        sum.add_all(&overhead);
    } else {
        for (name, amount) in overhead.iter() {
            // Without a limit there is nothing to be over.
            if sum.get(name).is_some() {
                sum.add(name, amount);
            }
        }
    }
    sum
}

/// Whether a pod still holds what it asked for.
fn is_active(pod: &Value) -> bool {
    !matches!(
        pod.pointer("/status/phase").and_then(Value::as_str),
        Some("Failed" | "Succeeded")
    )
}

pub(super) fn usage(pod: &Value, amounts: &mut Amounts) {
    if !is_active(pod) {
        return;
    }
    amounts.add("pods", one());
    for (name, amount) in pod_requests(pod).iter() {
        let native = matches!(name, "cpu" | "memory" | "ephemeral-storage")
            || name.starts_with("hugepages-");
        if native {
            amounts.add(name, amount);
        }
        amounts.add(format!("requests.{name}"), amount);
    }
    for (name, amount) in pod_limits(pod).iter() {
        if matches!(name, "cpu" | "memory" | "ephemeral-storage") {
            amounts.add(format!("limits.{name}"), amount);
        }
    }
}

/// The resource and the list of a container in which a limit of a quota is looked for.
fn source(limit: &str) -> Option<(&'static str, &str)> {
    match limit {
        "cpu" | "memory" | "ephemeral-storage" => Some(("requests", limit)),
        _ => limit
            .strip_prefix("requests.")
            .filter(|name| *name != "storage")
            .map(|name| ("requests", name))
            .or_else(|| limit.strip_prefix("limits.").map(|name| ("limits", name))),
    }
}

/// Which of the limited resources which containers do not mention: `requests.cpu for: web`.
pub(super) fn missing(hard: &Map<String, Value>, pod: &Value) -> Option<String> {
    let spec = pod.get("spec")?;
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for limit in hard.keys() {
        let Some((key, resource)) = source(limit) else {
            continue;
        };
        // Only what every pod uses must be mentioned by every container.
        if !matches!(resource, "cpu" | "memory" | "ephemeral-storage") {
            continue;
        }
        let given = |holder: &Value| {
            holder
                .get("resources")
                .and_then(|r| r.get(key))
                .is_some_and(|l| l.get(resource).is_some())
        };
        if given(spec) {
            continue;
        }
        let containers = list(spec, "containers").chain(list(spec, "initContainers"));
        for container in containers.filter(|c| !given(c)) {
            let name = container.get("name").and_then(Value::as_str);
            missing
                .entry(limit)
                .or_default()
                .insert(name.unwrap_or_default());
        }
    }
    if missing.is_empty() {
        return None;
    }
    let parts: Vec<String> = missing
        .into_iter()
        .map(|(resource, containers)| {
            let names: Vec<&str> = containers.into_iter().collect();
            format!("{resource} for: {}", names.join(","))
        })
        .collect();
    Some(parts.join("; "))
}
