//! The registry as one thing: what it stands on, its settings, and what others than its clients ask of it.

use std::sync::Arc;
use std::time::Duration;

use mosaic_store::Store;
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::blobs::Blobs;
use crate::clock::{Clock, System};
use crate::collect::{Collector, Report};
use crate::metadata::{Grace, Metadata, MetadataError};
use crate::mirror::Mirrors;

/// How a client is asked to say who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// By user and password with each request.
    Basic {
        /// What the password is for.
        realm: String,
    },
    /// By a token that is fetched with user and password, or without them for what everybody may pull. Docker's client
    /// does not pull without a password from a registry that asks for one, so anonymous pulls need this.
    Bearer {
        /// The URL of the token endpoint; a path is completed from the request's `Host`.
        realm: String,
        /// The name of the registry there.
        service: String,
    },
}

/// Settings of a registry.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For how long a blob stays that no manifest names; a push may take half of it.
    pub grace: Duration,
    /// For how long an upload stays that does not grow.
    pub upload_expiry: Duration,
    /// The most bytes of one blob.
    pub blob_max: u64,
    /// How clients are asked who they are.
    pub challenge: Challenge,
    /// Whether the challenge's address begins with `https`.
    pub tls: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(24 * 3600),
            upload_expiry: Duration::from_secs(24 * 3600),
            blob_max: 256 << 30,
            challenge: Challenge::Basic {
                realm: "mosaic".into(),
            },
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
    /// Room for manifests that are being read, in bytes.
    pub(crate) manifest_room: Semaphore,
}

/// Bytes of manifests that are read at once.
const MANIFEST_ROOM: usize = 16 << 20;

impl Registry {
    /// A registry that keeps its records in a store, its bytes in blobs, and asks `access` who may do what.
    pub fn new(
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        access: Arc<dyn Access>,
        settings: Settings,
    ) -> Self {
        Self::with_clock(store, blobs, access, settings, Arc::new(System))
    }

    /// As [`Registry::new`], with a clock of its own.
    pub fn with_clock(
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        access: Arc<dyn Access>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let grace = Grace::seconds(settings.grace.as_secs());
        let metadata = Arc::new(Metadata::new(store, blobs.clone(), clock, grace));
        let collector = Collector::new(metadata.clone(), settings.upload_expiry.as_secs());
        Self(Arc::new(Parts {
            metadata,
            blobs,
            access,
            settings,
            mirrors: Mirrors::default(),
            collector,
            manifest_room: Semaphore::new(MANIFEST_ROOM),
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
