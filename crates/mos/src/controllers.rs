//! The controllers in the server's process: clients of its API without a socket.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use mosaic_apiserver::Server;
use mosaic_auth::pki::{Authority, CertificateRequest, Signer};
use mosaic_auth::{User, groups};
use mosaic_controllers::{CertificateSigner, Options, Settings, SigningRequest};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Who the controllers are to the API.
const USER: &str = "system:mosaic-controllers";

/// The controllers, at work or waiting to be.
pub(crate) struct Controllers {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Controllers {
    /// Starts them beside a server, which others reach at this address, or at the one it listens on.
    pub(crate) fn start(server: &Server, advertised: Option<IpAddr>, settings: Settings) -> Self {
        let user = User::new(USER, [groups::MASTERS, groups::AUTHENTICATED]);
        let client = kube::Client::new(server.local(user), "default");
        let address = server.address();
        let address = SocketAddr::new(advertised.unwrap_or(address.ip()), address.port());
        let options = Options {
            identity: identity(),
            ca_certificate: server.authority().certificate_pem(),
            server_url: (!address.ip().is_unspecified()).then(|| format!("https://{address}")),
            settings,
            signer: Some(Arc::new(ClusterSigner(server.authority().clone()))),
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(mosaic_controllers::run(client, options, shutdown.clone()));
        Self { shutdown, task }
    }

    /// Stops them, and lets another server's take over at once.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        if self.task.await.is_err() {
            tracing::warn!("the controllers had failed");
        }
    }
}

/// A name that no other process has.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}", host.trim(), uuid::Uuid::new_v4())
}

/// Signs with the cluster's authority.
struct ClusterSigner(Arc<Authority>);

impl CertificateSigner for ClusterSigner {
    fn sign(&self, request: &SigningRequest<'_>) -> Result<Option<String>, String> {
        let Some(signer) = Signer::from_name(request.signer) else {
            return Ok(None);
        };
        let now = Timestamp::now().as_second();
        let expiration = request.expiration_seconds.map(i64::from);
        let read = CertificateRequest::from_pem(request.request);
        read.and_then(|read| {
            self.0
                .sign_request(&read, signer, request.usages, expiration, now)
        })
        .map(Some)
        .map_err(|error| error.to_string())
    }
}
