//! `Rebalance` objects, as far as their controller looks at them.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    ClusterResourceScope, apimachinery::pkg::apis::meta::v1::Condition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Asks for a run now, and not only when the interval is over, by a value that it did not have before.
pub(super) const RUN_AT: &str = "mosaic/run-at";

/// A `Rebalance`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Rebalance {
    #[serde(default)]
    pub(super) metadata: ObjectMeta,
    /// What it asks for; [`mosaic_scheduler::rebalance::Options`] are read from it.
    #[serde(default)]
    pub(super) spec: Value,
    #[serde(default)]
    pub(super) status: Status,
}

/// What the last run did, or would have done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) observed_generation: Option<i64>,
    pub(super) last_run_time: Option<Timestamp>,
    pub(super) last_handled_run_at: Option<String>,
    #[serde(default)]
    pub(super) moved: usize,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
    #[serde(default)]
    pub(super) moves: Vec<MoveStatus>,
    #[serde(default)]
    pub(super) conditions: Vec<Condition>,
}

/// A move of the last run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MoveStatus {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) uid: String,
    /// The UID of the pod's controller.
    pub(super) controller: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) reason: String,
    pub(super) state: MoveState,
    /// When it was begun, or when it ended.
    pub(super) time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replacement: Option<String>,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MoveState {
    /// It would be done.
    Planned,
    /// The pod is about to be evicted.
    Evicting,
    /// The pod is evicted, its replacement does not serve yet.
    Replacing,
    /// The replacement serves.
    Moved,
    /// The pod may not be evicted after all.
    Refused,
    /// No replacement served in time.
    Unreplaced,
}

impl MoveState {
    /// Whether something is still to come.
    pub(super) fn is_under_way(self) -> bool {
        matches!(self, Self::Evicting | Self::Replacing)
    }
}

impl Rebalance {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether it only tells what it would move.
    pub(super) fn is_dry_run(&self) -> bool {
        self.spec.get("dryRun") == Some(&Value::Bool(true))
    }

    /// How long after the beginning of a run the next one begins.
    pub(super) fn interval(&self) -> SignedDuration {
        self.seconds("/intervalSeconds", 600, 10, 604_800)
    }

    /// How long it waits for a replacement to serve.
    pub(super) fn timeout(&self) -> SignedDuration {
        self.seconds("/limits/replacementTimeoutSeconds", 300, 10, 3_600)
    }

    /// A span within the bounds that the API keeps to; what was stored before them may be beyond.
    fn seconds(&self, path: &str, default: i64, least: i64, most: i64) -> SignedDuration {
        let given = self.spec.pointer(path).and_then(Value::as_i64);
        SignedDuration::from_secs(given.unwrap_or(default).clamp(least, most))
    }

    /// What somebody asked for a run with.
    pub(super) fn asked(&self) -> Option<&String> {
        self.metadata.annotations.as_ref()?.get(RUN_AT)
    }

    /// Whether moves are under way.
    pub(super) fn is_moving(&self) -> bool {
        let mut moves = self.status.moves.iter();
        moves.any(|step| step.state.is_under_way())
    }
}

impl Resource for Rebalance {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Rebalance".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        mosaic_api::own::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "rebalances".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
