//! Which waiting pods an event may help.
//!
//! A pod that no host would do for waits until something changes that it failed on. The answer here may be
//! yes too often, which costs a decision; it must never be no where the pod could now be placed.

use crate::{
    explain::Explanation,
    filter::Test,
    memo::{takes_new_pods, untolerated},
    model::{Node, Pod},
};

/// Tests that look at more than one host, so that a host may pass because another changed.
const BY_DOMAIN: [Test; 4] = [
    Test::Spread,
    Test::PodAffinity,
    Test::PodAntiAffinity,
    Test::ExistingAntiAffinity,
];

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A host appeared, or changed to this.
    NodeChanged(&'a Node),
    /// A host is gone: domains of topology spread may be fewer.
    NodeRemoved,
    /// A pod was bound to a host, or its labels changed there.
    PodPlaced(&'a Pod),
    /// A placed pod ended, was deleted, began to be deleted, or now takes less; or a pod for which room was
    /// being made was deleted, or went elsewhere.
    PodRemoved,
    /// A claim, a volume or a storage class appeared or changed.
    VolumesChanged,
    /// Labels of a namespace changed.
    NamespaceChanged,
}

/// Whether a pod that was unschedulable with this explanation could be placed after an event.
pub fn could_help(event: &Event<'_>, pod: &Pod, explanation: &Explanation) -> bool {
    let failed = |tests: &[Test]| explanation.every.iter().any(|test| tests.contains(test));
    match event {
        Event::VolumesChanged => explanation.pod.is_some() || failed(&[Test::Volumes]),
        // Nothing but volumes was looked at.
        _ if explanation.pod.is_some() => false,
        Event::NodeChanged(node) => could_take(node, pod) || failed(&BY_DOMAIN),
        Event::NodeRemoved | Event::NamespaceChanged => failed(&BY_DOMAIN),
        // More pods help where some must be near, and where another domain was behind.
        Event::PodPlaced(other) => {
            failed(&[Test::PodAffinity])
                || failed(&[Test::Spread]) && other.namespace() == pod.namespace()
        }
        Event::PodRemoved => failed(&[Test::Ports, Test::Resources]) || failed(&BY_DOMAIN),
    }
}

/// Whether a host, if it had nothing else to do, could run the pod.
fn could_take(node: &Node, pod: &Pod) -> bool {
    let template = &pod.class.template;
    let (have, needed) = (&node.allocatable, &template.requests);
    takes_new_pods(node, &template.tolerations)
        && untolerated(node, &template.tolerations).is_none()
        && template.node_affinity.matches(node)
        && pod.pin.as_ref().is_none_or(|pin| *pin == node.name)
        && node.pods > 0
        && have.cpu_millis >= needed.cpu_millis
        && have.memory >= needed.memory
        && have.ephemeral >= needed.ephemeral
        && needed
            .extended
            .iter()
            .all(|(name, amount)| have.extended(name) >= *amount)
}
