//! The addresses and ports of services: given out by the server, each to one service.
//!
//! A claim is a key of its own in the store, created only if it is absent: whichever server and request
//! come first have it. What a crash leaves behind, claimed but unused, [`Orphans`] finds.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use mosaic_api::{Status, meta};
use mosaic_schema::FieldError;
use mosaic_store::{Expect, Revision, StoreError, Write};
use serde_json::{Value, json};

use super::{Attempt, Claims};
use crate::{app::App, error, verbs::write::Part};

/// The ports that are given out on hosts.
pub const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;
const ADDRESSES: &str = "/claims/clusterips/";
const PORTS: &str = "/claims/nodeports/";
const TRIES: usize = 32;

/// Claims the addresses and ports that a service asks for or needs.
pub(super) async fn claim(
    app: &App,
    attempt: &Attempt<'_>,
    new: &mut Value,
    claims: &mut Claims,
) -> Result<(), Status> {
    if !attempt.is("", "Service") || attempt.part != Part::Main {
        return Ok(());
    }
    let owner = format!("{}/{}", attempt.namespace, attempt.name);
    claim_address(app, attempt, new, claims, &owner).await?;
    claim_ports(app, attempt, new, claims, &owner).await
}

fn service_type(service: &Value) -> &str {
    service
        .pointer("/spec/type")
        .and_then(Value::as_str)
        .unwrap_or("ClusterIP")
}

fn address(service: &Value) -> &str {
    service
        .pointer("/spec/clusterIP")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

async fn claim_address(
    app: &App,
    attempt: &Attempt<'_>,
    new: &mut Value,
    claims: &mut Claims,
    owner: &str,
) -> Result<(), Status> {
    if service_type(new) == "ExternalName" {
        return Ok(());
    }
    let asked = address(new).to_owned();
    if asked == "None"
        || attempt
            .old
            .is_some_and(|old| address(old) == asked && !asked.is_empty())
    {
        set_addresses(new, &asked);
        return Ok(());
    }
    let invalid = |why: String| {
        let error = FieldError::invalid("spec.clusterIPs", json!([asked]), why);
        Err(Status::invalid("", "Service", attempt.name, &[error]))
    };
    if !asked.is_empty() {
        let Ok(ip) = asked.parse::<IpAddr>() else {
            return invalid("must be a valid IP address".to_owned());
        };
        if !app.service_range.contains(&ip) {
            return invalid(format!(
                "failed to allocate IP {asked}: the provided IP ({asked}) is not in the valid range. The range of valid IPs is {}",
                app.service_range
            ));
        }
        if !attempt.dry_run && !take(app, &format!("{ADDRESSES}{ip}"), owner, claims).await? {
            return invalid(format!(
                "failed to allocate IP {asked}: provided IP is already allocated"
            ));
        }
        set_addresses(new, &asked);
        return Ok(());
    }
    let hosts = 1_u128
        << (u32::from(app.service_range.max_prefix_len())
            - u32::from(app.service_range.prefix_len()))
        .min(100);
    for _ in 0..TRIES {
        // The network's own address and the broadcast address are never given out, nor is the first,
        // which is the server's.
        let offset = rand::random_range(2..hosts.saturating_sub(1).max(3));
        let ip = offset_address(app.service_range.network(), offset);
        if attempt.dry_run || take(app, &format!("{ADDRESSES}{ip}"), owner, claims).await? {
            set_addresses(new, &ip.to_string());
            return Ok(());
        }
    }
    Err(Status::internal(format!(
        "no free address was found in {}: the range is nearly used up",
        app.service_range
    )))
}

fn offset_address(network: IpAddr, offset: u128) -> IpAddr {
    match network {
        IpAddr::V4(base) => IpAddr::V4(
            u32::from(base)
                .wrapping_add(u32::try_from(offset).unwrap_or(2))
                .into(),
        ),
        IpAddr::V6(base) => IpAddr::V6(u128::from(base).wrapping_add(offset).into()),
    }
}

fn set_addresses(service: &mut Value, ip: &str) {
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    spec.insert("clusterIP".to_owned(), json!(ip));
    spec.insert("clusterIPs".to_owned(), json!([ip]));
    let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
    spec.entry("ipFamilies").or_insert_with(|| json!([family]));
    spec.entry("ipFamilyPolicy")
        .or_insert_with(|| json!("SingleStack"));
}

async fn claim_ports(
    app: &App,
    attempt: &Attempt<'_>,
    new: &mut Value,
    claims: &mut Claims,
    owner: &str,
) -> Result<(), Status> {
    let wants = match service_type(new) {
        "NodePort" => true,
        "LoadBalancer" => new
            .pointer("/spec/allocateLoadBalancerNodePorts")
            .is_none_or(|wants| wants != false),
        _ => false,
    };
    let had: Vec<u64> = attempt
        .old
        .map(|old| node_ports(old).collect())
        .unwrap_or_default();
    let Some(ports) = new.pointer_mut("/spec/ports").and_then(Value::as_array_mut) else {
        return Ok(());
    };
    for (at, port) in ports.iter_mut().enumerate() {
        let asked = port.get("nodePort").and_then(Value::as_u64).unwrap_or(0);
        if !wants {
            continue;
        }
        let Some(port) = port.as_object_mut() else {
            continue;
        };
        if asked != 0 {
            if had.contains(&asked) {
                continue;
            }
            let invalid = |why: &str| {
                let error = FieldError::invalid(format!("spec.ports[{at}].nodePort"), asked, why);
                Err(Status::invalid("", "Service", attempt.name, &[error]))
            };
            let in_range = u16::try_from(asked).is_ok_and(|port| NODE_PORTS.contains(&port));
            if !in_range {
                return invalid(
                    "provided port is not in the valid range. The range of valid ports is 30000-32767",
                );
            }
            if !attempt.dry_run && !take(app, &format!("{PORTS}{asked}"), owner, claims).await? {
                return invalid("provided port is already allocated");
            }
            continue;
        }
        let mut found = None;
        for _ in 0..TRIES {
            let candidate = rand::random_range(NODE_PORTS);
            if attempt.dry_run || take(app, &format!("{PORTS}{candidate}"), owner, claims).await? {
                found = Some(candidate);
                break;
            }
        }
        let Some(found) = found else {
            return Err(Status::internal(
                "no free node port was found: the range 30000-32767 is nearly used up",
            ));
        };
        port.insert("nodePort".to_owned(), json!(found));
    }
    Ok(())
}

fn node_ports(service: &Value) -> impl Iterator<Item = u64> {
    service
        .pointer("/spec/ports")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|port| port.get("nodePort").and_then(Value::as_u64))
        .filter(|port| *port != 0)
}

