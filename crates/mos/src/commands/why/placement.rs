//! Where a pod can be and why, worked out from what the API shows, by the rules that the scheduler goes by.

use mosaic_api::meta;
use mosaic_scheduler::{Cluster, Pod, PodKey, explain, explain_placement};
use serde_json::Value;

use crate::commands::snapshot::Objects;

/// What is to be said about a pod's place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Placement {
    /// Why no host will do, or why it is where it is.
    pub(super) words: Option<String>,
    /// Whether its host says that it is ready, if the pod has one and the host is there.
    pub(super) host_is_ready: Option<bool>,
    /// Whether its host is there, if the pod has one and hosts could be read.
    pub(super) host_exists: Option<bool>,
}

/// Hosts, and what is on them.
#[derive(Debug)]
pub(super) struct Places {
    nodes: Vec<Value>,
    cluster: Cluster,
}

impl Places {
    /// Those of these objects.
    pub(super) fn new(objects: Objects) -> Self {
        Self {
            cluster: objects.cluster(),
            nodes: objects.nodes,
        }
    }
}

fn host(pod: &Value) -> Option<&str> {
    let host = pod.pointer("/spec/nodeName").and_then(Value::as_str);
    host.filter(|name| !name.is_empty())
}

/// Whether there is anything to be said about a pod's place: not while nobody decides about it.
pub(super) fn matters(pod: &Value) -> bool {
    let gates = pod.pointer("/spec/schedulingGates");
    let is_gated = gates
        .and_then(Value::as_array)
        .is_some_and(|gates| !gates.is_empty());
    host(pod).is_some() || !is_gated
}

/// Explains a pod's place.
pub(super) fn placement(places: &Places, pod: &Value) -> Placement {
    let host = host(pod);
    let node = host.map(|host| places.nodes.iter().find(|node| meta::name(node) == host));
    let mut placement = Placement {
        host_exists: node.map(|node| node.is_some()),
        host_is_ready: node.flatten().map(is_ready),
        words: None,
    };
    let Ok(wanted) = Pod::from_json(pod.to_string().as_bytes()) else {
        return placement;
    };
    let cluster = &places.cluster;
    placement.words = match host {
        None => explain(cluster, &wanted).map(|why| format!("{why}.")),
        Some(_) => {
            let key: &PodKey = &wanted.key;
            explain_placement(cluster, key).map(|report| report.to_string())
        }
    };
    placement
}

fn is_ready(node: &Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| {
        let is =
            |field: &str, value: &str| condition.get(field).and_then(Value::as_str) == Some(value);
        is("type", "Ready") && is("status", "True")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, cpu: &str) -> Value {
        json!({ "metadata": { "name": name }, "status": {
            "allocatable": { "cpu": cpu, "memory": "8Gi", "pods": "110" },
            "conditions": [{ "type": "Ready", "status": "True" }],
        } })
    }

    fn pod(name: &str, host: Option<&str>) -> Value {
        let container =
            json!({ "name": "c", "image": "i", "resources": { "requests": { "cpu": "2" } } });
        json!({ "metadata": { "name": name, "namespace": "shop", "uid": name },
            "spec": { "nodeName": host, "containers": [container] }, "status": {} })
    }

    #[test]
    fn a_pod_that_fits_nowhere_is_told_how_near_it_came() {
        let places = Places::new(Objects {
            nodes: vec![node("h1", "1"), node("h2", "1500m")],
            ..Objects::default()
        });
        let words = placement(&places, &pod("a", None)).words.unwrap();
        assert!(
            words.contains("2 hosts") && words.contains("cpu") && words.contains("h2"),
            "{words}"
        );
    }

    #[test]
    fn places_matter_unless_nobody_decides() {
        let mut waiting = pod("a", None);
        assert!(matters(&waiting) && matters(&pod("a", Some("h1"))));
        waiting["spec"]["schedulingGates"] = json!([]);
        assert!(matters(&waiting));
        waiting["spec"]["schedulingGates"] = json!([{ "name": "later" }]);
        assert!(!matters(&waiting));
    }

    #[test]
    fn a_pod_that_has_a_place_is_told_of_the_others() {
        let placed = pod("a", Some("h1"));
        let places = Places::new(Objects {
            nodes: vec![node("h1", "4"), node("h2", "4")],
            pods: vec![placed.clone()],
            ..Objects::default()
        });
        let placement = placement(&places, &placed);
        let words = placement.words.unwrap();
        assert!(
            words.contains("h1") && words.contains("2 of 2 hosts would do"),
            "{words}"
        );
        assert_eq!(
            (placement.host_exists, placement.host_is_ready),
            (Some(true), Some(true))
        );
        let lost = super::placement(&places, &pod("b", Some("gone")));
        assert_eq!((lost.host_exists, lost.host_is_ready), (Some(false), None));
    }
}
