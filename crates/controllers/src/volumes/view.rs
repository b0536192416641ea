//! Claims and volumes as far as binding looks at them.

use k8s_openapi::{
    api::{
        core::v1::{
            PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus,
            PersistentVolumeSpec, PersistentVolumeStatus,
        },
        storage::v1::StorageClass,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use mosaic_scheduler::model;
use mosaic_workloads::pod::read;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny},
};
use serde_json::value::RawValue;

use crate::views::is_a;

/// Says of a claim that it and its volume agree.
pub(super) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Says that the binding was chosen by the controller and not by whoever made the object.
pub(super) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Names the provisioner that made a volume, and that deletes it.
pub(super) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// The annotations that binding looks at.
const KEPT: [&str; 3] = [BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONED_BY];

/// A claim.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// Its metadata, with those annotations only that binding looks at.
    pub(super) metadata: ObjectMeta,
    /// What has become of it.
    status: PersistentVolumeClaimStatus,
    /// As the scheduler sees it.
    pub(super) model: model::Claim,
}

/// A volume.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    /// Its metadata, with those annotations only that binding looks at.
    pub(super) metadata: ObjectMeta,
    /// What it is.
    pub(super) spec: PersistentVolumeSpec,
    /// What has become of it.
    status: PersistentVolumeStatus,
    /// As the scheduler sees it.
    pub(super) model: model::Volume,
}

/// A storage class.
#[derive(Debug, Clone)]
pub(super) struct Class {
    metadata: ObjectMeta,
    /// As the scheduler sees it.
    pub(super) model: model::StorageClass,
}

/// What is written back of an object, or told.
#[derive(Deserialize)]
struct Fields<Spec, Status> {
    #[serde(default, deserialize_with = "metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    read::metadata(deserializer, &KEPT)
}

/// Reads an object in two forms: as what is written back of it, and as the scheduler sees it.
fn fields_and_model<'de, D: Deserializer<'de>, F: Deserialize<'de>, M>(
    deserializer: D,
    read: fn(&[u8]) -> Result<M, model::ReadError>,
) -> Result<(F, M), D::Error> {
    let json = <&RawValue>::deserialize(deserializer)?.get();
    let fields = serde_json::from_str(json).map_err(D::Error::custom)?;
    let model = read(json.as_bytes()).map_err(|error| match error {
        model::ReadError::Form { source, .. } => D::Error::custom(source),
        nameless => D::Error::custom(nameless),
    })?;
    Ok((fields, model))
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Read = Fields<IgnoredAny, PersistentVolumeClaimStatus>;
        let (fields, model): (Read, _) = fields_and_model(deserializer, model::Claim::from_json)?;
        let Fields {
            metadata, status, ..
        } = fields;
        Ok(Self {
            metadata,
            status,
            model,
        })
    }
}

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (fields, model) = fields_and_model(deserializer, model::Volume::from_json)?;
        let Fields {
            metadata,
            spec,
            status,
        } = fields;
        Ok(Self {
            metadata,
            spec,
            status,
            model,
        })
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Read = Fields<IgnoredAny, IgnoredAny>;
        let (fields, model): (Read, _) =
            fields_and_model(deserializer, model::StorageClass::from_json)?;
        Ok(Self {
            metadata: fields.metadata,
            model,
        })
    }
}

is_a!(Claim, PersistentVolumeClaim);
is_a!(Volume, PersistentVolume);
is_a!(Class, StorageClass);

impl Claim {
    /// The class that it names; empty for none.
    pub(super) fn class(&self) -> &str {
        &self.model.class
    }

    /// The volume that it names; empty for none.
    pub(super) fn volume(&self) -> &str {
        self.model.volume.as_deref().unwrap_or_default()
    }

    /// Its phase.
    pub(super) fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }
}

impl Volume {
    /// Its phase.
    pub(super) fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }
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
