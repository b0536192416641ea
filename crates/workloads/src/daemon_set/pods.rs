//! The pod of a host.

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod};

use super::{Planner, REVISION_HASH};
use crate::template::{self, Slot, set_label};

impl Planner<'_> {
    /// A new pod for this host.
    pub(super) fn new_pod(&self, host: &str) -> Pod {
        let set = self.snapshot.set;
        let slot = Slot::new(&self.owner, self.owner.name(), host);
        let name = slot.free_name(|name| self.taken.contains(name));
        let mut pod = template::pod(&self.owner, &set.spec.template, name);
        set_label(&mut pod.metadata, REVISION_HASH, self.hash.as_str());
        let spec = pod.spec.get_or_insert_default();
        spec.tolerations = Some(self.tolerations.clone());
        let affinity = spec.affinity.get_or_insert_default();
        let node_affinity = affinity.node_affinity.get_or_insert_default();
        // What the template asks of hosts is answered already.
        node_affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
            node_selector_terms: vec![NodeSelectorTerm {
                match_expressions: None,
                match_fields: Some(vec![NodeSelectorRequirement {
                    key: "metadata.name".to_owned(),
                    operator: "In".to_owned(),
                    values: Some(vec![host.to_owned()]),
                }]),
            }],
        });
        pod
    }
}
