//! The leader's part: endpoints of the servers whose leases are alive.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{EndpointAddress, EndpointPort as OldPort, EndpointSubset, Endpoints},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::watcher,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{ADDRESS, DURATION, LABEL, NAMESPACE};
use crate::{
    context::Context,
    error::{Absent, Result},
    readable::Readable,
    runner::{self, Next},
    watch,
};

/// The service that programs in the cluster find the API by, in the namespace `default`.
const SERVICE: &str = "kubernetes";
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "mosaic-controllers";
/// What tells the mirroring of Endpoints to leave these alone.
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// The name of the port, also in the service.
const PORT: &str = "https";

/// When each lease was first seen as it is now.
type Seen = HashMap<String, (Option<String>, Instant)>;

/// The addresses of the servers whose leases are alive, and when the next of them runs out.
fn alive(
    leases: &[Lease],
    seen: &mut Seen,
    now: Instant,
) -> (BTreeSet<SocketAddr>, Option<Duration>) {
    let mut addresses = BTreeSet::new();
    let mut next: Option<Duration> = None;
    let mut still = Seen::new();
    for lease in leases {
        let name = lease.metadata.name.clone().unwrap_or_default();
        let version = lease.metadata.resource_version.clone();
        let since = match seen.get(&name) {
            Some((known, since)) if *known == version => *since,
            _ => now,
        };
        still.insert(name, (version, since));
        let address = lease
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(ADDRESS))
            .and_then(|text| text.parse().ok());
        let left = DURATION.saturating_sub(now.duration_since(since));
        if let (Some(address), false) = (address, left.is_zero()) {
            addresses.insert(address);
            next = Some(next.map_or(left, |earlier| earlier.min(left)));
        }
    }
    *seen = still;
    (addresses, next)
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// Create this slice, or bring it up to date.
    Apply(Box<EndpointSlice>),
    /// Delete the slice of this name.
    Delete(String),
    /// Create these endpoints, or bring them up to date.
    ApplyEndpoints(Box<Endpoints>),
    /// Delete the endpoints.
    DeleteEndpoints,
}

fn plan(
    servers: &BTreeSet<SocketAddr>,
    slices: &[EndpointSlice],
    endpoints: Option<&Endpoints>,
) -> Vec<Action> {
    let wanted = wanted_slices(servers);
    let mut actions = Vec::new();
    for slice in slices {
        let name = slice.metadata.name.as_deref().unwrap_or_default();
        let manager = slice
            .metadata
            .labels
            .as_ref()
            .and_then(|l| l.get(MANAGED_BY));
        let ours = manager.is_some_and(|manager| manager == MANAGER);
        if ours && !wanted.contains_key(name) {
            actions.push(Action::Delete(name.to_owned()));
        }
    }
    for (name, slice) in wanted {
        let known = slices
            .iter()
            .find(|known| known.metadata.name.as_ref() == Some(&name));
        let same = known.is_some_and(|known| {
            known.endpoints == slice.endpoints
                && known.ports == slice.ports
                && known.address_type == slice.address_type
                && known.metadata.labels == slice.metadata.labels
        });
        if !same {
            // The family of a slice cannot be changed.
            if known.is_some_and(|known| known.address_type != slice.address_type) {
                actions.push(Action::Delete(name));
            }
            actions.push(Action::Apply(Box::new(slice)));
        }
    }
    let wanted = wanted_endpoints(servers);
    match endpoints {
        Some(_) if servers.is_empty() => actions.push(Action::DeleteEndpoints),
        None if servers.is_empty() => {}
        Some(known) if known.subsets == wanted.subsets => {}
        _ => actions.push(Action::ApplyEndpoints(Box::new(wanted))),
    }
    actions
}

