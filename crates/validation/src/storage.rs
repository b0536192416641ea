//! Persistent volumes, their claims and their classes.

use mosaic_api::quantity::Quantity;

use crate::{
    node::{Errors, Node},
    pods::{self, quantity},
    rules,
};

const ACCESS_MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const RECLAIM_POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];

/// Fields of a persistent volume's spec that are not its source.
const NOT_SOURCES: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// A claim.
pub(crate) fn claim(claim: &Node, e: &mut Errors) {
    claim_spec(&claim.get("spec"), e);
}

/// The spec of a claim or of a template of one.
pub(crate) fn claim_spec(spec: &Node, e: &mut Errors) {
    access_modes(
        &spec.get("accessModes"),
        "at least 1 access mode is required",
        e,
    );
    let selector = spec.get("selector");
    if selector.is_set() {
        pods::label_selector(&selector, e);
    }
    let resources = spec.get("resources");
    let requests = resources.get("requests");
    let storage = requests.get("storage");
    if storage.is_set() {
        positive(&storage, &resources.key("storage"), e);
    } else {
        e.required(&resources.key("storage"), "");
    }
    let class = spec.get("storageClassName");
    if !class.is_empty() {
        e.check(&class, rules::subdomain);
    }
    e.one_of_if_set(&spec.get("volumeMode"), &VOLUME_MODES);
    for source in ["dataSource", "dataSourceRef"] {
        let source = spec.get(source);
        if source.is_set() {
            e.require(&source.get("name"), "");
            e.require(&source.get("kind"), "");
        }
    }
}

fn access_modes(modes: &Node, required: &str, e: &mut Errors) {
    e.require(modes, required);
    for mode in modes.items() {
        if !ACCESS_MODES.contains(&mode.str()) {
            e.push(mosaic_schema::FieldError::not_supported(
                modes.path(),
                mode.str(),
                &ACCESS_MODES,
            ));
        }
    }
    if modes.len() > 1 && modes.items().any(|m| m.str() == "ReadWriteOncePod") {
        e.forbidden(
            modes,
            "may not use ReadWriteOncePod with other access modes",
        );
    }
}

/// An amount above zero; `at` is where the message points.
fn positive(node: &Node, at: &Node, e: &mut Errors) {
    if let Some(amount) = quantity(node, e)
        && !amount.sign().is_gt()
    {
        e.invalid_as(at, amount.to_string(), "must be greater than zero");
    }
}

/// An update of a claim: it may grow once it is bound, and be bound.
pub(crate) fn claim_update(new: &Node, old: &Node, e: &mut Errors) {
    let (spec, old_spec) = (new.get("spec"), old.get("spec"));
    let old_status = old.get("status");
    let bound = old_status.get("phase").str() == "Bound";
    let differs = spec
        .fields()
        .chain(old_spec.fields())
        .map(|(key, _)| key)
        .filter(|key| !spec.get(key).same(&old_spec.get(key)))
        .any(|key| match key {
            "volumeName" | "storageClassName" => !old_spec.get(key).is_empty(),
            "resources" => !bound || !only_storage_differs(&spec.get(key), &old_spec.get(key)),
            "volumeAttributesClassName" => !bound,
            _ => true,
        });
    if differs {
        e.forbidden(
            &spec,
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        );
    }
    let amount = |spec: &Node| {
        let resources = spec.get("resources");
        let requests = resources.get("requests");
        let storage = requests.get("storage");
        storage.value().and_then(|v| Quantity::from_value(v).ok())
    };
    let capacity = old_status
        .get("capacity")
        .get("storage")
        .value()
        .and_then(|v| Quantity::from_value(v).ok());
    if let (Some(new_amount), Some(old_amount)) = (amount(&spec), amount(&old_spec))
        && new_amount < old_amount
        && capacity.is_none_or(|capacity| new_amount <= capacity)
        && bound
    {
        let resources = spec.get("resources");
        let requests = resources.get("requests");
        e.forbidden(
            &requests.get("storage"),
            "field can not be less than status.capacity",
        );
    }
    e.immutable(&spec.get("volumeMode"), &old_spec.get("volumeMode"));
}

