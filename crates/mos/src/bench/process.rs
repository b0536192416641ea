//! The processes that are measured: started, looked at through /proc, ended.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mosaic_store::{EtcdOptions, RawWrite};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::failure::Failure;

/// How long a process has to become ready.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long simulated hosts have to become ready: thousands register, one write after the other.
const HOSTS_READY_WITHIN: Duration = Duration::from_secs(600);
/// How long a process has to end after it was asked to.
const END_WITHIN: Duration = Duration::from_secs(20);
/// How often a condition is looked at that cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What /proc counts processor time in. It is the same on every architecture that Mosaic is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that ends with this value.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    name: &'static str,
}

impl Process {
    /// Asks the process to end, and waits until it has.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let id = self.child.id().to_string();
        // The shell's own `kill`, which is everywhere, and no unsafe call.
        let asked = Command::new("sh")
            .args(["-c", "kill -TERM \"$1\"", "sh", &id])
            .status();
        if asked.is_ok_and(|status| status.success()) {
            let until = Instant::now() + END_WITHIN;
            while Instant::now() < until {
                match self.child.try_wait() {
                    Ok(None) => tokio::time::sleep(LOOK_EVERY).await,
                    Ok(Some(_)) => return Ok(()),
                    Err(_) => break,
                }
            }
        }
        Err(Failure::new(format!(
            "{} did not end within {} s of being asked to",
            self.name,
            END_WITHIN.as_secs()
        )))
    }

    /// Whether the process is still there.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What the process is, for people.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The memory that the process has in use, in bytes: now, and at most so far.
    pub(super) fn memory(&self) -> Result<Memory, Failure> {
        let text = self.proc("status")?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
                .map_or(0, |kibibytes| kibibytes * 1024)
        };
        Ok(Memory {
            resident: field("VmRSS"),
            peak: field("VmHWM"),
        })
    }

    /// The processor time that the process has used.
    pub(super) fn cpu(&self) -> Result<Duration, Failure> {
        Ok(ticks(&self.proc("stat")?, 11))
    }

    fn proc(&self, file: &str) -> Result<String, Failure> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).map_err(|error| {
            Failure::new(format!(
                "cannot read what {} uses, has it ended? {error}",
                self.name
            ))
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `stop` there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time that programs have used which this one started and which have ended.
pub(super) fn cpu_of_the_ended() -> Result<Duration, Failure> {
    let text = std::fs::read_to_string("/proc/self/stat");
    let text = text.map_err(|error| Failure::new(format!("cannot read /proc: {error}")))?;
    Ok(ticks(&text, 13))
}

/// Two fields of `/proc/<pid>/stat` that count time, user's and system's, after so many others.
fn ticks(stat: &str, skip: usize) -> Duration {
    // The name stands in parentheses and may hold anything; fields are counted after it.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = fields
        .split_whitespace()
        .skip(skip)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}

/// The memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Now.
    pub(super) resident: u64,
    /// The most so far.
    pub(super) peak: u64,
}

/// A directory for what is measured, removed with this value; by default among the temporary ones.
pub(super) fn directory(place: Option<&Path>) -> Result<TempDir, Failure> {
    let place = place.map_or_else(std::env::temp_dir, Path::to_owned);
    tempfile::Builder::new()
        .prefix("mos-bench-")
        .tempdir_in(&place)
        .map_err(|error| {
            Failure::new(format!(
                "cannot make a directory in {}: {error}",
                place.display()
            ))
        })
}

/// Starts this very program as a server, and returns when it says that it is ready, with the time that
/// it took.
pub(super) async fn start_server(
    directory: &Path,
    store: &str,
    flags: &[String],
) -> Result<(Process, Duration), Failure> {
    let mut command = this_program()?;
    command
        .args(["server", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--registry-listen", "none"])
        .args(["--store", store, "--data-dir"])
        .arg(directory)
        .args(flags);
    start(command, "the server", READY_WITHIN).await
}

/// Starts this very program as simulated hosts of a server, and returns when all hosts are ready, with the
/// time that it took.
pub(super) async fn start_hosts(
    kubeconfig: &Path,
    flags: &[String],
) -> Result<(Process, Duration), Failure> {
    let mut command = this_program()?;
    command
        .args(["sim", "hosts", "--json", "--kubeconfig"])
        .arg(kubeconfig)
        .args(flags);
    start(
        command,
        "the process with the simulated hosts",
        HOSTS_READY_WITHIN,
    )
    .await
}

/// Starts this very program as an image registry with its files in a directory, and returns when it says that it is
/// ready, with where it listens.
pub(super) async fn start_registry(directory: &Path) -> Result<(Process, SocketAddr), Failure> {
    let address = free_address()?;
    let mut command = this_program()?;
    command
        .args([
            "registry",
            "--log-format",
            "json",
            "--plain-http",
            "--listen",
        ])
        .arg(address.to_string())
        .arg("--data-dir")
        .arg(directory);
    let (process, _) = start(command, "the image registry", READY_WITHIN).await?;
    Ok((process, address))
}

/// Starts Debian's `docker-registry` with its files in a directory, and returns when it listens.
pub(super) async fn start_reference_registry(
    program: &Path,
    directory: &Path,
) -> Result<(Process, SocketAddr), Failure> {
    let address = free_address()?;
    let settings = directory.join("config.yml");
    let root = directory.join("data");
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
        root.display()
    );
    std::fs::write(&settings, text)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", settings.display())))?;
    let child = Command::new(program)
        .arg("serve")
        .arg(&settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            Failure::new(format!("cannot start {}: {error}", program.display())).hint(
                "install docker-registry (a package of Debian), or name it with --docker-registry FILE",
            )
        })?;
    let process = Process {
        child,
        name: "docker-registry",
    };
    let until = Instant::now() + READY_WITHIN;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > until {
            return Err(Failure::new("docker-registry does not answer"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok((process, address))
}

/// This very program, without the settings of another server.
pub(super) fn this_program() -> Result<Command, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find the program itself: {error}")))?;
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        // The settings of another server are not this one's.
        if name.to_string_lossy().starts_with("MOS_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Starts a process, and returns when it says that it is ready.
async fn start(
    mut command: Command,
    name: &'static str,
    within: Duration,
) -> Result<(Process, Duration), Failure> {
    let cannot = |error| Failure::new(format!("cannot start {name}: {error}"));
    let (said, writer) = std::io::pipe().map_err(cannot)?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(cannot)?)
        .stderr(writer);
    let started = Instant::now();
    let child = command.spawn().map_err(cannot)?;
    // It holds the writing ends too: what is said would never end.
    drop(command);
    let process = Process { child, name };
    let (sender, ready) = oneshot::channel();
    std::thread::spawn(move || follow_log(said, sender));
    match tokio::time::timeout(within, ready).await {
        Ok(Ok(Ok(at))) => Ok((process, at.duration_since(started))),
        Ok(Ok(Err(log))) => Err(Failure::new(format!("{name} ended before it was ready"))
            .hint(format!("it said: {log}"))),
        Ok(Err(_)) | Err(_) => Err(Failure::new(format!(
            "{name} was not ready within {} s",
            within.as_secs()
        ))),
    }
}

/// Reads what a process says to its end, so that it never waits for a reader, and tells when it is ready;
/// or what it said last, if it never was.
fn follow_log(log: impl std::io::Read, ready: oneshot::Sender<Result<Instant, String>>) {
    let mut ready = Some(ready);
    let mut last = String::new();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if line.contains("\"ready\"")
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(Ok(Instant::now()));
        }
        last = line;
    }
    if let Some(ready) = ready {
        let _ = ready.send(Err(last));
    }
}

/// An etcd of one member on the loopback interface.
#[derive(Debug)]
pub(super) struct Etcd {
    /// The process.
    pub(super) process: Process,
    /// Its URL.
    pub(super) url: String,
}

/// Starts an etcd with its files in a directory, and returns when it answers.
pub(super) async fn start_etcd(program: &Path, directory: &Path) -> Result<Etcd, Failure> {
    let client = free_address()?;
    let peer = format!("http://{}", free_address()?);
    let url = format!("http://{client}");
    let child = Command::new(program)
        .args(["--name", "bench", "--data-dir"])
        .arg(directory)
        .args(["--listen-client-urls", &url])
        .args(["--advertise-client-urls", &url])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("bench={peer}")])
        // Objects may be larger than etcd takes by default, and the measurement is larger than 2 GB.
        .args(["--max-request-bytes", "4194304"])
        .args(["--quota-backend-bytes", "8589934592"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            Failure::new(format!("cannot start {}: {error}", program.display())).hint(
                "install etcd (on Debian, the package etcd-server), or name it with --etcd FILE",
            )
        })?;
    let mut etcd = Etcd {
        process: Process {
            child,
            name: "etcd",
        },
        url,
    };
    let until = Instant::now() + READY_WITHIN;
    loop {
        if let Ok(Some(status)) = etcd.process.child.try_wait() {
            return Err(Failure::new(format!("etcd ended at once ({status})"))
                .hint(format!("run {} to see why", program.display())));
        }
        // It listens before it has elected itself; a put answers only after that.
        let answers = TcpStream::connect(client).is_ok()
            && mosaic_store::raw_etcd_rate(
                std::slice::from_ref(&etcd.url),
                &EtcdOptions::default(),
                RawWrite::Put,
                1,
                1,
                1,
            )
            .await
            .is_ok();
        if answers {
            return Ok(etcd);
        }
        if Instant::now() > until {
            return Err(Failure::new("etcd does not answer"));
        }
        tokio::time::sleep(LOOK_EVERY * 10).await;
    }
}

fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Failure::new(format!("no free port on the loopback interface: {error}")))
}
