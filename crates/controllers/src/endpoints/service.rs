//! Services, as far as their endpoints depend on them.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::{core::v1::Service, discovery::v1::EndpointPort},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use serde::Deserialize;

use crate::views::{self, PodView, is_a};

/// A service, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct ServiceView {
    /// Its metadata, without annotations and managed fields.
    #[serde(default, deserialize_with = "views::metadata")]
    pub(crate) metadata: ObjectMeta,
    /// What it should be.
    #[serde(default)]
    pub(crate) spec: ServiceSpecView,
}

/// What a service should be, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServiceSpecView {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub(crate) type_: Option<String>,
    /// The labels of its pods; without any, somebody else says where it is.
    pub(crate) selector: Option<BTreeMap<String, String>>,
    /// Its ports.
    pub(crate) ports: Option<Vec<ServicePortView>>,
    /// Its address; `None` for a headless service.
    #[serde(rename = "clusterIP")]
    pub(crate) cluster_ip: Option<String>,
    /// `IPv4`, `IPv6` or both, the one to prefer first.
    pub(crate) ip_families: Option<Vec<String>>,
    /// Whether pods count as ready at once.
    pub(crate) publish_not_ready_addresses: Option<bool>,
    /// Which of the pods a client should prefer.
    pub(crate) traffic_distribution: Option<String>,
}

/// A port of a service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServicePortView {
    /// Its name; empty if there is only one.
    pub(crate) name: Option<String>,
    /// `TCP` (as without one), `UDP` or `SCTP`.
    pub(crate) protocol: Option<String>,
    /// Its number.
    pub(crate) port: i32,
    /// The port of the pods: a number, or the name that it has in each.
    pub(crate) target_port: Option<IntOrString>,
    /// What is spoken on it.
    pub(crate) app_protocol: Option<String>,
}

is_a!(ServiceView, Service);

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Its name in the API.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::V4, Self::V6]
            .into_iter()
            .find(|family| family.name() == name)
    }
}

/// The number of each of a service's ports in a pod; none where the pod has no port of that name.
pub(super) type Numbers = Vec<Option<i32>>;

impl ServiceView {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The labels that its pods have; nothing if its endpoints are no business of this controller.
    pub(super) fn selector(&self) -> Option<&BTreeMap<String, String>> {
        let selector = self.spec.selector.as_ref()?;
        (!selector.is_empty() && !self.is_external()).then_some(selector)
    }

    /// Whether it is only another name for something outside.
    pub(super) fn is_external(&self) -> bool {
        self.spec.type_.as_deref() == Some("ExternalName")
    }

    /// Whether it has no address of its own.
    pub(super) fn is_headless(&self) -> bool {
        self.spec.cluster_ip.as_deref() == Some("None")
    }

    /// Whether pods count as ready at once.
    pub(super) fn publishes_unready(&self) -> bool {
        self.spec.publish_not_ready_addresses == Some(true)
    }

    /// The families of its endpoints' addresses, the preferred one first; at least one.
    pub(super) fn families(&self) -> Vec<Family> {
        let named = self.spec.ip_families.iter().flatten();
        let mut families: Vec<Family> = named.filter_map(|name| Family::from_name(name)).collect();
        families.dedup();
        if families.is_empty() {
            let own = self.spec.cluster_ip.as_deref();
            let own = own.and_then(|address| address.parse().ok());
            families.push(own.map_or(Family::V4, Family::of));
        }
        families
    }

    /// The numbers that its ports have in a pod.
    pub(super) fn numbers(&self, pod: &PodView) -> Numbers {
        let ports = self.spec.ports.iter().flatten();
        ports.map(|port| port.number(pod)).collect()
    }

    /// Its ports with the numbers that they have in some pods, without those that they do not have.
    pub(super) fn endpoint_ports(&self, numbers: &Numbers) -> Vec<EndpointPort> {
        let ports = self.spec.ports.iter().flatten().zip(numbers);
        ports
            .filter_map(|(port, number)| {
                Some(EndpointPort {
                    name: Some(port.name.clone().unwrap_or_default()),
                    protocol: Some(port.protocol().to_owned()),
                    port: Some((*number)?),
                    app_protocol: port.app_protocol.clone(),
                })
            })
            .collect()
    }
}

impl ServicePortView {
    /// Its protocol.
    pub(super) fn protocol(&self) -> &str {
        self.protocol.as_deref().unwrap_or("TCP")
    }

    fn number(&self, pod: &PodView) -> Option<i32> {
        match &self.target_port {
            None | Some(IntOrString::Int(0)) => Some(self.port),
            Some(IntOrString::Int(number)) => Some(*number),
            Some(IntOrString::String(name)) if name.is_empty() => Some(self.port),
            Some(IntOrString::String(name)) => {
                let ports = pod.spec.named_ports.iter().chain(&pod.spec.sidecar_ports);
                let mut named =
                    ports.filter(|port| *port.name == **name && *port.protocol == *self.protocol());
                named.next().map(|port| port.number)
            }
        }
    }
}
