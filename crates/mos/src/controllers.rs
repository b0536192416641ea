//! The controllers in the server's process: clients of its API without a socket.

use std::sync::Arc;

use mosaic_apiserver::Server;
use mosaic_auth::{User, groups};
use mosaic_controllers::{Options, Settings};
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
    /// Starts them beside a server.
    pub(crate) fn start(server: &Server, settings: Settings) -> Self {
        let user = User::new(USER, [groups::MASTERS, groups::AUTHENTICATED]);
        let client = mosaic_controllers::client(server.local(user));
        let options = Options {
            identity: identity(),
            authority: Arc::clone(server.authority()),
            advertised: server.advertised(),
            settings,
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
