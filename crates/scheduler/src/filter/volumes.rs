//! Where a pod's volumes can be had.

use std::sync::Arc;

use crate::{
    cluster::State,
    filter::Failure,
    model::{Claim, Node, Pod, StorageClass, Volume},
};

/// What a pod's claims ask of hosts.
#[derive(Debug, Default)]
pub(crate) struct VolumeNeeds {
    /// Something that no host can help, in words.
    failure: Option<String>,
    bound: Vec<(Box<str>, Arc<Volume>)>,
    unbound: Vec<Unbound>,
}

#[derive(Debug)]
struct Unbound {
    claim: Arc<Claim>,
    class: Arc<StorageClass>,
    /// Volumes that the claim may get, the best first.
    candidates: Vec<Arc<Volume>>,
}

impl VolumeNeeds {
    pub(crate) fn new(state: &State, pod: &Pod) -> Self {
        let mut needs = Self::default();
        for name in &pod.claims {
            if let Err(failure) = needs.add(state, pod, name) {
                needs.failure = Some(failure);
                break;
            }
        }
        needs
    }

    /// What is wrong wherever the pod would be, in Kubernetes' words where it has them.
    pub(crate) fn pod_failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bound.is_empty() && self.unbound.is_empty()
    }

    fn add(&mut self, state: &State, pod: &Pod, name: &str) -> Result<(), String> {
        let volumes = &state.volumes;
        let claim = volumes
            .claim(pod.namespace(), name)
            .ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
        if claim.leaving {
            return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        match &claim.volume {
            Some(volume) if claim.bound => {
                let known = volumes.volumes.get(volume).ok_or_else(|| {
                    format!(
                        "persistentvolume {volume:?} of persistentvolumeclaim {name:?} not found"
                    )
                })?;
                self.bound.push((name.into(), known.clone()));
                return Ok(());
            }
            // Named, but the volume's side has not agreed yet.
            Some(_) => return Err(unbound(claim)),
            None => {}
        }
        let class = volumes.classes.get(&claim.class);
        if claim.class.is_empty() {
            return Err(unbound(claim));
        }
        let class = class.ok_or_else(|| {
            format!(
                "storageclass {:?} of persistentvolumeclaim {name:?} not found",
                claim.class
            )
        })?;
        if !class.waits() {
            return Err(unbound(claim));
        }
        let mut candidates: Vec<Arc<Volume>> = volumes
            .volumes
            .values()
            .filter(|volume| volume.is_candidate(claim))
            .cloned()
            .collect();
        candidates.sort_by(|a, b| a.preference().cmp(&b.preference()));
        self.unbound.push(Unbound {
            claim: claim.clone(),
            class: class.clone(),
            candidates,
        });
        Ok(())
    }

    /// Why a host will not do, if so.
    pub(crate) fn failure(&self, node: &Node) -> Option<Failure> {
        for (claim, volume) in &self.bound {
            if !volume.is_reached_from(node) {
                return Some(Failure::VolumeElsewhere {
                    claim: claim.clone(),
                    volume: volume.name.clone(),
                });
            }
        }
        let mut taken: Vec<&Arc<str>> = Vec::new();
        for unbound in &self.unbound {
            let failure = || Failure::NoVolume {
                claim: (*unbound.claim.name).into(),
            };
            // A volume that is being made is made for one host. Where none is made, another host may be chosen as long as
            // nothing is bound.
            let selected = unbound.claim.selected_node.as_ref();
            if let Some(selected) = selected.filter(|_| unbound.class.provisions()) {
                if **selected != *node.name {
                    return Some(failure());
                }
                continue;
            }
            let mut free = unbound.candidates.iter();
            let found =
                free.find(|volume| !taken.contains(&&volume.name) && volume.is_reached_from(node));
            match found {
                Some(volume) => taken.push(&volume.name),
                None => {
                    let made = unbound.class.provisions() && unbound.class.is_reached_from(node);
                    if !made {
                        return Some(failure());
                    }
                }
            }
        }
        None
    }
}

/// What is wrong with a claim whose volume has to be there before a host is looked for: Kubernetes' words, and of which
/// claim.
fn unbound(claim: &Claim) -> String {
    let class = match &*claim.class {
        "" => "no class".to_owned(),
        class => format!("class {class}"),
    };
    format!(
        "pod has unbound immediate PersistentVolumeClaims: {} ({class}) has no volume",
        claim.key()
    )
}
