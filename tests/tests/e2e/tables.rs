//! The tables of every kind, with the columns that kubectl shows.

use mosaic_tests::matrix::{Stage, kinds};
use mosaic_tests::{KubectlVersion, Server};

/// The columns of each kind as kubectl prints them, without and with `-o wide`.
const COLUMNS: &[(&str, &str)] = &[
    ("namespaces", "NAME STATUS AGE"),
    (
        "nodes",
        "NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME",
    ),
    (
        "pods",
        "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED-NODE READINESS-GATES",
    ),
    ("podtemplates", "NAME CONTAINERS IMAGES POD-LABELS"),
    (
        "replicationcontrollers",
        "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR",
    ),
    (
        "services",
        "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR",
    ),
    ("endpoints", "NAME ENDPOINTS AGE"),
    (
        "endpointslices.discovery.k8s.io",
        "NAME ADDRESSTYPE PORTS ENDPOINTS AGE",
    ),
    ("configmaps", "NAME DATA AGE"),
    ("secrets", "NAME TYPE DATA AGE"),
    (
        "events",
        "LAST-SEEN TYPE REASON OBJECT SUBOBJECT SOURCE MESSAGE FIRST-SEEN COUNT NAME",
    ),
    (
        "persistentvolumes",
        "NAME CAPACITY ACCESS-MODES RECLAIM-POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE VOLUMEMODE",
    ),
    (
        "persistentvolumeclaims",
        "NAME STATUS VOLUME CAPACITY ACCESS-MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE VOLUMEMODE",
    ),
    ("limitranges", "NAME CREATED-AT"),
    ("leases.coordination.k8s.io", "NAME HOLDER AGE"),
    (
        "deployments.apps",
        "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR",
    ),
    (
        "replicasets.apps",
        "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR",
    ),
    ("statefulsets.apps", "NAME READY AGE CONTAINERS IMAGES"),
    (
        "daemonsets.apps",
        "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE-SELECTOR AGE CONTAINERS IMAGES SELECTOR",
    ),
    ("controllerrevisions.apps", "NAME CONTROLLER REVISION AGE"),
    (
        "jobs.batch",
        "NAME STATUS COMPLETIONS DURATION AGE CONTAINERS IMAGES SELECTOR",
    ),
    (
        "cronjobs.batch",
        "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST-SCHEDULE AGE CONTAINERS IMAGES SELECTOR",
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE",
    ),
    (
        "poddisruptionbudgets.policy",
        "NAME MIN-AVAILABLE MAX-UNAVAILABLE ALLOWED-DISRUPTIONS AGE",
    ),
    ("networkpolicies.networking.k8s.io", "NAME POD-SELECTOR AGE"),
    (
        "ingresses.networking.k8s.io",
        "NAME CLASS HOSTS ADDRESS PORTS AGE",
    ),
    (
        "ingressclasses.networking.k8s.io",
        "NAME CONTROLLER PARAMETERS AGE",
    ),
    (
        "storageclasses.storage.k8s.io",
        "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE",
    ),
    (
        "priorityclasses.scheduling.k8s.io",
        "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY",
    ),
    ("runtimeclasses.node.k8s.io", "NAME HANDLER AGE"),
    ("clusterroles.rbac.authorization.k8s.io", "NAME CREATED-AT"),
    (
        "clusterrolebindings.rbac.authorization.k8s.io",
        "NAME ROLE AGE USERS GROUPS SERVICEACCOUNTS",
    ),
    ("roles.rbac.authorization.k8s.io", "NAME CREATED-AT"),
    (
        "rolebindings.rbac.authorization.k8s.io",
        "NAME ROLE AGE USERS GROUPS SERVICEACCOUNTS",
    ),
    (
        "certificatesigningrequests.certificates.k8s.io",
        "NAME AGE SIGNERNAME REQUESTOR REQUESTEDDURATION CONDITION",
    ),
    (
        "customresourcedefinitions.apiextensions.k8s.io",
        "NAME CREATED-AT",
    ),
    ("widgets.matrix.example.com", "NAME SIZE REPLICAS"),
];

/// The titles of a table: they stand at least three spaces apart, and may hold single ones.
fn titles(header: &str) -> String {
    let titles = header
        .split("  ")
        .map(str::trim)
        .filter(|title| !title.is_empty());
    titles
        .map(|title| title.replace(' ', "-"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn every_kind_has_the_columns_that_kubectl_shows() {
    let server = Server::shared();
    let stage = Stage::new(&server, KubectlVersion::NEWEST, "t");
    let mut wrong = Vec::new();
    for kind in kinds() {
        let object = stage.object(&kind);
        stage.http.post(&kind.path(&stage.namespace), &object).ok();
        let name = stage.name(&kind);
        let shown = stage
            .kubectl
            .run(&format!("get {} {name} -o wide", kind.resource));
        let header = titles(shown.ok().lines().next().unwrap_or_default());
        let expected = COLUMNS
            .iter()
            .find(|(resource, _)| *resource == kind.resource);
        if let Some((resource, columns)) = expected.filter(|(_, columns)| *columns != header) {
            wrong.push(format!(
                "{resource}\n  expected {columns}\n  seen     {header}"
            ));
        }
        stage
            .http
            .delete(&format!("{}/{name}", kind.path(&stage.namespace)))
            .ok();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_table_carries_the_objects_metadata_unless_told_otherwise() {
    let server = Server::shared();
    let path = crate::config_maps(&server.namespace("tables"));
    server.http().post(&path, &crate::config_map("a")).ok();
    let row = |query: &str| {
        let table = server.http().table(&format!("{path}/a{query}"));
        assert_eq!(
            (&table["kind"], &table["apiVersion"]),
            (&"Table".into(), &"meta.k8s.io/v1".into())
        );
        table["rows"][0]["object"].clone()
    };
    assert_eq!(row("")["kind"], "PartialObjectMetadata");
    assert_eq!(row("?includeObject=Object")["data"]["a"], "b");
    assert!(row("?includeObject=None").is_null());
}
