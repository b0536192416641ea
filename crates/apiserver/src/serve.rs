//! Starting, serving and stopping.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use hyper::{body::Incoming, service::service_fn};
use jiff::Timestamp;
use mosaic_auth::{
    Authorizer, User,
    audit::{AuditLog, AuditPolicy},
    authn::{Authenticator, ServiceAccountTokens, TokenIssuer},
    pki::{self, Authority, PkiError, ServingResolver},
    write_private,
};
use mosaic_store::{Expect, Store, StoreError, Write};
use mosaic_validation::pod_admission::TolerationSeconds;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    Gate, ISSUER, LocalService,
    admission::ImagePolicy,
    app::{App, ImageRegistry},
    audit::Peer,
    bootstrap,
    cache::Cache,
    custom,
    documents::Documents,
    handler,
    identity::{self, Identity},
    kinds::KindTable,
    listener::{self, Client, DRAIN, How},
    metrics::Metrics,
    slow_lane::SlowLane,
};

/// How long history is kept at least.
const COMPACT_EVERY: Duration = Duration::from_secs(300);
/// Where the servers of one store share their authority.
const AUTHORITY_KEY: &str = "/mosaic/authority/cluster";

/// The settings of a server.
pub struct Options {
    /// The directory of the server's own files.
    pub data_dir: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The address that others reach the server at; by default the one it listens on.
    pub advertise: Option<IpAddr>,
    /// More names and addresses for the serving certificate.
    pub names: Vec<String>,
    /// Whether requests without a credential are answered as `system:anonymous`.
    pub anonymous: bool,
    /// The range that services get their addresses from.
    pub service_range: ipnet::IpNet,
    /// How long new pods stay on hosts that are lost, if they do not say.
    pub toleration_seconds: TolerationSeconds,
    /// Whether there is to be an image registry: the server is not ready until it is there ([`Server::has_registry`]).
    pub registry: bool,
    /// Which requests are written down where.
    pub audit: Option<(AuditPolicy, AuditLog)>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A file of the data directory.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// The address to listen on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What failed.
        source: std::io::Error,
    },
    /// Keys and certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object that every cluster has could not be written.
    #[error("writing the objects that every cluster has: {0}")]
    Bootstrap(mosaic_api::Status),
}

/// A server that is ready.
pub struct Server {
    app: Arc<App>,
    gate: Gate,
    address: SocketAddr,
    advertised: Option<SocketAddr>,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts a server over a store: reads it, and answers requests once this returns.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn start(mut options: Options, store: Arc<dyn Store>) -> Result<Self, ServerError> {
        let listener =
            TcpListener::bind(options.listen)
                .await
                .map_err(|source| ServerError::Listen {
                    address: options.listen,
                    source,
                })?;
        let address = listener
            .local_addr()
            .map_err(|source| ServerError::Listen {
                address: options.listen,
                source,
            })?;
        let authority = Arc::new(shared_authority(&options, &*store).await?);
        let app = Arc::new(assemble(&mut options, store, authority.clone()));
        load(&app).await?;
        let advertised = advertised(options.advertise, address);
        let names = pki::serving_names(address, &names_of(&options, advertised));
        let directory = options.data_dir.join("pki");
        let certificate =
            authority.serving_certificate(&directory, &names, Timestamp::now().as_second())?;
        let resolver = ServingResolver::new(&certificate)?;
        let tls = pki::rustls_server_config(&authority, resolver.clone())?;
        tokio::spawn(renew(app.clone(), resolver, certificate, directory, names));
        tokio::spawn(tend(app.clone()));
        bootstrap::run(&app, address.port())
            .await
            .map_err(ServerError::Bootstrap)?;
        write_kubeconfig(&options, &authority, address)?;
        let gate = Gate::new(app.clone(), tls);
        let serving = tokio::spawn(answer(app.clone(), listener, gate.clone()));
        Ok(Self {
            app,
            gate,
            address,
            advertised,
            serving,
        })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where others reach the server; none if nobody else can: it listens on the loopback only, or the
    /// host has no route to anywhere.
    pub fn advertised(&self) -> Option<SocketAddr> {
        self.advertised
    }

    /// The API without a socket, as this user sees it.
    pub fn local(&self, user: User) -> LocalService {
        LocalService::new(self.app.clone(), user)
    }

    /// The API's identities and rights, for other doors of the process.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Says where the registry of this server is reached, and what judges signatures of the images in it. Only the
    /// first call counts.
    pub fn has_registry(&self, address: &str, policy: ImagePolicy) {
        let _ = self.app.registry.set(ImageRegistry {
            address: address.to_owned(),
            policy,
        });
    }

    /// The authority of the cluster, which signs certificates and tokens.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.app.identity.authority
    }

