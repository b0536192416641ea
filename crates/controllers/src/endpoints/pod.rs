//! What is read of pods for their services' sake: their addresses, and their ports that have names.

use std::{borrow::Cow, net::IpAddr};

use serde::{Deserialize, Deserializer};

use crate::views::PodView;

/// A container's port that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPort {
    /// Its name.
    pub(crate) name: Box<str>,
    /// `TCP`, `UDP` or `SCTP`.
    pub(crate) protocol: Box<str>,
    /// Its number, 1 to 65535 in a valid pod.
    pub(crate) number: i32,
}

/// Reads the ports with names from containers.
pub(crate) fn named_ports<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Box<[NamedPort]>, D::Error> {
    Ok(ports_of(Vec::deserialize(deserializer)?, |_| true))
}

/// Reads the ports with names from those init containers that stay.
pub(crate) fn sidecar_ports<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Box<[NamedPort]>, D::Error> {
    let stays = |container: &ContainerRead| container.restart_policy.as_deref() == Some("Always");
    Ok(ports_of(Vec::deserialize(deserializer)?, stays))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerRead {
    restart_policy: Option<String>,
    #[serde(default)]
    ports: Vec<PortRead>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PortRead {
    name: Option<Box<str>>,
    protocol: Option<Box<str>>,
    container_port: i32,
}

fn ports_of(
    containers: Vec<ContainerRead>,
    counts: impl Fn(&ContainerRead) -> bool,
) -> Box<[NamedPort]> {
    let ports = containers.into_iter().filter(counts);
    let ports = ports.flat_map(|container| container.ports);
    let named = ports.filter_map(|port| {
        Some(NamedPort {
            name: port.name?,
            protocol: port.protocol.unwrap_or_else(|| "TCP".into()),
            number: port.container_port,
        })
    });
    named.collect()
}

/// Reads an address; anything else is none.
pub(crate) fn address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<IpAddr>, D::Error> {
    let text: Option<Cow<'de, str>> = Deserialize::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Reads a pod's addresses.
pub(crate) fn addresses<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Box<[IpAddr]>, D::Error> {
    #[derive(Deserialize)]
    struct Read {
        #[serde(default)]
        ip: String,
    }
    let read: Vec<Read> = Vec::deserialize(deserializer)?;
    let parsed = read.iter().filter_map(|address| address.ip.parse().ok());
    Ok(parsed.collect())
}

impl PodView {
    /// Its addresses, in the order of its families.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let first = self.status.address;
        let lone = first.filter(|_| self.status.addresses.is_empty());
        self.status.addresses.iter().copied().chain(lone)
    }
}
