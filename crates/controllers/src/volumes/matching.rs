//! Which volume a claim gets.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use mosaic_api::quantity::Quantity;
use mosaic_scheduler::model;
use mosaic_workloads::owner;
use serde_json::json;

use super::view::{Claim, Volume, is_leaving, name, namespace};

/// The smallest volume that nobody has and that would do, of those in `volumes`. `host`, if given, has to reach it.
/// With `only_reserved`, one that names the claim, and no other.
pub(super) fn best<'a>(
    claim: &Claim,
    volumes: impl Iterator<Item = &'a Volume>,
    host: Option<&model::Node>,
    only_reserved: bool,
) -> Option<&'a Volume> {
    let size = |volume: &Volume| amount(volume.spec.capacity.as_ref());
    let fit = volumes.filter(|volume| suits(volume, claim).is_ok());
    let reserved = |volume: &Volume| volume.spec.claim_ref.is_some();
    fit.filter(|volume| {
        if volume.spec.claim_ref.is_some() {
            return is_for(volume, claim);
        }
        !only_reserved
            && matches!(volume.phase(), "" | "Pending" | "Available")
            && volume.class() == claim.class()
            && has_labels(volume, claim)
            && has_modes(volume, claim)
            && host.is_none_or(|host| is_reached(volume, host))
    })
    .min_by(|a, b| {
        let key = |volume| (!reserved(volume), size(volume));
        let names = || name(&a.metadata).cmp(name(&b.metadata));
        key(a).cmp(&key(b)).then_with(names)
    })
}

/// Whether a volume names this claim, and no earlier one of its name.
pub(super) fn is_for(volume: &Volume, claim: &Claim) -> bool {
    volume.spec.claim_ref.as_ref().is_some_and(|reference| {
        let uid = reference.uid.as_deref().unwrap_or_default();
        reference.name == claim.metadata.name
            && reference.namespace.as_deref().unwrap_or_default() == namespace(&claim.metadata)
            && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
    })
}

/// Whether a volume could be this claim's, if both say that it is: the error says what stands against it.
pub(super) fn suits(volume: &Volume, claim: &Claim) -> Result<(), &'static str> {
    let mode = |mode: Option<&str>| mode.unwrap_or("Filesystem").to_owned();
    let wanted = claim.spec.resources.as_ref();
    let wanted = amount(wanted.and_then(|wanted| wanted.requests.as_ref()));
    if is_leaving(&volume.metadata) {
        Err("it is being deleted")
    } else if amount(volume.spec.capacity.as_ref()) < wanted {
        Err("requested PV is too small")
    } else if mode(volume.spec.volume_mode.as_deref()) != mode(claim.spec.volume_mode.as_deref()) {
        Err("incompatible volumeMode")
    } else {
        Ok(())
    }
}

/// Whether a volume that a claim names without being named by it may become the claim's.
pub(super) fn may_be_named(volume: &Volume, claim: &Claim) -> Result<(), &'static str> {
    suits(volume, claim)?;
    if volume.class() != claim.class() {
        Err("storageClassName does not match")
    } else if !has_modes(volume, claim) {
        Err("incompatible accessMode")
    } else {
        Ok(())
    }
}

fn has_modes(volume: &Volume, claim: &Claim) -> bool {
    let offered = volume.spec.access_modes.iter().flatten();
    let wanted = claim.spec.access_modes.iter().flatten();
    let offered: Vec<&String> = offered.collect();
    wanted.into_iter().all(|mode| offered.contains(&mode))
}

fn has_labels(volume: &Volume, claim: &Claim) -> bool {
    let selector = claim.spec.selector.as_ref().map(owner::selector);
    selector.is_none_or(|selector| selector.matches(&volume.metadata.labels))
}

/// Whether a host may use a volume, by the rules that the scheduler goes by.
fn is_reached(volume: &Volume, host: &model::Node) -> bool {
    let Some(affinity) = &volume.spec.node_affinity else {
        return true;
    };
    let text = json!({
        "metadata": { "name": name(&volume.metadata) },
        "spec": { "nodeAffinity": affinity },
    });
    let read = model::Volume::from_json(text.to_string().as_bytes());
    read.is_ok_and(|volume| {
        let mut terms = volume.affinity.iter().flatten();
        volume.affinity.is_none() || terms.any(|term| term.matches(host))
    })
}

fn amount(list: Option<&std::collections::BTreeMap<String, Amount>>) -> Option<Quantity> {
    list?.get("storage")?.0.parse().ok()
}
