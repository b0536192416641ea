//! Pods get their hosts, as a client sees it.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{Node, Pod},
    scheduling::v1::PriorityClass,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use mosaic_controllers::Settings;
use serde_json::{Value, json};

use common::{Cluster, create, merge, until};

async fn node(cluster: &Cluster, name: &str, cpu: &str) {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let resources = json!({ "cpu": cpu, "memory": "8Gi", "pods": "110" });
    let node =
        json!({ "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } } });
    create(&nodes, node).await;
    let status = json!({ "status": { "capacity": resources, "allocatable": resources } });
    let patch = kube::api::Patch::Merge(status);
    nodes
        .patch_status(name, &Default::default(), &patch)
        .await
        .unwrap();
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "app": "a" } },
        "spec": { "containers": [{
            "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu } },
        }] },
    })
}

async fn host(pods: &Api<Pod>, name: &str) -> Option<String> {
    let pod = pods.get_opt(name).await.unwrap()?;
    pod.spec.unwrap().node_name
}

/// The message of the condition that says why a pod has no host.
async fn why(pods: &Api<Pod>, name: &str) -> Option<String> {
    let status = pods.get(name).await.unwrap().status?;
    let conditions = status.conditions.unwrap_or_default();
    let scheduled = conditions.into_iter().find(|c| c.type_ == "PodScheduled")?;
    assert_eq!(scheduled.reason.as_deref(), Some("Unschedulable"));
    scheduled.message
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_spread_over_hosts_and_told_when_there_is_no_room() {
    let cluster = Cluster::start().await;
    let pods: Api<Pod> = cluster.api("default");
    for name in ["a", "b"] {
        node(&cluster, name, "2").await;
    }
    for index in 0..4 {
        create(&pods, pod(&format!("p{index}"), "1")).await;
    }
    until("all pods have a host", async || {
        let all = pods.list(&ListParams::default()).await.unwrap();
        all.iter()
            .all(|pod| pod.spec.as_ref().unwrap().node_name.is_some())
    })
    .await;
    let mut hosts: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        *hosts
            .entry(pod.spec.unwrap().node_name.unwrap())
            .or_default() += 1;
    }
    assert_eq!(hosts, BTreeMap::from([("a".into(), 2), ("b".into(), 2)]));

    create(&pods, pod("late", "1")).await;
    until("it says why the pod has no host", async || {
        why(&pods, "late").await.is_some_and(|why| {
            why == "0/2 nodes are available: 2 Insufficient cpu. The nearest: a has 0 CPU free of 1 needed."
        })
    })
    .await;
    // Room appears.
    pods.delete("p0", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    until("the pod has the room of another", async || {
        host(&pods, "late").await.is_some()
    })
    .await;
    // A host appears.
    create(&pods, pod("later", "1")).await;
    until("there is no room", async || {
        why(&pods, "later").await.is_some()
    })
    .await;
    node(&cluster, "c", "2").await;
    until("the pod is on the new host", async || {
        host(&pods, "later").await.as_deref() == Some("c")
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_and_foreign_schedulers_are_respected() {
    let cluster = Cluster::start().await;
    let pods: Api<Pod> = cluster.api("default");
    node(&cluster, "a", "8").await;
    let mut gated = pod("gated", "1");
    gated["spec"]["schedulingGates"] = json!([{ "name": "example.com/wait" }]);
    create(&pods, gated).await;
    let mut foreign = pod("foreign", "1");
    foreign["spec"]["schedulerName"] = json!("another");
    create(&pods, foreign).await;
    create(&pods, pod("plain", "1")).await;
    until("the plain pod has a host", async || {
        host(&pods, "plain").await.is_some()
    })
    .await;
    assert_eq!(host(&pods, "gated").await, None);
    merge(&pods, "gated", json!({ "spec": { "schedulingGates": [] } })).await;
    until("the gate is gone", async || {
        host(&pods, "gated").await.is_some()
    })
    .await;
    assert_eq!(host(&pods, "foreign").await, None);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_more_important_pod_takes_the_place_of_a_less_important_one() {
    let cluster = Cluster::start().await;
    let pods: Api<Pod> = cluster.api("default");
    let classes: Api<PriorityClass> = Api::all(cluster.client.clone());
    create(
        &classes,
        json!({ "metadata": { "name": "high" }, "value": 1000 }),
    )
    .await;
    node(&cluster, "a", "1").await;
    create(&pods, pod("low", "1")).await;
    until("the first has a host", async || {
        host(&pods, "low").await.is_some()
    })
    .await;
    let mut high = pod("high", "1");
    high["spec"]["priorityClassName"] = json!("high");
    create(&pods, high).await;
    // No agent runs here that would end the pod that is being deleted.
    until("the less important pod is deleted", async || {
        let low = pods.get_opt("low").await.unwrap();
        low.is_none_or(|low| low.metadata.deletion_timestamp.is_some())
    })
    .await;
    let nominated = pods
        .get("high")
        .await
        .unwrap()
        .status
        .unwrap()
        .nominated_node_name;
    assert_eq!(nominated.as_deref(), Some("a"));
    if pods.get_opt("low").await.unwrap().is_some() {
        let now = DeleteParams::default().grace_period(0);
        pods.delete("low", &now).await.unwrap();
    }
    until("the more important pod has its place", async || {
        host(&pods, "high").await.as_deref() == Some("a")
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_placed_whole_or_not_at_all() {
    let cluster = Cluster::start().await;
    let pods: Api<Pod> = cluster.api("default");
    node(&cluster, "a", "2").await;
    let member = |name: &str| {
        let mut pod = pod(name, "1");
        pod["metadata"]["annotations"] =
            json!({ "mosaic/pod-group": "g", "mosaic/pod-group-size": "3" });
        pod
    };
    for name in ["g0", "g1"] {
        create(&pods, member(name)).await;
    }
    until("the group waits for its last pod", async || {
        why(&pods, "g0")
            .await
            .is_some_and(|why| why.contains("2 of 3"))
    })
    .await;
    create(&pods, member("g2")).await;
    create(&pods, pod("single", "1")).await;
    until("a pod of no group has a host", async || {
        host(&pods, "single").await.is_some()
    })
    .await;
    for name in ["g0", "g1", "g2"] {
        assert_eq!(host(&pods, name).await, None, "{name}");
    }
    node(&cluster, "b", "2").await;
    until("the whole group has hosts", async || {
        let all = pods.list(&ListParams::default()).await.unwrap();
        all.iter()
            .all(|pod| pod.spec.as_ref().unwrap().node_name.is_some())
    })
    .await;
    assert_eq!(
        pods.list(&ListParams::default()).await.unwrap().items.len(),
        4
    );
    cluster.stop().await;
}

/// A new leader goes on where the one before stopped.
#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_over() {
    let cluster = Cluster::bare().await;
    let pods: Api<Pod> = cluster.api("default");
    node(&cluster, "a", "8").await;
    let first = tokio::spawn(cluster.controllers("one", Settings::default()));
    create(&pods, pod("p0", "1")).await;
    until("the first has a host", async || {
        host(&pods, "p0").await.is_some()
    })
    .await;
    // It dies without a word.
    first.abort();
    create(&pods, pod("p1", "1")).await;
    tokio::spawn(cluster.controllers("two", Settings::default()));
    until("the second has a host", async || {
        host(&pods, "p1").await.is_some()
    })
    .await;
    cluster.stop().await;
}