    /// Stops: takes no new connections, ends watches, and lets requests and streams in progress finish
    /// for a while.
    pub async fn stop(self) {
        self.app.shutdown.cancel();
        let (served, ()) = tokio::join!(self.serving, self.app.streams.drain(DRAIN));
        if served.is_err() {
            tracing::warn!("the accept loop had failed");
        }
        if let Some((_, log)) = &self.app.audit {
            log.flush();
        }
    }
}

/// Answers requests until the server stops.
async fn answer(app: Arc<App>, listener: TcpListener, gate: Gate) {
    let shutdown = app.shutdown.clone();
    let tls = Some(TlsAcceptor::from(gate.tls()));
    let service = move |client: Client<'_>| {
        let peer = Peer(client.address);
        let certificate = client.certificates.map(|chain| gate.certificate(chain));
        let app = app.clone();
        service_fn(move |mut request: ::http::Request<Incoming>| {
            if let Some(certificate) = &certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            request.extensions_mut().insert(peer);
            let app = app.clone();
            async move { Ok(handler::handle(app, request).await) }
        })
    };
    listener::serve(listener, tls, How::default(), shutdown, service).await;
}

fn names_of(options: &Options, advertised: Option<SocketAddr>) -> Vec<String> {
    let mut names = options.names.clone();
    names.extend(advertised.map(|address| address.ip().to_string()));
    names
}

/// Where others reach a server that listens on this address.
fn advertised(chosen: Option<IpAddr>, listens: SocketAddr) -> Option<SocketAddr> {
    let own = || match listens.ip() {
        ip if ip.is_unspecified() => default_route(ip.is_ipv6()),
        ip => Some(ip),
    };
    let address = chosen.or_else(own).filter(|ip| !ip.is_loopback())?;
    Some(SocketAddr::new(address, listens.port()))
}

/// This host's address on the way to the rest of the world; an address of IPv4, where there is one.
fn default_route(also_ipv6: bool) -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849). A datagram socket that is connected has been given an
    // address, and has sent nothing.
    let ways = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    ways.into_iter()
        .take(if also_ipv6 { 2 } else { 1 })
        .find_map(|(from, to)| {
            let socket = std::net::UdpSocket::bind(from).ok()?;
            socket.connect(to).ok()?;
            let address = socket.local_addr().ok()?.ip();
            (!address.is_unspecified()).then_some(address)
        })
}

fn assemble(options: &mut Options, store: Arc<dyn Store>, authority: Arc<Authority>) -> App {
    let cache = Arc::new(Cache::new(store.clone()));
    let authorizer = Arc::new(Authorizer::new());
    identity::observe(&cache, &authorizer);
    let tokens = Arc::new(ServiceAccountTokens::new(&authority, ISSUER, Vec::new()));
    App {
        kinds: KindTable::new(&cache),
        identity: Identity {
            authenticator: Authenticator::new(tokens, options.anonymous),
            authorizer,
            issuer: TokenIssuer::new(&authority, ISSUER, Vec::new()),
            authority,
        },
        cache,
        store,
        audit: options.audit.take(),
        intake: crate::http::body::Intake::default(),
        slow_lane: SlowLane::default(),
        metrics: Metrics::default(),
        documents: Documents::default(),
        service_range: options.service_range,
        toleration_seconds: options.toleration_seconds,
        streams: crate::streams::Hosts::default(),
        registry_awaited: options.registry,
        registry: std::sync::OnceLock::new(),
        shutdown: CancellationToken::new(),
    }
}