fn only_storage_differs(new: &Node, old: &Node) -> bool {
    new.fields()
        .chain(old.fields())
        .all(|(key, _)| key == "requests" || new.get(key).same(&old.get(key)))
}

/// The status of a claim.
pub(crate) fn claim_status(new: &Node, _: &Node, e: &mut Errors) {
    let status = new.get("status");
    let capacity = status.get("capacity");
    for (name, node) in capacity.entries() {
        e.invalid_text(&node, name, rules::qualified_name(name));
        if quantity(&node, e).is_some_and(|q| q.sign().is_lt()) {
            e.invalid(&node, "must be greater than or equal to 0");
        }
    }
}

/// A persistent volume.
pub(crate) fn volume(volume: &Node, e: &mut Errors) {
    let spec = volume.get("spec");
    access_modes(&spec.get("accessModes"), "", e);
    let capacity = spec.get("capacity");
    e.require(&capacity, "");
    let storage = capacity.get("storage");
    if !storage.is_set() || capacity.len() > 1 {
        e.push(mosaic_schema::FieldError::not_supported(
            capacity.path(),
            capacity.value().cloned().unwrap_or_default(),
            &["storage"],
        ));
    }
    positive(&storage, &capacity.key("storage"), e);
    let policy = spec.get("persistentVolumeReclaimPolicy");
    e.one_of_if_set(&policy, &RECLAIM_POLICIES);
    let affinity = spec.get("nodeAffinity");
    if affinity.is_set() {
        let required = affinity.get("required");
        if required.is_set() {
            pods::node_selector(&required, e);
        } else {
            e.required(&required, "must specify required node constraints");
        }
    }
    volume_source(&spec, e);
    if spec.get("hostPath").get("path").str() == "/" && policy.str() == "Recycle" {
        e.forbidden(&policy, "may not be 'recycle' for a hostPath mount of '/'");
    }
    if spec.get("local").is_set() && !affinity.is_set() {
        e.required(
            &volume.get("metadata").get("annotations"),
            "Local volume requires node affinity",
        );
    }
    let class = spec.get("storageClassName");
    if !class.is_empty() {
        e.check(&class, rules::subdomain);
    }
    e.one_of_if_set(&spec.get("volumeMode"), &VOLUME_MODES);
    let claim = spec.get("claimRef");
    if claim.is_set() {
        e.require(&claim.get("name"), "");
        e.require(&claim.get("namespace"), "");
    }
}

fn volume_source(spec: &Node, e: &mut Errors) {
    let mut count = 0;
    for (name, source) in spec
        .fields()
        .filter(|(name, _)| !NOT_SOURCES.contains(name))
    {
        count += 1;
        if count > 1 {
            e.forbidden(&source, "may not specify more than 1 volume type");
            continue;
        }
        match name {
            "hostPath" => {
                e.require(&source.get("path"), "");
            }
            "local" => {
                e.require(&source.get("path"), "");
            }
            "nfs" => {
                e.require(&source.get("server"), "");
                let path = source.get("path");
                if e.require(&path, "") && !path.str().starts_with('/') {
                    e.invalid(&path, "must be an absolute path");
                }
            }
            "csi" => {
                e.require(&source.get("driver"), "");
                e.require(&source.get("volumeHandle"), "");
            }
            _ => {}
        }
    }
    if count == 0 {
        e.required(spec, "must specify a volume type");
    }
}

