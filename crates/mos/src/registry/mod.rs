//! The image registry: in `mos server`, with the cluster's identities and rights, and alone as `mos registry`.

mod access;
mod alone;
mod images;
mod namespaces;
mod policy;
mod storage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args};
use futures::FutureExt;
use hyper::service::service_fn;
use mosaic_apiserver::listener::{self, Client, How};
use mosaic_apiserver::{Gate, Server};
use mosaic_image::Name;
use mosaic_registry::{Access, Registry, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::client::duration;
use crate::failure::Failure;
use crate::server::Store;

pub(crate) use alone::{RegistryArgs, run};
use storage::{Bucket, MirrorArgs, Storage};

/// Where the registry listens unless told otherwise.
const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);
/// The most connections at once; more wait to be accepted. Each holds about a megabyte while it moves a layer.
const CONNECTIONS: usize = 1024;
/// How often what nothing names any more is looked for.
const COLLECT_EVERY: Duration = Duration::from_secs(600);

/// Settings of the registry in a server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Image registry")]
pub(crate) struct InServerArgs {
    /// Address and port of the image registry, or `none`; by default 127.0.0.1:5000, and none with etcd without a bucket,
    /// where each server would have a registry of its own
    #[arg(long, value_name = "ADDR:PORT|none")]
    pub(crate) registry_listen: Option<Listen>,
    /// What hosts and people call the registry, which the names of images begin with; by default the address that it is
    /// reached at. Give the name to --tls-san too
    #[arg(long, value_name = "HOST[:PORT]", value_parser = registry_name)]
    pub(crate) registry_name: Option<String>,
    /// Directory of the images; by default `registry` in the data directory
    #[arg(long, value_name = "DIR", conflicts_with = "registry_bucket")]
    pub(crate) registry_dir: Option<PathBuf>,
    /// Bucket of the images instead of a directory, in S3 or what speaks its protocol: any number of servers of one
    /// store share it. It is found by AWS_REGION, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long, value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) registry_bucket: Option<Bucket>,
    /// Whether images can be pulled without saying who one is
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    pub(crate) registry_anonymous_pull: bool,
    /// How long what was uploaded stays without an image that needs it; a push has to end within half of it
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(crate) registry_grace: Duration,
    #[command(flatten)]
    pub(crate) mirrors: MirrorArgs,
}

/// Where to listen, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Nowhere.
    Nowhere,
    /// Here.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::Nowhere);
        }
        text.parse().map(Self::At).map_err(|_| {
            "`none` or an IP address with a port is wanted, such as 127.0.0.1:5000 or 0.0.0.0:5000"
                .into()
        })
    }
}

impl InServerArgs {
    /// Where to listen; none for nowhere.
    pub(crate) fn listens(&self, store: &Store) -> Option<SocketAddr> {
        match (self.registry_listen, store) {
            (Some(Listen::At(address)), _) => Some(address),
            (Some(Listen::Nowhere), _) => None,
            (None, Store::Etcd(_)) if self.registry_bucket.is_none() => None,
            (None, _) => Some(DEFAULT_LISTEN),
        }
    }
}

