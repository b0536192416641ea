//! An etcd of the test's own: random ports, a temporary directory, gone when the test is.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use mosaic_store::{Etcd, EtcdOptions};
use tempfile::TempDir;

/// Runs etcd as long as its input is open, so that it never outlives the test, however that ends.
const WRAPPER: &str = r#"
"$@" >"$LOG" 2>&1 &
pid=$!
echo $pid
cat >/dev/null
kill -9 $pid
wait $pid 2>/dev/null
"#;

/// One member; killed (SIGKILL) when dropped.
pub struct Member {
    name: String,
    arguments: Vec<String>,
    log: std::path::PathBuf,
    running: Option<(Child, ChildStdin)>,
    pid: u32,
    pub endpoint: String,
}

/// A cluster of one or more members.
pub struct Cluster {
    pub members: Vec<Member>,
    _directory: TempDir,
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

fn binary() -> String {
    let binary = std::env::var("ETCD").unwrap_or_else(|_| "etcd".into());
    let found = Command::new(&binary)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "these tests need etcd, and `{binary}` cannot be run: install the package etcd-server, or \
         name the binary in the environment variable ETCD"
    );
    binary
}

impl Member {
    pub fn start(&mut self) {
        let mut child = Command::new("sh")
            .args(["-c", WRAPPER, "sh"])
            .args(&self.arguments)
            .env("LOG", &self.log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let input = child.stdin.take().unwrap();
        self.pid = line.trim().parse().expect("the shell says what it started");
        self.running = Some((child, input));
    }

    /// The process that runs now.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends it with SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some((mut child, input)) = self.running.take() {
            drop(input);
            let _ = child.wait();
        }
    }

    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Cluster {
    pub async fn start(size: usize, extra: &[&str]) -> Self {
        Self::start_at("http", size, extra).await
    }

    /// Members whose clients' addresses have this scheme; `extra` says with which certificates.
    pub async fn start_at(scheme: &str, size: usize, extra: &[&str]) -> Self {
        let binary = binary();
        let directory = tempfile::tempdir().unwrap();
        let ports: Vec<(u16, u16)> = (0..size).map(|_| (free_port(), free_port())).collect();
        let peers = ports
            .iter()
            .enumerate()
            .map(|(number, (_, peer))| format!("m{number}=http://127.0.0.1:{peer}"))
            .collect::<Vec<_>>()
            .join(",");
        let members = ports
            .iter()
            .enumerate()
            .map(|(number, (client, peer))| {
                member(
                    &binary,
                    directory.path(),
                    number,
                    &format!("{scheme}://127.0.0.1:{client}"),
                    *peer,
                    &peers,
                    extra,
                )
            })
            .collect();
        let mut cluster = Self {
            members,
            _directory: directory,
        };
        for member in &mut cluster.members {
            member.start();
        }
        cluster
    }

    pub fn endpoints(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.endpoint.clone())
            .collect()
    }

    /// A store in the cluster, once it answers.
    pub async fn connect(&self, prefix: &str) -> Etcd {
        self.connect_with(prefix, EtcdOptions::default()).await
    }

    pub async fn connect_with(&self, prefix: &str, options: EtcdOptions) -> Etcd {
        let mut last = String::new();
        for _ in 0..6 {
            match Etcd::connect(&self.endpoints(), prefix, options.clone()).await {
                Ok(store) => return store,
                Err(error) => last = error.to_string(),
            }
        }
        let logs: Vec<_> = self
            .members
            .iter()
            .map(|member| format!("--- {}\n{}", member.name, member.log()))
            .collect();
        panic!("etcd does not answer: {last}\n{}", logs.join("\n"));
    }
}

fn member(
    binary: &str,
    directory: &Path,
    number: usize,
    endpoint: &str,
    peer: u16,
    peers: &str,
    extra: &[&str],
) -> Member {
    let name = format!("m{number}");
    let peer = format!("http://127.0.0.1:{peer}");
    let data = directory.join(&name);
    let mut arguments = vec![binary.to_owned()];
    for (flag, value) in [
        ("--name", name.as_str()),
        ("--data-dir", &data.display().to_string()),
        ("--listen-client-urls", endpoint),
        ("--advertise-client-urls", endpoint),
        ("--listen-peer-urls", &peer),
        ("--initial-advertise-peer-urls", &peer),
        ("--initial-cluster", peers),
        ("--initial-cluster-state", "new"),
        // Elections take a fraction of a second instead of one or two.
        ("--heartbeat-interval", "50"),
        ("--election-timeout", "500"),
        // Objects may be larger than etcd takes by default.
        ("--max-request-bytes", "4194304"),
    ] {
        arguments.push(flag.into());
        arguments.push(value.into());
    }
    arguments.extend(extra.iter().map(|&argument| argument.into()));
    Member {
        log: directory.join(format!("{name}.log")),
        name,
        arguments,
        running: None,
        pid: 0,
        endpoint: endpoint.to_owned(),
    }
}

/// Options for tests in which members die.
pub fn impatient() -> EtcdOptions {
    EtcdOptions {
        request_timeout: Duration::from_secs(3),
        ..EtcdOptions::default()
    }
}
