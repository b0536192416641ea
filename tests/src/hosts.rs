//! Simulated hosts as a process of their own.

use std::process::Child;

use tempfile::TempDir;

use crate::server::{Server, mos};
use crate::service::{service, start_service};
use crate::wait::wait_until;

/// Hosts that run the pods of a server, without containers. They fall silent when dropped.
pub struct SimulatedHosts {
    child: Option<Child>,
    scratch: TempDir,
}

impl SimulatedHosts {
    /// So many hosts in three zones, and further arguments of `mos sim hosts`.
    ///
    /// # Panics
    /// With what the hosts said, if they do not become ready.
    pub fn start(server: &Server, count: usize, arguments: &[&str]) -> Self {
        let scratch = TempDir::new().expect("a temporary directory");
        let log = scratch.path().join("hosts.log");
        let mut command = service(mos(), &log);
        command
            .args(["sim", "hosts", "--zones", "3", "--count"])
            .arg(count.to_string())
            .args(arguments)
            .env("KUBECONFIG", server.kubeconfig());
        let hosts = Self {
            child: Some(start_service(command)),
            scratch,
        };
        wait_until("the simulated hosts", || {
            hosts.log().contains(" ready after ")
        });
        hosts
    }

    /// What they have said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("hosts.log")).unwrap_or_default()
    }

    /// Ends them at once, as a power failure does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Drop for SimulatedHosts {
    fn drop(&mut self) {
        self.kill();
    }
}