/// Claims a key; false if someone else has it.
async fn take(app: &App, key: &str, owner: &str, claims: &mut Claims) -> Result<bool, Status> {
    let value = json!({"metadata": {"name": owner}}).to_string();
    let write = Write {
        key: key.into(),
        expect: Expect::Absent,
        value: Some(value.into()),
    };
    match app.store.write(write).await {
        Ok(_) => {
            claims.keys.push(key.to_owned());
            Ok(true)
        }
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(other) => Err(error::from_store(&other)),
    }
}

/// Gives a claimed key back.
pub(super) async fn forget(app: &App, key: &str) {
    if let Ok(Some(entry)) = app.store.get(key).await {
        forget_at(app, key.into(), entry.revision).await;
    }
}

async fn forget_at(app: &App, key: Arc<str>, revision: Revision) {
    let write = Write {
        key: key.clone(),
        expect: Expect::At(revision),
        value: None,
    };
    if let Err(error) = app.store.write(write).await {
        tracing::warn!(%error, %key, "a claim could not be given back; it is tried again");
    }
}

/// Gives back what a deleted service had.
pub(super) async fn release(app: &App, service: &Value) {
    let ip = address(service);
    if !ip.is_empty() && ip != "None" {
        forget(app, &format!("{ADDRESSES}{ip}")).await;
    }
    for port in node_ports(service) {
        forget(app, &format!("{PORTS}{port}")).await;
    }
}

/// Claims whose service is gone or does not use them: what a crash between claiming and writing left, or a
/// service that is about to be written.
#[derive(Debug, Default)]
pub struct Orphans(HashMap<Arc<str>, Revision>);

impl Orphans {
    /// Gives back every claim that was unused when last looked and still is. As writes of other servers
    /// claim before they write, a claim must have been unused for the time between two calls, which is
    /// longer than any write takes.
    pub async fn sweep(&mut self, app: &App) {
        // A cache that lags behind could show a claim without its service.
        if app.cache.fresh().await.is_err() {
            return;
        }
        for (key, revision) in self.still(unused(app)) {
            forget_at(app, key, revision).await;
        }
    }

    /// The claims that were unused when last asked as well; the others are remembered.
    fn still(&mut self, unused: Vec<(Arc<str>, Revision)>) -> Vec<(Arc<str>, Revision)> {
        let seen = std::mem::take(&mut self.0);
        let (still, new): (Vec<_>, Vec<_>) = unused
            .into_iter()
            .partition(|(key, revision)| seen.get(key) == Some(revision));
        self.0.extend(new);
        still
    }
}

/// Gives back every claim that no service uses. Called when a server that has the store for itself has just
/// started, before it serves.
pub async fn sweep_all(app: &App) {
    for (key, revision) in unused(app) {
        forget_at(app, key, revision).await;
    }
}

fn unused(app: &App) -> Vec<(Arc<str>, Revision)> {
    let claims = [ADDRESSES, PORTS]
        .into_iter()
        .flat_map(|prefix| app.cache.kind(prefix).list(prefix));
    claims
        .filter(|claim| {
            let value = claim.value();
            let subject = claim.name();
            let owner = meta::name(&value).split_once('/');
            let service =
                owner.and_then(|(namespace, name)| app.object("", "Service", namespace, name));
            !service.is_some_and(|service| {
                address(&service) == subject
                    || node_ports(&service).any(|port| port.to_string() == subject)
            })
        })
        .map(|claim| (claim.key.clone(), claim.revision))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_given_back_when_it_was_unused_twice() {
        let mut orphans = Orphans::default();
        let claim = |key: &str, revision| (Arc::from(key), revision);
        assert_eq!(orphans.still(vec![claim("a", 1), claim("b", 2)]), []);
        // Meanwhile b was given back and claimed again by a service that is being written.
        assert_eq!(
            orphans.still(vec![claim("a", 1), claim("b", 5), claim("c", 6)]),
            [claim("a", 1)]
        );
        // c is used now.
        assert_eq!(orphans.still(vec![claim("b", 5)]), [claim("b", 5)]);
        assert_eq!(orphans.still(vec![claim("c", 6)]), []);
    }
}
