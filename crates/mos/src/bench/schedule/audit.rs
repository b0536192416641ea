//! What the cluster looks like in the end, read by lists: whether any host has more than it holds, and any
//! rule was broken.

use std::collections::{BTreeMap, HashMap};

use mosaic_api::Quantity;
use serde::Deserialize;

use super::objects::GROUP;
use crate::bench::client::Connection;
use crate::failure::Failure;

const ZONE: &str = "topology.kubernetes.io/zone";
/// How many objects one answer holds at most.
const PAGE: usize = 5_000;

#[derive(Debug, Deserialize)]
struct List<T> {
    #[serde(default)]
    metadata: ListMetadata,
    items: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
struct ListMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Debug, Default, Clone, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// A host.
#[derive(Debug, Deserialize)]
pub(super) struct Node {
    metadata: Metadata,
    status: NodeStatus,
}

#[derive(Debug, Deserialize)]
struct NodeStatus {
    allocatable: BTreeMap<String, String>,
}

/// A pod.
#[derive(Debug, Deserialize)]
pub(super) struct Pod {
    metadata: Metadata,
    spec: PodSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    node_name: String,
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
struct Container {
    #[serde(default)]
    resources: Resources,
}

#[derive(Debug, Default, Deserialize)]
struct Resources {
    #[serde(default)]
    requests: BTreeMap<String, String>,
}

impl Pod {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Its host; empty if it has none.
    pub(super) fn host(&self) -> &str {
        &self.spec.node_name
    }
}

/// Reads all hosts.
pub(super) async fn nodes(connection: &mut Connection) -> Result<Vec<Node>, Failure> {
    list(connection, "/api/v1/nodes").await
}

/// Reads all pods.
pub(super) async fn pods(connection: &mut Connection) -> Result<Vec<Pod>, Failure> {
    list(connection, "/api/v1/pods").await
}

async fn list<T: serde::de::DeserializeOwned>(
    connection: &mut Connection,
    path: &str,
) -> Result<Vec<T>, Failure> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = format!("{path}?limit={PAGE}&continue={next}");
        let text = connection.read(&page).await?;
        let list: List<T> = serde_json::from_slice(&text)
            .map_err(|error| Failure::new(format!("a list of {path} cannot be read: {error}")))?;
        all.extend(list.items);
        if list.metadata.next.is_empty() {
            return Ok(all);
        }
        next = percent_encoding::utf8_percent_encode(
            &list.metadata.next,
            percent_encoding::NON_ALPHANUMERIC,
        )
        .to_string();
    }
}

/// What a host has, or its pods ask for: millis of processors, bytes, pods.
#[derive(Debug, Clone, Copy, Default)]
struct Amounts {
    cpu: i64,
    memory: i64,
    pods: i64,
}

impl Amounts {
    fn read(of: &str, amounts: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let amount = |resource: &str| -> Result<Quantity, Failure> {
            amounts
                .get(resource)
                .map_or("0", String::as_str)
                .parse()
                .map_err(|_| Failure::new(format!("{of}: {resource} is no quantity")))
        };
        Ok(Self {
            cpu: amount("cpu")?.milli_value(),
            memory: amount("memory")?.value(),
            pods: amount("pods")?.value(),
        })
    }
}

/// Fails if some host has more than it holds, or a pod has none.
pub(super) fn capacity(nodes: &[Node], pods: &[Pod]) -> Result<(), Failure> {
    let mut taken: HashMap<&str, Amounts> = HashMap::new();
    for pod in pods {
        if pod.host().is_empty() {
            return Err(Failure::new(format!("pod {} has no host", pod.name())));
        }
        let on = taken.entry(pod.host()).or_default();
        on.pods += 1;
        for container in &pod.spec.containers {
            let asked = Amounts::read(pod.name(), &container.resources.requests)?;
            on.cpu += asked.cpu;
            on.memory += asked.memory;
        }
    }
    for node in nodes {
        let name = &*node.metadata.name;
        let holds = Amounts::read(name, &node.status.allocatable)?;
        let taken = taken.remove(name).unwrap_or_default();
        if taken.cpu > holds.cpu || taken.memory > holds.memory || taken.pods > holds.pods {
            return Err(Failure::new(format!(
                "host {name} has more than it holds: {taken:?} of {holds:?}"
            )));
        }
    }
    match taken.keys().next() {
        Some(host) => Err(Failure::new(format!("there is no host {host}"))),
        None => Ok(()),
    }
}

