//! Claims and volumes as far as binding looks at them.

use k8s_openapi::{
    api::core::v1::{
        PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec,
        PersistentVolumeClaimStatus, PersistentVolumeSpec, PersistentVolumeStatus,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use mosaic_workloads::pod::read;
use serde::{Deserialize, Deserializer};

use crate::views::is_a;

/// Says of a claim that it and its volume agree.
pub(super) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Says that the binding was chosen by the controller and not by whoever made the object.
pub(super) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Names the provisioner that made a volume, and that deletes it.
pub(super) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Names the host that the scheduler has chosen for a claim's pod.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// An older way to say the class.
pub(super) const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The annotations that binding looks at.
const KEPT: [&str; 5] = [
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    PROVISIONED_BY,
    SELECTED_NODE,
    CLASS,
];

/// A claim.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Claim {
    /// Its metadata, with those annotations only that binding looks at.
    #[serde(deserialize_with = "metadata")]
    pub(super) metadata: ObjectMeta,
    /// What is asked for.
    pub(super) spec: PersistentVolumeClaimSpec,
    /// What is so.
    pub(super) status: PersistentVolumeClaimStatus,
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Volume {
    /// Its metadata, with those annotations only that binding looks at.
    #[serde(deserialize_with = "metadata")]
    pub(super) metadata: ObjectMeta,
    /// What it is.
    pub(super) spec: PersistentVolumeSpec,
    /// What has become of it.
    pub(super) status: PersistentVolumeStatus,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    read::metadata(deserializer, &KEPT)
}

impl Claim {
    /// The class that it names; empty for none.
    pub(super) fn class(&self) -> &str {
        class(&self.metadata, self.spec.storage_class_name.as_deref())
    }

    /// The volume that it names; empty for none.
    pub(super) fn volume(&self) -> &str {
        self.spec.volume_name.as_deref().unwrap_or_default()
    }

    /// Its phase.
    pub(super) fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }
}

impl Volume {
    /// The class that it is of; empty for none.
    pub(super) fn class(&self) -> &str {
        class(&self.metadata, self.spec.storage_class_name.as_deref())
    }

    /// Its phase.
    pub(super) fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }
}

fn class<'a>(metadata: &'a ObjectMeta, named: Option<&'a str>) -> &'a str {
    annotation(metadata, CLASS).or(named).unwrap_or_default()
}

/// The value of an annotation.
pub(super) fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// An object's name.
pub(super) fn name(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

/// An object's namespace; empty for none.
pub(super) fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or_default()
}

/// Whether somebody deleted it.
pub(super) fn is_leaving(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_some()
}

is_a!(Claim, PersistentVolumeClaim);
is_a!(Volume, PersistentVolume);
