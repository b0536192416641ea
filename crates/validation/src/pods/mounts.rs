//! Mounts of a pod's volumes into its containers.

use std::collections::{HashMap, HashSet};

use crate::node::{Errors, Node};

/// The volumes that containers can mount: whether each can also be a raw device.
pub(super) type Mountable<'v> = HashMap<&'v str, bool>;

const PROPAGATIONS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];

pub(super) fn mounts<'v>(
    container: &Node<'v, '_>,
    volumes: &Mountable<'v>,
    privileged: bool,
    e: &mut Errors,
) {
    let devices = container.get("volumeDevices");
    let list = container.get("volumeMounts");
    let mut paths = HashSet::new();
    for mount in list.items() {
        let name = mount.get("name");
        if e.require(&name, "") && !volumes.contains_key(name.str()) {
            e.not_found(&name, name.str());
        }
        let path = mount.get("mountPath");
        e.require(&path, "");
        if !paths.insert(path.str()) {
            e.invalid(&path, "must be unique");
        }
        if devices
            .items()
            .any(|d| d.get("devicePath").str() == path.str())
        {
            e.invalid(&path, "must not already exist as a path in volumeDevices");
        }
        let sub_path = mount.get("subPath");
        let expression = mount.get("subPathExpr");
        if !sub_path.is_empty() {
            descending_path(&sub_path, e);
        }
        if !expression.is_empty() {
            if sub_path.is_empty() {
                descending_path(&expression, e);
            } else {
                e.invalid(
                    &expression,
                    "subPathExpr and subPath are mutually exclusive",
                );
            }
        }
        let propagation = mount.get("mountPropagation");
        e.one_of_if_set(&propagation, &PROPAGATIONS);
        if propagation.str() == "Bidirectional" && !privileged {
            e.forbidden(
                &propagation,
                "Bidirectional mount propagation is available only to privileged containers",
            );
        }
        recursive_read_only(&mount, e);
    }
    let mut device_names = HashSet::new();
    for device in devices.items() {
        let name = device.get("name");
        let path = device.get("devicePath");
        if e.require(&name, "") {
            match volumes.get(name.str()) {
                None => e.not_found(&name, name.str()),
                Some(false) => e.invalid(
                    &name,
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                ),
                Some(true) => {}
            }
            if !device_names.insert(name.str()) {
                e.invalid(&name, "must be unique");
            }
            if list.items().any(|m| m.get("name").str() == name.str()) {
                e.invalid(&name, "must not already exist in volumeMounts");
            }
        }
        if e.require(&path, "") && has_parent_step(path.str()) {
            e.invalid(&path, "can not contain backsteps ('..')");
        }
    }
}

fn recursive_read_only(mount: &Node, e: &mut Errors) {
    let recursive = mount.get("recursiveReadOnly");
    if !recursive.is_set() {
        return;
    }
    e.one_of(&recursive, &["Disabled", "Enabled", "IfPossible"]);
    if matches!(recursive.str(), "Enabled" | "IfPossible") && !mount.get("readOnly").is_true() {
        e.forbidden(&recursive, "may only be specified when readOnly is true");
    }
}

fn has_parent_step(path: &str) -> bool {
    path.split('/').any(|step| step == "..")
}

/// A path that stays below where it starts.
pub(super) fn descending_path(path: &Node, e: &mut Errors) {
    if path.str().starts_with('/') {
        e.invalid(path, "must be a relative path");
    }
    no_parent_step(path, e);
}

/// A path without `..`.
pub(super) fn no_parent_step(path: &Node, e: &mut Errors) {
    if has_parent_step(path.str()) {
        e.invalid(path, "must not contain '..'");
    }
}
