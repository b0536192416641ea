//! Slices that show the `Endpoints` that somebody wrote for a service without a selector, for clients that look
//! at slices only.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::{
    api::{
        core::v1::{self, EndpointAddress, Endpoints},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};

use super::{
    labels::{LEADER, MIRROR_MANAGER, SKIP_MIRROR, taken_over},
    service::{Family, ServiceView},
    slices::{self, Action, Group, Wanted},
};

/// The most addresses of a subset that are shown, as in Kubernetes.
const MOST_IN_SUBSET: usize = 1000;

/// Annotations that say something about the `Endpoints` themselves.
const OWN_ANNOTATIONS: [&str; 2] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "endpoints.kubernetes.io/last-change-trigger-time",
];

/// What is to be done about the slices that show these `Endpoints`.
pub(super) fn plan(
    service: &ServiceView,
    endpoints: Option<&Endpoints>,
    slices: &[EndpointSlice],
) -> Vec<Action> {
    match endpoints.filter(|endpoints| is_to_be_shown(endpoints)) {
        Some(endpoints) => slices::plan(&wanted(service, endpoints), slices),
        None => slices::remove(MIRROR_MANAGER, slices),
    }
}

fn is_to_be_shown(endpoints: &Endpoints) -> bool {
    let metadata = &endpoints.metadata;
    let label = metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(SKIP_MIRROR));
    let is_lock = metadata
        .annotations
        .as_ref()
        .is_some_and(|all| all.contains_key(LEADER));
    label.is_none_or(|value| value != "true") && !is_lock && metadata.deletion_timestamp.is_none()
}

fn wanted(service: &ServiceView, endpoints: &Endpoints) -> Wanted {
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !OWN_ANNOTATIONS.contains(&key.as_str()));
    let name = endpoints.metadata.name.clone().unwrap_or_default();
    Wanted {
        service: service.name().to_owned(),
        namespace: endpoints.metadata.namespace.clone(),
        manager: MIRROR_MANAGER,
        owner: OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Endpoints".to_owned(),
            name,
            uid: endpoints.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        },
        labels: taken_over(endpoints.metadata.labels.as_ref()),
        annotations,
        families: Vec::new(),
        groups: groups(endpoints),
    }
}

fn groups(endpoints: &Endpoints) -> Vec<Group> {
    type Ports = Vec<(String, String, i32, Option<String>)>;
    let mut groups: BTreeMap<(Family, Ports), Group> = BTreeMap::new();
    let mut seen: HashSet<(Ports, &str)> = HashSet::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports: Vec<EndpointPort> = subset.ports.iter().flatten().map(port).collect();
        let mut key: Ports = subset.ports.iter().flatten().map(port_key).collect();
        key.sort();
        let ready = subset.addresses.iter().flatten().map(|one| (one, true));
        let unready = subset.not_ready_addresses.iter().flatten();
        let unready = unready.map(|one| (one, false));
        for (address, ready) in ready.chain(unready).take(MOST_IN_SUBSET) {
            // What is no address cannot be in a slice of addresses.
            let Ok(ip) = address.ip.parse() else {
                continue;
            };
            if !seen.insert((key.clone(), &address.ip)) {
                continue;
            }
            let family = Family::of(ip);
            let group = groups.entry((family, key.clone()));
            let group = group.or_insert_with(|| Group {
                family,
                ports: ports.clone(),
                endpoints: Vec::new(),
            });
            group.endpoints.push(endpoint(address, ready));
        }
    }
    groups.into_values().collect()
}

fn port(port: &v1::EndpointPort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
        port: Some(port.port),
        app_protocol: port.app_protocol.clone(),
    }
}

