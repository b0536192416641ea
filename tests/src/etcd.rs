//! etcd as a process of its own, alone or as a cluster of several members.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use tempfile::TempDir;

use crate::service::{service, start_service};
use crate::wait::{free_port, wait_until};

/// A running etcd. It is killed when dropped.
pub struct Etcd {
    members: Vec<Member>,
    _scratch: TempDir,
}

struct Member {
    child: Child,
    port: u16,
    command: Vec<String>,
    log: std::path::PathBuf,
}

impl Etcd {
    /// Starts this many members and waits until they answer.
    pub fn start(count: usize) -> Self {
        let scratch = TempDir::new().expect("a temporary directory");
        let ports: Vec<(u16, u16)> = (0..count).map(|_| (free_port(), free_port())).collect();
        let cluster: Vec<_> = ports
            .iter()
            .enumerate()
            .map(|(i, (_, peer))| format!("m{i}=http://127.0.0.1:{peer}"))
            .collect();
        let cluster = cluster.join(",");
        let members = ports
            .iter()
            .enumerate()
            .map(|(i, (client, peer))| {
                let client_url = format!("http://127.0.0.1:{client}");
                let peer_url = format!("http://127.0.0.1:{peer}");
                let data_dir = scratch.path().join(format!("m{i}"));
                let command: Vec<String> = [
                    "--name",
                    &format!("m{i}"),
                    "--data-dir",
                    &data_dir.to_string_lossy(),
                    "--listen-client-urls",
                    &client_url,
                    "--advertise-client-urls",
                    &client_url,
                    "--listen-peer-urls",
                    &peer_url,
                    "--initial-advertise-peer-urls",
                    &peer_url,
                    "--initial-cluster",
                    &cluster,
                ]
                .map(str::to_owned)
                .to_vec();
                let log = scratch.path().join(format!("m{i}.log"));
                Member {
                    child: launch(&command, &log),
                    port: *client,
                    command,
                    log,
                }
            })
            .collect();
        let etcd = Self {
            members,
            _scratch: scratch,
        };
        for i in 0..count {
            etcd.wait_healthy(i);
        }
        etcd
    }

    /// The client addresses of all members, separated by commas.
    pub fn addresses(&self) -> String {
        let addresses: Vec<_> = self
            .members
            .iter()
            .map(|member| format!("http://127.0.0.1:{}", member.port))
            .collect();
        addresses.join(",")
    }

    /// How many members there are, running or not.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Ends one member at once, as a power cut would.
    pub fn kill(&mut self, member: usize) {
        let member = &mut self.members[member];
        drop(member.child.kill());
        drop(member.child.wait());
    }

    /// Starts one member again and waits until it answers.
    pub fn start_again(&mut self, member: usize) {
        self.kill(member);
        let again = &mut self.members[member];
        again.child = launch(&again.command, &again.log);
        self.wait_healthy(member);
    }

    fn wait_healthy(&self, member: usize) {
        let port = self.members[member].port;
        wait_until("etcd to answer", || is_healthy(port).unwrap_or(false));
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in 0..self.members.len() {
            self.kill(member);
        }
    }
}

fn launch(arguments: &[String], log: &std::path::Path) -> Child {
    let mut etcd = service("etcd", log);
    etcd.args(arguments);
    start_service(etcd)
}

/// Whether the member says of itself that it is healthy, which takes a leader.
fn is_healthy(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.contains("\"true\""))
}
