//! Docker and skopeo, as clients of the registry.

use std::path::Path;
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::command::{Outcome, run};
use crate::service::{service, start_service};
use crate::wait::wait_until;

/// Debian's client, should another one be installed beside it: the daemon is Debian's.
const CLIENT: &str = "/usr/bin/docker";

/// A Docker daemon with its files in a directory of its own. It runs no containers, needs no network and is ended
/// when dropped; its containerd ends with it.
pub struct Docker {
    daemon: Child,
    scratch: TempDir,
}

impl Docker {
    /// Starts it and waits until it answers.
    pub fn start() -> Self {
        let scratch = TempDir::new().expect("a temporary directory");
        let path = |name: &str| scratch.path().join(name).display().to_string();
        let mut daemon = service("dockerd", &scratch.path().join("log"));
        daemon
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "--host", &socket(scratch.path())])
            // Nothing of it reaches beyond its directory: no rules, no bridge, no mounts.
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--storage-driver", "vfs"]);
        let docker = Self {
            daemon: start_service(daemon),
            scratch,
        };
        wait_until("Docker to answer", || {
            docker.run(&["version"], "").code == 0
        });
        docker
    }

    /// Runs `docker` with these words, and with a configuration (its logins) of its own.
    pub fn run(&self, words: &[&str], input: &str) -> Outcome {
        let mut client = Command::new(CLIENT);
        client
            .args(["--host", &socket(self.scratch.path())])
            .env("DOCKER_CONFIG", self.scratch.path().join("config"))
            .args(words);
        run(&mut client, input)
    }

    /// A place for files that is removed with the daemon.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

fn socket(scratch: &Path) -> String {
    format!("unix://{}", scratch.join("socket").display())
}

/// Runs `skopeo` with these words. Credentials stand among them.
pub fn skopeo(words: &[&str]) -> Outcome {
    // No policy of this machine has a say in which images are moved.
    run(
        Command::new("skopeo").arg("--insecure-policy").args(words),
        "",
    )
}
