//! What was asked for and may not be visible yet.

use std::{collections::BTreeSet, sync::Arc};

use crate::pod::Pod;

/// Creations and deletions of pods that a snapshot may not show, kept by the loop for one owner.
///
/// A name goes in before its creation is sent, and out when it was refused or the pod was seen, however briefly. A
/// UID goes in before its deletion is sent, and out when that was refused, or the pod is seen to be on its way out
/// or gone. A creation without an answer stays in until the pod was looked for by its name, which can be done because
/// the planner chose it.
///
/// A loop that holds a key back until all of its writes are visible needs none of this, and leaves it empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Names of pods that are being created.
    pub created: BTreeSet<String>,
    /// UIDs of pods that are being deleted.
    pub deleted: BTreeSet<String>,
}

impl InFlight {
    /// Takes out whatever these pods show to have arrived. Of pods that have gone only the loop knows, from the
    /// watch's events.
    pub fn observe<'a>(&mut self, pods: impl IntoIterator<Item = &'a Pod>) {
        for pod in pods {
            self.created.remove(pod.name());
            if pod.is_terminating() {
                self.deleted.remove(pod.uid());
            }
        }
    }

    /// Whether this pod is on its way out, as far as anybody knows.
    pub(crate) fn is_leaving(&self, pod: &Pod) -> bool {
        pod.is_terminating() || self.deleted.contains(pod.uid())
    }

    /// The names in creation that are not among these pods.
    pub(crate) fn unseen(&self, pods: &[&Arc<Pod>]) -> Vec<&str> {
        if self.created.is_empty() {
            return Vec::new();
        }
        let seen: BTreeSet<&str> = pods.iter().map(|pod| pod.name()).collect();
        let names = self.created.iter().map(String::as_str);
        names.filter(|name| !seen.contains(name)).collect()
    }
}