/// An update of a persistent volume: its source stays.
pub(crate) fn volume_update(new: &Node, old: &Node, e: &mut Errors) {
    let (new, old) = (new.get("spec"), old.get("spec"));
    let changed = new
        .fields()
        .chain(old.fields())
        .any(|(key, _)| !NOT_SOURCES.contains(&key) && !new.get(key).same(&old.get(key)));
    if changed {
        e.forbidden(
            &new.get("persistentvolumesource"),
            "spec.persistentvolumesource is immutable after creation",
        );
    }
    e.immutable(&new.get("volumeMode"), &old.get("volumeMode"));
    if old.get("nodeAffinity").is_set() {
        e.immutable(&new.get("nodeAffinity"), &old.get("nodeAffinity"));
    }
}

/// A storage class.
pub(crate) fn class(class: &Node, e: &mut Errors) {
    let provisioner = class.get("provisioner");
    if e.require(&provisioner, "") {
        let lower = provisioner.str().to_lowercase();
        e.invalid_text(
            &provisioner,
            provisioner.str(),
            rules::qualified_name(&lower),
        );
    }
    let parameters = class.get("parameters");
    let mut size = 0usize;
    for (key, value) in parameters.entries() {
        if key.is_empty() {
            e.invalid_as(&parameters, key, "field can not be empty.");
        }
        size = size
            .saturating_add(key.len())
            .saturating_add(value.str().len());
    }
    if parameters.len() > 512 {
        e.too_long(&parameters, 512);
    }
    if size > 256 * 1024 {
        e.too_long(&parameters, 256 * 1024);
    }
    e.one_of_if_set(&class.get("reclaimPolicy"), &["Delete", "Retain"]);
    let mode = class.get("volumeBindingMode");
    if mode.is_set() {
        e.one_of_if_set(&mode, &["Immediate", "WaitForFirstConsumer"]);
    } else {
        e.required(&mode, "");
    }
}

/// An update of a storage class: what volumes were made by stays.
pub(crate) fn class_update(new: &Node, old: &Node, e: &mut Errors) {
    for field in ["parameters", "provisioner"] {
        if !new.get(field).same(&old.get(field)) {
            e.forbidden(
                &new.get(field),
                format!("updates to {field} are forbidden."),
            );
        }
    }
    for field in ["reclaimPolicy", "volumeBindingMode"] {
        e.immutable(&new.get(field), &old.get(field));
    }
}

/// An attachment of a volume to a node.
pub(crate) fn attachment(attachment: &Node, e: &mut Errors) {
    let spec = attachment.get("spec");
    let attacher = spec.get("attacher");
    e.require(&attacher, "");
    e.require(&spec.get("nodeName"), "");
    let source = spec.get("source");
    let volume = source.get("persistentVolumeName");
    let inline = source.get("inlineVolumeSpec");
    match (volume.is_set(), inline.is_set()) {
        (false, false) => e.required(
            &source,
            "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ),
        (true, true) => e.forbidden(
            &source,
            "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ),
        (true, false) => {
            e.require(&volume, "must specify non empty persistentVolumeName");
        }
        (false, true) => {}
    }
}

/// An attachment does not change.
pub(crate) fn attachment_update(new: &Node, old: &Node, e: &mut Errors) {
    e.immutable(&new.get("spec"), &old.get("spec"));
}

/// What a CSI driver can do.
pub(crate) fn driver(driver: &Node, e: &mut Errors) {
    let spec = driver.get("spec");
    e.one_of_if_set(
        &spec.get("fsGroupPolicy"),
        &["File", "None", "ReadWriteOnceWithFSType"],
    );
    for mode in spec.get("volumeLifecycleModes").items() {
        e.one_of(&mode, &["Ephemeral", "Persistent"]);
    }
}

/// Which CSI drivers a node has.
pub(crate) fn csi_node(node: &Node, e: &mut Errors) {
    let spec = node.get("spec");
    let drivers = spec.get("drivers");
    let mut names = std::collections::HashSet::new();
    for driver in drivers.items() {
        let name = driver.get("name");
        e.require(&name, "");
        e.require(&driver.get("nodeID"), "");
        if !name.is_empty() && !names.insert(name.str()) {
            e.duplicate(&name, name.str());
        }
    }
}
