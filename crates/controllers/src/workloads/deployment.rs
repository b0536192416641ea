//! Deployments.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use mosaic_api::LabelSelector;
use mosaic_workloads::{Kind, Plan, deployment, owner};

use super::{Caches, Controller, Look, Workload};
use crate::{
    caches::follow,
    informer::{Change, Informer, Key, controller_of},
    views::PodView,
};

/// Deployments.
pub(super) struct Deployments;

impl Workload for Deployments {
    type Object = Deployment;
    type Status = DeploymentStatus;

    const CONTROLLER: &'static str = "deployment-controller";

    fn objects(caches: &Caches) -> &Arc<Informer<Deployment>> {
        &caches.deployments
    }

    fn selector(deployment: &Deployment) -> Option<LabelSelector> {
        Some(owner::selector(&deployment.spec.selector))
    }

    fn listen(controller: &Arc<Controller<Self>>) {
        let this = controller.clone();
        let sets = &controller.caches.replica_sets;
        sets.listen(move |change| this.child_changed(change));
        let this = controller.clone();
        let pods = &controller.caches.pods;
        follow(pods, move |change| {
            if let Some(key) = waits_for(&this, change) {
                this.queue.add(key);
            }
        });
    }

    fn plan(look: &Look<'_, Self>) -> Plan<DeploymentStatus> {
        let mut sets = look.children(&look.caches.replica_sets);
        sets.extend(look.taken(Kind::ReplicaSet, &look.caches.replica_sets));
        let pods = if recreates(look.object) {
            let uids = sets.iter().filter_map(|set| set.metadata.uid.as_deref());
            uids.flat_map(|uid| look.caches.pods_of(look.namespace(), uid))
                .collect()
        } else {
            Vec::new()
        };
        deployment::plan(&deployment::Snapshot {
            deployment: look.object,
            sets: &sets,
            pods: &pods,
            failure: look.memory.failure.as_ref(),
            now: look.now,
        })
    }
}

fn recreates(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.strategy.as_ref();
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// The deployment that waits for a pod to be gone before it starts new ones.
fn waits_for(controller: &Controller<Deployments>, change: &Change<PodView>) -> Option<Key> {
    let old = change.old.as_deref()?;
    if change.new.as_deref().is_some_and(|new| !new.has_ended()) {
        return None;
    }
    let owner = controller_of(&old.metadata).filter(|owner| owner.kind == "ReplicaSet")?;
    let namespace = Arc::from(old.metadata.namespace.as_deref().unwrap_or_default());
    let set = (namespace, Arc::from(owner.name.as_str()));
    let set = controller.caches.replica_sets.get(&set)?;
    let (key, _) = controller.owner_of(&set.metadata)?;
    let deployment = controller.caches.deployments.get(&key)?;
    recreates(&deployment).then_some(key)
}
