//! Pods, as far as planning looks at them.
//!
//! Tens of thousands of pods are kept in memory, so this form leaves out whatever no plan depends on: who changed which
//! field, foreign annotations, and almost all of the specification. It is read from a pod's JSON.

pub mod read;

pub(crate) use read::metadata;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use crate::counts::after;

/// How much it costs to delete a pod, compared to others of its set: the lower, the sooner.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not all of its containers were started.
    #[default]
    Pending,
    /// Its host is silent.
    Unknown,
    /// Bound to a host, and started.
    Running,
    /// All containers ended well, and will not be started again.
    Succeeded,
    /// All containers ended, at least one of them badly, and will not be started again.
    Failed,
}

/// A pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pod {
    /// Its metadata, without managed fields and without annotations of others.
    pub metadata: ObjectMeta,
    /// The host that it is bound to.
    pub node: Option<Arc<str>>,
    /// The host that its node affinity names as the only one, as that of a daemon set's pod does.
    pub pinned: Option<Box<str>>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Whether it serves.
    pub ready: bool,
    /// Since when it is ready, or not ready any more.
    pub ready_since: Option<Timestamp>,
    /// How often its containers were started again, all together.
    pub restarts: u32,
    /// How often that container was started again that was so most often.
    pub most_restarts: u32,
    /// How it ended; only of pods that failed or succeeded.
    pub end: Option<Box<End>>,
}

/// How a pod ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// When the last of its containers ended.
    pub at: Option<Timestamp>,
    /// The exit codes that are not 0, by container; those of init containers too.
    pub exits: Vec<Exit>,
    /// Its conditions: type and status.
    pub conditions: Vec<(String, String)>,
}

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The container's name.
    pub container: String,
    /// Its exit code.
    pub code: i32,
}

impl Pod {
    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its UID.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        let labels = self.metadata.labels.as_ref()?;
        labels.get(key).map(String::as_str)
    }

    /// The value of one of the annotations that planning reads.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let annotations = self.metadata.annotations.as_ref()?;
        annotations.get(key).map(String::as_str)
    }

    /// Whether it has this finalizer.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        let finalizers = self.metadata.finalizers.iter().flatten();
        finalizers.into_iter().any(|known| known == finalizer)
    }

    /// Whether it was asked to go.
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether its containers have ended for good.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Whether it counts as one of its set: neither ended nor on its way out.
    pub fn is_active(&self) -> bool {
        !self.has_ended() && !self.is_terminating()
    }

    /// When it was created.
    pub fn created(&self) -> Option<Timestamp> {
        self.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }

    /// Whether it has been ready for so many seconds.
    pub fn is_available(&self, min_ready_seconds: i32, now: Timestamp) -> bool {
        self.ready
            && (min_ready_seconds <= 0
                || self
                    .ready_since
                    .is_some_and(|since| after(since, i64::from(min_ready_seconds)) <= now))
    }

    /// When it will have been ready for so many seconds, if it is ready and that is still to come.
    pub fn available_at(&self, min_ready_seconds: i32, now: Timestamp) -> Option<Timestamp> {
        if !self.ready || min_ready_seconds <= 0 {
            return None;
        }
        let moment = after(self.ready_since?, i64::from(min_ready_seconds));
        (moment > now).then_some(moment)
    }

    /// What its annotation says that deleting it costs; 0 without one.
    pub fn deletion_cost(&self) -> i32 {
        let cost = self.annotation(DELETION_COST);
        cost.and_then(|cost| cost.parse().ok()).unwrap_or(0)
    }
}

impl k8s_openapi::Resource for Pod {
    const API_VERSION: &'static str = "v1";
    const GROUP: &'static str = "";
    const KIND: &'static str = "Pod";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "pods";
    type Scope = NamespaceResourceScope;
}

impl k8s_openapi::Metadata for Pod {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
