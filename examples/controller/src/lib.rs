//! A controller for a kind of one's own.
//!
//! A [`Site`] says what a web site shows and how many servers show it. The controller keeps a config map
//! and a deployment for each site, and tells in the site's status how far they are:
//!
//! ```text
//!   Site ──reconcile──▶ ConfigMap (the page)
//!     ▲                 Deployment (the servers)
//!     └──status──────────────┘
//! ```
//!
//! What it makes is applied server-side, so that running it twice changes nothing, and carries an owner
//! reference, so that it goes when the site goes.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Client, CustomResource, CustomResourceExt, Resource, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The name under which this controller's fields are managed.
pub const MANAGER: &str = "site-controller";

/// What is wanted of a web site.
#[allow(
    clippy::duplicated_attributes,
    reason = "each column of kubectl's table says its type"
)]
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "example.mosaic",
    version = "v1",
    kind = "Site",
    namespaced,
    shortname = "st",
    status = "SiteStatus",
    scale(
        spec_replicas_path = ".spec.servers",
        status_replicas_path = ".status.ready"
    ),
    printcolumn(name = "Servers", type_ = "integer", json_path = ".spec.servers"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.ready"),
    printcolumn(
        name = "Text",
        type_ = "string",
        json_path = ".spec.text",
        priority = 1
    )
)]
pub struct SiteSpec {
    /// What the site shows.
    pub text: String,
    /// How many servers show it.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub servers: i32,
}

fn one() -> i32 {
    1
}

/// How far a web site is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// How many servers are ready.
    pub ready: i32,
    /// The generation of the site that this speaks of.
    pub observed_generation: i64,
}

/// Why a site could not be reconciled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API refused or could not be reached; worth another try.
    #[error("the API: {0}")]
    Api(#[from] kube::Error),
    /// An object that was read lacks what every stored object has.
    #[error("{0} was never stored")]
    NotStored(String),
}

/// Makes the kind known to the server, and waits until it is served.
///
/// # Errors
/// If the server refuses it.
pub async fn install(client: &Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = Site::crd();
    let name = definition.name_any();
    let parameters = PatchParams::apply(MANAGER).force();
    definitions
        .patch(&name, &parameters, &Patch::Apply(&definition))
        .await?;
    await_condition(definitions, &name, conditions::is_crd_established()).await?;
    Ok(())
}

/// Reconciles every site, until the process is asked to stop.
pub async fn run(client: Client) {
    let sites: Api<Site> = Api::all(client.clone());
    Controller::new(sites, watcher::Config::default())
        .owns(
            Api::<ConfigMap>::all(client.clone()),
            watcher::Config::default(),
        )
        .owns(
            Api::<Deployment>::all(client.clone()),
            watcher::Config::default(),
        )
        .run(reconcile, retry, Arc::new(client))
        .for_each(|result| async move {
            match result {
                Ok((site, _)) => tracing::info!(%site, "reconciled"),
                // What a site owned goes after it, and each time the site is asked for once more.
                Err(controller::Error::ObjectNotFound(site)) => {
                    tracing::debug!(%site, "deleted");
                }
                Err(error) => tracing::warn!(%error, "not reconciled"),
            }
        })
        .await;
}

async fn reconcile(site: Arc<Site>, client: Arc<Client>) -> Result<Action, Error> {
    let client = Client::clone(&client);
    let name = site.name_any();
    let namespace = site
        .namespace()
        .ok_or_else(|| Error::NotStored(name.clone()))?;
    let owner = site
        .controller_owner_ref(&())
        .ok_or_else(|| Error::NotStored(name.clone()))?;
    let owner = json!([owner]);
    let parameters = PatchParams::apply(MANAGER).force();

    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let page = page(&site, &name, &owner);
    config_maps
        .patch(&name, &parameters, &Patch::Apply(&page))
        .await?;

    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let servers = servers(&site, &name, &owner);
    let deployment = deployments
        .patch(&name, &parameters, &Patch::Apply(&servers))
        .await?;

    let status = SiteStatus {
        ready: deployment
            .status
            .and_then(|status| status.ready_replicas)
            .unwrap_or(0),
        observed_generation: site.meta().generation.unwrap_or(0),
    };
    if site.status.as_ref() != Some(&status) {
        let sites: Api<Site> = Api::namespaced(client, &namespace);
        let patch = json!({"apiVersion": "example.mosaic/v1", "kind": "Site", "status": status});
        sites
            .patch_status(&name, &parameters, &Patch::Apply(&patch))
            .await?;
    }
    Ok(Action::await_change())
}

fn retry(_site: Arc<Site>, _error: &Error, _client: Arc<Client>) -> Action {
    Action::requeue(Duration::from_secs(5))
}

/// The config map that a site should have.
fn page(site: &Site, name: &str, owner: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": owner},
        "data": {"index.html": format!("<h1>{}</h1>\n", site.spec.text)},
    })
}

/// The deployment that a site should have.
fn servers(site: &Site, name: &str, owner: &Value) -> Value {
    let labels = json!({"site": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "ownerReferences": owner},
        "spec": {
            "replicas": site.spec.servers,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{
                        "name": "server",
                        "image": "busybox:1",
                        "command": ["httpd", "-f", "-p", "8080", "-h", "/page"],
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "volumeMounts": [{"name": "page", "mountPath": "/page"}],
                    }],
                    "volumes": [{"name": "page", "configMap": {"name": name}}],
                },
            },
        },
    })
}
