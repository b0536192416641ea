//! Which hosts are meant, and which of the set's pods are on them.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::core::v1::{PodTemplateSpec, Toleration};

use super::{Host, Meant, Planner};
use crate::{node::Node, pod::Pod};

/// Taints that every pod of a daemon set tolerates, with their effects: what is wrong with a host does not keep its daemons
/// away.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// One more, for pods that use the host's network.
const NO_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// The tolerations of the set's pods: the template's and the automatic ones.
pub(super) fn tolerations(template: &PodTemplateSpec) -> Vec<Toleration> {
    let spec = template.spec.as_ref();
    let own = spec
        .and_then(|spec| spec.tolerations.clone())
        .unwrap_or_default();
    let uses_host = spec.and_then(|spec| spec.host_network) == Some(true);
    let automatic = TOLERATED.into_iter().chain(uses_host.then_some(NO_NETWORK));
    let mut all = own;
    for (key, effect) in automatic {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        if !all.contains(&toleration) {
            all.push(toleration);
        }
    }
    all
}

impl<'a> Planner<'a> {
    /// Whether a host is meant.
    fn meant(&self, node: &Node) -> Meant {
        let template = &self.snapshot.set.spec.template;
        let Some(spec) = &template.spec else {
            return Meant::default();
        };
        if !node.is_selected_by(spec) {
            return Meant::default();
        }
        let tolerates = |effects| node.is_tolerated(&self.tolerations, effects);
        Meant {
            run: tolerates(&["NoSchedule", "NoExecute"]),
            stay: tolerates(&["NoExecute"]),
        }
    }

    /// Sorts the set's pods by host. Pods for hosts that do not exist go, unless they are bound: those are cleaned
    /// up together with all others of a lost host.
    pub(super) fn find_hosts(&mut self, pods: &[&'a Arc<Pod>]) {
        let mut on: HashMap<&'a str, Vec<&'a Arc<Pod>>> = HashMap::new();
        for pod in pods {
            let host = pod.node.as_deref().or(pod.pinned.as_deref());
            on.entry(host.unwrap_or_default()).or_default().push(pod);
        }
        let mut nodes: Vec<&'a Arc<Node>> = self.snapshot.nodes.iter().collect();
        nodes.sort_by(|a, b| a.name().cmp(b.name()));
        for node in nodes {
            let mut pods = on.remove(node.name()).unwrap_or_default();
            pods.sort_by_key(|pod| {
                (
                    pod.is_terminating(),
                    pod.node.is_none(),
                    pod.created(),
                    pod.name(),
                )
            });
            self.hosts.push(Host {
                name: node.name(),
                meant: self.meant(node),
                pods,
            });
        }
        let mut homeless: Vec<&'a Arc<Pod>> = on.into_values().flatten().collect();
        homeless.sort_by_key(|pod| pod.name());
        for pod in homeless {
            if pod.node.is_none() && pod.is_active() {
                self.delete.push((pod, "its host does not exist"));
            }
        }
    }
}