/// The authority that all servers of a store share: the stored one, else this server's own, which
/// becomes the stored one unless another server was first.
async fn shared_authority(options: &Options, store: &dyn Store) -> Result<Authority, ServerError> {
    let directory = options.data_dir.join("pki");
    loop {
        if let Some(entry) = store.get(AUTHORITY_KEY).await? {
            let authority = Authority::import(&entry.value)?;
            authority.save(&directory)?;
            return Ok(authority);
        }
        let own = Authority::load_or_create(&directory)?;
        let write = Write {
            key: AUTHORITY_KEY.into(),
            expect: Expect::Absent,
            value: Some(own.export()?.into()),
        };
        match store.write(write).await {
            Ok(_) => return Ok(own),
            Err(StoreError::Conflict { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
}

/// Fills the cache, custom kinds first, and keeps it up from then on.
async fn load(app: &Arc<App>) -> Result<(), ServerError> {
    app.cache.load_prefix(custom::PREFIX).await?;
    custom::refresh(app);
    custom::observe(app);
    app.cache.load().await?;
    tokio::spawn(app.cache.clone().follow());
    if app.store.exclusive() {
        crate::admission::sweep_all(app).await;
    }
    Ok(())
}

fn write_kubeconfig(
    options: &Options,
    authority: &Authority,
    address: SocketAddr,
) -> Result<(), ServerError> {
    let host = match options.advertise {
        Some(address) => address,
        None if address.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        None => address.ip(),
    };
    let url = format!("https://{}", SocketAddr::new(host, address.port()));
    let text = pki::admin_kubeconfig(authority, &url)?;
    let path = options.data_dir.join("admin.kubeconfig");
    write_private(&path, text.as_bytes()).map_err(|source| ServerError::File { path, source })
}

/// Replaces the serving certificate before it ends.
async fn renew(
    app: Arc<App>,
    resolver: Arc<ServingResolver>,
    mut certificate: pki::ServingCertificate,
    directory: PathBuf,
    names: Vec<pki::San>,
) {
    let mut hourly = tokio::time::interval(Duration::from_secs(3600));
    loop {
        tokio::select! {
            _ = hourly.tick() => {}
            () = app.shutdown.cancelled() => return,
        }
        let now = Timestamp::now().as_second();
        if !certificate.needs_renewal(now) {
            continue;
        }
        match app
            .identity
            .authority
            .serving_certificate(&directory, &names, now)
        {
            Ok(fresh) => {
                if let Err(error) = resolver.replace(&fresh) {
                    tracing::error!(%error, "the new serving certificate cannot be used");
                }
                certificate = fresh;
            }
            Err(error) => tracing::error!(%error, "the serving certificate cannot be renewed"),
        }
    }
}

/// Looks after the store from time to time.
///
/// Forgets history that nobody can be reading any more. Pages of a list and watches that resume have
/// this long; after it they are told to start again.
async fn tend(app: Arc<App>) {
    let mut interval = tokio::time::interval(COMPACT_EVERY);
    interval.tick().await;
    let mut earlier = app.cache.revision();
    let mut orphans = crate::admission::Orphans::default();
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = app.shutdown.cancelled() => return,
        }
        if let Err(error) = app.store.compact(earlier).await {
            tracing::warn!(%error, "the store's history could not be compacted; trying again later");
        }
        earlier = app.cache.revision();
        orphans.sweep(&app).await;
    }
}
