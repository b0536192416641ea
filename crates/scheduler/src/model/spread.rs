//! How pods are to be spread over hosts and zones.

use std::{collections::BTreeMap, sync::Arc};

use mosaic_api::{LabelSelector, selector::Operator};
use serde::Deserialize;
use serde_json::Value;

use super::pod_affinity::{narrowed, selector};

/// A topology spread constraint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpreadConstraint {
    /// Hosts with an equal value of this label are one domain.
    pub topology_key: Arc<str>,
    /// By how many pods a domain may be ahead of the emptiest; at least one.
    pub max_skew: u32,
    /// With fewer domains than this, the emptiest counts as empty.
    pub min_domains: u32,
    /// Whether hosts that would break it are out of the question, or only less liked.
    pub required: bool,
    /// The pods of the pod's namespace that are counted.
    pub pods: LabelSelector,
    /// Count only hosts that the pod's node selector and affinity allow.
    pub honors_affinity: bool,
    /// Count only hosts whose taints the pod tolerates.
    pub honors_taints: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawSpread {
    max_skew: Option<i64>,
    min_domains: Option<i64>,
    #[serde(default)]
    topology_key: String,
    when_unsatisfiable: Option<String>,
    label_selector: Option<Value>,
    match_label_keys: Option<Vec<String>>,
    node_affinity_policy: Option<String>,
    node_taints_policy: Option<String>,
}

impl RawSpread {
    pub(super) fn read(self, labels: Option<&BTreeMap<String, String>>) -> SpreadConstraint {
        let at_least_one =
            |number: Option<i64>| u32::try_from(number.unwrap_or(1).max(1)).unwrap_or(u32::MAX);
        let pods = selector(self.label_selector.as_ref());
        SpreadConstraint {
            topology_key: self.topology_key.into(),
            max_skew: at_least_one(self.max_skew),
            min_domains: at_least_one(self.min_domains),
            required: self.when_unsatisfiable.as_deref() != Some("ScheduleAnyway"),
            pods: narrowed(pods, self.match_label_keys.as_ref(), Operator::In, labels),
            honors_affinity: self.node_affinity_policy.as_deref() != Some("Ignore"),
            honors_taints: self.node_taints_policy.as_deref() == Some("Honor"),
        }
    }
}
