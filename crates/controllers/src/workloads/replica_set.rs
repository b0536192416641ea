//! ReplicaSets.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use mosaic_api::LabelSelector;
use mosaic_workloads::{Plan, Pod, owner, replica_set};

use super::{Caches, Controller, Look, Workload};
use crate::{
    caches::follow,
    informer::{Informer, controller_of},
};

/// ReplicaSets.
pub(super) struct ReplicaSets;

impl Workload for ReplicaSets {
    type Object = ReplicaSet;
    type Status = ReplicaSetStatus;

    const CONTROLLER: &'static str = "replicaset-controller";

    fn objects(caches: &Caches) -> &Arc<Informer<ReplicaSet>> {
        &caches.replica_sets
    }

    fn selector(set: &ReplicaSet) -> Option<LabelSelector> {
        Some(owner::selector(&set.spec.selector))
    }

    fn gather(caches: &Caches, uid: &str) -> Duration {
        caches.gather_pods(uid)
    }

    fn listen(controller: &Arc<Controller<Self>>) {
        let this = controller.clone();
        let pods = &controller.caches.pods;
        follow(pods, move |change| this.child_changed(change));
    }

    fn plan(look: &Look<'_, Self>) -> Plan<ReplicaSetStatus> {
        let mut pods = look.pods();
        let siblings = siblings(look, &pods);
        pods.extend(look.taken_pods());
        replica_set::plan(&replica_set::Snapshot {
            set: look.object,
            pods: &pods,
            siblings: &siblings,
            failure: look.memory.failure.as_ref(),
            now: look.now,
        })
    }
}

/// The pods of the other sets of the same deployment; they are looked at only when pods are to be deleted.
fn siblings(look: &Look<'_, ReplicaSets>, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    let wanted = look.object.spec.replicas.unwrap_or(1);
    if i32::try_from(pods.len()).is_ok_and(|have| have <= wanted) {
        return Vec::new();
    }
    let Some(owner) = controller_of(&look.object.metadata) else {
        return Vec::new();
    };
    let sets = look
        .caches
        .replica_sets
        .controlled_by(look.namespace(), &owner.uid);
    sets.iter()
        .filter_map(|set| set.metadata.uid.as_deref())
        .filter(|uid| Some(*uid) != look.object.metadata.uid.as_deref())
        .flat_map(|uid| look.caches.pods_of(look.namespace(), uid))
        .collect()
}
