//! The life of hosts and of what they run, as a client of the API sees it. The hosts here are what is
//! written in their name: leases and statuses.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Event, Node, Pod, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use mosaic_controllers::{NodeSettings, Settings};
use parking_lot::Mutex;
use serde_json::{Value, json};

use common::{Cluster, create, is_gone, merge, until};

/// The shortest grace period.
const GRACE: Duration = Duration::from_secs(2);

fn settings() -> Settings {
    Settings {
        nodes: NodeSettings {
            grace_period: GRACE,
            ..NodeSettings::default()
        },
        ..Settings::default()
    }
}

/// Hosts that renew their leases, all but those that are silent.
struct Hosts {
    client: Client,
    silent: Arc<Mutex<BTreeSet<String>>>,
}

impl Hosts {
    /// Registers hosts in zones by the first part of their names.
    async fn start(cluster: &Cluster, names: &[String]) -> Self {
        let client = cluster.client.clone();
        let nodes: Api<Node> = Api::all(client.clone());
        for name in names {
            let zone = name.split('-').next().unwrap();
            let node = json!({ "apiVersion": "v1", "kind": "Node",
                "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": zone } } });
            create(&nodes, node).await;
            post_status(&nodes, name, "True").await;
        }
        let hosts = Self {
            client: client.clone(),
            silent: Arc::default(),
        };
        let (silent, names) = (hosts.silent.clone(), names.to_vec());
        tokio::spawn(async move {
            let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
            // It ends with the test's runtime.
            for renewal in 0_u32.. {
                for name in &names {
                    if !silent.lock().contains(name) {
                        let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                            "metadata": { "name": name },
                            "spec": { "holderIdentity": name, "renewTime": format!("2020-01-01T00:00:00.{renewal:06}Z") } });
                        let params = PatchParams::apply("host").force();
                        // The server may be stopping.
                        let _ = leases.patch(name, &params, &Patch::Apply(lease)).await;
                    }
                }
                tokio::time::sleep(GRACE / 8).await;
            }
        });
        hosts
    }

    fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    fn silence(&self, names: impl IntoIterator<Item = String>) {
        self.silent.lock().extend(names);
    }

    /// A host is back: it renews its lease and says that it is ready.
    async fn wake(&self, name: &str) {
        self.silent.lock().remove(name);
        post_status(&self.nodes(), name, "True").await;
    }

    async fn ready(&self, name: &str) -> String {
        let node = self.nodes().get(name).await.unwrap();
        let conditions = node.status.unwrap().conditions.unwrap();
        conditions
            .iter()
            .find(|one| one.type_ == "Ready")
            .unwrap()
            .status
            .clone()
    }

    /// Its taints, as `key:effect` without the long part of the key.
    async fn taints(&self, name: &str) -> Vec<String> {
        let node = self.nodes().get(name).await.unwrap();
        let taints = node.spec.unwrap_or_default().taints.unwrap_or_default();
        let short = |key: &str| key.rsplit('/').next().unwrap().to_owned();
        taints
            .iter()
            .map(|taint| format!("{}:{}", short(&taint.key), taint.effect))
            .collect()
    }
}

async fn post_status(nodes: &Api<Node>, name: &str, ready: &str) {
    let now = Timestamp::now();
    let conditions = ["MemoryPressure", "DiskPressure", "PIDPressure"]
        .map(|type_| json!({ "type": type_, "status": "False", "lastHeartbeatTime": now }));
    let mut conditions = conditions.to_vec();
    conditions.push(json!({ "type": "Ready", "status": ready, "lastHeartbeatTime": now }));
    let patch = json!({ "status": { "conditions": conditions } });
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .unwrap();
}

async fn pods_may_be_created(cluster: &Cluster) {
    let accounts: Api<ServiceAccount> = cluster.api("default");
    until("pods may be created", async || {
        !is_gone(&accounts, "default").await
    })
    .await;
}

/// A pod that runs on a host and is ready.
async fn run_pod(pods: &Api<Pod>, name: &str, node: &str, spec: Value) {
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "i" }] } });
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    create(pods, pod).await;
    let status = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(status))
        .await
        .unwrap();
}

fn stays(seconds: Option<u64>) -> Value {
    let mut toleration = json!({ "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute" });
    if let Some(seconds) = seconds {
        toleration["tolerationSeconds"] = json!(seconds);
    }
    json!({ "tolerations": [toleration] })
}

fn condition(pod: &Pod, type_: &str) -> Option<(String, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|one| one.type_ == type_)?;
    Some((
        found.status.clone(),
        found.reason.clone().unwrap_or_default(),
    ))
}

