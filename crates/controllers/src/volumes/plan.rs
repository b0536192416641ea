//! What follows for claims and volumes from each other. Pure, and the rules of Kubernetes' `persistentvolume-binder`
//! and of its two controllers that protect what is used.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mosaic_scheduler::model::{Node, StorageClass};
use serde_json::{Value, json};

use super::{
    matching,
    view::{
        BIND_COMPLETED, BOUND_BY_CONTROLLER, Claim, Class, PROVISIONED_BY, Volume, annotation,
        is_leaving, name, namespace,
    },
};

const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";

/// What a plan is made from.
pub(super) struct Snapshot<'a> {
    pub(super) claims: &'a [Arc<Claim>],
    pub(super) volumes: &'a [Arc<Volume>],
    pub(super) classes: &'a [Arc<Class>],
    /// The hosts that claims name as selected, by name.
    pub(super) hosts: &'a HashMap<String, Node>,
    /// The claims, by namespace and name, that pods on hosts use: of namespaces in which a claim is being deleted.
    pub(super) used: &'a BTreeSet<(String, String)>,
}

/// A claim or a volume.
#[derive(Debug, Clone)]
pub(super) enum About {
    Claim(Arc<Claim>),
    Volume(Arc<Volume>),
}

impl About {
    pub(super) fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Claim(claim) => &claim.metadata,
            Self::Volume(volume) => &volume.metadata,
        }
    }
}

/// What is checked once more before a write that says that something is gone: what is in memory may be old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gone {
    /// The volume of this name.
    Volume(String),
    /// The claim of this namespace, name and UID.
    Claim(String, String, String),
}

/// A merge patch of an object.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) about: About,
    pub(super) patch: Value,
    pub(super) is_status: bool,
    pub(super) only_if: Option<Gone>,
}

/// Something to tell about an object, once for as long as it is so.
#[derive(Debug, Clone)]
pub(super) struct Tell {
    pub(super) about: About,
    pub(super) is_warning: bool,
    pub(super) reason: &'static str,
    pub(super) note: String,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Writes; each list in order, up to the first that fails.
    pub(super) writes: Vec<Vec<Write>>,
    pub(super) tells: Vec<Tell>,
}

/// What follows for all claims and volumes.
pub(super) fn plan(snapshot: &Snapshot<'_>) -> Plan {
    let by_name = snapshot.volumes.iter();
    let mut planner = Planner {
        snapshot,
        by_name: by_name.map(|v| (name(&v.metadata), v)).collect(),
        taken: HashSet::new(),
        plan: Plan::default(),
    };
    let mut claims: Vec<&Arc<Claim>> = snapshot.claims.iter().collect();
    // Who came first chooses first.
    claims.sort_by_key(|claim| {
        let metadata = &claim.metadata;
        let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, namespace(metadata), name(metadata))
    });
    for claim in &claims {
        planner.claim(claim);
    }
    let by_key: HashMap<(&str, &str), &Arc<Claim>> = claims
        .into_iter()
        .map(|claim| ((namespace(&claim.metadata), name(&claim.metadata)), claim))
        .collect();
    for volume in snapshot.volumes {
        planner.volume(volume, &by_key);
    }
    planner.plan
}

struct Planner<'a> {
    snapshot: &'a Snapshot<'a>,
    by_name: HashMap<&'a str, &'a Arc<Volume>>,
    /// Names of volumes that claims have got in this plan.
    taken: HashSet<&'a str>,
    plan: Plan,
}

