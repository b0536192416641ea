//! The columns of volumes and what provides them.

use jiff::Timestamp;
use serde_json::Value;

use super::read::{
    AGE, NAME, NONE, Spec, UNSET, age, flag, has, joined, list, name, scalar, text, text_or,
};
use crate::meta;

pub(super) const VOLUME: &[Spec] = &[
    NAME,
    ("Capacity", "string", 0, "How large the volume is."),
    ("Access Modes", "string", 0, "How it can be mounted."),
    (
        "Reclaim Policy",
        "string",
        0,
        "What happens to it when its claim is gone.",
    ),
    ("Status", "string", 0, "Whether it is bound to a claim."),
    ("Claim", "string", 0, "The claim it is bound to."),
    ("StorageClass", "string", 0, "StorageClass of the pv"),
    (
        "VolumeAttributesClass",
        "string",
        0,
        "VolumeAttributesClass of the pv",
    ),
    ("Reason", "string", 0, "Why it is in this state."),
    AGE,
    ("VolumeMode", "string", 1, "A filesystem or a block device."),
];

pub(super) fn volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let claim = if has(object, "/spec/claimRef") {
        format!(
            "{}/{}",
            text(object, "/spec/claimRef/namespace"),
            text(object, "/spec/claimRef/name")
        )
    } else {
        String::new()
    };
    vec![
        name(object),
        scalar(object, "/spec/capacity/storage", "0").into(),
        access_modes(object, "/spec/accessModes").into(),
        text(object, "/spec/persistentVolumeReclaimPolicy").into(),
        phase(object),
        claim.into(),
        class(object).into(),
        text_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        text(object, "/status/reason").into(),
        age(object, now),
        text_or(object, "/spec/volumeMode", UNSET).into(),
    ]
}

pub(super) const CLAIM: &[Spec] = &[
    NAME,
    ("Status", "string", 0, "Whether it is bound to a volume."),
    ("Volume", "string", 0, "The volume it is bound to."),
    ("Capacity", "string", 0, "How large that volume is."),
    ("Access Modes", "string", 0, "How it can be mounted."),
    ("StorageClass", "string", 0, "StorageClass of the pvc"),
    (
        "VolumeAttributesClass",
        "string",
        0,
        "VolumeAttributesClass of the pvc",
    ),
    AGE,
    ("VolumeMode", "string", 1, "A filesystem or a block device."),
];

pub(super) fn claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let volume = text(object, "/spec/volumeName");
    let (capacity, modes) = if volume.is_empty() {
        (String::new(), String::new())
    } else {
        (
            scalar(object, "/status/capacity/storage", "0"),
            access_modes(object, "/status/accessModes"),
        )
    };
    vec![
        name(object),
        phase(object),
        volume.into(),
        capacity.into(),
        modes.into(),
        class(object).into(),
        text_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        age(object, now),
        text_or(object, "/spec/volumeMode", UNSET).into(),
    ]
}

fn phase(object: &Value) -> Value {
    if meta::is_being_deleted(object) {
        "Terminating".into()
    } else {
        text(object, "/status/phase").into()
    }
}

fn class(object: &Value) -> &str {
    text_or(
        object,
        "/metadata/annotations/volume.beta.kubernetes.io~1storage-class",
        text(object, "/spec/storageClassName"),
    )
}

fn access_modes(object: &Value, pointer: &str) -> String {
    const MODES: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let given = list(object, pointer);
    let shown: Vec<&str> = MODES
        .into_iter()
        .filter(|(mode, _)| given.iter().any(|given| given == mode))
        .map(|(_, short)| short)
        .collect();
    shown.join(",")
}

pub(super) const STORAGE_CLASS: &[Spec] = &[
    NAME,
    ("Provisioner", "string", 0, "What makes the volumes."),
    (
        "ReclaimPolicy",
        "string",
        0,
        "What happens to volumes when their claims are gone.",
    ),
    ("VolumeBindingMode", "string", 0, "When volumes are made."),
    (
        "AllowVolumeExpansion",
        "string",
        0,
        "Whether volumes can grow.",
    ),
    AGE,
];

pub(super) fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let is_default = [
        "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
        "/metadata/annotations/storageclass.beta.kubernetes.io~1is-default-class",
    ]
    .iter()
    .any(|pointer| text(object, pointer) == "true");
    let name = if is_default {
        format!("{} (default)", text(object, "/metadata/name")).into()
    } else {
        name(object)
    };
    vec![
        name,
        text(object, "/provisioner").into(),
        text_or(object, "/reclaimPolicy", "Delete").into(),
        text_or(object, "/volumeBindingMode", "Immediate").into(),
        flag(object, "/allowVolumeExpansion")
            .unwrap_or_default()
            .into(),
        age(object, now),
    ]
}

pub(super) const ATTACHMENT: &[Spec] = &[
    NAME,
    ("Attacher", "string", 0, "What attaches the volume."),
    ("PV", "string", 0, "The volume."),
    ("Node", "string", 0, "The node that it is attached to."),
    ("Attached", "boolean", 0, "Whether it is attached."),
    AGE,
];

pub(super) fn attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/spec/attacher").into(),
        text(object, "/spec/source/persistentVolumeName").into(),
        text(object, "/spec/nodeName").into(),
        flag(object, "/status/attached").unwrap_or_default().into(),
        age(object, now),
    ]
}

pub(super) const CSI_NODE: &[Spec] = &[
    NAME,
    (
        "Drivers",
        "integer",
        0,
        "Drivers indicates the number of CSI drivers registered on the node",
    ),
    AGE,
];

pub(super) fn csi_node(object: &Value, now: Timestamp) -> Vec<Value> {
    let drivers = list(object, "/spec/drivers").len();
    vec![name(object), drivers.into(), age(object, now)]
}

pub(super) const CSI_DRIVER: &[Spec] = &[
    NAME,
    (
        "AttachRequired",
        "boolean",
        0,
        "Whether volumes are attached before they are mounted.",
    ),
    (
        "PodInfoOnMount",
        "boolean",
        0,
        "Whether the driver is told of the pod.",
    ),
    (
        "StorageCapacity",
        "boolean",
        0,
        "Whether the driver says how much room there is.",
    ),
    (
        "TokenRequests",
        "string",
        0,
        "The audiences of the tokens that the driver is given.",
    ),
    (
        "RequiresRepublish",
        "boolean",
        0,
        "Whether mounted volumes are published again and again.",
    ),
    ("Modes", "string", 0, "What kinds of volumes it provides."),
    AGE,
];

pub(super) fn csi_driver(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = |field: &str, absent: bool| -> Value {
        flag(object, &format!("/spec/{field}"))
            .unwrap_or(absent)
            .into()
    };
    let tokens = if has(object, "/spec/tokenRequests") {
        let audiences: Vec<&str> = list(object, "/spec/tokenRequests")
            .iter()
            .map(|request| text(request, "/audience"))
            .collect();
        audiences.join(",")
    } else {
        UNSET.to_owned()
    };
    let modes = match joined(object, "/spec/volumeLifecycleModes") {
        none if none.is_empty() => NONE.to_owned(),
        modes => modes,
    };
    vec![
        name(object),
        spec("attachRequired", true),
        spec("podInfoOnMount", false),
        spec("storageCapacity", false),
        tokens.into(),
        spec("requiresRepublish", false),
        modes.into(),
        age(object, now),
    ]
}