/// A slice for each port and family. The first is named as in other clusters.
fn wanted_slices(servers: &BTreeSet<SocketAddr>) -> BTreeMap<String, EndpointSlice> {
    let mut groups: BTreeMap<(bool, u16), Vec<IpAddr>> = BTreeMap::new();
    for server in servers {
        let group = groups.entry((server.is_ipv6(), server.port()));
        group.or_default().push(server.ip());
    }
    groups
        .into_iter()
        .enumerate()
        .map(|(at, ((is_v6, port), addresses))| {
            let family = if is_v6 { "IPv6" } else { "IPv4" };
            let name = match at {
                0 => SERVICE.to_owned(),
                _ => format!("{SERVICE}-{}-{port}", family.to_lowercase()),
            };
            let labels = [(SERVICE_LABEL, SERVICE), (MANAGED_BY, MANAGER)];
            let slice = EndpointSlice {
                metadata: metadata(&name, &labels),
                address_type: family.to_owned(),
                endpoints: Some(
                    addresses
                        .into_iter()
                        .map(|address| Endpoint {
                            addresses: vec![address.to_string()],
                            conditions: Some(EndpointConditions {
                                ready: Some(true),
                                ..EndpointConditions::default()
                            }),
                            ..Endpoint::default()
                        })
                        .collect(),
                ),
                ports: Some(vec![EndpointPort {
                    name: Some(PORT.to_owned()),
                    port: Some(port.into()),
                    protocol: Some("TCP".to_owned()),
                    app_protocol: None,
                }]),
            };
            (name, slice)
        })
        .collect()
}

fn wanted_endpoints(servers: &BTreeSet<SocketAddr>) -> Endpoints {
    let mut ports: BTreeMap<u16, Vec<EndpointAddress>> = BTreeMap::new();
    for server in servers {
        ports
            .entry(server.port())
            .or_default()
            .push(EndpointAddress {
                ip: server.ip().to_string(),
                ..EndpointAddress::default()
            });
    }
    let subsets = ports.into_iter().map(|(port, addresses)| EndpointSubset {
        addresses: Some(addresses),
        not_ready_addresses: None,
        ports: Some(vec![OldPort {
            name: Some(PORT.to_owned()),
            port: port.into(),
            protocol: Some("TCP".to_owned()),
            app_protocol: None,
        }]),
    });
    Endpoints {
        metadata: metadata(SERVICE, &[(SKIP_MIRROR, "true")]),
        subsets: Some(subsets.collect()),
    }
}

fn metadata(name: &str, labels: &[(&str, &str)]) -> ObjectMeta {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("default".to_owned()),
        labels: Some(labels.collect()),
        ..ObjectMeta::default()
    }
}

/// Keeps the endpoints of the API up to date.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<()>();
    let leases: Api<Readable<Lease>> = Api::namespaced(context.client.clone(), NAMESPACE);
    let selector = format!("{}={}", LABEL.0, LABEL.1);
    let marked = watcher::Config::default().labels(&selector);
    let seen = Mutex::new(Seen::new());
    queue.add(());
    tokio::join!(
        watch::objects(leases, marked, |_| queue.add(())),
        runner::work("api-servers", 1, &queue, requests, |()| reconcile(
            &context, &selector, &seen
        )),
    );
}