/// A registry in a server, at work.
pub(crate) struct Running {
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts the registry of a server, if it is to have one.
    pub(crate) async fn start(
        args: &InServerArgs,
        store: &Store,
        records: Arc<dyn mosaic_store::Store>,
        data_dir: &Path,
        server: &Server,
    ) -> Result<Option<Self>, Failure> {
        let Some(address) = args.listens(store) else {
            if !args.mirrors.registry_mirror.is_empty() {
                return Err(Failure::usage("mirrors take an image registry")
                    .hint("start it with --registry-listen ADDR:PORT"));
            }
            if args.registry_listen.is_none() {
                tracing::info!(
                    "no image registry: with etcd it is started by --registry-listen ADDR:PORT"
                );
            }
            return Ok(None);
        };
        let storage = match (&args.registry_bucket, &args.registry_dir) {
            (Some(bucket), _) => Storage::bucket(bucket, records)?,
            (None, Some(directory)) => Storage::directory(directory)?,
            (None, None) => Storage::directory(&data_dir.join("registry"))?,
        };
        let access = Arc::new(access::ByGate::new(
            server.gate().clone(),
            args.registry_anonymous_pull,
        ));
        let registry = open(storage, access.clone(), args.registry_grace, true);
        registry.set_mirrors(args.mirrors.open()?);
        let listener = listen(address).await.map_err(|failure| {
            failure.hint(
                "choose another with --registry-listen ADDR:PORT, or `--registry-listen none`",
            )
        })?;
        let names = names(
            args.registry_name.as_deref(),
            &listener,
            server.advertised(),
        )?;
        let name = names.first().cloned().unwrap_or_default();
        server.has_registry(&name, policy::policy(registry.clone(), access, names));
        tracing::info!(%address, %name, "image registry");
        let shutdown = CancellationToken::new();
        let tls = TlsAcceptor::from(server.gate().tls());
        let client = images::client(server);
        let until = |work: Pin<Box<dyn Future<Output = ()> + Send>>| {
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(work).map(drop))
        };
        let tasks = vec![
            tokio::spawn(serve(
                listener,
                Some(tls),
                Some(server.gate().clone()),
                registry.clone(),
                shutdown.clone(),
            )),
            until(Box::pin(images::keep(registry.clone(), client.clone()))),
            until(Box::pin(namespaces::clear_deleted(
                registry.clone(),
                client.clone(),
            ))),
            until(Box::pin(namespaces::count_usage(registry.clone(), client))),
            tokio::spawn(collect(registry, args.registry_grace, shutdown.clone())),
        ];
        Ok(Some(Self { shutdown, tasks }))
    }

    /// Stops it, and lets requests in progress finish for a while.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            if task.await.is_err() {
                tracing::warn!("a task of the image registry had failed");
            }
        }
    }
}

/// A registry over its storage.
fn open(storage: Storage, access: Arc<dyn Access>, grace: Duration, tls: bool) -> Registry {
    let settings = Settings {
        service: mosaic_apiserver::REGISTRY_AUDIENCE.into(),
        tls,
        grace,
        ..Settings::default()
    };
    Registry::new(storage.records, storage.blobs, access, settings)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(format!(
            "the image registry cannot listen on {address}: {error}"
        ))
    })
}

fn registry_name(text: &str) -> Result<String, String> {
    let name: Result<Name, _> = format!("{text}/image").parse();
    match name.as_ref().map(Name::registry) {
        Ok(Some(registry)) => Ok(registry.to_owned()),
        _ => Err(
            "a host with a dot in it, or with a port, is wanted, such as registry.example.com:5000"
                .into(),
        ),
    }
}

/// The names of a registry, the one for others first: the given one or where its listener is reached, which is the
/// server's address if it listens on all; and those that are good on its own host.
fn names(
    given: Option<&str>,
    listener: &TcpListener,
    server: Option<SocketAddr>,
) -> Result<Vec<String>, Failure> {
    let mut address = listener
        .local_addr()
        .map_err(|error| Failure::new(format!("the image registry has no address: {error}")))?;
    let here = address.ip().is_loopback() || address.ip().is_unspecified();
    if address.ip().is_unspecified() {
        let ip = server.map_or(std::net::Ipv4Addr::LOCALHOST.into(), |server| server.ip());
        address.set_ip(ip);
    }
    let mut names: Vec<String> = given.map(str::to_owned).into_iter().collect();
    names.push(address.to_string());
    if here {
        for host in ["localhost", "127.0.0.1"] {
            let name = format!("{host}:{}", address.port());
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// Answers requests until `shutdown`; certificates of clients are worth what `gate` says.
async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    gate: Option<Gate>,
    registry: Registry,
    shutdown: CancellationToken,
) {
    let service = move |client: Client<'_>| {
        let certificate = gate
            .as_ref()
            .and_then(|gate| Some(gate.certificate(client.certificates?)));
        let registry = registry.clone();
        service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            if let Some(certificate) = &certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            let registry = registry.clone();
            async move { Ok(mosaic_registry::serve::answer(&registry, request).await) }
        })
    };
    let mut how = How {
        connections_max: CONNECTIONS,
        ..How::default()
    };
    // Layers come and go: a system call is to move much, and a window not to be in the way.
    how.protocol.http1().max_buf_size(128 << 10);
    how.protocol
        .http2()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    listener::serve(listener, tls, how, shutdown, service).await;
}

async fn collect(registry: Registry, grace: Duration, shutdown: CancellationToken) {
    tokio::select! {
        () = registry.collect_every(COLLECT_EVERY.min(grace / 2)) => {}
        () = shutdown.cancelled() => {}
    }
}
