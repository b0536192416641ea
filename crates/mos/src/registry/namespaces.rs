//! What namespaces have to do with their images: one that is deleted takes its images with it, and its quota says how much
//! of it images use.

use std::collections::HashSet;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use mosaic_api::quantity::Quantity;
use mosaic_registry::Registry;
use mosaic_validation::quota::IMAGE_STORAGE;
use serde_json::json;

/// How often what quotas say is put right.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// How long a deletion that failed rests.
const PAUSE: Duration = Duration::from_secs(5);

/// Removes the images of namespaces that go, for ever. Only a namespace that was seen takes images with it: whoever lost the
/// cluster's objects, and not its images, keeps these.
pub(super) async fn clear_deleted(registry: Registry, client: Client) {
    let namespaces: Api<Namespace> = Api::all(client);
    let mut known: HashSet<String> = HashSet::new();
    let mut listed: HashSet<String> = HashSet::new();
    let mut events = Box::pin(watcher(namespaces, watcher::Config::default()));
    loop {
        let gone: Vec<String> = match events.try_next().await {
            Ok(Some(Event::Apply(namespace))) => {
                known.insert(namespace.name_any());
                continue;
            }
            Ok(Some(Event::Delete(namespace))) => vec![namespace.name_any()],
            Ok(Some(Event::Init)) => {
                listed.clear();
                continue;
            }
            Ok(Some(Event::InitApply(namespace))) => {
                listed.insert(namespace.name_any());
                continue;
            }
            Ok(Some(Event::InitDone)) => {
                let gone = known.difference(&listed).cloned().collect();
                known.extend(listed.drain());
                gone
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "namespaces cannot be watched");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        for namespace in gone {
            known.remove(&namespace);
            clear(&registry, &namespace).await;
        }
    }
}

async fn clear(registry: &Registry, namespace: &str) {
    loop {
        match registry.clear(namespace).await {
            Ok(0) => return,
            Ok(removed) => {
                return tracing::info!(
                    namespace,
                    removed,
                    "removed the images of a namespace that is gone"
                );
            }
            Err(error) => {
                tracing::warn!(namespace, %error, "the images of a namespace that is gone cannot be removed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Writes into quotas how much of them images use, for ever.
pub(super) async fn count_usage(registry: Registry, client: Client) {
    loop {
        if let Err(error) = count(&registry, &client).await {
            tracing::warn!("the quotas of images cannot be counted: {error}");
        }
        tokio::time::sleep(COUNT_EVERY).await;
    }
}

async fn count(registry: &Registry, client: &Client) -> Result<(), String> {
    let quotas: Api<ResourceQuota> = Api::all(client.clone());
    let quotas = quotas.list(&ListParams::default()).await;
    for quota in quotas.map_err(|error| error.to_string())? {
        let limits = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
        let Some(namespace) = quota.namespace() else {
            continue;
        };
        if !limits.is_some_and(|limits| limits.contains_key(IMAGE_STORAGE)) {
            continue;
        }
        let used = registry.usage(&namespace).await;
        let used = used.map_err(|error| error.to_string())?;
        let told = quota
            .status
            .as_ref()
            .and_then(|status| status.used.as_ref()?.get(IMAGE_STORAGE));
        let told = told.and_then(|told| told.0.parse::<Quantity>().ok());
        if told.and_then(|told| u64::try_from(told.value()).ok()) == Some(used) {
            continue;
        }
        let status = json!({ "status": { "used": { IMAGE_STORAGE: used.to_string() } } });
        let of: Api<ResourceQuota> = Api::namespaced(client.clone(), &namespace);
        let patched = of
            .patch_status(
                &quota.name_any(),
                &PatchParams::default(),
                &Patch::Merge(status),
            )
            .await;
        match patched {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
