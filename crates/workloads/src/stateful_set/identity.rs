//! Who a pod is: its name, and what follows from it.

use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Pod, Volume};

use super::Planner;
use crate::template::{self, set_label};

/// The label with the pod's name, by which a Service selects one pod.
pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// The label with the pod's ordinal.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
/// The label with the name of the revision that the pod was made from.
pub const REVISION: &str = "controller-revision-hash";

/// The ordinal in the name of a pod of this set.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i32> {
    let text = pod.strip_prefix(set)?.strip_prefix('-')?;
    let is_plain = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (is_plain && digits).then(|| text.parse().ok()).flatten()
}

impl Planner<'_> {
    /// The name of the pod of this ordinal.
    pub(super) fn pod_name(&self, ordinal: i32) -> String {
        format!("{}-{ordinal}", self.owner.name())
    }

    /// Whether a new pod of this ordinal is made from the template before the present one: below the partition of
    /// a rolling update, or, without one, where pods have not been updated yet.
    fn takes_current(&self, ordinal: i32) -> bool {
        let set = self.snapshot.set;
        let strategy = set.spec.update_strategy.as_ref();
        let kept = match strategy.and_then(|s| s.rolling_update.as_ref()) {
            Some(rolling) => rolling.partition.unwrap_or(0),
            None => set
                .status
                .as_ref()
                .and_then(|s| s.current_replicas)
                .unwrap_or(0),
        };
        self.is_rolling() && ordinal < self.start().saturating_add(kept)
    }

    /// The pod of this ordinal.
    pub(super) fn new_pod(&self, ordinal: i32) -> Pod {
        let set = self.snapshot.set;
        let (template, revision) = if self.takes_current(ordinal) {
            (&self.current_template, &self.current_revision)
        } else {
            (&set.spec.template, &self.update_revision)
        };
        let name = self.pod_name(ordinal);
        let mut pod = template::pod(&self.owner, template, name.clone());
        set_label(&mut pod.metadata, POD_NAME, name.as_str());
        set_label(&mut pod.metadata, POD_INDEX, ordinal.to_string());
        set_label(&mut pod.metadata, REVISION, revision.as_str());
        let spec = pod.spec.get_or_insert_default();
        spec.hostname = Some(name);
        spec.subdomain = set
            .spec
            .service_name
            .clone()
            .filter(|name| !name.is_empty());
        let claims: Vec<(String, String)> = self.claim_names(ordinal).collect();
        if !claims.is_empty() {
            let volumes = spec.volumes.get_or_insert_default();
            volumes.retain(|volume| !claims.iter().any(|(name, _)| *name == volume.name));
            volumes.extend(claims.into_iter().map(|(name, claim_name)| Volume {
                name,
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name,
                    read_only: None,
                }),
                ..Volume::default()
            }));
        }
        pod
    }
}