async fn reconcile(context: &Context, selector: &str, seen: &Mutex<Seen>) -> Result<Next> {
    let client = || context.client.clone();
    let leases: Api<Lease> = Api::namespaced(client(), NAMESPACE);
    let slices: Api<EndpointSlice> = Api::namespaced(client(), "default");
    let endpoints: Api<Endpoints> = Api::namespaced(client(), "default");
    let found = leases.list(&ListParams::default().labels(selector)).await?;
    let (servers, next) = alive(&found.items, &mut seen.lock(), Instant::now());
    let of_service = ListParams::default().labels(&format!("{SERVICE_LABEL}={SERVICE}"));
    let known = slices.list(&of_service).await?.items;
    let old = endpoints.get_opt(SERVICE).await?;
    let manager = PatchParams::apply(MANAGER).force();
    for action in plan(&servers, &known, old.as_ref()) {
        match action {
            Action::Apply(slice) => {
                let name = slice.metadata.name.clone().unwrap_or_default();
                slices.patch(&name, &manager, &Patch::Apply(slice)).await?;
            }
            Action::Delete(name) => {
                let deleted = slices.delete(&name, &DeleteParams::default()).await;
                deleted.or_absent()?;
            }
            Action::ApplyEndpoints(wanted) => {
                let wanted = Patch::Apply(wanted);
                endpoints.patch(SERVICE, &manager, &wanted).await?;
            }
            Action::DeleteEndpoints => {
                let deleted = endpoints.delete(SERVICE, &DeleteParams::default()).await;
                deleted.or_absent()?;
            }
        }
    }
    Ok(next.map_or(Next::Done, Next::After))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(addresses: &[&str]) -> BTreeSet<SocketAddr> {
        addresses.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn lease(name: &str, version: &str, address: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                resource_version: Some(version.to_owned()),
                annotations: Some(BTreeMap::from([(ADDRESS.to_owned(), address.to_owned())])),
                ..ObjectMeta::default()
            },
            spec: None,
        }
    }

    /// What is there once the actions are carried out.
    fn carried_out(
        actions: Vec<Action>,
        slices: &mut Vec<EndpointSlice>,
        endpoints: &mut Option<Endpoints>,
    ) {
        for action in actions {
            match action {
                Action::Apply(slice) => {
                    slices.retain(|old| old.metadata.name != slice.metadata.name);
                    slices.push(*slice);
                }
                Action::Delete(name) => {
                    slices.retain(|old| old.metadata.name.as_ref() != Some(&name));
                }
                Action::ApplyEndpoints(wanted) => *endpoints = Some(*wanted),
                Action::DeleteEndpoints => *endpoints = None,
            }
        }
    }

    #[test]
    fn a_server_counts_until_its_lease_was_not_renewed_for_long() {
        let start = Instant::now();
        let mut seen = Seen::new();
        let both = [
            lease("a", "1", "10.0.0.1:6443"),
            lease("b", "2", "10.0.0.2:6443"),
        ];
        let (addresses, next) = alive(&both, &mut seen, start);
        assert_eq!(addresses, servers(&["10.0.0.1:6443", "10.0.0.2:6443"]));
        assert_eq!(next, Some(DURATION));
        // One was renewed.
        let later = [
            lease("a", "3", "10.0.0.1:6443"),
            lease("b", "2", "10.0.0.2:6443"),
        ];
        let (_, next) = alive(&later, &mut seen, start + DURATION / 2);
        assert_eq!(next, Some(DURATION / 2));
        let (addresses, _) = alive(&later, &mut seen, start + DURATION);
        assert_eq!(addresses, servers(&["10.0.0.1:6443"]));
        // What is not an address does not count.
        let odd = [lease("c", "9", "nowhere")];
        assert_eq!(alive(&odd, &mut seen, start).0, servers(&[]));
    }

    #[test]
    fn each_port_and_family_has_a_slice_and_what_is_gone_goes() {
        let (mut slices, mut endpoints) = (Vec::new(), None);
        let steps: [&[&str]; 5] = [
            &["10.0.0.1:6443"],
            &[
                "10.0.0.1:6443",
                "10.0.0.2:6443",
                "10.0.0.2:7443",
                "[fd00::1]:6443",
            ],
            &["[fd00::1]:6443"],
            &["10.0.0.2:7443"],
            &[],
        ];
        for step in steps {
            let wanted = servers(step);
            let actions = plan(&wanted, &slices, endpoints.as_ref());
            carried_out(actions, &mut slices, &mut endpoints);
            assert_eq!(plan(&wanted, &slices, endpoints.as_ref()), [], "{step:?}");
            let shown: BTreeSet<SocketAddr> = slices
                .iter()
                .flat_map(|slice| {
                    let port = slice.ports.as_ref().unwrap()[0].port.unwrap();
                    slice.endpoints.iter().flatten().map(move |endpoint| {
                        let ip = endpoint.addresses[0].parse().unwrap();
                        SocketAddr::new(ip, u16::try_from(port).unwrap())
                    })
                })
                .collect();
            assert_eq!(shown, wanted);
            assert_eq!(endpoints.is_some(), !step.is_empty());
        }
    }

    #[test]
    fn slices_of_others_are_left_alone() {
        let mut foreign = wanted_slices(&servers(&["10.9.9.9:1"]))
            .remove(SERVICE)
            .unwrap();
        foreign.metadata.name = Some("custom".to_owned());
        foreign.metadata.labels = Some(BTreeMap::from([(SERVICE_LABEL.into(), SERVICE.into())]));
        assert_eq!(plan(&servers(&[]), &[foreign], None), []);
    }
}
