//! Whether a pod may be on a host: written straight from Kubernetes' documentation, on whole objects, one
//! host at a time, and without any thought of speed.

use std::collections::{BTreeMap, BTreeSet};

use mosaic_api::Quantity;
use serde_json::{Map, Value};

use super::world::{World, name_of, node_of};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const RESOURCES: [&str; 3] = ["cpu", "memory", "example.com/gpu"];

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_leaving(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

fn on<'a>(world: &'a World, node: &str) -> Vec<&'a Value> {
    world
        .pods
        .iter()
        .filter(|pod| node_of(pod) == Some(node))
        .collect()
}

fn node<'a>(world: &'a World, name: &str) -> &'a Value {
    world
        .nodes
        .iter()
        .find(|node| name_of(node) == name)
        .unwrap()
}

fn label<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node["metadata"]["labels"][key].as_str()
}

fn millis(value: &Value) -> i64 {
    if value.is_null() {
        0
    } else {
        Quantity::from_value(value).unwrap().milli_value()
    }
}

/// Room by resources and number of pods.
pub fn has_room(world: &World, pod: &Value, host: &str) -> bool {
    let allocatable = &node(world, host)["status"]["allocatable"];
    let request = |pod: &Value, resource: &str| {
        list(&pod["spec"]["containers"])
            .iter()
            .map(|c| millis(&c["resources"]["requests"][resource]))
            .sum::<i64>()
    };
    let there = on(world, host);
    if (there.len() as i64 + 1) * 1000 > millis(&allocatable["pods"]) {
        return false;
    }
    RESOURCES.iter().all(|resource| {
        let wanted = request(pod, resource);
        let taken: i64 = there.iter().map(|pod| request(pod, resource)).sum();
        wanted == 0 || taken + wanted <= millis(&allocatable[*resource])
    })
}

fn tolerates(pod: &Value, key: &str, value: &str, effect: &str) -> bool {
    list(&pod["spec"]["tolerations"]).iter().any(|toleration| {
        let same_effect =
            matches!(text(&toleration["effect"]), "") || text(&toleration["effect"]) == effect;
        let exists = toleration["operator"] == "Exists";
        let same_key =
            text(&toleration["key"]) == key || exists && text(&toleration["key"]).is_empty();
        same_effect && same_key && (exists || text(&toleration["value"]) == value)
    })
}

fn tolerates_taints(pod: &Value, host: &Value) -> bool {
    list(&host["spec"]["taints"]).iter().all(|taint| {
        taint["effect"] == "PreferNoSchedule"
            || tolerates(
                pod,
                text(&taint["key"]),
                text(&taint["value"]),
                text(&taint["effect"]),
            )
    })
}

fn expression_matches(expression: &Value, have: Option<&str>) -> bool {
    let values: Vec<&str> = list(&expression["values"]).iter().map(text).collect();
    let number = |text: &str| text.parse::<i64>().ok();
    match text(&expression["operator"]) {
        "In" => have.is_some_and(|have| values.contains(&have)),
        "NotIn" => !have.is_some_and(|have| values.contains(&have)),
        "Exists" => have.is_some(),
        "DoesNotExist" => have.is_none(),
        "Gt" => have
            .and_then(number)
            .zip(number(values[0]))
            .is_some_and(|(have, bound)| have > bound),
        "Lt" => have
            .and_then(number)
            .zip(number(values[0]))
            .is_some_and(|(have, bound)| have < bound),
        other => panic!("{other}"),
    }
}

