//! Whether there is what was asked for.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mosaic_store::{ListOptions, Memory, Store};
use serde_json::Value;

use crate::{
    promises::{has_ended, is, list, number, text},
    user::{Kind, Wanted},
};

/// All objects under a prefix of the store, by name.
async fn objects(store: &Memory, prefix: &str) -> BTreeMap<String, Value> {
    let page = store.list(prefix, ListOptions::default()).await.unwrap();
    let entries = page.entries.iter();
    entries
        .map(|entry| {
            let name = entry.key.strip_prefix(prefix).unwrap_or_default();
            (
                name.to_owned(),
                serde_json::from_slice(&entry.value).unwrap(),
            )
        })
        .collect()
}

/// What there is.
struct There {
    pods: BTreeMap<String, Value>,
    nodes: BTreeMap<String, Value>,
    workloads: BTreeMap<(&'static str, String), Value>,
    services: BTreeMap<String, Value>,
    slices: BTreeMap<String, Value>,
    endpoints: BTreeMap<String, Value>,
    uids: HashSet<String>,
}

impl There {
    async fn look(store: &Memory) -> Self {
        let kinds = [
            Kind::Deployment,
            Kind::ReplicaSet,
            Kind::StatefulSet,
            Kind::DaemonSet,
            Kind::Job,
            Kind::CronJob,
        ];
        let mut workloads = BTreeMap::new();
        for kind in kinds {
            for (name, object) in objects(store, &kind.prefix()).await {
                workloads.insert((kind.name(), name), object);
            }
        }
        let all = objects(store, "/").await;
        let uids = all
            .values()
            .map(|object| text(object, "/metadata/uid").to_owned());
        Self {
            uids: uids.filter(|uid| !uid.is_empty()).collect(),
            pods: objects(store, &Kind::Pod.prefix()).await,
            nodes: objects(store, "/core/nodes/").await,
            services: objects(store, "/core/services/default/").await,
            slices: objects(store, "/discovery.k8s.io/endpointslices/default/").await,
            endpoints: objects(store, "/core/endpoints/default/").await,
            workloads,
        }
    }

    fn pods_of<'a>(&'a self, app: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let pods = self.pods.iter();
        pods.filter(move |(_, pod)| text(pod, "/metadata/labels/app") == app)
    }
}

/// What is not as it was asked for, in words.
pub async fn unmet(store: &Memory, wanted: &[Wanted], hosts: usize) -> Vec<String> {
    let there = There::look(store).await;
    let mut unmet = Vec::new();
    let ready = there
        .nodes
        .values()
        .filter(|node| is(node, "Ready"))
        .count();
    if ready != hosts || there.nodes.len() != hosts {
        let all = there.nodes.len();
        unmet.push(format!(
            "{ready} of {all} hosts are ready, there are {hosts}"
        ));
    }
    for (name, pod) in &there.pods {
        pod_is_settled(&there, name, pod, &mut unmet);
        let is_owned = list(pod, "/metadata/ownerReferences").next().is_some();
        if !is_owned && !wanted.iter().any(|one| one.name == *name) {
            unmet.push(format!("pod {name} is there, which nobody wants"));
        }
    }
    for ((kind, name), object) in &there.workloads {
        let place = format!("{kind} {name}");
        is_owned_by_who_is_there(&there, &place, object, &mut unmet);
        let top = wanted
            .iter()
            .any(|w| w.kind.name() == *kind && w.name == *name);
        if !top && list(object, "/metadata/ownerReferences").next().is_none() {
            unmet.push(format!("{place} is there, which nobody wants"));
        }
    }
    for one in wanted {
        workload(&there, one, hosts, &mut unmet);
    }
    for (name, service) in &there.services {
        if text(service, "/spec/selector/app").is_empty() {
            continue;
        }
        if !wanted.iter().any(|one| one.name == *name) {
            unmet.push(format!("service {name} is there, which nobody wants"));
        }
        endpoints(&there, name, service, &mut unmet);
    }
    unmet
}

fn is_owned_by_who_is_there(there: &There, what: &str, object: &Value, unmet: &mut Vec<String>) {
    for owner in list(object, "/metadata/ownerReferences") {
        if !there.uids.contains(text(owner, "/uid")) {
            let owner = text(owner, "/name");
            unmet.push(format!("{what} is left of {owner}, which is gone"));
        }
    }
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        unmet.push(format!("{what} is going"));
    }
}

fn pod_is_settled(there: &There, name: &str, pod: &Value, unmet: &mut Vec<String>) {
    is_owned_by_who_is_there(there, &format!("pod {name}"), pod, unmet);
    let owner = list(pod, "/metadata/ownerReferences").next();
    let runs_to_its_end = owner.is_some_and(|owner| text(owner, "/kind") == "Job");
    if !has_ended(pod) && !is(pod, "Ready") && !runs_to_its_end {
        let (node, phase) = (text(pod, "/spec/nodeName"), text(pod, "/status/phase"));
        unmet.push(format!("pod {name} on `{node}` is not ready: {phase}"));
    }
}

