//! Where a registry may send its client: one on public addresses nowhere else. Its redirects, its authorization service
//! and the places it names for uploads would otherwise reach what only this machine or its network does, such as the
//! metadata service of a cloud. A registry that is itself on this machine or in its network may send anywhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Why it goes no further.
pub(super) const NOT_PUBLIC: &str = "a public registry leads to an address that is not public";

/// Whether an address is everybody's (RFC 6890): not of this machine, its link or a private network.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_4(address),
        IpAddr::V6(address) => match address.to_ipv4() {
            // Also `::1` and `::`, which are none.
            Some(address) => is_public_4(address),
            None => is_public_6(address),
        },
    }
}

fn is_public_4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    !(first == 0
        || shared
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast())
}

fn is_public_6(address: Ipv6Addr) -> bool {
    !(address.is_unique_local() || address.is_unicast_link_local() || address.is_multicast())
}

/// The address that a URL's host is written as, if it is one.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// Whether a URL names an address that is not public. Names are judged when they are resolved.
pub(super) fn leads_inside(url: &Url) -> bool {
    let address = url.host_str().and_then(literal);
    address.is_some_and(|address| !is_public(address))
}

/// The addresses of a host, as it stands in a registry's name, which may have a port.
pub(super) async fn addresses(host: &str) -> std::io::Result<Vec<IpAddr>> {
    let url = Url::parse(&format!("https://{host}")).map_err(std::io::Error::other)?;
    let name = url.host_str().unwrap_or_default();
    if let Some(address) = literal(name) {
        return Ok(vec![address]);
    }
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

/// Resolves names to their public addresses.
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|found| is_public(found.ip())).collect();
            match public.is_empty() {
                true => Err(NOT_PUBLIC.into()),
                false => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_machine_or_its_network_reaches_is_not_public() {
        for text in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        let inside = |url: &str| leads_inside(&Url::parse(url).unwrap());
        assert!(inside("http://[::1]:5000/v2/"));
        assert!(inside("http://2130706433/"));
        assert!(!inside("https://example.com/"));
    }

    #[tokio::test]
    async fn names_of_this_machine_are_not_resolved() {
        let refused = PublicOnly.resolve("localhost".parse().unwrap()).await;
        assert_eq!(refused.err().unwrap().to_string(), NOT_PUBLIC);
        assert!(!addresses("localhost:5000").await.unwrap().is_empty());
        assert_eq!(
            addresses("[::1]:5000").await.unwrap(),
            [IpAddr::V6(Ipv6Addr::LOCALHOST)]
        );
    }
}
