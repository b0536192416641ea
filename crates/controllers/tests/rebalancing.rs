//! Pods are moved by `Rebalance` objects, as a client sees it.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use k8s_openapi::api::{
    core::v1::{ConfigMap, Event, Node, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};

use common::{Cluster, create, merge, until};

fn rebalances(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("mosaic", "v1", "Rebalance");
    Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
}

async fn node(cluster: &Cluster, name: &str) {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    create(&nodes, json!({ "metadata": { "name": name } })).await;
    let resources = json!({ "cpu": "4", "memory": "8Gi", "pods": "110" });
    let status =
        Patch::Merge(json!({ "status": { "capacity": resources, "allocatable": resources } }));
    nodes
        .patch_status(name, &Default::default(), &status)
        .await
        .unwrap();
}

/// A pod of a set: an object that no controller here makes pods for.
fn member(set: &ConfigMap, cpu: &str, host: Option<&str>) -> Value {
    let owner = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": set.metadata.name,
        "uid": set.metadata.uid, "controller": true });
    json!({
        "metadata": { "generateName": "p-", "labels": { "app": "a", "cpu": cpu }, "ownerReferences": [owner],
            "annotations": { "mosaic/profile": "packing" } },
        "spec": { "nodeName": host, "terminationGracePeriodSeconds": 1, "containers": [{
            "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu, "memory": "128Mi" } },
        }] },
    })
}