async fn is_going(pods: &Api<Pod>, name: &str) -> bool {
    let pod = pods.get_opt(name).await.unwrap();
    pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_loses_its_pods_and_is_as_before_when_it_is_heard_again() {
    let cluster = Cluster::with(settings()).await;
    pods_may_be_created(&cluster).await;
    let names = ["a-0", "a-1", "a-2"].map(str::to_owned);
    let hosts = Hosts::start(&cluster, &names).await;
    let pods: Api<Pod> = cluster.api("default");
    run_pod(&pods, "default", "a-0", json!({})).await;
    run_pod(&pods, "for-ever", "a-0", stays(None)).await;
    run_pod(&pods, "for-an-hour", "a-0", stays(Some(3600))).await;
    run_pod(&pods, "elsewhere", "a-1", json!({})).await;

    hosts.silence(["a-0".to_owned()]);
    until("the host is tainted", async || {
        hosts.taints("a-0").await == ["unreachable:NoSchedule", "unreachable:NoExecute"]
    })
    .await;
    until("its conditions are unknown", async || {
        hosts.ready("a-0").await == "Unknown"
    })
    .await;
    until("the pod leaves", async || is_going(&pods, "default").await).await;
    until("it is told why", async || {
        let why = condition(&pods.get("default").await.unwrap(), "DisruptionTarget");
        why == Some(("True".into(), "DeletionByTaintManager".into()))
    })
    .await;
    until("pods that stay are not ready", async || {
        let mut unready = true;
        for name in ["for-ever", "for-an-hour"] {
            let ready = condition(&pods.get(name).await.unwrap(), "Ready").unwrap();
            unready &= ready.0 == "False";
        }
        unready
    })
    .await;
    let events: Api<Event> = cluster.api("default");
    until("people are told", async || {
        let told = events.list(&ListParams::default()).await.unwrap().items;
        let told: Vec<_> = told
            .iter()
            .filter_map(|event| event.reason.as_deref())
            .collect();
        told.contains(&"TaintManagerEviction") && told.contains(&"NodeNotReady")
    })
    .await;

    hosts.wake("a-0").await;
    until("nothing of it is left", async || {
        hosts.taints("a-0").await.is_empty() && hosts.ready("a-0").await == "True"
    })
    .await;
    for name in ["for-ever", "for-an-hour", "elsewhere"] {
        assert!(!is_going(&pods, name).await, "{name}");
    }
    let elsewhere = pods.get("elsewhere").await.unwrap();
    assert_eq!(condition(&elsewhere, "Ready").unwrap().0, "True");
    assert!(hosts.taints("a-1").await.is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_goes_silent_keeps_its_pods_and_then_all_hosts_do() {
    let cluster = Cluster::with(settings()).await;
    pods_may_be_created(&cluster).await;
    let names: Vec<String> = (0..4)
        .flat_map(|n| [format!("a-{n}"), format!("b-{n}")])
        .collect();
    let hosts = Hosts::start(&cluster, &names).await;
    let pods: Api<Pod> = cluster.api("default");
    for name in &names {
        run_pod(&pods, name, name, json!({})).await;
    }
    let zone = |zone: &'static str| {
        names
            .iter()
            .filter(move |name| name.starts_with(zone))
            .cloned()
    };

    hosts.silence(zone("a-"));
    let all = async |zone: &str, expected: &[&str]| {
        for name in names.iter().filter(|name| name.starts_with(zone)) {
            if hosts.taints(name).await != expected {
                return false;
            }
        }
        true
    };
    until("its hosts get no new pods", async || {
        all("a-", &["unreachable:NoSchedule"]).await
    })
    .await;
    until("its pods are not ready", async || {
        let pod = pods.get("a-3").await.unwrap();
        condition(&pod, "Ready").unwrap().0 == "False"
    })
    .await;
    // In a zone that is well, a host loses its pods at once, meanwhile.
    hosts.silence(["b-3".to_owned()]);
    until("the pod of the other zone leaves", async || {
        is_going(&pods, "b-3").await
    })
    .await;
    // Nobody is heard: what was begun is undone.
    hosts.silence(names.clone());
    until("no host is evicted", async || {
        all("a-", &["unreachable:NoSchedule"]).await && all("b-", &["unreachable:NoSchedule"]).await
    })
    .await;
    for name in &names {
        hosts.wake(name).await;
    }
    until("nothing of it is left", async || {
        all("a-", &[]).await && all("b-", &[]).await
    })
    .await;
    for name in names.iter().filter(|name| *name != "b-3") {
        assert!(!is_going(&pods, name).await, "{name}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taints_of_people_drive_pods_away_in_time_unless_they_are_taken_back() {
    let cluster = Cluster::with(settings()).await;
    pods_may_be_created(&cluster).await;
    let hosts = Hosts::start(&cluster, &["a-0".to_owned()]).await;
    let pods: Api<Pod> = cluster.api("default");
    let tolerates = |seconds: u64| {
        let toleration = json!({ "key": "maintenance", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds });
        json!({ "tolerations": [toleration] })
    };
    run_pod(&pods, "at-once", "a-0", json!({})).await;
    run_pod(&pods, "soon", "a-0", tolerates(1)).await;
    run_pod(&pods, "later", "a-0", tolerates(3600)).await;
    let taint = |value: Value| json!({ "spec": { "taints": value } });
    let drives_away = taint(json!([{ "key": "maintenance", "effect": "NoExecute" }]));
    merge(&hosts.nodes(), "a-0", drives_away).await;
    until("two leave", async || {
        is_going(&pods, "at-once").await && is_going(&pods, "soon").await
    })
    .await;
    assert!(!is_going(&pods, "later").await);
    merge(&hosts.nodes(), "a-0", taint(json!(null))).await;
    let events: Api<Event> = cluster.api("default");
    until("the third is told that it may stay", async || {
        let told = events.list(&ListParams::default()).await.unwrap().items;
        let cancelled = |event: &Event| {
            event.message.as_deref() == Some("Cancelling deletion of Pod default/later")
        };
        told.iter().any(cancelled)
    })
    .await;
    assert!(!is_going(&pods, "later").await);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cordoned_and_pressed_hosts_are_tainted_and_kept() {
    let cluster = Cluster::with(settings()).await;
    let hosts = Hosts::start(&cluster, &["a-0".to_owned()]).await;
    merge(
        &hosts.nodes(),
        "a-0",
        json!({ "spec": { "unschedulable": true } }),
    )
    .await;
    until("cordoned", async || {
        hosts.taints("a-0").await == ["unschedulable:NoSchedule"]
    })
    .await;
    merge(
        &hosts.nodes(),
        "a-0",
        json!({ "spec": { "unschedulable": false } }),
    )
    .await;
    let pressed =
        json!({ "status": { "conditions": [{ "type": "DiskPressure", "status": "True" }] } });
    hosts
        .nodes()
        .patch_status("a-0", &PatchParams::default(), &Patch::Strategic(pressed))
        .await
        .unwrap();
    until("pressed", async || {
        hosts.taints("a-0").await == ["disk-pressure:NoSchedule"]
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_nobody_else_removes_are_removed() {
    let cluster = Cluster::with(Settings {
        ended_pods: 2,
        ..settings()
    })
    .await;
    pods_may_be_created(&cluster).await;
    let hosts = Hosts::start(&cluster, &["a-0", "a-1", "a-2", "a-3"].map(str::to_owned)).await;
    let pods: Api<Pod> = cluster.api("default");
    // Out of service: what is to be deleted there is gone at once.
    run_pod(&pods, "off", "a-0", json!({})).await;
    hosts.silence(["a-0".to_owned()]);
    until("the pod waits for its host", async || {
        let pod = pods.get("off").await.unwrap();
        pod.metadata.deletion_timestamp.is_some()
    })
    .await;
    let taints = hosts
        .nodes()
        .get("a-0")
        .await
        .unwrap()
        .spec
        .unwrap()
        .taints
        .unwrap();
    let mut taints = serde_json::to_value(taints).unwrap();
    let declared = json!({ "key": "node.kubernetes.io/out-of-service", "effect": "NoExecute" });
    taints.as_array_mut().unwrap().push(declared);
    merge(
        &hosts.nodes(),
        "a-0",
        json!({ "spec": { "taints": taints } }),
    )
    .await;
    until("the pod is gone", async || is_gone(&pods, "off").await).await;
    // Of pods that ended the oldest go.
    for name in ["1", "2", "3", "4"] {
        let name = format!("ended-{name}");
        run_pod(&pods, &name, "a-1", json!({})).await;
        let status = json!({ "status": { "phase": "Succeeded", "conditions": null } });
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }
    until("two are left", async || {
        let left = pods.list(&ListParams::default()).await.unwrap().items;
        left.len() == 2
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_leaves_lost_hosts_as_they_are_and_begins_to_count() {
    let cluster = Cluster::bare().await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "lost" },
        "spec": { "taints": [
            { "key": "node.kubernetes.io/unreachable", "effect": "NoSchedule" },
            { "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" },
            { "key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule" },
        ] } });
    create(&nodes, node).await;
    post_status(&nodes, "lost", "Unknown").await;
    tokio::spawn(cluster.controllers("one", settings()));
    let hosts = Hosts::start(&cluster, &["a-0", "a-1", "a-2"].map(str::to_owned)).await;
    until("the controllers are at work", async || {
        hosts.taints("lost").await == ["unreachable:NoSchedule", "unreachable:NoExecute"]
    })
    .await;
    // It is heard again: what another process wrote is undone all the same.
    hosts.wake("lost").await;
    until("nothing of it is left", async || {
        hosts.taints("lost").await.is_empty()
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_go() {
    let cluster = Cluster::with(Settings {
        event_ttl: Duration::from_secs(1),
        ..settings()
    })
    .await;
    let events: Api<Event> = cluster.api("default");
    let event = json!({ "apiVersion": "v1", "kind": "Event", "metadata": { "name": "e" },
        "involvedObject": { "kind": "Pod", "name": "p", "namespace": "default" }, "reason": "Test" });
    create(&events, event).await;
    until("it is gone", async || is_gone(&events, "e").await).await;
    cluster.stop().await;
}
