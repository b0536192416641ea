//! What the slices of a service with a selector should hold.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::discovery::v1::EndpointSlice, apimachinery::pkg::apis::meta::v1::OwnerReference,
};

use super::{
    endpoint::{self, Hosts},
    labels::{HEADLESS, SLICE_MANAGER, taken_over},
    service::{Family, Numbers, ServiceView},
    slices::{self, Action, Group, Wanted},
};
use crate::views::PodView;

/// What is to be done about the slices of a service whose pods these are.
pub(super) fn plan(
    service: &ServiceView,
    pods: &[Arc<PodView>],
    hosts: &Hosts,
    slices: &[EndpointSlice],
) -> Vec<Action> {
    slices::plan(&wanted(service, pods, hosts), slices)
}

fn wanted(service: &ServiceView, pods: &[Arc<PodView>], hosts: &Hosts) -> Wanted {
    let families = service.families();
    let mut groups: BTreeMap<(Family, Numbers), Group> = BTreeMap::new();
    for pod in pods {
        let numbers = service.numbers(pod);
        for &family in &families {
            let Some(endpoint) = endpoint::endpoint(service, pod, hosts, family) else {
                continue;
            };
            let group = groups.entry((family, numbers.clone()));
            let group = group.or_insert_with_key(|(_, numbers)| Group {
                family,
                ports: service.endpoint_ports(numbers),
                endpoints: Vec::new(),
            });
            group.endpoints.push(endpoint);
        }
    }
    let mut labels = taken_over(service.metadata.labels.as_ref());
    if service.is_headless() {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    Wanted {
        service: service.name().to_owned(),
        namespace: service.metadata.namespace.clone(),
        manager: SLICE_MANAGER,
        owner: OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Service".to_owned(),
            name: service.name().to_owned(),
            uid: service.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        },
        labels,
        annotations: BTreeMap::new(),
        families,
        groups: groups.into_values().collect(),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