/// Fails if two pods of a group are on one host, or a group is spread unevenly over the zones.
pub(super) fn constraints(nodes: &[Node], pods: &[Pod]) -> Result<(), Failure> {
    let zones: HashMap<&str, &str> = nodes
        .iter()
        .filter_map(|node| Some((&*node.metadata.name, &**node.metadata.labels.get(ZONE)?)))
        .collect();
    let mut empty: BTreeMap<&str, usize> = BTreeMap::new();
    empty.extend(zones.values().map(|zone| (*zone, 0)));
    let mut hosts: HashMap<(&str, &str), &Pod> = HashMap::new();
    let mut groups: HashMap<&str, BTreeMap<&str, usize>> = HashMap::new();
    for pod in pods {
        let group = pod.metadata.labels.get(GROUP).map_or("", String::as_str);
        if let Some(other) = hosts.insert((group, pod.host()), pod) {
            let (one, two) = (pod.name(), other.name());
            return Err(Failure::new(format!(
                "pods {one} and {two} of {group} are both on {}",
                pod.host()
            )));
        }
        let spread = groups.entry(group).or_insert_with(|| empty.clone());
        if let Some(zone) = zones.get(pod.host()) {
            *spread.entry(zone).or_default() += 1;
        }
    }
    for (group, spread) in groups {
        let (least, most) = (spread.values().min(), spread.values().max());
        if let (Some(least), Some(most)) = (least, most)
            && most - least > 1
        {
            return Err(Failure::new(format!(
                "{group} is spread unevenly: {spread:?}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, zone: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { ZONE: zone } },
            "status": { "allocatable": { "cpu": "2", "memory": "4Gi", "pods": "3" } },
        }))
        .unwrap()
    }

    fn pod(name: &str, group: &str, host: &str, cpu: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { GROUP: group } },
            "spec": { "nodeName": host, "containers": [
                { "resources": { "requests": { "cpu": cpu, "memory": "1Gi" } } },
                { "resources": {} },
            ] },
        }))
        .unwrap()
    }

    fn said(result: Result<(), Failure>) -> String {
        result.map_or_else(|failure| failure.to_string(), |()| "all well".to_owned())
    }

    #[test]
    fn hosts_may_be_full_and_not_fuller() {
        let nodes = [node("a", "1"), node("b", "2")];
        let check = |pods: &[Pod]| said(capacity(&nodes, pods));
        let full = [pod("x", "", "a", "1"), pod("y", "", "a", "1")];
        assert_eq!(check(&full), "all well");
        let cpu = [pod("x", "", "a", "1"), pod("y", "", "a", "1001m")];
        assert!(check(&cpu).contains("host a has more"));
        let count: Vec<Pod> = (0..4).map(|n| pod(&n.to_string(), "", "b", "1m")).collect();
        assert!(check(&count).contains("host b has more"));
        assert!(check(&[pod("x", "", "", "1")]).contains("has no host"));
        assert!(check(&[pod("x", "", "c", "1")]).contains("there is no host c"));
    }

    #[test]
    fn groups_are_apart_and_spread() {
        let nodes = [node("a", "1"), node("b", "2"), node("c", "1")];
        let check = |pods: &[Pod]| said(constraints(&nodes, pods));
        let well = [
            pod("x", "g", "a", "1"),
            pod("y", "g", "b", "1"),
            pod("z", "h", "a", "1"),
        ];
        assert_eq!(check(&well), "all well");
        let together = [pod("x", "g", "a", "1"), pod("y", "g", "a", "1")];
        assert!(check(&together).contains("both on a"));
        let uneven = [pod("x", "g", "a", "1"), pod("y", "g", "c", "1")];
        assert!(check(&uneven).contains("unevenly"));
    }
}
