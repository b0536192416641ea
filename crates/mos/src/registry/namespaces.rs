//! What namespaces have to do with their images: one that is deleted takes its images with it, and its quota says how much
//! of it images use.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use mosaic_api::quantity::Quantity;
use mosaic_registry::{Owner, Registry};
use mosaic_validation::quota::IMAGE_STORAGE;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::access::CLUSTER;

/// How often what quotas say is put right.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// How often it is looked whether a namespace is gone whose images are still there: when a removal failed, or an event was
/// missed.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// The images of so many namespaces are removed at once.
const CLEARS: usize = 4;

/// Removes the images of namespaces that are gone, for ever. What is looked at is which namespaces there are; an event only
/// says when.
pub(super) async fn clear_deleted(registry: Registry, client: Client) {
    let namespaces: Api<Namespace> = Api::all(client);
    let events = watcher(namespaces.clone(), watcher::Config::default()).default_backoff();
    let mut events = Box::pin(events);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Delete(_) | Event::InitDone)) => {}
                Some(Ok(_)) => continue,
                Some(Err(error)) => {
                    tracing::debug!(%error, "namespaces cannot be watched");
                    continue;
                }
                None => return,
            },
            () = registry.clear_wanted() => {}
            _ = ticks.tick() => {}
        }
        if let Err(error) = clear_gone(&registry, &namespaces).await {
            tracing::debug!("which namespaces are gone cannot be looked at: {error}");
        }
    }
}

async fn clear_gone(registry: &Registry, namespaces: &Api<Namespace>) -> Result<(), String> {
    // In this order: a namespace that had images before, and is not in the list, is gone for good.
    let owners = registry.owners().await;
    let owners = owners.map_err(|error| error.to_string())?;
    let there = namespaces.list_metadata(&ListParams::default()).await;
    let there = there.map_err(|error| error.to_string())?;
    let there: HashMap<String, String> = there
        .into_iter()
        .filter_map(|namespace| Some((namespace.name_any(), namespace.uid()?)))
        .collect();
    // It cannot be deleted, so without it this is no list.
    let Some(cluster) = there.get(CLUSTER) else {
        return Ok(());
    };
    let gone = owners.iter().filter(|(name, owner)| {
        *owner.cluster == **cluster && there.get(name).is_none_or(|uid| **uid != *owner.uid)
    });
    futures::stream::iter(gone)
        .for_each_concurrent(CLEARS, |(name, owner)| clear(registry, name, owner))
        .await;
    Ok(())
}

async fn clear(registry: &Registry, namespace: &str, gone: &Owner) {
    match registry.clear(namespace, gone).await {
        Ok(0) => {}
        Ok(records) => {
            tracing::info!(
                namespace,
                records,
                "removed the images of a namespace that is gone"
            );
        }
        Err(error) => {
            tracing::warn!(namespace, %error, "the images of a namespace that is gone cannot be removed");
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
