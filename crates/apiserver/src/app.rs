//! What all requests share.

use std::sync::Arc;

use mosaic_auth::audit::{AuditLog, AuditPolicy};
use mosaic_store::{Revision, Store, StoreError, Write};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    cache::{Cache, Object},
    identity::Identity,
    kinds::KindTable,
    metrics::Metrics,
    slow_lane::SlowLane,
};

/// The API server's parts.
pub struct App {
    /// Where objects are kept.
    pub store: Arc<dyn Store>,
    /// Every object in memory.
    pub cache: Arc<Cache>,
    /// The kinds that are served.
    pub kinds: KindTable,
    /// Who may do what.
    pub identity: Identity,
    /// What of requests is written down where, if it is.
    pub audit: Option<(AuditPolicy, AuditLog)>,
    /// The room for the bodies of requests.
    pub intake: crate::http::body::Intake,
    /// Where long work is done.
    pub slow_lane: SlowLane,
    /// What is counted.
    pub metrics: Metrics,
    /// Documents rendered from the kind table.
    pub documents: crate::documents::Documents,
    /// The range that services get their addresses from.
    pub service_range: ipnet::IpNet,
    /// How long new pods stay on hosts that are lost, if they do not say.
    pub toleration_seconds: mosaic_validation::pod_admission::TolerationSeconds,
    /// The way to hosts.
    pub streams: crate::streams::Hosts,
    /// Whether there is to be a registry.
    pub registry_awaited: bool,
    /// The registry of this server, once there is one.
    pub registry: std::sync::OnceLock<ImageRegistry>,
    /// Cancelled when the server stops.
    pub shutdown: CancellationToken,
}

/// An image registry in the process.
pub struct ImageRegistry {
    /// Where it is reached.
    pub address: String,
    /// What judges the images of namespaces that run only signed ones.
    pub policy: crate::admission::ImagePolicy,
}

impl App {
    /// Carries out a write, and returns once it is durable and every later read shows it.
    ///
    /// # Errors
    /// The store's.
    pub async fn commit(&self, write: Write) -> Result<Revision, StoreError> {
        let revision = self.store.write(write).await?;
        // The write is durable; should the cache lag behind, the answer must not say otherwise.
        if let Err(error) = self.cache.reach(revision).await {
            tracing::warn!(%error, revision, "the cache lags behind the store");
        }
        Ok(revision)
    }

    /// An object of a kind, parsed, as far as the cache has come.
    pub fn object(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.cached(group, kind, namespace, name)
            .map(|object| object.value())
    }

    /// The same for objects that many requests look at: see [`Object::kept_value`].
    pub fn kept_object(
        &self,
        group: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        self.cached(group, kind, namespace, name)
            .map(|object| object.kept_value())
    }

    /// The objects of a kind in a namespace (in all of them, if it is empty), parsed.
    pub fn objects(&self, group: &str, kind: &str, namespace: &str) -> Vec<Value> {
        let objects = self.all_cached(group, kind, namespace);
        objects.iter().map(|object| object.value()).collect()
    }

    /// The same for objects that many requests look at: see [`Object::kept_value`].
    pub fn kept_objects(&self, group: &str, kind: &str, namespace: &str) -> Vec<Arc<Value>> {
        let objects = self.all_cached(group, kind, namespace);
        objects.iter().map(|object| object.kept_value()).collect()
    }

    fn cached(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let kinds = self.kinds.snapshot();
        let kind = kinds.by_kind(group, kind)?;
        self.cache
            .kind(&kind.prefix)
            .get(&kind.storage_key(namespace, name))
    }

    fn all_cached(&self, group: &str, kind: &str, namespace: &str) -> Vec<Arc<Object>> {
        let kinds = self.kinds.snapshot();
        let Some(kind) = kinds.by_kind(group, kind) else {
            return Vec::new();
        };
        let cached = self.cache.kind(&kind.prefix);
        if namespace.is_empty() {
            cached.list(&kind.prefix)
        } else {
            cached.list(&format!("{}{namespace}/", kind.prefix))
        }
    }
}
