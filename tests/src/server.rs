//! `mos server` as a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tempfile::TempDir;

use crate::http::Http;
use crate::service::{service, start_service};
use crate::tools::{Helm, Kubectl, KubectlVersion};
use crate::wait::{free_port, wait_for, wait_until};

/// Where a server keeps its objects.
#[derive(Debug, Clone, Default)]
pub enum Store {
    /// In a file in its data directory.
    #[default]
    Sqlite,
    /// In the etcd with these client addresses, separated by commas.
    Etcd(String),
}

/// How to start a server.
#[derive(Debug, Default)]
pub struct ServerOptions {
    /// Where it keeps its objects.
    pub store: Store,
    /// Its data directory; a temporary one by default.
    pub data_dir: Option<PathBuf>,
    /// Whether it listens on all addresses of the host, as it does unless told otherwise; by default the
    /// tests' servers listen on the loopback.
    pub everywhere: bool,
    /// Whether it has an image registry, on a free port of the loopback.
    pub registry: bool,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Further arguments.
    pub arguments: Vec<String>,
}

/// A running server. It is killed when dropped.
pub struct Server {
    child: Mutex<Option<Child>>,
    port: u16,
    registry_port: u16,
    data_dir: PathBuf,
    options: ServerOptions,
    scratch: TempDir,
}

impl Server {
    /// A server of its own for this test, on SQLite.
    pub fn start() -> Self {
        Self::start_with(ServerOptions::default())
    }

    /// A server of its own for this test.
    ///
    /// # Panics
    /// With the server's log, if it does not become ready.
    pub fn start_with(options: ServerOptions) -> Self {
        let scratch = TempDir::new().expect("a temporary directory");
        let data_dir = options
            .data_dir
            .clone()
            .unwrap_or_else(|| scratch.path().join("data"));
        let mut server = Self {
            child: Mutex::new(None),
            port: 0,
            registry_port: 0,
            data_dir,
            options,
            scratch,
        };
        // Between asking for a free port and listening on it, another process may take it.
        for _ in 0..5 {
            server.port = free_port();
            server.registry_port = free_port();
            server.launch();
            match server.wait_ready() {
                Ok(()) => return server,
                Err(log) if log.contains("in use") => {}
                Err(log) => panic!("the server did not start:\n{log}"),
            }
        }
        panic!("the server found no free port:\n{}", server.log());
    }

    /// The server that tests share which do not disturb each other. It ends with the last of them.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    /// Its base address.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Host and port of its image registry.
    pub fn registry(&self) -> String {
        format!("127.0.0.1:{}", self.registry_port)
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The administrator's kubeconfig that it wrote.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("admin.kubeconfig")
    }

    /// A client with the administrator's rights.
    pub fn http(&self) -> Http {
        // Not at the address that it tells others.
        Http::from_kubeconfig(&self.kubeconfig()).at(&self.url())
    }

    /// A client that shows no credential.
    pub fn anonymous(&self) -> Http {
        self.http().anonymous()
    }

    /// The newest kubectl, as administrator.
    pub fn kubectl(&self) -> Kubectl {
        self.kubectl_of(KubectlVersion::NEWEST)
    }

    /// A kubectl of this version, as administrator.
    pub fn kubectl_of(&self, version: KubectlVersion) -> Kubectl {
        Kubectl::new(
            version,
            &self.kubeconfig(),
            &self.scratch.path().join(version.name()),
        )
    }

    /// Helm, as administrator.
    pub fn helm(&self) -> Helm {
        Helm::new(&self.kubeconfig(), &self.scratch.path().join("helm"))
    }

    /// A place for files that is removed with the server.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// A namespace of this name, new, with all that the server puts into a new namespace.
    pub fn namespace(&self, name: &str) -> String {
        let http = self.http();
        let object = serde_json::json!({"metadata": {"name": name}});
        http.post("/api/v1/namespaces", &object).ok();
        for content in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
            let path = format!("/api/v1/namespaces/{name}/{content}");
            wait_until(content, || http.get(&path).status == 200);
        }
        name.to_owned()
    }

    /// All that it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(log_file(self.scratch.path())).unwrap_or_default()
    }

    /// The id of its process.
    ///
    /// # Panics
    /// If there is none.
    pub fn pid(&self) -> u32 {
        self.child()
            .as_ref()
            .expect("a server that was not killed")
            .id()
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Asks it to stop, waits until it has, and returns its exit code.
    pub fn stop(&self) -> i32 {
        let status = Command::new("kill").arg(self.pid().to_string()).status();
        assert!(
            status.expect("kill").success(),
            "the server is gone already:\n{}",
            self.log()
        );
        let status = wait_for("the server to stop", || self.exit_status());
        status.code().unwrap_or(-1)
    }

    /// Starts it again, on the same data directory and port.
    ///
    /// # Panics
    /// With the server's log, if it does not become ready.
    pub fn start_again(&self) {
        self.kill();
        self.launch();
        if let Err(log) = self.wait_ready() {
            panic!("the server did not start again:\n{log}");
        }
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exit_status(&self) -> Option<ExitStatus> {
        self.child()
            .as_mut()?
            .try_wait()
            .expect("a child of this process")
    }

    fn launch(&self) {
        let store = match &self.options.store {
            Store::Sqlite => "sqlite".to_owned(),
            Store::Etcd(addresses) => format!("etcd={addresses}"),
        };
        let host = if self.options.everywhere {
            "0.0.0.0"
        } else {
            "127.0.0.1"
        };
        let registry = if self.options.registry {
            format!("127.0.0.1:{}", self.registry_port)
        } else {
            "none".to_owned()
        };
        let mut server = service(mos(), &log_file(self.scratch.path()));
        server
            .envs(self.options.environment.iter().cloned())
            .arg("server")
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args([
                "--listen",
                &format!("{host}:{}", self.port),
                "--store",
                &store,
            ])
            .args(["--registry-listen", &registry])
            .args(&self.options.arguments);
        *self.child() = Some(start_service(server));
    }

    /// Waits until it is ready; its log, if it ended instead.
    fn wait_ready(&self) -> Result<(), String> {
        wait_for("the server to be ready", || {
            if self.exit_status().is_some() {
                return Some(Err(self.log()));
            }
            // An earlier start may have left this file: only an answer counts.
            let client = Http::try_from_kubeconfig(&self.kubeconfig())
                .ok()?
                .at(&self.url());
            let answer = client.try_get("/readyz").ok()?;
            (answer.status == 200).then_some(Ok(()))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(20).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            eprintln!("-- the end of the server's log\n{}", tail.join("\n"));
        }
    }
}

fn log_file(scratch: &Path) -> PathBuf {
    scratch.join("server.log")
}

/// The binary under test: `$MOSAIC_BIN`, or the one that was built beside this executable.
///
/// # Panics
/// If it is not there, saying how to build it.
pub fn mos() -> PathBuf {
    if let Some(path) = std::env::var_os("MOSAIC_BIN") {
        return PathBuf::from(path);
    }
    let own = std::env::current_exe().expect("the path of this executable");
    let beside = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("mos"));
    beside
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "there is no mos beside {}: build it with `cargo build -p mos`",
                own.display()
            )
        })
}
