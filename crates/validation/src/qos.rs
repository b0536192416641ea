//! The quality-of-service class of a pod, which decides who is evicted first.

use std::collections::BTreeMap;

use mosaic_api::quantity::Quantity;
use serde_json::Value;

const RESOURCES: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(pod: &Value) -> &'static str {
    class_of_spec(pod.get("spec"))
}

/// As [`qos_class`], from a pod's spec.
pub(crate) fn class_of_spec(spec: Option<&Value>) -> &'static str {
    let Some(spec) = spec else {
        return "BestEffort";
    };
    let mut sums = Sums::default();
    let mut guaranteed = true;
    let pod_level = spec
        .get("resources")
        .filter(|r| lists(r).any(|list| list.is_some_and(|l| !l.is_empty())));
    if let Some(resources) = pod_level {
        guaranteed &= sums.take(Some(resources));
    } else {
        for list in ["containers", "initContainers"] {
            let containers = spec.get(list).and_then(Value::as_array);
            for container in containers.into_iter().flatten() {
                guaranteed &= sums.take(container.get("resources"));
            }
        }
    }
    if sums.requests.is_empty() && sums.limits.is_empty() {
        "BestEffort"
    } else if guaranteed && sums.requests == sums.limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn lists(resources: &Value) -> impl Iterator<Item = Option<&serde_json::Map<String, Value>>> {
    ["requests", "limits"]
        .into_iter()
        .map(|key| resources.get(key).and_then(Value::as_object))
}

#[derive(Default)]
struct Sums {
    requests: BTreeMap<&'static str, Quantity>,
    limits: BTreeMap<&'static str, Quantity>,
}

impl Sums {
    /// Adds what a container or pod asks for; whether it limits both processor and memory.
    fn take(&mut self, resources: Option<&Value>) -> bool {
        let amount = |list: &str, name: &str| {
            resources
                .and_then(|r| r.get(list))
                .and_then(|l| l.get(name))
                .and_then(|q| Quantity::from_value(q).ok())
                .filter(|q| q.sign().is_gt())
        };
        let mut limited = true;
        for name in RESOURCES {
            if let Some(request) = amount("requests", name) {
                let sum = self.requests.entry(name).or_default();
                *sum = sum.add(request);
            }
            match amount("limits", name) {
                Some(limit) => {
                    let sum = self.limits.entry(name).or_default();
                    *sum = sum.add(limit);
                }
                None => limited = false,
            }
        }
        limited
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes_follow_requests_and_limits() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let cases = [
            (json!([{}]), "BestEffort"),
            (
                json!([{"resources": {"requests": {"cpu": "0"}}}]),
                "BestEffort",
            ),
            (
                json!([{"resources": {"requests": {"cpu": "1"}}}]),
                "Burstable",
            ),
            (
                json!([{"resources": {"limits": both, "requests": both}}]),
                "Guaranteed",
            ),
            (
                json!([{"resources": {"limits": {"cpu": "1", "memory": "1024Mi"}, "requests": both}}]),
                "Guaranteed",
            ),
            (
                json!([{"resources": {"limits": both, "requests": both}}, {}]),
                "Burstable",
            ),
            (
                json!([{"resources": {"limits": both, "requests": {"cpu": "1"}}}]),
                "Burstable",
            ),
        ];
        for (containers, class) in cases {
            let pod = json!({"spec": {"containers": containers}});
            assert_eq!(qos_class(&pod), class, "{pod}");
        }
        assert_eq!(qos_class(&json!({})), "BestEffort");
    }
}
