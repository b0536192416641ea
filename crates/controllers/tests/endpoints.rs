//! Endpoints of services, as a client of a server with controllers sees them.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{Endpoints, Node, Pod, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use common::{Cluster, create, merge, until};

const OURS: &str = "endpointslice-controller.k8s.io";
const MIRRORED: &str = "endpointslicemirroring-controller.k8s.io";

/// The objects of the tests.
struct Objects {
    cluster: Cluster,
    services: Api<Service>,
    pods: Api<Pod>,
    endpoints: Api<Endpoints>,
    slices: Api<EndpointSlice>,
}

impl Objects {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let accounts: Api<ServiceAccount> = cluster.api("default");
        until("pods may be created", async || {
            accounts.get_opt("default").await.unwrap().is_some()
        })
        .await;
        Self {
            services: cluster.api("default"),
            pods: cluster.api("default"),
            endpoints: cluster.api("default"),
            slices: cluster.api("default"),
            cluster,
        }
    }

    async fn service(&self, spec: Value) {
        create(
            &self.services,
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" }, "spec": spec }),
        )
        .await;
    }

    async fn pod(&self, name: &str, ip: &str) {
        let ports = json!([{ "name": "http", "containerPort": 8080 }]);
        create(
            &self.pods,
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": "web" } },
                "spec": { "nodeName": "host", "containers": [{ "name": "c", "image": "i", "ports": ports }] } }),
        )
        .await;
        self.status(name, ip, true).await;
    }

    async fn status(&self, name: &str, ip: &str, ready: bool) {
        let ready = if ready { "True" } else { "False" };
        let status = json!({ "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }],
            "conditions": [{ "type": "Ready", "status": ready }] });
        let patch = Patch::Merge(json!({ "status": status }));
        self.pods
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn slices(&self, manager: &str) -> Vec<EndpointSlice> {
        let of_service = format!(
            "kubernetes.io/service-name=web,endpointslice.kubernetes.io/managed-by={manager}"
        );
        let of_service = ListParams::default().labels(&of_service);
        self.slices.list(&of_service).await.unwrap().items
    }

    /// Addresses in slices, and whether they are ready.
    async fn in_slices(&self, manager: &str) -> BTreeMap<String, bool> {
        let slices = self.slices(manager).await;
        let endpoints = slices
            .iter()
            .flat_map(|slice| slice.endpoints.iter().flatten());
        let ready = endpoints.map(|endpoint| {
            let ready = endpoint.conditions.as_ref().unwrap().ready.unwrap();
            (endpoint.addresses[0].clone(), ready)
        });
        ready.collect()
    }

    /// Addresses in `Endpoints`, and whether they are ready.
    async fn in_endpoints(&self) -> Option<BTreeMap<String, bool>> {
        let endpoints = self.endpoints.get_opt("web").await.unwrap()?;
        let mut told = BTreeMap::new();
        for subset in endpoints.subsets.unwrap_or_default() {
            let ready = subset.addresses.into_iter().flatten();
            told.extend(ready.map(|address| (address.ip, true)));
            let unready = subset.not_ready_addresses.into_iter().flatten();
            told.extend(unready.map(|address| (address.ip, false)));
        }
        Some(told)
    }

    async fn until_told(&self, what: &str, expected: &[(&str, bool)]) {
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(ip, ready)| ((*ip).to_owned(), *ready))
            .collect();
        until(what, async || {
            self.in_slices(OURS).await == expected
                && self.in_endpoints().await == Some(expected.clone())
        })
        .await;
    }
}

fn host(zone: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": "host", "labels": { "topology.kubernetes.io/zone": zone } } })
}

