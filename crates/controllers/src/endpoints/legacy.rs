//! The `Endpoints` of a service with a selector, for clients that do not know slices. They are one object, which
//! is written whole for each change: more than a thousand addresses are not put into it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::{
    api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    endpoint::{self, Hosts},
    labels::{
        ENDPOINTS_MANAGED_BY, ENDPOINTS_MANAGER, HEADLESS, OVER_CAPACITY, TRUNCATED, taken_over,
    },
    service::{Numbers, ServiceView},
};
use crate::views::PodView;

/// The most addresses, as in Kubernetes.
const MOST: usize = 1000;

/// What is to be done about the `Endpoints` of a service.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Create them.
    Create(Endpoints),
    /// Write them, as the version that was read.
    Update(Endpoints),
    /// Delete them, if they still are the version that was read.
    Delete(ObjectMeta),
}

/// Whether the `Endpoints` were made here.
pub(super) fn is_ours(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    let keeper = labels.and_then(|labels| labels.get(ENDPOINTS_MANAGED_BY));
    keeper.is_some_and(|keeper| keeper == ENDPOINTS_MANAGER)
}

/// What removes them.
pub(super) fn remove(endpoints: &Endpoints) -> Option<Action> {
    let stays = endpoints.metadata.deletion_timestamp.is_some();
    (!stays).then(|| Action::Delete(endpoints.metadata.clone()))
}

/// What makes them what they should be.
pub(super) fn plan(
    service: &ServiceView,
    pods: &[Arc<PodView>],
    hosts: &Hosts,
    current: Option<&Endpoints>,
) -> Option<Action> {
    let (subsets, truncated) = subsets(service, pods, hosts);
    let subsets = (!subsets.is_empty()).then_some(subsets);
    let mut labels = taken_over(service.metadata.labels.as_ref());
    labels.insert(
        ENDPOINTS_MANAGED_BY.to_owned(),
        ENDPOINTS_MANAGER.to_owned(),
    );
    if service.is_headless() {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    let mut metadata = current
        .map(|current| current.metadata.clone())
        .unwrap_or_else(|| ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        });
    if metadata.deletion_timestamp.is_some() {
        return None;
    }
    metadata.labels = Some(labels);
    if truncated {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(OVER_CAPACITY.to_owned(), TRUNCATED.to_owned());
    } else if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(OVER_CAPACITY);
    }
    let wanted = Endpoints { metadata, subsets };
    match current {
        None => Some(Action::Create(wanted)),
        Some(current) if is_same(current, &wanted) => None,
        Some(_) => Some(Action::Update(wanted)),
    }
}

fn is_same(one: &Endpoints, two: &Endpoints) -> bool {
    let none = BTreeMap::new();
    let annotations = |one: &Endpoints| one.metadata.annotations.clone().unwrap_or_default();
    let subsets = |one: &Endpoints| one.subsets.clone().unwrap_or_default();
    one.metadata.labels.as_ref().unwrap_or(&none) == two.metadata.labels.as_ref().unwrap_or(&none)
        && annotations(one) == annotations(two)
        && subsets(one) == subsets(two)
}

/// The pods with the same ports, ready or not.
#[derive(Default)]
struct Members<'a> {
    ready: Vec<(IpAddr, &'a PodView)>,
    unready: Vec<(IpAddr, &'a PodView)>,
}

/// The addresses by their ports, and whether some had to be left out.
fn subsets(
    service: &ServiceView,
    pods: &[Arc<PodView>],
    hosts: &Hosts,
) -> (Vec<EndpointSubset>, bool) {
    let Some(&family) = service.families().first() else {
        return (Vec::new(), false);
    };
    let mut by_numbers: BTreeMap<Numbers, Members<'_>> = BTreeMap::new();
    for pod in pods {
        let is_welcome = service.publishes_unready() || !pod.is_terminating();
        if !is_welcome
            || !endpoint::is_reachable(pod)
            || !endpoint::is_on_known_host(service, pod, hosts)
        {
            continue;
        }
        let Some(address) = endpoint::address(pod, family) else {
            continue;
        };
        let numbers = service.numbers(pod);
        let has_ports = numbers.iter().any(Option::is_some);
        if !(has_ports || numbers.is_empty() && service.is_headless()) {
            continue;
        }
        let members = by_numbers.entry(numbers).or_default();
        let is_ready = service.publishes_unready() || pod.ready;
        let list = if is_ready {
            &mut members.ready
        } else {
            &mut members.unready
        };
        list.push((address, pod));
    }
    let truncated = truncate(&mut by_numbers);
    let subsets = by_numbers
        .into_iter()
        .map(|(numbers, members)| EndpointSubset {
            addresses: addresses(service, members.ready),
            not_ready_addresses: addresses(service, members.unready),
            ports: ports(service, &numbers),
        });
    let in_use =
        subsets.filter(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some());
    (in_use.collect(), truncated)
}

/// Keeps the first thousand in the order of addresses, which changes little: ready ones before others.
fn truncate(by_numbers: &mut BTreeMap<Numbers, Members<'_>>) -> bool {
    fn keep(list: &mut Vec<(IpAddr, &PodView)>, left: &mut usize) -> bool {
        list.sort_by(|one, two| (one.0, &one.1.metadata.uid).cmp(&(two.0, &two.1.metadata.uid)));
        let is_too_long = list.len() > *left;
        list.truncate(*left);
        *left = left.saturating_sub(list.len());
        is_too_long
    }
    let mut left = MOST;
    let mut truncated = false;
    for members in by_numbers.values_mut() {
        truncated |= keep(&mut members.ready, &mut left);
    }
    for members in by_numbers.values_mut() {
        truncated |= keep(&mut members.unready, &mut left);
    }
    truncated
}

fn addresses(
    service: &ServiceView,
    members: Vec<(IpAddr, &PodView)>,
) -> Option<Vec<EndpointAddress>> {
    let addresses: Vec<_> = members
        .into_iter()
        .map(|(ip, pod)| EndpointAddress {
            ip: ip.to_string(),
            hostname: endpoint::hostname(service, pod),
            node_name: pod.node.as_deref().map(str::to_owned),
            target_ref: Some(endpoint::reference(pod)),
        })
        .collect();
    (!addresses.is_empty()).then_some(addresses)
}

fn ports(service: &ServiceView, numbers: &Numbers) -> Option<Vec<EndpointPort>> {
    let ports: Vec<_> = service
        .endpoint_ports(numbers)
        .into_iter()
        .map(|port| EndpointPort {
            name: port.name.filter(|name| !name.is_empty()),
            protocol: port.protocol,
            port: port.port.unwrap_or_default(),
            app_protocol: port.app_protocol,
        })
        .collect();
    (!ports.is_empty()).then_some(ports)
}

#[cfg(test)]
#[path = "legacy_tests.rs"]
mod tests;
