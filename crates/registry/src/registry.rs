//! The registry as one thing: what it stands on, its settings, and what others than its clients ask of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mosaic_store::Store;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::access::{Access, Owner};
use crate::blobs::Blobs;
use crate::clock::System;
use crate::collect::{Collector, Report};
use crate::metadata::{Grace, Metadata, MetadataError};
use crate::mirror::Mirrors;
use crate::quota::Pushes;
use crate::server::Rooms;

/// Settings of a registry.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For how long a blob stays that no manifest names, and an upload that does not grow; a push may take half of it.
    pub grace: Duration,
    /// The most bytes of one blob.
    pub blob_max: u64,
    /// What the registry is called where clients get their tokens.
    pub service: String,
    /// Whether the address of that begins with `https`.
    pub tls: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(24 * 3600),
            blob_max: 256 << 30,
            service: "mosaic".into(),
            tls: false,
        }
    }
}

/// A registry. Clones are the same one.
#[derive(Clone)]
pub struct Registry(pub(crate) Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) settings: Settings,
    pub(crate) mirrors: Mirrors,
    pub(crate) collector: Collector,
    /// Namespaces that have nothing of an earlier one of their name.
    pub(crate) settled: Mutex<HashMap<String, Owner>>,
    pub(crate) clear_wanted: Notify,
    pub(crate) pushes: Pushes,
    /// Room for manifests that are being read.
    pub(crate) manifest_rooms: Rooms,
}

impl Registry {
    /// A registry that keeps its records in a store, its bytes in blobs, and asks `access` who may do what.
    pub fn new(
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        access: Arc<dyn Access>,
        settings: Settings,
    ) -> Self {
        let grace = Grace::seconds(settings.grace.as_secs());
        let metadata = Arc::new(Metadata::new(store, blobs.clone(), Arc::new(System), grace));
        let collector = Collector::new(metadata.clone());
        Self(Arc::new(Parts {
            metadata,
            blobs,
            access,
            settings,
            mirrors: Mirrors::default(),
            collector,
            settled: Mutex::default(),
            clear_wanted: Notify::new(),
            pushes: Pushes::default(),
            manifest_rooms: Rooms::default(),
        }))
    }

    /// Takes away what nothing names any more, once. To be called now and then, and after a start.
    ///
    /// # Errors
    /// When the store or the blobs fail.
    pub async fn collect(&self) -> Result<Report, MetadataError> {
        self.0.collector.run().await
    }

    /// Collects again and again, until it is dropped. A run that fails is told in the log, and the next one is tried.
    pub async fn collect_every(&self, pause: Duration) {
        loop {
            match self.collect().await {
                Ok(report) if report == Report::default() => {}
                Ok(report) => tracing::info!(?report, "collected garbage"),
                Err(error) => tracing::warn!(%error, "garbage cannot be collected"),
            }
            self.0.metadata.clock.sleep(pause).await;
        }
    }
}