/// Pods of a workload that are at work.
fn serving<'a>(there: &'a There, name: &'a str) -> Vec<(&'a String, &'a Value)> {
    there
        .pods_of(name)
        .filter(|(_, pod)| !has_ended(pod) && pod.pointer("/metadata/deletionTimestamp").is_none())
        .collect()
}

fn workload(there: &There, wanted: &Wanted, hosts: usize, unmet: &mut Vec<String>) {
    // A pod of nobody goes with its host.
    if wanted.kind == Kind::Pod {
        return;
    }
    let (kind, name) = (wanted.kind.name(), &wanted.name);
    let place = format!("{kind} {name}");
    let Some(object) = there.workloads.get(&(kind, name.clone())) else {
        unmet.push(format!("{place} is not there"));
        return;
    };
    if number(object, "/status/observedGeneration") != number(object, "/metadata/generation")
        && !matches!(wanted.kind, Kind::Job | Kind::CronJob)
    {
        unmet.push(format!(
            "{place}: its status is not about its latest generation"
        ));
    }
    let pods = serving(there, name);
    let replicas = match wanted.kind {
        Kind::DaemonSet => i64::try_from(hosts).unwrap(),
        _ => wanted.replicas,
    };
    let mut expect = |what: &str, found: i64, expected: i64| {
        if found != expected {
            unmet.push(format!("{place}: {what} is {found} and not {expected}"));
        }
    };
    match wanted.kind {
        Kind::Job => {
            let counter = if wanted.fails {
                "/status/failed"
            } else {
                "/status/succeeded"
            };
            let expected = if wanted.fails { 3 } else { wanted.replicas };
            if !wanted.fails {
                expect(counter, number(object, counter), expected);
            }
            expect("/status/active", number(object, "/status/active"), 0);
            let ending = if wanted.fails { "Failed" } else { "Complete" };
            expect(ending, i64::from(is(object, ending)), 1);
            return;
        }
        Kind::CronJob => return,
        _ => {}
    }
    expect(
        "the number of pods",
        i64::try_from(pods.len()).unwrap(),
        replicas,
    );
    let version = wanted.version.to_string();
    let current = pods
        .iter()
        .filter(|(_, pod)| text(pod, "/metadata/annotations/version") == version);
    if wanted.kind != Kind::ReplicaSet {
        expect(
            "the number of new pods",
            i64::try_from(current.count()).unwrap(),
            replicas,
        );
    }
    let counters: &[&str] = match wanted.kind {
        Kind::Deployment => &[
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
        ],
        Kind::ReplicaSet => &["replicas", "readyReplicas", "availableReplicas"],
        Kind::StatefulSet => &["replicas", "updatedReplicas", "readyReplicas"],
        _ => &[
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "updatedNumberScheduled",
            "numberReady",
            "numberAvailable",
        ],
    };
    for counter in counters {
        let found = number(object, &format!("/status/{counter}"));
        expect(counter, found, replicas);
    }
    if wanted.kind == Kind::StatefulSet {
        let names: BTreeSet<String> = (0..replicas).map(|n| format!("{name}-{n}")).collect();
        let found: BTreeSet<String> = pods.iter().map(|(name, _)| (*name).clone()).collect();
        if names != found {
            unmet.push(format!("{place}: its pods are {found:?}"));
        }
    }
    if wanted.kind == Kind::DaemonSet {
        let found: BTreeSet<&str> = pods
            .iter()
            .map(|(_, p)| text(p, "/spec/nodeName"))
            .collect();
        if found.len() != hosts {
            unmet.push(format!("{place}: its pods are on {found:?}"));
        }
    }
}

/// The addresses at which a service is served are those of its ready pods, and of no others.
fn endpoints(there: &There, name: &str, service: &Value, unmet: &mut Vec<String>) {
    let app = text(service, "/spec/selector/app");
    let ready = there.pods_of(app);
    let ready = ready.filter(|(_, pod)| is(pod, "Ready") && !has_ended(pod));
    let expected: BTreeSet<&str> = ready.map(|(_, pod)| text(pod, "/status/podIP")).collect();
    let slices = there
        .slices
        .values()
        .filter(|slice| text(slice, "/metadata/labels/kubernetes.io~1service-name") == name);
    let found: BTreeSet<&str> = slices
        .flat_map(|slice| list(slice, "/endpoints"))
        .filter(|endpoint| endpoint["conditions"]["ready"] == true)
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(Value::as_str)
        .collect();
    if expected != found {
        unmet.push(format!(
            "service {name}: slices have {found:?} and not {expected:?}"
        ));
    }
    let legacy: BTreeSet<&str> = there
        .endpoints
        .get(name)
        .into_iter()
        .flat_map(|endpoints| list(endpoints, "/subsets"))
        .flat_map(|subset| list(subset, "/addresses"))
        .map(|address| text(address, "/ip"))
        .collect();
    if expected != legacy {
        unmet.push(format!(
            "service {name}: endpoints have {legacy:?} and not {expected:?}"
        ));
    }
}
