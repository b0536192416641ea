//! What a service's clients are told of one pod.

use std::{collections::HashMap, net::IpAddr};

use k8s_openapi::api::{
    core::v1::ObjectReference,
    discovery::v1::{Endpoint, EndpointConditions, EndpointHints, ForNode, ForZone},
};

use super::service::{Family, ServiceView};
use crate::views::{NodeView, PodView};

const ZONE: &str = "topology.kubernetes.io/zone";

/// The hosts that there are, each with its zone if that is known.
pub(super) type Hosts = HashMap<String, Option<String>>;

/// The zone (machine room) that a host stands in, if it is known.
pub(super) fn zone(node: &NodeView) -> Option<&str> {
    let zone = node.metadata.labels.as_ref()?.get(ZONE)?;
    (!zone.is_empty()).then_some(zone)
}

/// Whether a pod has an address and may have something behind it.
pub(super) fn is_reachable(pod: &PodView) -> bool {
    !pod.has_ended() && pod.addresses().next().is_some()
}

/// Whether the host of a pod exists. A pod without its host is dead, and will be collected; a service that
/// does not ask for readiness has it as long as it is there.
pub(super) fn is_on_known_host(service: &ServiceView, pod: &PodView, hosts: &Hosts) -> bool {
    let host = pod.node.as_deref();
    service.publishes_unready() || host.is_none_or(|host| hosts.contains_key(host))
}

/// The pod's address of a family.
pub(super) fn address(pod: &PodView, family: Family) -> Option<IpAddr> {
    pod.addresses()
        .find(|address| Family::of(*address) == family)
}

/// The name under which the pod is found below the service's, if it has one there.
pub(super) fn hostname(service: &ServiceView, pod: &PodView) -> Option<String> {
    let is_here = pod.spec.subdomain.as_deref() == Some(service.name());
    let hostname = pod.spec.hostname.as_ref().filter(|name| !name.is_empty());
    hostname.filter(|_| is_here).cloned()
}

/// The reference to a pod.
pub(super) fn reference(pod: &PodView) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// A pod's endpoint in a family, if it has one.
pub(super) fn endpoint(
    service: &ServiceView,
    pod: &PodView,
    hosts: &Hosts,
    family: Family,
) -> Option<Endpoint> {
    if !is_reachable(pod) || !is_on_known_host(service, pod, hosts) {
        return None;
    }
    let address = address(pod, family)?;
    let node_name = pod.node.as_deref();
    let zone = node_name.and_then(|name| hosts.get(name)).cloned();
    let zone = zone.flatten();
    let (serving, terminating) = (pod.ready, pod.is_terminating());
    Some(Endpoint {
        addresses: vec![address.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(service.publishes_unready() || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hints: hints(service, node_name, zone.as_deref()),
        hostname: hostname(service, pod),
        node_name: node_name.map(str::to_owned),
        target_ref: Some(reference(pod)),
        zone,
        ..Endpoint::default()
    })
}

/// Whose clients the endpoint is for, where the service wants its traffic to stay near. A zone takes care of
/// its own: nothing is evened out between zones.
fn hints(service: &ServiceView, host: Option<&str>, zone: Option<&str>) -> Option<EndpointHints> {
    let near_host = match service.spec.traffic_distribution.as_deref() {
        Some("PreferSameNode") => host,
        Some("PreferClose" | "PreferSameZone") => None,
        _ => return None,
    };
    let for_nodes = near_host.map(|name| {
        vec![ForNode {
            name: name.to_owned(),
        }]
    });
    let for_zones = zone.map(|name| {
        vec![ForZone {
            name: name.to_owned(),
        }]
    });
    let any = for_nodes.is_some() || for_zones.is_some();
    any.then_some(EndpointHints {
        for_nodes,
        for_zones,
    })
}