fn web() -> Value {
    json!({ "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": "http" }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_follows_its_pods() {
    let objects = Objects::start().await;
    let nodes: Api<Node> = Api::all(objects.cluster.client.clone());
    objects.service(web()).await;
    until(
        "nobody is behind the service, and that is told",
        async || objects.slices(OURS).await.len() == 1,
    )
    .await;
    // The host is heard of after its pod.
    objects.pod("a", "10.1.0.1").await;
    create(&nodes, host("room-1")).await;
    objects.pod("b", "10.1.0.2").await;
    objects
        .until_told("both pods serve", &[("10.1.0.1", true), ("10.1.0.2", true)])
        .await;
    let slice = objects.slices(OURS).await.remove(0);
    let endpoint = &slice.endpoints.as_ref().unwrap()[0];
    assert_eq!(endpoint.zone.as_deref(), Some("room-1"));
    assert_eq!(slice.ports.as_ref().unwrap()[0].port, Some(8080));
    assert_eq!(slice.owner_references()[0].kind, "Service");

    objects.status("a", "10.1.0.1", false).await;
    objects
        .until_told(
            "one does not serve now",
            &[("10.1.0.1", false), ("10.1.0.2", true)],
        )
        .await;
    merge(
        &nodes,
        "host",
        json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": "room-2" } } }),
    )
    .await;
    until("the host's new place is told", async || {
        let slices = objects.slices(OURS).await;
        let endpoints = slices[0].endpoints.as_ref().unwrap();
        endpoints
            .iter()
            .all(|endpoint| endpoint.zone.as_deref() == Some("room-2"))
    })
    .await;
    merge(
        &objects.pods,
        "a",
        json!({ "metadata": { "labels": { "app": "other" } } }),
    )
    .await;
    objects
        .until_told("one is another service's now", &[("10.1.0.2", true)])
        .await;
    merge(
        &objects.services,
        "web",
        json!({ "spec": { "selector": { "app": "other" } } }),
    )
    .await;
    objects
        .until_told("the service asks for the other", &[("10.1.0.1", false)])
        .await;
    objects
        .services
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    until("all goes with the service", async || {
        objects.slices(OURS).await.is_empty() && objects.in_endpoints().await.is_none()
    })
    .await;
    objects.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_endpoints_is_undone() {
    let objects = Objects::start().await;
    create(
        &Api::<Node>::all(objects.cluster.client.clone()),
        host("room"),
    )
    .await;
    objects.service(web()).await;
    objects.pod("a", "10.1.0.1").await;
    objects
        .until_told("the pod serves", &[("10.1.0.1", true)])
        .await;
    let name = objects.slices(OURS).await[0].name_any();
    merge(&objects.slices, &name, json!({ "endpoints": [] })).await;
    merge(&objects.endpoints, "web", json!({ "subsets": null })).await;
    objects
        .until_told("it does again", &[("10.1.0.1", true)])
        .await;
    objects
        .slices
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    objects
        .endpoints
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    objects.until_told("and again", &[("10.1.0.1", true)]).await;
    objects.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_without_a_selector_are_shown_as_slices() {
    let objects = Objects::start().await;
    objects.service(json!({ "ports": [{ "port": 80 }] })).await;
    create(
        &objects.endpoints,
        json!({ "apiVersion": "v1", "kind": "Endpoints", "metadata": { "name": "web" },
            "subsets": [{ "addresses": [{ "ip": "192.0.2.1" }], "ports": [{ "port": 80 }] }] }),
    )
    .await;
    let shown = async |ip: &str| {
        objects
            .in_slices(MIRRORED)
            .await
            .into_keys()
            .collect::<Vec<_>>()
            == [ip]
    };
    until("they are shown", async || shown("192.0.2.1").await).await;
    let subsets = json!([{ "addresses": [{ "ip": "192.0.2.2" }], "ports": [{ "port": 80 }] }]);
    merge(&objects.endpoints, "web", json!({ "subsets": subsets })).await;
    until("as they are now", async || shown("192.0.2.2").await).await;

    // With a selector, the pods say where the service is.
    merge(
        &objects.services,
        "web",
        json!({ "spec": { "selector": { "app": "web" } } }),
    )
    .await;
    objects.until_told("the pods count", &[]).await;
    until("nothing is shown twice", async || {
        objects.slices(MIRRORED).await.is_empty()
    })
    .await;
    merge(
        &objects.services,
        "web",
        json!({ "spec": { "type": "ExternalName", "externalName": "example.com", "clusterIP": null, "clusterIPs": null } }),
    )
    .await;
    until("another name has no endpoints", async || {
        objects.slices(OURS).await.is_empty() && objects.in_endpoints().await.is_none()
    })
    .await;
    objects.cluster.stop().await;
}
