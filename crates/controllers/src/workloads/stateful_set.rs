//! StatefulSets.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use mosaic_api::LabelSelector;
use mosaic_workloads::{
    Kind, Plan, owner,
    stateful_set::{self, Claim},
};

use super::{Caches, Controller, Look, Workload};
use crate::{
    caches::follow,
    informer::{Change, Informer, key_of},
};

/// StatefulSets.
pub(super) struct StatefulSets;

impl Workload for StatefulSets {
    type Object = StatefulSet;
    type Status = StatefulSetStatus;

    const CONTROLLER: &'static str = "statefulset-controller";

    fn objects(caches: &Caches) -> &Arc<Informer<StatefulSet>> {
        &caches.stateful_sets
    }

    fn selector(set: &StatefulSet) -> Option<LabelSelector> {
        Some(owner::selector(&set.spec.selector))
    }

    fn gather(caches: &Caches, uid: &str) -> Duration {
        caches.gather_pods(uid)
    }

    fn listen(controller: &Arc<Controller<Self>>) {
        let caches = &controller.caches;
        let this = controller.clone();
        follow(&caches.pods, move |change| this.child_changed(change));
        let this = controller.clone();
        let revisions = &caches.revisions;
        revisions.listen(move |change| this.child_changed(change));
        let this = controller.clone();
        let claims = &caches.claims;
        claims.listen(move |change| claim_changed(&this, change));
    }

    fn plan(look: &Look<'_, Self>) -> Plan<StatefulSetStatus> {
        let set = look.object;
        let templates = set.spec.volume_claim_templates.as_ref();
        let claims = if templates.is_some_and(|templates| !templates.is_empty()) {
            let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
            look.caches.claims.in_namespace(namespace)
        } else {
            Vec::new()
        };
        let mut revisions = look.children(&look.caches.revisions);
        revisions.extend(look.taken(Kind::ControllerRevision, &look.caches.revisions));
        stateful_set::plan(&stateful_set::Snapshot {
            set,
            pods: &look.pods(),
            revisions: &revisions,
            claims: &claims,
            now: look.now,
        })
    }
}

/// A claim that goes lets a pod be created that waits for that. Claims are named after volume, set and ordinal.
fn claim_changed(controller: &Controller<StatefulSets>, change: &Change<Claim>) {
    let Some(claim) = change.both().last() else {
        return;
    };
    let key = key_of(&claim.metadata);
    let Some((stem, _ordinal)) = key.1.rsplit_once('-') else {
        return;
    };
    for set in controller.caches.stateful_sets.in_namespace(&key.0) {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let volume = stem.strip_suffix(name);
        if volume.is_some_and(|volume| volume.ends_with('-')) {
            controller.queue.add(key_of(&set.metadata));
        }
    }
}
