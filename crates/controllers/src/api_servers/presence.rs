//! A server's own part: its lease.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use tokio::time::{sleep, timeout};

use super::{ADDRESS, DURATION, LABEL, NAMESPACE, RENEW};
use crate::error::Absent;

/// The lease of a server that others can reach.
pub(crate) struct Presence {
    leases: Api<Lease>,
    address: SocketAddr,
    identity: String,
}

impl Presence {
    pub(crate) fn new(client: Client, address: SocketAddr, identity: String) -> Self {
        Self {
            leases: Api::namespaced(client, NAMESPACE),
            address,
            identity,
        }
    }

    /// Renews the lease, for as long as it is polled.
    pub(crate) async fn keep(&self) {
        let name = name(self.address);
        let manager = PatchParams::apply("mosaic-server").force();
        loop {
            let lease = self.lease();
            if let Err(error) = self
                .leases
                .patch(&name, &manager, &Patch::Apply(lease))
                .await
            {
                tracing::debug!(%error, "this server's lease was not renewed");
            }
            sleep(RENEW).await;
        }
    }

    /// Takes the lease away: this server stops.
    pub(crate) async fn end(&self) {
        let name = name(self.address);
        let parameters = DeleteParams::default();
        let deleted = async { self.leases.delete(&name, &parameters).await.or_absent() };
        if let Ok(Err(error)) = timeout(RENEW, deleted).await {
            tracing::debug!(%error, "this server's lease is left to run out");
        }
    }

    fn lease(&self) -> Lease {
        let metadata = ObjectMeta {
            name: Some(name(self.address)),
            namespace: Some(NAMESPACE.to_owned()),
            labels: Some(BTreeMap::from([(LABEL.0.to_owned(), LABEL.1.to_owned())])),
            annotations: Some(BTreeMap::from([(
                ADDRESS.to_owned(),
                self.address.to_string(),
            )])),
            ..ObjectMeta::default()
        };
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        }
    }
}

/// The name of the lease of the server at this address: the same after a restart.
fn name(address: SocketAddr) -> String {
    let ip = address.ip().to_string().replace(':', "-");
    let ip = ip.trim_matches('-');
    format!("apiserver-{ip}-{}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_leases_are_names() {
        let name = |address: &str| name(address.parse().unwrap());
        assert_eq!(name("10.0.0.5:6443"), "apiserver-10.0.0.5-6443");
        assert_eq!(name("[fd00::5]:6443"), "apiserver-fd00--5-6443");
        assert_eq!(name("[fd00::]:6443"), "apiserver-fd00-6443");
    }
}