/// Does what the set's controller and the hosts would do: what is being deleted ends and is replaced, what has a host
/// serves.
async fn live(pods: Api<Pod>, set: ConfigMap) {
    loop {
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            let name = pod.metadata.name.clone().unwrap();
            let conditions = pod
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default();
            let is_ready = conditions
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == "True");
            if pod.metadata.deletion_timestamp.is_some() {
                let cpu = pod.metadata.labels.unwrap()["cpu"].clone();
                create(&pods, member(&set, &cpu, None)).await;
                let now = DeleteParams::default().grace_period(0);
                pods.delete(&name, &now).await.unwrap();
            } else if pod.spec.unwrap().node_name.is_some() && !is_ready {
                let ready = json!([{ "type": "Ready", "status": "True" }]);
                let status = json!({ "status": { "phase": "Running", "conditions": ready } });
                let _ = pods
                    .patch_status(&name, &Default::default(), &Patch::Merge(status))
                    .await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Where the pods are, sorted.
async fn hosts(pods: &Api<Pod>) -> Vec<String> {
    let pods = pods.list(&ListParams::default()).await.unwrap();
    let mut hosts: Vec<String> = pods
        .into_iter()
        .filter_map(|pod| pod.spec.unwrap().node_name)
        .collect();
    hosts.sort();
    hosts
}

fn condition(object: &DynamicObject, kind: &str) -> Option<(String, String)> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    Some((text("status"), text("reason")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_emptied_within_budgets_and_only_if_that_is_wanted() {
    let cluster = Cluster::start().await;
    let client = cluster.client.clone();
    let pods: Api<Pod> = cluster.api("default");
    let budgets: Api<PodDisruptionBudget> = cluster.api("default");
    for name in ["h1", "h2"] {
        node(&cluster, name).await;
    }
    let sets: Api<ConfigMap> = cluster.api("default");
    let set = create(&sets, json!({ "metadata": { "name": "set" } })).await;
    create(&pods, member(&set, "2", Some("h1"))).await;
    let small = create(&pods, member(&set, "500m", Some("h2"))).await;
    let hosts_at_work = tokio::spawn(live(pods.clone(), set.clone()));
    until("both pods serve", async || {
        let pods = pods.list(&ListParams::default()).await.unwrap();
        pods.iter().all(|pod| {
            pod.status
                .as_ref()
                .is_some_and(|status| status.phase.as_deref() == Some("Running"))
        })
    })
    .await;

    // It tells what it would do.
    let api = rebalances(&client);
    let object = json!({
        "apiVersion": "mosaic/v1", "kind": "Rebalance", "metadata": { "name": "nightly" },
        "spec": { "goal": "Packing", "dryRun": true },
    });
    create(&api, object).await;
    let read = async || api.get("nightly").await.unwrap();
    until("it says what would be moved", async || {
        condition(&read().await, "Progressing").is_some()
    })
    .await;
    let object = read().await;
    assert_eq!(object.data["spec"]["intervalSeconds"], 600);
    let status = &object.data["status"];
    let told = &status["moves"][0];
    assert_eq!(told["pod"], json!(small.metadata.name));
    assert_eq!(
        (&told["from"], &told["to"], &told["state"]),
        (&json!("h2"), &json!("h1"), &json!("Planned"))
    );
    assert_eq!(
        (
            &status["before"]["emptyHosts"],
            &status["after"]["emptyHosts"]
        ),
        (&json!(0), &json!(1))
    );
    assert_eq!(
        condition(&object, "Balanced"),
        Some(("False".into(), "DryRun".into()))
    );

    // A budget holds it up.
    let budget = json!({ "metadata": { "name": "all" },
        "spec": { "minAvailable": 2, "selector": { "matchLabels": { "app": "a" } } } });
    create(&budgets, budget).await;
    until("the budget counts its pods", async || {
        let status = budgets.get("all").await.unwrap().status;
        status.is_some_and(|status| {
            status.current_healthy == Some(2) && status.disruptions_allowed == Some(0)
        })
    })
    .await;
    merge(&api, "nightly", json!({ "spec": { "dryRun": false } })).await;
    until("it has run", async || {
        read().await.data["status"]["observedGeneration"] == 2
    })
    .await;
    let object = read().await;
    assert_eq!(object.data["status"]["moves"], json!([]));
    assert_eq!(hosts(&pods).await, ["h1", "h2"]);

    // Nothing is in the way any more, and somebody asks for it.
    budgets
        .delete("all", &DeleteParams::default())
        .await
        .unwrap();
    let ask = json!({ "metadata": { "annotations": { "mosaic/run-at": "now" } } });
    merge(&api, "nightly", ask).await;
    until("the pod is moved", async || {
        read().await.data["status"]["moves"][0]["state"] == "Moved"
    })
    .await;
    until("the run is over", async || {
        condition(&read().await, "Balanced") == Some(("True".into(), "NothingToMove".into()))
    })
    .await;
    assert_eq!(hosts(&pods).await, ["h1", "h1"]);
    let object = read().await;
    let status = &object.data["status"];
    assert_eq!(
        (&status["moved"], &status["after"]["emptyHosts"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(status["moves"][0]["pod"], json!(small.metadata.name));
    assert_eq!(
        condition(&object, "Progressing"),
        Some(("False".into(), "Idle".into()))
    );
    assert_eq!(
        pods.get_opt(small.metadata.name.as_deref().unwrap())
            .await
            .unwrap()
            .map(|pod| pod.metadata.name),
        None
    );

    let events: Api<Event> = cluster.api("default");
    until("events tell of it", async || {
        let events = events.list(&ListParams::default()).await.unwrap();
        let mut told: Vec<String> = events
            .into_iter()
            .filter(|event| event.reporting_component.as_deref() == Some("rebalance-controller"))
            .filter_map(|event| event.reason)
            .collect();
        told.sort();
        told == ["Moved", "Moving", "Rebalanced"]
    })
    .await;
    hosts_at_work.abort();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kind_is_always_there_and_nobody_can_take_its_name() {
    let cluster = Cluster::start().await;
    let client = cluster.client.clone();
    let kinds = client
        .list_api_group_resources("mosaic/v1")
        .await
        .unwrap()
        .resources;
    for name in ["rebalances", "rebalances/status"] {
        let kind = kinds.iter().find(|kind| kind.name == name);
        assert!(kind.is_some_and(|kind| !kind.namespaced), "{name}");
    }

    let api = rebalances(&client);
    let wrong = serde_json::from_value(json!({
        "apiVersion": "mosaic/v1", "kind": "Rebalance", "metadata": { "name": "wrong" }, "spec": { "goal": "Stacking" },
    }));
    let refused = api
        .create(&Default::default(), &wrong.unwrap())
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("spec.goal: Unsupported value: \"Stacking\""),
        "{refused}"
    );

    // As kubectl reads it.
    create(
        &api,
        json!({ "apiVersion": "mosaic/v1", "kind": "Rebalance", "metadata": { "name": "a" },
        "spec": { "goal": "Spreading" } }),
    )
    .await;
    until("it has run", async || {
        condition(&api.get("a").await.unwrap(), "Progressing").is_some()
    })
    .await;
    let request = kube::core::Request::new("/apis/mosaic/v1/rebalances");
    let mut request = request.list(&ListParams::default()).unwrap();
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    request
        .headers_mut()
        .insert("accept", table.parse().unwrap());
    let table: Value = client.request(request).await.unwrap();
    let headings = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|column| column["priority"] == 0);
    let headings: Vec<&str> = headings
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        headings,
        [
            "Name", "Goal", "Dry-Run", "State", "Moved", "Last-Run", "Age"
        ]
    );
    let cells = &table["rows"][0]["cells"];
    assert_eq!(
        (&cells[0], &cells[1], &cells[2], &cells[3]),
        (
            &json!("a"),
            &json!("Spreading"),
            &json!(false),
            &json!("Idle")
        )
    );

    // No custom kind can be of the same group.
    let names = json!({ "plural": "images", "singular": "image", "kind": "Image" });
    let schema = json!({ "openAPIV3Schema": { "type": "object" } });
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definitions: Api<DynamicObject> =
        Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let definition = serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "images.mosaic" },
        "spec": { "group": "mosaic", "scope": "Namespaced", "names": names,
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }] },
    }));
    let refused = definitions
        .create(&Default::default(), &definition.unwrap())
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("spec.group: Invalid value: \"mosaic\""),
        "{refused}"
    );
    cluster.stop().await;
}