fn matches_node(pod: &Value, host: &Value) -> bool {
    let selector = pod["spec"]["nodeSelector"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    if selector
        .iter()
        .any(|(key, value)| label(host, key) != value.as_str())
    {
        return false;
    }
    let required = &pod["spec"]["affinity"]["nodeAffinity"][REQUIRED];
    required.is_null()
        || list(&required["nodeSelectorTerms"]).iter().any(|term| {
            list(&term["matchExpressions"])
                .iter()
                .all(|e| expression_matches(e, label(host, text(&e["key"]))))
                && list(&term["matchFields"])
                    .iter()
                    .all(|e| expression_matches(e, Some(name_of(host))))
        })
}

fn selector_matches(selector: &Value, labels: &Map<String, Value>) -> bool {
    if selector.is_null() {
        return false;
    }
    let equal = selector["matchLabels"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    equal
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && list(&selector["matchExpressions"])
            .iter()
            .all(|e| expression_matches(e, labels.get(text(&e["key"])).map(text)))
}

fn labels(object: &Value) -> Map<String, Value> {
    object["metadata"]["labels"]
        .as_object()
        .cloned()
        .unwrap_or_default()
}

/// Whether `other` is one of the pods that a term of `owner` is about.
fn term_matches(world: &World, owner: &Value, term: &Value, other: &Value) -> bool {
    let namespace = text(&other["metadata"]["namespace"]);
    let named = list(&term["namespaces"]);
    let by_selector = world.namespaces.iter().any(|known| {
        name_of(known) == namespace && selector_matches(&term["namespaceSelector"], &labels(known))
    });
    let own = named.is_empty() && term["namespaceSelector"].is_null();
    let here = named.iter().any(|name| text(name) == namespace)
        || by_selector
        || own && namespace == text(&owner["metadata"]["namespace"]);
    let (mine, theirs) = (labels(owner), labels(other));
    let same = |key: &Value| {
        mine.get(text(key))
            .is_none_or(|value| theirs.get(text(key)) == Some(value))
    };
    let differs = |key: &Value| {
        mine.get(text(key))
            .is_none_or(|value| theirs.get(text(key)) != Some(value))
    };
    here && selector_matches(&term["labelSelector"], &theirs)
        && list(&term["matchLabelKeys"]).iter().all(same)
        && list(&term["mismatchLabelKeys"]).iter().all(differs)
}

fn same_domain(world: &World, pod: &Value, host: &Value, key: &str) -> bool {
    let there = world
        .nodes
        .iter()
        .find(|node| Some(name_of(node)) == node_of(pod));
    let there = there.and_then(|there| label(there, key));
    there.is_some() && there == label(host, key)
}

fn placed(world: &World) -> impl Iterator<Item = &Value> {
    world.pods.iter().filter(|pod| node_of(pod).is_some())
}

fn anti_affinity(world: &World, pod: &Value, host: &Value) -> bool {
    let terms = |pod: &Value| list(&pod["spec"]["affinity"]["podAntiAffinity"][REQUIRED]).to_vec();
    let near =
        |other: &Value, term: &Value| same_domain(world, other, host, text(&term["topologyKey"]));
    placed(world).all(|other| {
        !terms(pod)
            .iter()
            .any(|term| term_matches(world, pod, term, other) && near(other, term))
            && !terms(other)
                .iter()
                .any(|term| term_matches(world, other, term, pod) && near(other, term))
    })
}

fn affinity(world: &World, pod: &Value, host: &Value) -> bool {
    let terms = list(&pod["spec"]["affinity"]["podAffinity"][REQUIRED]);
    if terms
        .iter()
        .any(|term| label(host, text(&term["topologyKey"])).is_none())
    {
        return false;
    }
    let wanted = |other: &Value| {
        terms
            .iter()
            .all(|term| term_matches(world, pod, term, other))
    };
    let found = terms.iter().all(|term| {
        placed(world).any(|other| {
            wanted(other) && same_domain(world, other, host, text(&term["topologyKey"]))
        })
    });
    let somewhere = placed(world).any(|other| {
        let there = world
            .nodes
            .iter()
            .find(|node| Some(name_of(node)) == node_of(other));
        wanted(other)
            && there.is_some_and(|there| {
                terms
                    .iter()
                    .any(|term| label(there, text(&term["topologyKey"])).is_some())
            })
    });
    found || !somewhere && wanted(pod)
}

fn spreads(world: &World, pod: &Value, host: &Value) -> bool {
    let all = list(&pod["spec"]["topologySpreadConstraints"]);
    let hard: Vec<&Value> = all
        .iter()
        .filter(|c| c["whenUnsatisfiable"] == "DoNotSchedule")
        .collect();
    hard.iter().all(|constraint| {
        let key = text(&constraint["topologyKey"]);
        let Some(domain) = label(host, key) else {
            return false;
        };
        let counted = |node: &Value| {
            hard.iter()
                .all(|c| label(node, text(&c["topologyKey"])).is_some())
                && (constraint["nodeAffinityPolicy"] == "Ignore" || matches_node(pod, node))
                && (constraint["nodeTaintsPolicy"] != "Honor" || tolerates_taints(pod, node))
        };
        let mine = labels(pod);
        let is_one = |other: &Value| {
            let theirs = labels(other);
            other["metadata"]["namespace"] == pod["metadata"]["namespace"]
                && selector_matches(&constraint["labelSelector"], &theirs)
                && list(&constraint["matchLabelKeys"]).iter().all(|key| {
                    mine.get(text(key))
                        .is_none_or(|value| theirs.get(text(key)) == Some(value))
                })
        };
        let mut domains: BTreeMap<&str, i64> = BTreeMap::new();
        for node in world.nodes.iter().filter(|node| counted(node)) {
            let pods = on(world, name_of(node));
            let pods = pods
                .into_iter()
                .filter(|other| !is_leaving(other) && is_one(other))
                .count();
            *domains.entry(label(node, key).unwrap()).or_default() += pods as i64;
        }
        let enough = domains.len() as i64 >= constraint["minDomains"].as_i64().unwrap_or(1);
        let least = if enough {
            domains.values().min().copied().unwrap_or(0)
        } else {
            0
        };
        let here = domains.get(domain).copied().unwrap_or(0);
        here + i64::from(is_one(pod)) - least <= constraint["maxSkew"].as_i64().unwrap()
    })
}

fn ports(world: &World, pod: &Value, host: &str) -> bool {
    let ports = |pod: &Value| -> BTreeSet<(String, i64)> {
        let containers = list(&pod["spec"]["containers"]).to_vec();
        let ports = containers.iter().flat_map(|c| list(&c["ports"]).to_vec());
        ports
            .map(|port| {
                (
                    text(&port["hostIP"]).to_owned(),
                    port["hostPort"].as_i64().unwrap(),
                )
            })
            .collect()
    };
    let mine = ports(pod);
    on(world, host)
        .into_iter()
        .flat_map(ports)
        .all(|(ip, port)| {
            mine.iter().all(|(own, number)| {
                *number != port || !(own.is_empty() || ip.is_empty() || *own == ip)
            })
        })
}

/// Whether everything that is required holds.
pub fn may_run(world: &World, pod: &Value, host: &str) -> bool {
    let object = node(world, host);
    let cordoned = object["spec"]["unschedulable"] == true;
    (!cordoned || tolerates(pod, "node.kubernetes.io/unschedulable", "", "NoSchedule"))
        && tolerates_taints(pod, object)
        && matches_node(pod, object)
        && has_room(world, pod, host)
        && ports(world, pod, host)
        && anti_affinity(world, pod, object)
        && affinity(world, pod, object)
        && spreads(world, pod, object)
}

/// The hosts on which a pod may run.
pub fn hosts_for(world: &World, pod: &Value) -> BTreeSet<String> {
    let names = world.nodes.iter().map(|node| name_of(node).to_owned());
    names.filter(|name| may_run(world, pod, name)).collect()
}