fn port_key(port: &v1::EndpointPort) -> (String, String, i32, Option<String>) {
    (
        port.name.clone().unwrap_or_default(),
        port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        port.port,
        port.app_protocol.clone(),
    )
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            ..EndpointConditions::default()
        }),
        hostname: address.hostname.clone().filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoints(metadata: serde_json::Value) -> Endpoints {
        let mut object = json!({
            "subsets": [{
                "addresses": [{ "ip": "192.0.2.1", "hostname": "one" }, { "ip": "2001:db8::1" }, { "ip": "192.0.2.1" }],
                "notReadyAddresses": [{ "ip": "192.0.2.2", "nodeName": "n" }],
                "ports": [{ "name": "http", "port": 80 }],
            }],
        });
        object["metadata"] = metadata;
        serde_json::from_value(object).unwrap()
    }

    fn created(actions: Vec<Action>) -> Vec<EndpointSlice> {
        let slices = actions.into_iter().map(|action| match action {
            Action::Create(slice) => slice,
            other => panic!("{other:?}"),
        });
        slices.collect()
    }

    fn service() -> ServiceView {
        serde_json::from_value(json!({ "metadata": { "name": "outside" } })).unwrap()
    }

    #[test]
    fn each_address_is_shown_once_in_a_slice_of_its_family() {
        let endpoints = endpoints(json!({
            "name": "outside", "namespace": "default", "uid": "e", "labels": { "team": "a" },
            "annotations": { "note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}" },
        }));
        let slices = created(plan(&service(), Some(&endpoints), &[]));
        let shown: Vec<_> = slices
            .iter()
            .map(|slice| {
                let endpoints = slice.endpoints.iter().flatten();
                let ready = |endpoint: &Endpoint| endpoint.conditions.as_ref()?.ready;
                let endpoints = endpoints.map(|one| (one.addresses[0].as_str(), ready(one)));
                (slice.address_type.as_str(), endpoints.collect::<Vec<_>>())
            })
            .collect();
        let four = vec![("192.0.2.1", Some(true)), ("192.0.2.2", Some(false))];
        let six = vec![("2001:db8::1", Some(true))];
        assert_eq!(shown, [("IPv4", four), ("IPv6", six)]);
        let slice = &slices[0];
        let first = &slice.endpoints.as_ref().unwrap()[0];
        assert_eq!(first.hostname.as_deref(), Some("one"));
        let port = &slice.ports.as_ref().unwrap()[0];
        assert_eq!((port.name.as_deref(), port.port), (Some("http"), Some(80)));
        let owner = &slice.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!(
            (owner.kind.as_str(), owner.uid.as_str()),
            ("Endpoints", "e")
        );
        let annotations = slice.metadata.annotations.as_ref().unwrap();
        assert_eq!(annotations.keys().collect::<Vec<_>>(), ["note"]);
        let labels = slice.metadata.labels.as_ref().unwrap();
        assert_eq!(
            labels["endpointslice.kubernetes.io/managed-by"],
            MIRROR_MANAGER
        );
        assert_eq!(
            (
                labels["kubernetes.io/service-name"].as_str(),
                labels["team"].as_str()
            ),
            ("outside", "a")
        );
        // What is shown is not written again.
        let named = slices.into_iter().enumerate().map(|(number, mut slice)| {
            slice.metadata.name = Some(format!("s{number}"));
            slice
        });
        assert_eq!(
            plan(&service(), Some(&endpoints), &named.collect::<Vec<_>>()),
            []
        );
    }

    #[test]
    fn locks_and_what_is_not_to_be_shown_have_no_slices() {
        let shown = endpoints(json!({ "name": "outside", "uid": "e" }));
        let mut slices = created(plan(&service(), Some(&shown), &[]));
        slices.truncate(1);
        for metadata in [
            json!({ "name": "outside", "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" } }),
            json!({ "name": "outside", "annotations": { "control-plane.alpha.kubernetes.io/leader": "{}" } }),
        ] {
            let hidden = endpoints(metadata);
            assert_eq!(
                plan(&service(), Some(&hidden), &slices),
                [Action::Delete(slices[0].metadata.clone())]
            );
        }
        assert_eq!(plan(&service(), None, &slices).len(), 1);
    }
}
