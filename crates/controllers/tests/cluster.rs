//! The controllers at work on a server, as a client sees it.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{ConfigMap, Namespace, Pod, ResourceQuota, Secret, ServiceAccount},
        policy::v1::PodDisruptionBudget,
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{
        ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, PropagationPolicy,
    },
};
use mosaic_controllers::Settings;
use serde_json::{Value, json};

use common::{Cluster, create, is_gone, merge, until};

fn config(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } })
}

fn owned(name: &str, owner: &ConfigMap) -> Value {
    let reference = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": owner.name_any(),
        "uid": owner.uid().unwrap(), "blockOwnerDeletion": true });
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "ownerReferences": [reference] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_go_with_their_owners_in_each_of_three_ways() {
    let cluster = Cluster::start().await;
    let configs: Api<ConfigMap> = cluster.api("default");
    let delete = async |name: &str, policy| {
        let options = DeleteParams {
            propagation_policy: Some(policy),
            ..DeleteParams::default()
        };
        configs.delete(name, &options).await.unwrap();
    };

    let owner = create(&configs, config("background")).await;
    let child = create(&configs, owned("child", &owner)).await;
    create(&configs, owned("grandchild", &child)).await;
    delete("background", PropagationPolicy::Background).await;
    until("the whole family goes", async || {
        is_gone(&configs, "child").await && is_gone(&configs, "grandchild").await
    })
    .await;

    let owner = create(&configs, config("foreground")).await;
    let mut held = owned("held", &owner);
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    create(&configs, held).await;
    delete("foreground", PropagationPolicy::Foreground).await;
    until("the dependent is deleted first", async || {
        configs
            .get("held")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    })
    .await;
    assert!(!is_gone(&configs, "foreground").await, "the owner waits");
    merge(
        &configs,
        "held",
        json!({ "metadata": { "finalizers": null } }),
    )
    .await;
    until("the owner follows", async || {
        is_gone(&configs, "foreground").await
    })
    .await;

    let owner = create(&configs, config("orphaning")).await;
    create(&configs, owned("orphan", &owner)).await;
    delete("orphaning", PropagationPolicy::Orphan).await;
    until("the owner goes", async || {
        is_gone(&configs, "orphaning").await
    })
    .await;
    let orphan = configs.get("orphan").await.unwrap();
    assert_eq!(orphan.metadata.owner_references, None);

    let owner = create(&configs, config("elsewhere")).await;
    create(
        &cluster.api::<ConfigMap>("kube-public"),
        owned("lost", &owner),
    )
    .await;
    let elsewhere: Api<ConfigMap> = cluster.api("kube-public");
    until("an owner in another namespace is none", async || {
        is_gone(&elsewhere, "lost").await
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_furnished_emptied_and_let_go() {
    let cluster = Cluster::start().await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    create(
        &namespaces,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team" } }),
    )
    .await;
    let configs: Api<ConfigMap> = cluster.api("team");
    let accounts: Api<ServiceAccount> = cluster.api("team");
    until("the account and the authority are there", async || {
        !is_gone(&accounts, "default").await && !is_gone(&configs, "kube-root-ca.crt").await
    })
    .await;
    merge(
        &configs,
        "kube-root-ca.crt",
        json!({ "data": { "ca.crt": "forged" } }),
    )
    .await;
    let certificate = cluster.server.authority().certificate_pem();
    until("the authority is restored", async || {
        configs
            .get("kube-root-ca.crt")
            .await
            .unwrap()
            .data
            .unwrap()
            .get("ca.crt")
            == Some(&certificate)
    })
    .await;

    let mut held = config("held");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    create(&configs, held).await;
    namespaces
        .delete("team", &DeleteParams::default())
        .await
        .unwrap();
    until("the namespace tells what holds it", async || {
        let status = namespaces
            .get("team")
            .await
            .unwrap()
            .status
            .unwrap_or_default();
        let told = status.conditions.unwrap_or_default();
        let message = |ty: &str| {
            let condition = told
                .iter()
                .find(|condition| condition.type_ == ty && condition.status == "True");
            condition
                .and_then(|condition| condition.message.clone())
                .unwrap_or_default()
        };
        message("NamespaceContentRemaining").contains("configmaps. has 1 resource instances")
            && message("NamespaceFinalizersRemaining")
                .contains("example.com/held in 1 resource instances")
    })
    .await;
    merge(
        &configs,
        "held",
        json!({ "metadata": { "finalizers": null } }),
    )
    .await;
    until("the namespace goes", async || {
        is_gone(&namespaces, "team").await
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_and_budgets_are_counted() {
    let cluster = Cluster::start().await;
    let quotas: Api<ResourceQuota> = cluster.api("default");
    let budgets: Api<PodDisruptionBudget> = cluster.api("default");
    let pods: Api<Pod> = cluster.api("default");
    create(
        &budgets,
        json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "budget" },
            "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } } }),
    )
    .await;
    let accounts: Api<ServiceAccount> = cluster.api("default");
    until("pods may be created", async || {
        !is_gone(&accounts, "default").await
    })
    .await;
    for name in ["a", "b"] {
        let container =
            json!({ "name": "c", "image": "i", "resources": { "requests": { "cpu": "250m" } } });
        create(
            &pods,
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": "web" } },
                "spec": { "containers": [container] } }),
        )
        .await;
        let status = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }
    create(
        &quotas,
        json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "quota" },
            "spec": { "hard": { "pods": "5", "requests.cpu": "1" } } }),
    )
    .await;
    let used = async |name: &str| {
        let used = quotas
            .get("quota")
            .await
            .unwrap()
            .status
            .and_then(|status| status.used)
            .unwrap_or_default();
        used.get(name)
            .map(|amount| amount.0.clone())
            .unwrap_or_default()
    };
    until("two pods are used", async || {
        used("pods").await == "2" && used("requests.cpu").await == "500m"
    })
    .await;
    let allowed = async || {
        budgets
            .get("budget")
            .await
            .unwrap()
            .status
            .and_then(|s| s.disruptions_allowed)
    };
    until("one pod may be disrupted", async || {
        allowed().await == Some(1)
    })
    .await;
    let ended = Patch::Merge(json!({ "status": { "phase": "Succeeded", "conditions": null } }));
    pods.patch_status("a", &PatchParams::default(), &ended)
        .await
        .unwrap();
    until("none may be", async || allowed().await == Some(0)).await;
    until("one pod is used", async || {
        used("pods").await == "1" && used("requests.cpu").await == "250m"
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_objects_go_with_their_definition() {
    let cluster = Cluster::start().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let version = json!({ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } });
    create(
        &definitions,
        json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": "widgets.example.com" },
            "spec": { "group": "example.com", "scope": "Namespaced", "versions": [version],
                "names": { "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList" } } }),
    )
    .await;
    let resource = ApiResource {
        group: "example.com".into(),
        version: "v1".into(),
        api_version: "example.com/v1".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
    };
    let widgets: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), "default", &resource);
    let widget: DynamicObject = serde_json::from_value(
        json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "w" } }),
    )
    .unwrap();
    until("widgets are served", async || {
        widgets
            .create(&PostParams::default(), &widget)
            .await
            .is_ok()
    })
    .await;
    let configs: Api<ConfigMap> = cluster.api("default");
    let owned = async |name: &str, owner: &DynamicObject| {
        let reference = json!({ "apiVersion": "example.com/v1", "kind": "Widget",
            "name": owner.name_any(), "uid": owner.uid().unwrap() });
        let mut dependent = config(name);
        dependent["metadata"]["ownerReferences"] = json!([reference]);
        create(&configs, dependent).await;
    };
    // An owner may be younger than what the collector knows of its kind.
    let first = serde_json::from_value(
        json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "first" } }),
    )
    .unwrap();
    let first = widgets
        .create(&PostParams::default(), &first)
        .await
        .unwrap();
    owned("of-the-first", &first).await;
    widgets
        .delete("first", &DeleteParams::default())
        .await
        .unwrap();
    until("what the first widget owned goes", async || {
        is_gone(&configs, "of-the-first").await
    })
    .await;
    // Only the collector lets go of an owner that waits for what it owns: from here on it follows widgets,
    // and will see what goes with their definition.
    let second = serde_json::from_value(
        json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "second" } }),
    )
    .unwrap();
    widgets
        .create(&PostParams::default(), &second)
        .await
        .unwrap();
    widgets
        .delete("second", &DeleteParams::foreground())
        .await
        .unwrap();
    until("the collector follows widgets", async || {
        is_gone(&widgets, "second").await
    })
    .await;
    owned("of-the-widget", &widgets.get("w").await.unwrap()).await;
    definitions
        .delete("widgets.example.com", &DeleteParams::default())
        .await
        .unwrap();
    until("the definition goes", async || {
        is_gone(&definitions, "widgets.example.com").await
    })
    .await;
    until("what its objects owned goes", async || {
        is_gone(&configs, "of-the-widget").await
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_tokens_and_aggregated_roles_are_filled() {
    let cluster = Cluster::start().await;
    let accounts: Api<ServiceAccount> = cluster.api("default");
    let secrets: Api<Secret> = cluster.api("default");
    create(
        &accounts,
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "robot" } }),
    )
    .await;
    create(
        &secrets,
        json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": { "name": "robot", "annotations": { "kubernetes.io/service-account.name": "robot" } } }),
    )
    .await;
    until("the secret is filled", async || {
        let data = secrets.get("robot").await.unwrap().data.unwrap_or_default();
        ["token", "ca.crt", "namespace"]
            .iter()
            .all(|key| data.contains_key(*key))
    })
    .await;
    accounts
        .delete("robot", &DeleteParams::default())
        .await
        .unwrap();
    until("the secret goes with the account", async || {
        is_gone(&secrets, "robot").await
    })
    .await;

    let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
    let rule = json!({ "apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"] });
    let labels = json!({ "rbac.authorization.k8s.io/aggregate-to-view": "true" });
    create(
        &roles,
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": "widgets", "labels": labels }, "rules": [rule] }),
    )
    .await;
    until("the role view has the rule", async || {
        let rules = roles.get("view").await.unwrap().rules.unwrap_or_default();
        rules
            .iter()
            .any(|rule| rule.resources == Some(vec!["widgets".to_owned()]))
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_takes_over_when_the_leader_dies() {
    let cluster = Cluster::bare().await;
    let leases: Api<Lease> = cluster.api("kube-system");
    let holder = async || {
        let lease = leases.get_opt("mosaic-controllers").await.unwrap();
        lease
            .and_then(|lease| lease.spec?.holder_identity)
            .unwrap_or_default()
    };
    let first = tokio::spawn(cluster.controllers("first", Settings::default()));
    until("the first leads", async || holder().await == "first").await;
    let second = tokio::spawn(cluster.controllers("second", Settings::default()));
    // It dies without a word.
    first.abort();
    until("the second leads", async || holder().await == "second").await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    create(
        &namespaces,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "later" } }),
    )
    .await;
    let accounts: Api<ServiceAccount> = cluster.api("later");
    until("the second is at work", async || {
        !is_gone(&accounts, "default").await
    })
    .await;
    // It goes politely: nobody holds the lease any more.
    cluster.shutdown.cancel();
    second.await.unwrap();
    assert_eq!(holder().await, "");
    cluster.stop().await;
}
