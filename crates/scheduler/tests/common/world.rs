//! Random small clusters, as objects.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::set;

/// Choices that proptest makes and shrinks; with none left, the first is taken.
#[derive(Debug, Clone)]
pub struct Choices {
    bytes: Vec<u8>,
    next: usize,
}

pub fn choices() -> impl Strategy<Value = Choices> {
    proptest::collection::vec(any::<u8>(), 0..600).prop_map(|bytes| Choices { bytes, next: 0 })
}

/// Enough for a world with many pods.
pub fn many_choices() -> impl Strategy<Value = Choices> {
    proptest::collection::vec(any::<u8>(), 400..1200).prop_map(|bytes| Choices { bytes, next: 0 })
}

impl Choices {
    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let byte = self.bytes.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        usize::from(byte) % end
    }

    pub fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// True in one of `times` cases.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }
}

/// Objects, as the API has them.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub nodes: Vec<Value>,
    /// Placed and waiting ones.
    pub pods: Vec<Value>,
    pub namespaces: Vec<Value>,
    pub budgets: Vec<Value>,
}

pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

pub fn node_of(pod: &Value) -> Option<&str> {
    pod["spec"]["nodeName"].as_str()
}

pub fn random_node(choices: &mut Choices, name: &str) -> Value {
    let mut node = json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "spec": {},
        "status": { "allocatable": {
            "cpu": choices.of(&["2", "1", "4", "500m"]),
            "memory": choices.of(&["4Gi", "1Gi", "8Gi"]),
            "pods": choices.of(&["10", "3", "1"]),
            "example.com/gpu": choices.of(&["0", "1", "2"]),
        } },
    });
    if !choices.one_in(8) {
        let zone = *choices.of(&["a", "b", "c"]);
        set(
            &mut node,
            "/metadata/labels/topology.kubernetes.io~1zone",
            json!(zone),
        );
    }
    if choices.one_in(3) {
        set(
            &mut node,
            "/metadata/labels/disk",
            json!(choices.of(&["ssd", "hdd"])),
        );
    }
    if choices.one_in(3) {
        set(
            &mut node,
            "/metadata/labels/rank",
            json!(choices.of(&["1", "5", "x"])),
        );
    }
    if choices.one_in(4) {
        let effect = choices.of(&["NoSchedule", "NoExecute", "PreferNoSchedule"]);
        let value = choices.of(&["db", "", "web"]);
        node["spec"]["taints"] = json!([{ "key": "pool", "value": value, "effect": effect }]);
    }
    if choices.one_in(10) {
        node["spec"]["unschedulable"] = json!(true);
    }
    if choices.one_in(3) {
        let size = *choices.of(&[50_000_000u64, 900_000_000]);
        node["status"]["images"] =
            json!([{ "names": ["docker.io/library/web:latest"], "sizeBytes": size }]);
    }
    node
}

fn selector(choices: &mut Choices) -> Value {
    match choices.below(6) {
        0 | 1 => json!({ "matchLabels": { "app": choices.of(&["a", "b", "c"]) } }),
        2 => {
            json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": ["a", "b"] }] })
        }
        3 => {
            json!({ "matchExpressions": [{ "key": "app", "operator": "NotIn", "values": ["a"] }] })
        }
        4 => {
            json!({ "matchExpressions": [{ "key": "tier", "operator": choices.of(&["Exists", "DoesNotExist"]) }] })
        }
        _ => json!({}),
    }
}

fn topology(choices: &mut Choices) -> &'static str {
    choices.of::<&str>(&["kubernetes.io/hostname", "topology.kubernetes.io/zone"])
}

fn term(choices: &mut Choices) -> Value {
    let mut term = json!({ "labelSelector": selector(choices), "topologyKey": topology(choices) });
    match choices.below(8) {
        5 => term["namespaces"] = json!(["other"]),
        6 => term["namespaceSelector"] = json!({}),
        7 => term["namespaceSelector"] = json!({ "matchLabels": { "team": "x" } }),
        _ => {}
    }
    if choices.one_in(6) {
        term["matchLabelKeys"] = json!(["tier"]);
    }
    if choices.one_in(8) {
        term["mismatchLabelKeys"] = json!(["tier"]);
    }
    term
}

fn node_term(choices: &mut Choices) -> Value {
    let expression = match choices.below(7) {
        0 => json!({ "key": "disk", "operator": "In", "values": ["ssd"] }),
        1 => json!({ "key": "disk", "operator": "NotIn", "values": ["ssd"] }),
        2 => json!({ "key": "disk", "operator": "Exists" }),
        3 => json!({ "key": "disk", "operator": "DoesNotExist" }),
        4 => json!({ "key": "rank", "operator": "Gt", "values": ["2"] }),
        5 => json!({ "key": "rank", "operator": "Lt", "values": ["2"] }),
        _ => {
            let operator = choices.of(&["In", "NotIn"]);
            return json!({ "matchFields": [
                { "key": "metadata.name", "operator": operator, "values": [choices.of(&["n0", "n1"])] },
            ] });
        }
    };
    json!({ "matchExpressions": [expression] })
}

fn spread(choices: &mut Choices, when: &str) -> Value {
    let mut constraint = json!({
        "maxSkew": choices.below(2) + 1,
        "topologyKey": topology(choices),
        "whenUnsatisfiable": when,
        "labelSelector": selector(choices),
    });
    if choices.one_in(4) {
        constraint["minDomains"] = json!(choices.below(4) + 1);
    }
    if choices.one_in(4) {
        constraint["nodeAffinityPolicy"] = json!("Ignore");
    }
    if choices.one_in(3) {
        constraint["nodeTaintsPolicy"] = json!("Honor");
    }
    if choices.one_in(4) {
        constraint["matchLabelKeys"] = json!(["tier"]);
    }
    constraint
}

