//! The cluster as decisions see it.
//!
//! ```text
//! objects ─ upsert, remove ─┐                       ┌─ decide, preempt, explain, … (read only)
//!                           ├─► State ─ counts ─► Memo
//! decisions ─ assume, forget┘   (what is so)      (what follows from it, made when first asked for)
//! ```
//!
//! State holds each object's compact form and the sums that follow from which pod is where: free amounts by
//! host, pods by class and host. The memo holds what decisions would compute again and again: which hosts a
//! node affinity allows, how many pods of a selector are in each zone. Every change of the state is told to
//! the memo, so nothing in it is ever out of date; it can be dropped at any time.

mod classes;
mod nodes;
mod pods;
mod state;
mod terms;
mod volumes;

use std::{cell::RefCell, collections::HashMap, fmt, sync::Arc};

pub(crate) use self::{
    nodes::{Block, LANES, Slot, images},
    pods::Entry,
    state::State,
    terms::Role,
};
use crate::{
    explain::Explanation,
    filter::VolumeNeeds,
    memo::{Context, Memo},
    model::{Budget, Claim, Namespace, Node, Pod, PodKey, StorageClass, Volume},
    slab::ClassIndex,
};

/// The most classes whose failures are kept.
const MAX_FAILURES: usize = 4096;

/// Why a pod could not be assumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssumeError {
    /// The cluster has no such pod.
    #[error("there is no pod {0}")]
    UnknownPod(PodKey),
    /// The cluster has no such host.
    #[error("there is no host {0}")]
    UnknownHost(Arc<str>),
    /// The pod is on a host already.
    #[error("pod {pod} is on host {host} already")]
    Placed {
        /// Which pod.
        pod: PodKey,
        /// Where it is.
        host: Arc<str>,
    },
}

/// Hosts, pods and all else that decisions need to know.
#[derive(Default)]
pub struct Cluster {
    pub(crate) state: State,
    memo: RefCell<Memo>,
    /// Why pods of a class could not be placed, of the state as it is now.
    failures: RefCell<(u64, HashMap<ClassIndex, Arc<Explanation>>)>,
}

impl Clone for Cluster {
    /// Costs about as much as making the list of all pods; what was worked out before is not taken along.
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            memo: RefCell::default(),
            failures: RefCell::default(),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("nodes", &self.state.nodes.len())
            .field("pods", &self.state.pods.len())
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// An empty cluster.
    pub fn new() -> Self {
        Self::default()
    }

    /// A host appeared or changed. Returns whether that matters to any decision.
    pub fn upsert_node(&mut self, node: Node) -> bool {
        self.state.upsert_node(node, self.memo.get_mut())
    }

    /// A host is gone. Its pods stay until they are removed.
    pub fn remove_node(&mut self, name: &str) {
        self.state.remove_node(name, self.memo.get_mut());
    }

    /// A pod appeared or changed. One that was assumed to be on a host stays there while its object does
    /// not name one. One that ended is removed. Returns whether that matters to any decision.
    pub fn upsert_pod(&mut self, pod: Pod) -> bool {
        self.state.upsert_pod(pod, self.memo.get_mut())
    }

    /// A pod is gone.
    pub fn remove_pod(&mut self, key: &PodKey) {
        self.state.remove_pod(key, self.memo.get_mut());
    }

    /// Counts a pod as placed on a host, before its object says so.
    ///
    /// # Errors
    ///
    /// There is no such pod or host, or the pod is on a host already.
    pub fn assume(&mut self, key: &PodKey, host: &str) -> Result<(), AssumeError> {
        self.state.assume(key, host, self.memo.get_mut())
    }

    /// Takes back that a pod was assumed to be on a host; nothing else is ever taken back.
    pub fn forget(&mut self, key: &PodKey) {
        self.state.forget(key, self.memo.get_mut());
    }

    /// A namespace appeared or changed.
    pub fn upsert_namespace(&mut self, namespace: Namespace) {
        let known = self
            .state
            .namespaces
            .insert(namespace.name.clone(), namespace.labels.clone());
        if known.as_ref() != Some(&namespace.labels) {
            // Selectors of namespaces may now find others; that is rare.
            self.state.terms.touch();
            self.state.version += 1;
            self.memo.get_mut().clear();
        }
    }

    /// A namespace is gone.
    pub fn remove_namespace(&mut self, name: &str) {
        if self.state.namespaces.remove(name).is_some() {
            self.state.terms.touch();
            self.state.version += 1;
            self.memo.get_mut().clear();
        }
    }

    /// A claim appeared or changed.
    pub fn upsert_claim(&mut self, claim: Claim) {
        self.state
            .volumes
            .claims
            .insert(claim.key().into(), Arc::new(claim));
    }