fn is_given(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

/// The list of finalizers with or without one, if that is another one.
fn finalizers(metadata: &ObjectMeta, finalizer: &str, wanted: bool) -> Option<Vec<String>> {
    let mut list = metadata.finalizers.clone().unwrap_or_default();
    let has = list.iter().any(|known| known == finalizer);
    if has == wanted {
        return None;
    }
    list.retain(|known| known != finalizer);
    if wanted {
        list.push(finalizer.to_owned());
    }
    Some(list)
}

impl<'a> Planner<'a> {
    fn write(&mut self, writes: Vec<Write>) -> bool {
        let any = !writes.is_empty();
        if any {
            self.plan.writes.push(writes);
        }
        any
    }

    fn tell(&mut self, about: About, is_warning: bool, reason: &'static str, note: String) {
        self.plan.tells.push(Tell {
            about,
            is_warning,
            reason,
            note,
        });
    }

    fn claim(&mut self, claim: &'a Arc<Claim>) {
        let is_bound = annotation(&claim.metadata, BIND_COMPLETED).is_some();
        let writes = if is_bound {
            self.bound(claim)
        } else if is_leaving(&claim.metadata) {
            Vec::new()
        } else {
            self.unbound(claim)
        };
        if self.write(writes) {
            return;
        }
        // One that is bound is protected with the next plan: each is made for one version of the object.
        let key = (
            namespace(&claim.metadata).to_owned(),
            name(&claim.metadata).to_owned(),
        );
        let protect = !is_leaving(&claim.metadata) || self.snapshot.used.contains(&key);
        // A finalizer cannot be added to what is being deleted.
        if protect && is_leaving(&claim.metadata) {
            return;
        }
        if let Some(list) = finalizers(&claim.metadata, CLAIM_PROTECTION, protect) {
            let patch = json!({ "metadata": { "finalizers": list } });
            self.write(vec![write(About::Claim(claim.clone()), patch, false)]);
        }
    }

    /// A claim that was bound: its volume has to be there and be its own.
    fn bound(&mut self, claim: &'a Arc<Claim>) -> Vec<Write> {
        let (reason, note) = match self.by_name.get(claim.volume()) {
            Some(volume)
                if volume.spec.claim_ref.is_none() || volume.model.is_for(&claim.model) =>
            {
                return self.bind(claim, volume);
            }
            Some(_) => (
                "ClaimMisbound",
                "Two claims are bound to the same volume, this one is bound incorrectly",
            ),
            None if claim.volume().is_empty() => (
                "ClaimLost",
                "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
            ),
            None => (
                "ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
            ),
        };
        if claim.phase() == "Lost" {
            return Vec::new();
        }
        self.tell(About::Claim(claim.clone()), true, reason, note.to_owned());
        let patch = json!({ "status": { "phase": "Lost", "accessModes": null, "capacity": null } });
        let mut lost = write(About::Claim(claim.clone()), patch, true);
        let named = self.by_name.contains_key(claim.volume());
        lost.only_if =
            (!named && !claim.volume().is_empty()).then(|| Gone::Volume(claim.volume().to_owned()));
        vec![lost]
    }

    fn unbound(&mut self, claim: &'a Arc<Claim>) -> Vec<Write> {
        let found = if claim.volume().is_empty() {
            self.choose(claim)
        } else {
            self.named(claim)
        };
        match found {
            Some(volume) => self.bind(claim, volume),
            None if claim.phase() != "Pending" => {
                let patch = json!({ "status": { "phase": "Pending" } });
                vec![write(About::Claim(claim.clone()), patch, true)]
            }
            None => Vec::new(),
        }
    }

    /// The volume that a claim asks for by its name, if that is there and free.
    fn named(&mut self, claim: &'a Arc<Claim>) -> Option<&'a Arc<Volume>> {
        let about = || About::Claim(claim.clone());
        let wanted = claim.volume();
        let Some(volume) = self.by_name.get(wanted).copied() else {
            let note = format!("there is no volume {wanted:?}, which the claim names");
            self.tell(about(), false, "FailedBinding", note);
            return None;
        };
        if volume.model.is_for(&claim.model) {
            return Some(volume);
        }
        if volume.spec.claim_ref.is_some() || self.taken.contains(wanted) {
            let note = format!("volume {wanted:?} already bound to a different claim.");
            self.tell(about(), true, "FailedBinding", note);
            return None;
        }
        match volume.model.may_be_named(&claim.model) {
            Ok(()) => Some(volume),
            Err(why) => {
                let note = format!("Cannot bind to requested volume {wanted:?}: {why}");
                self.tell(about(), true, "VolumeMismatch", note);
                None
            }
        }
    }

    /// The volume that suits a claim best; if there is none, people are told what it waits for.
    fn choose(&mut self, claim: &'a Arc<Claim>) -> Option<&'a Arc<Volume>> {
        let class = self.class(claim);
        let waits = class.is_some_and(StorageClass::waits);
        let selected = claim.model.selected_node.as_deref();
        let host = selected.and_then(|host| self.snapshot.hosts.get(host));
        // Before a host is chosen, or if it is gone, only what is the claim's anyway.
        let only_reserved = waits && host.is_none();
        let free = self.by_name.values().map(|volume| &***volume);
        let free = free.filter(|volume| !self.taken.contains(name(&volume.metadata)));
        let best = matching::best(claim, free, host.filter(|_| waits), only_reserved);
        if let Some(best) = best {
            return self.by_name.get(name(&best.metadata)).copied();
        }
        let (reason, note) = waiting(claim, class, waits, selected);
        self.tell(About::Claim(claim.clone()), false, reason, note);
        None
    }

    fn class(&self, claim: &Claim) -> Option<&'a StorageClass> {
        let mut classes = self.snapshot.classes.iter().map(|class| &class.model);
        classes.find(|class| *class.name == *claim.class())
    }

    /// What is left to write until a claim and a volume are bound to each other.
    fn bind(&mut self, claim: &'a Arc<Claim>, volume: &'a Arc<Volume>) -> Vec<Write> {
        self.taken.insert(name(&volume.metadata));
        let about_claim = || About::Claim(claim.clone());
        let about_volume = || About::Volume(volume.clone());
        let mut writes = Vec::new();
        let reference = volume.spec.claim_ref.as_ref();
        if reference.is_none_or(|reference| !is_given(reference.uid.as_deref())) {
            let mut patch = json!({ "spec": { "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": namespace(&claim.metadata), "name": name(&claim.metadata),
                "uid": claim.metadata.uid,
            } } });
            if reference.is_none() {
                annotate(&mut patch, BOUND_BY_CONTROLLER);
            }
            writes.push(write(about_volume(), patch, false));
        }
        if volume.phase() != "Bound" {
            let patch = json!({ "status": { "phase": "Bound", "reason": null, "message": null } });
            writes.push(write(about_volume(), patch, true));
        }
        let completed = annotation(&claim.metadata, BIND_COMPLETED).is_some();
        if !completed || claim.volume().is_empty() {
            let mut patch = json!({ "spec": { "volumeName": name(&volume.metadata) } });
            annotate(&mut patch, BIND_COMPLETED);
            if claim.volume().is_empty() {
                annotate(&mut patch, BOUND_BY_CONTROLLER);
            }
            writes.push(write(about_claim(), patch, false));
        }
        if claim.phase() != "Bound" {
            let patch = json!({ "status": {
                "phase": "Bound",
                "accessModes": volume.spec.access_modes,
                "capacity": volume.spec.capacity,
            } });
            writes.push(write(about_claim(), patch, true));
        }
        writes
    }

    fn volume(&mut self, volume: &'a Arc<Volume>, claims: &HashMap<(&str, &str), &Arc<Claim>>) {
        let key = name(&volume.metadata);
        if self.taken.contains(key) && volume.phase() != "Bound" {
            return;
        }
        let writes = if self.taken.contains(key) {
            Vec::new()
        } else {
            self.idle(volume, claims)
        };
        if self.write(writes) {
            return;
        }
        let protect = !is_leaving(&volume.metadata);
        if !protect && volume.phase() == "Bound" {
            return;
        }
        if let Some(list) = finalizers(&volume.metadata, VOLUME_PROTECTION, protect) {
            let patch = json!({ "metadata": { "finalizers": list } });
            self.write(vec![write(About::Volume(volume.clone()), patch, false)]);
        }
    }

    /// A volume that no claim has got in this plan.
    fn idle(
        &mut self,
        volume: &Arc<Volume>,
        claims: &HashMap<(&str, &str), &Arc<Claim>>,
    ) -> Vec<Write> {
        let about = || About::Volume(volume.clone());
        let phase = |phase: &str| {
            let patch = json!({ "status": { "phase": phase, "reason": null, "message": null } });
            write(about(), patch, true)
        };
        let reference = volume.spec.claim_ref.as_ref();
        let Some(reference) = reference.filter(|reference| is_given(reference.uid.as_deref()))
        else {
            let differs = volume.phase() != "Available" && !is_leaving(&volume.metadata);
            return differs.then(|| phase("Available")).into_iter().collect();
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (space, called) = (text(&reference.namespace), text(&reference.name));
        let claim = claims.get(&(space.as_str(), called.as_str()));
        match claim.filter(|claim| claim.metadata.uid == reference.uid) {
            Some(claim) => {
                let elsewhere =
                    !claim.volume().is_empty() && claim.volume() != name(&volume.metadata);
                if !elsewhere {
                    return Vec::new();
                }
                // The claim has got another one.
                let ours = annotation(&volume.metadata, BOUND_BY_CONTROLLER).is_some();
                let patch = if ours {
                    json!({ "metadata": { "annotations": { BOUND_BY_CONTROLLER: null } },
                        "spec": { "claimRef": null } })
                } else {
                    json!({ "spec": { "claimRef": { "uid": null } } })
                };
                vec![write(about(), patch, false), phase("Available")]
            }
            None => {
                let gone = Gone::Claim(space, called, text(&reference.uid));
                self.released(volume, gone)
            }
        }
    }

    /// A volume whose claim is gone.
    fn released(&mut self, volume: &Arc<Volume>, gone: Gone) -> Vec<Write> {
        let policy = volume.spec.persistent_volume_reclaim_policy.as_deref();
        let made = annotation(&volume.metadata, PROVISIONED_BY).is_some();
        let failed = match policy {
            Some("Delete") if !made => Some((
                "VolumeFailedDelete",
                "nobody deletes it: no provisioner has made it, and nothing in Mosaic deletes volumes; \
                 delete what is stored and then the object",
            )),
            Some("Recycle") => Some((
                "VolumeFailedRecycle",
                "nobody empties it: nothing in Mosaic recycles volumes",
            )),
            _ => None,
        };
        if matches!(volume.phase(), "Released" | "Failed")
            && (failed.is_none() || volume.phase() == "Failed")
        {
            return Vec::new();
        }
        let status = match failed {
            Some((reason, message)) => {
                self.tell(
                    About::Volume(volume.clone()),
                    true,
                    reason,
                    message.to_owned(),
                );
                json!({ "phase": "Failed", "reason": reason, "message": message })
            }
            None => json!({ "phase": "Released", "reason": null, "message": null }),
        };
        let mut released = write(
            About::Volume(volume.clone()),
            json!({ "status": status }),
            true,
        );
        released.only_if = Some(gone);
        vec![released]
    }
}

fn write(about: About, patch: Value, is_status: bool) -> Write {
    Write {
        about,
        patch,
        is_status,
        only_if: None,
    }
}

fn annotate(patch: &mut Value, annotation: &str) {
    if let Some(fields) = patch.as_object_mut() {
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            let all = metadata.entry("annotations").or_insert_with(|| json!({}));
            if let Some(all) = all.as_object_mut() {
                all.insert(annotation.to_owned(), json!("yes"));
            }
        }
    }
}

/// What a claim waits for that no volume suits: in Kubernetes' words where it has them.
fn waiting(
    claim: &Claim,
    class: Option<&StorageClass>,
    waits: bool,
    selected: Option<&str>,
) -> (&'static str, String) {
    let Some(class) = class else {
        let note = match claim.class() {
            "" => "no persistent volumes available for this claim and no storage class is set"
                .to_owned(),
            named => format!(
                "no persistent volume of class {named:?} is free and would do, and there is no such storage class to make one"
            ),
        };
        return ("FailedBinding", note);
    };
    if waits && selected.is_none() {
        let note = "waiting for first consumer to be created before binding".to_owned();
        return ("WaitForFirstConsumer", note);
    }
    if !class.provisions() {
        let on = selected.filter(|_| waits);
        let on = on
            .map(|host| format!(" on host {host}"))
            .unwrap_or_default();
        let note = format!(
            "no persistent volume of class {:?} is free and would do{on}, and the class makes none",
            claim.class()
        );
        return ("FailedBinding", note);
    }
    let note = format!(
        "Waiting for a volume to be created either by the external provisioner '{}' or manually by the \
         system administrator. If volume creation is delayed, please verify that the provisioner is running and \
         correctly registered.",
        class.provisioner
    );
    ("ExternalProvisioning", note)
}
