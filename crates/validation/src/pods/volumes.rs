//! Volumes of pods.

use super::{
    environment,
    mounts::{Mountable, descending_path, no_parent_step},
    resources,
};
use crate::{
    node::{Errors, Node},
    rules,
};

const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Fields that a volume source must have, by its name. Sources with rules of their own are in
/// [`source`].
const REQUIRED: [(&str, &[&str]); 15] = [
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &["monitors"]),
    ("cinder", &["volumeID"]),
    ("flexVolume", &["driver"]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["monitors", "image"]),
    ("vsphereVolume", &["volumePath"]),
];

/// Validates the volumes of a pod's spec; the names of those that are right.
pub(super) fn volumes<'v>(list: &Node<'v, '_>, e: &mut Errors) -> Mountable<'v> {
    let mut mountable = Mountable::new();
    for volume in list.items() {
        let before = e.count();
        sources(&volume, e);
        let name = volume.get("name");
        e.require_and_check(&name, rules::label);
        if mountable.contains_key(name.str()) {
            e.duplicate(&name, name.str());
        }
        if e.count() == before {
            let device = ["persistentVolumeClaim", "ephemeral"]
                .iter()
                .any(|source| volume.get(source).is_set());
            mountable.insert(name.str(), device);
        }
    }
    mountable
}

fn sources(volume: &Node, e: &mut Errors) {
    let mut count = 0;
    for (name, source_node) in volume.fields() {
        if name == "name" {
            continue;
        }
        count += 1;
        if count > 1 {
            e.forbidden(&source_node, "may not specify more than 1 volume type");
            continue;
        }
        source(name, &source_node, e);
    }
    if count == 0 {
        e.required(volume, "must specify a volume type");
    }
}

/// One volume source.
pub(super) fn source(name: &str, source: &Node, e: &mut Errors) {
    match name {
        "emptyDir" => {
            let limit = source.get("sizeLimit");
            if resources::quantity(&limit, e).is_some_and(|q| resources::is_negative(&q)) {
                e.forbidden(&limit, "SizeLimit field must be a valid resource quantity");
            }
        }
        "hostPath" => {
            if e.require(&source.get("path"), "") {
                no_parent_step(&source.get("path"), e);
            }
            e.one_of_if_set(&source.get("type"), &HOST_PATH_TYPES);
        }
        "secret" => {
            e.require(&source.get("secretName"), "");
            mode(&source.get("defaultMode"), e);
            items(&source.get("items"), e);
        }
        "configMap" => {
            e.require(&source.get("name"), "");
            mode(&source.get("defaultMode"), e);
            items(&source.get("items"), e);
        }
        "persistentVolumeClaim" => {
            e.require(&source.get("claimName"), "");
        }
        "downwardAPI" => {
            mode(&source.get("defaultMode"), e);
            downward_items(&source.get("items"), e);
        }
        "projected" => {
            mode(&source.get("defaultMode"), e);
            projected(&source.get("sources"), e);
        }
        "nfs" => {
            e.require(&source.get("server"), "");
            let path = source.get("path");
            if e.require(&path, "") && !path.str().starts_with('/') {
                e.invalid(&path, "must be an absolute path");
            }
        }
        "csi" => csi_driver(&source.get("driver"), e),
        "ephemeral" => {
            let template = source.get("volumeClaimTemplate");
            if template.is_set() {
                crate::storage::claim_spec(&template.get("spec"), e);
            } else {
                e.required(&template, "");
            }
        }
        "image" => {
            e.require(&source.get("reference"), "");
            e.one_of_if_set(
                &source.get("pullPolicy"),
                &["Always", "IfNotPresent", "Never"],
            );
        }
        other => {
            let required = REQUIRED.iter().find(|(name, _)| *name == other);
            for field in required.into_iter().flat_map(|(_, fields)| *fields) {
                e.require(&source.get(field), "");
            }
        }
    }
}

/// The name of a CSI driver.
pub(crate) fn csi_driver(driver: &Node, e: &mut Errors) {
    if !e.require(driver, "") {
        return;
    }
    if driver.str().len() > 63 {
        e.too_long(driver, 63);
    }
    let lower = driver.str().to_lowercase();
    e.invalid_text(driver, driver.str(), rules::subdomain(&lower));
}

fn mode(mode: &Node, e: &mut Errors) {
    if mode.int().is_some_and(|m| !(0..=0o777).contains(&m)) {
        e.invalid(
            mode,
            "must be a number between 0 and 0777 (octal), both inclusive",
        );
    }
}

fn items(list: &Node, e: &mut Errors) {
    for item in list.items() {
        e.require(&item.get("key"), "");
        file_path(&item.get("path"), e);
        mode(&item.get("mode"), e);
    }
}

/// A path below the volume that does not hide the volume's own links.
fn file_path(path: &Node, e: &mut Errors) {
    if !e.require(path, "") {
        return;
    }
    descending_path(path, e);
    if path.str().starts_with("..") && !path.str().starts_with("../") {
        e.invalid(path, "must not start with '..'");
    }
}

fn downward_items(list: &Node, e: &mut Errors) {
    for item in list.items() {
        file_path(&item.get("path"), e);
        let field = item.get("fieldRef");
        let resource = item.get("resourceFieldRef");
        match (field.is_set(), resource.is_set()) {
            (true, true) => e.invalid_as(
                &item,
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            ),
            (true, false) => environment::file_field(&field, e),
            (false, true) => environment::resource_reference(&resource, true, e),
            (false, false) => e.required(&item, "one of fieldRef and resourceFieldRef is required"),
        }
        mode(&item.get("mode"), e);
    }
}

fn projected(sources: &Node, e: &mut Errors) {
    for item in sources.items() {
        let mut count = 0;
        for (name, source) in item.fields() {
            count += 1;
            if count > 1 {
                e.forbidden(&source, "may not specify more than 1 volume type");
                continue;
            }
            match name {
                "secret" | "configMap" => {
                    e.require(&source.get("name"), "");
                    items(&source.get("items"), e);
                }
                "downwardAPI" => downward_items(&source.get("items"), e),
                "serviceAccountToken" => token(&source, e),
                _ => {}
            }
        }
        if count == 0 {
            e.required(&item, "must specify at least one projected source");
        }
    }
}

fn token(token: &Node, e: &mut Errors) {
    let seconds = token.get("expirationSeconds");
    if seconds.int_or_zero() < 600 {
        e.invalid(&seconds, "may not specify a duration less than 10 minutes");
    } else if seconds.int_or_zero() > 1 << 32 {
        e.invalid(
            &seconds,
            "may not specify a duration larger than 2^32 seconds",
        );
    }
    file_path(&token.get("path"), e);
}