pub fn random_pod(choices: &mut Choices, name: &str) -> Value {
    let mut pod = json!({
        "metadata": {
            "name": name, "namespace": choices.of(&["default", "default", "other"]), "uid": name,
            "labels": { "app": choices.of(&["a", "b", "c"]) },
        },
        "spec": {
            "priority": choices.below(4),
            "containers": [{ "name": "c", "image": "web", "resources": { "requests": {
                "cpu": choices.of(&["250m", "0", "500m", "1"]),
                "memory": choices.of(&["512Mi", "0", "1Gi"]),
            } } }],
        },
    });
    if choices.one_in(3) {
        set(
            &mut pod,
            "/metadata/labels/tier",
            json!(choices.of(&["1", "2"])),
        );
    }
    if choices.one_in(6) {
        set(
            &mut pod,
            "/spec/nodeSelector/disk",
            json!(choices.of(&["ssd", "hdd"])),
        );
    }
    if choices.one_in(3) {
        let mut toleration = json!({ "key": "pool", "operator": choices.of(&["Exists", "Equal"]) });
        if toleration["operator"] == "Equal" {
            toleration["value"] = json!(choices.of(&["db", "web"]));
        }
        if choices.one_in(3) {
            toleration["effect"] = json!("NoSchedule");
        }
        pod["spec"]["tolerations"] = json!([toleration]);
    }
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    if choices.one_in(6) {
        let count = choices.below(2) + 1;
        let terms: Vec<Value> = (0..count).map(|_| node_term(choices)).collect();
        set(
            &mut pod,
            &format!("/spec/affinity/nodeAffinity/{REQUIRED}"),
            json!({ "nodeSelectorTerms": terms }),
        );
    }
    if choices.one_in(6) {
        let preferred = json!([{ "weight": 10, "preference": node_term(choices) }]);
        set(
            &mut pod,
            &format!("/spec/affinity/nodeAffinity/{PREFERRED}"),
            preferred,
        );
    }
    if choices.one_in(4) {
        set(
            &mut pod,
            &format!("/spec/affinity/podAntiAffinity/{REQUIRED}"),
            json!([term(choices)]),
        );
    }
    if choices.one_in(5) {
        let count = choices.below(2) + 1;
        let terms: Vec<Value> = (0..count).map(|_| term(choices)).collect();
        set(
            &mut pod,
            &format!("/spec/affinity/podAffinity/{REQUIRED}"),
            json!(terms),
        );
    }
    if choices.one_in(6) {
        let preferred = json!([{ "weight": 50, "podAffinityTerm": term(choices) }]);
        let kind = choices.of(&["podAffinity", "podAntiAffinity"]);
        set(
            &mut pod,
            &format!("/spec/affinity/{kind}/{PREFERRED}"),
            preferred,
        );
    }
    if choices.one_in(3) {
        let count = choices.below(2) + 1;
        let when = choices.of(&["DoNotSchedule", "ScheduleAnyway"]);
        let list: Vec<Value> = (0..count).map(|_| spread(choices, when)).collect();
        pod["spec"]["topologySpreadConstraints"] = json!(list);
    }
    if choices.one_in(6) {
        let ip = choices.of(&["", "10.0.0.1", "10.0.0.2"]);
        pod["spec"]["containers"][0]["ports"] =
            json!([{ "hostPort": 80, "containerPort": 80, "hostIP": ip }]);
    }
    if choices.one_in(6) {
        pod["spec"]["containers"][0]["resources"]["requests"]["example.com/gpu"] = json!("1");
    }
    if choices.one_in(3) {
        let kind = choices.of(&["ReplicaSet", "DaemonSet", "Job"]);
        pod["metadata"]["ownerReferences"] = json!([{ "kind": kind, "name": "o", "uid": choices.of(&["u1", "u2"]), "controller": true }]);
    }
    if choices.one_in(8) {
        pod["spec"]["preemptionPolicy"] = json!("Never");
    }
    if choices.one_in(8) {
        pod["status"] = json!({ "startTime": format!("2026-01-01T00:00:0{}Z", choices.below(9)) });
    }
    pod
}

/// A cluster with pods, some of which are placed wherever they have room, and a pod to decide about.
pub fn random_world(choices: &mut Choices) -> World {
    let mut world = World {
        namespaces: vec![
            json!({ "metadata": { "name": "default", "labels": { "team": "x" } } }),
            json!({ "metadata": { "name": "other", "labels": { "team": "y" } } }),
        ],
        ..World::default()
    };
    for index in 0..choices.below(6) + 1 {
        world.nodes.push(random_node(choices, &format!("n{index}")));
    }
    for index in 0..choices.below(10) {
        let mut pod = random_pod(choices, &format!("p{index}"));
        let node = choices.below(world.nodes.len());
        let node = name_of(&world.nodes[node]).to_owned();
        pod["spec"]["nodeName"] = json!(node);
        // What ends up where it may not be does no harm: others have to be right nevertheless. Too much
        // on a host would.
        if super::naive::has_room(&world, &pod, &node) {
            if choices.one_in(8) {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            world.pods.push(pod);
        }
    }
    if choices.one_in(2) {
        world.budgets.push(json!({
            "metadata": { "name": "b", "namespace": "default" },
            "spec": { "selector": selector(choices) },
            "status": { "disruptionsAllowed": choices.below(3) },
        }));
    }
    world
}