    /// A claim is gone.
    pub fn remove_claim(&mut self, namespace: &str, name: &str) {
        self.state
            .volumes
            .claims
            .remove(&*format!("{namespace}/{name}"));
    }

    /// A volume appeared or changed.
    pub fn upsert_volume(&mut self, volume: Volume) {
        self.state
            .volumes
            .volumes
            .insert(volume.name.clone(), Arc::new(volume));
    }

    /// A volume is gone.
    pub fn remove_volume(&mut self, name: &str) {
        self.state.volumes.volumes.remove(name);
    }

    /// A storage class appeared or changed.
    pub fn upsert_storage_class(&mut self, class: StorageClass) {
        self.state
            .volumes
            .classes
            .insert(class.name.clone(), Arc::new(class));
    }

    /// A storage class is gone.
    pub fn remove_storage_class(&mut self, name: &str) {
        self.state.volumes.classes.remove(name);
    }

    /// A disruption budget appeared or changed.
    pub fn upsert_budget(&mut self, budget: Budget) {
        let key = (budget.namespace.clone(), budget.name.clone());
        self.state.budgets.insert(key, budget);
    }

    /// A disruption budget is gone.
    pub fn remove_budget(&mut self, namespace: &str, name: &str) {
        self.state.budgets.remove(&(namespace.into(), name.into()));
    }

    /// A pod, waiting or placed.
    pub fn pod(&self, key: &PodKey) -> Option<&Pod> {
        Some(&self.state.pods.find(key)?.1.pod)
    }

    /// A claim.
    pub fn claim(&self, namespace: &str, name: &str) -> Option<&Claim> {
        let claim = self
            .state
            .volumes
            .claims
            .get(&*format!("{namespace}/{name}"))?;
        Some(claim)
    }

    /// The storage class that a claim names.
    pub fn storage_class(&self, claim: &Claim) -> Option<&StorageClass> {
        let class = self.state.volumes.classes.get(&claim.class)?;
        Some(class)
    }

    /// Whether the volumes that a pod asks for can be had on a host, or be made for it.
    pub fn has_volumes_for(&self, pod: &Pod, host: &str) -> bool {
        let needs = VolumeNeeds::new(&self.state, pod);
        let node = self.node(host);
        needs.pod_failure().is_none() && node.is_some_and(|node| needs.failure(node).is_none())
    }

    /// The host that a pod is on, or is assumed to be on.
    pub fn host_of(&self, key: &PodKey) -> Option<&Arc<str>> {
        let node = self.state.pods.find(key)?.1.node?;
        Some(&self.state.nodes.slot(node)?.name)
    }

    /// All pods, in no order that means anything.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.state.pods.iter().map(|(_, entry)| &entry.pod)
    }

    /// A host.
    pub fn node(&self, name: &str) -> Option<&Node> {
        let index = self.state.nodes.find(name)?;
        self.state.nodes.slot(index)?.node.as_deref()
    }

    /// All hosts, in no order that means anything.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.state.nodes.iter().map(|(_, _, node)| &**node)
    }

    /// Runs a decision about a pod, with everything at hand that is the same for all hosts.
    pub(crate) fn with<T>(&self, pod: &Pod, decide: impl FnOnce(&Context<'_>) -> T) -> T {
        let mut memo = self.memo.borrow_mut();
        let context = memo.context(&self.state, pod);
        decide(&context)
    }

    /// Why a pod cannot be placed, if that was found of another pod of its class since anything changed.
    pub(crate) fn known_failure(&self, pod: &Pod) -> Option<Arc<Explanation>> {
        let class = self.shared_fate(pod)?;
        let failures = self.failures.borrow();
        (failures.0 == self.state.version)
            .then(|| failures.1.get(&class).cloned())
            .flatten()
    }

    pub(crate) fn note_failure(&self, pod: &Pod, explanation: &Arc<Explanation>) {
        let Some(class) = self.shared_fate(pod) else {
            return;
        };
        let mut failures = self.failures.borrow_mut();
        if failures.0 != self.state.version || failures.1.len() >= MAX_FAILURES {
            *failures = (self.state.version, HashMap::new());
        }
        failures.1.insert(class, explanation.clone());
    }

    /// The pod's class, if nothing of the pod's own matters to where it may run.
    fn shared_fate(&self, pod: &Pod) -> Option<ClassIndex> {
        let shared = pod.pin.is_none() && pod.claims.is_empty() && pod.nominated.is_none();
        shared
            .then(|| self.state.classes.find(&pod.class))
            .flatten()
    }

    /// Whether all sums, and all that was worked out before, are what a cluster would have that is made
    /// anew of the same objects. For tests.
    #[doc(hidden)]
    pub fn verify(&self) -> Result<(), String> {
        self.state.verify()?;
        self.memo.borrow().verify(&self.state)
    }
}
