//! DaemonSets.

use std::{collections::HashMap, sync::Arc, time::Duration};

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use mosaic_api::LabelSelector;
use mosaic_workloads::{
    Action, Kind, Node, Plan, Pod,
    daemon_set::{self, Backoff},
    owner,
};

use super::{Caches, Controller, Look, Workload};
use crate::{
    caches::follow,
    informer::{Change, Informer, key_of},
};

/// How long changes of hosts are gathered: they often come together.
const GATHER: Duration = Duration::from_millis(50);

/// DaemonSets.
pub(super) struct DaemonSets;

impl Workload for DaemonSets {
    type Object = DaemonSet;
    type Status = DaemonSetStatus;

    const CONTROLLER: &'static str = "daemonset-controller";

    fn objects(caches: &Caches) -> &Arc<Informer<DaemonSet>> {
        &caches.daemon_sets
    }

    fn selector(set: &DaemonSet) -> Option<LabelSelector> {
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
        caches.nodes.listen(move |change| {
            if is_another(change) {
                for set in this.caches.daemon_sets.all() {
                    this.queue.add_after(key_of(&set.metadata), GATHER);
                }
            }
        });
    }

    fn plan(look: &Look<'_, Self>) -> Plan<DaemonSetStatus> {
        let mut revisions = look.children(&look.caches.revisions);
        revisions.extend(look.taken(Kind::ControllerRevision, &look.caches.revisions));
        let mut pods = look.pods();
        pods.extend(look.taken_pods());
        daemon_set::plan(&daemon_set::Snapshot {
            set: look.object,
            pods: &pods,
            nodes: &look.caches.nodes.all(),
            revisions: &revisions,
            backoff: &look.memory.backoff,
            now: look.now,
        })
    }

    /// Failed pods that are deleted now: the next one of their host waits longer.
    fn remember(look: &Look<'_, Self>, plan: &Plan<DaemonSetStatus>, backoff: &mut Backoff) {
        let deleted = plan.actions.iter().filter_map(|action| match action {
            Action::Delete { target, .. } if target.kind == Kind::Pod => Some(&target.name),
            _ => None,
        });
        let mut deleted = deleted.peekable();
        if deleted.peek().is_none() {
            return;
        }
        let pods = look.pods();
        let failed: HashMap<&str, &Arc<Pod>> = pods
            .iter()
            .filter(|pod| pod.phase == mosaic_workloads::Phase::Failed)
            .map(|pod| (pod.name(), pod))
            .collect();
        for name in deleted {
            let host = failed
                .get(name.as_str())
                .and_then(|pod| pod.node.as_deref());
            if let Some(host) = host {
                backoff.note(host, look.now);
            }
        }
    }
}

/// Whether a change of a host matters to daemon sets.
fn is_another(change: &Change<Node>) -> bool {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            old.metadata.uid != new.metadata.uid
                || old.metadata.labels != new.metadata.labels
                || old.spec != new.spec
        }
        _ => true,
    }
}
