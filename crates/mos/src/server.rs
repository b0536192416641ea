//! `mos server`: the settings of the server, checked, and its start and stop.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use ipnet::IpNet;
use mosaic_auth::audit::{AuditLog, AuditLogOptions, AuditPolicy};

use crate::controllers::Controllers;
use crate::data_directory::DataDirectory;
use crate::failure::Failure;
use crate::hosts::HostArgs;
use crate::output::log;
use crate::registry::{self, InServerArgs};

/// Where the server listens unless told otherwise.
pub(crate) const DEFAULT_LISTEN: &str = "0.0.0.0:6443";

/// What to do about an address that is taken, or not this machine's.
const LISTEN_HINT: &str = "choose another with --listen ADDR:PORT";
/// A start that waits longer than this for etcd says so.
const ETCD_IS_SLOW: Duration = Duration::from_secs(1);

/// Run the API server.
///
/// Writes DIR/admin.kubeconfig (mode 600) and logs one line with its address when it is ready. Stops
/// cleanly on SIGTERM and SIGINT.
///
/// Each setting can be given as a flag, as an environment variable or in a TOML file, below
/// `[server]` and under the flag's name; a flag beats the environment, which beats the file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos server --data-dir /var/lib/mosaic
  mos server --listen 10.0.0.5:6443 --store etcd=https://10.0.0.5:2379,https://10.0.0.6:2379
  MOS_DATA_DIR=/tmp/mosaic mos server --listen 127.0.0.1:6443 --log-format json")]
pub(crate) struct ServerArgs {
    /// TOML file with settings below `[server]`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of the keys, the database and admin.kubeconfig; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "/var/lib/mosaic")]
    pub(crate) data_dir: PathBuf,
    /// Address and port to serve the API on
    #[arg(long, value_name = "ADDR:PORT", default_value = DEFAULT_LISTEN, value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// Where objects are kept: `sqlite` (a file in the data directory) or `etcd=URL[,URL...]`
    #[arg(long, value_name = "STORE", default_value = "sqlite")]
    pub(crate) store: Store,
    /// Certificate authority that etcd's certificates are checked against (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) etcd_ca: Option<PathBuf>,
    /// Client certificate shown to etcd (PEM); needs --etcd-key
    #[arg(long, value_name = "FILE")]
    pub(crate) etcd_cert: Option<PathBuf>,
    /// Key of the client certificate shown to etcd (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) etcd_key: Option<PathBuf>,
    /// Address at which others reach this server; by default the one it listens on, or the one of the host's default route
    #[arg(long, value_name = "IP")]
    pub(crate) advertise_address: Option<IpAddr>,
    /// Further name or address in the server's certificate; may be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',', action = ArgAction::Append, value_parser = subject_name)]
    pub(crate) tls_san: Vec<String>,
    /// File that a line is appended to for each audited request; put aside at 100 MiB, ten are kept
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,
    /// Audit policy (audit.k8s.io/v1, YAML); without it, the metadata of changes and of reading secrets
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_policy: Option<PathBuf>,
    /// Whether a request without a credential is served as system:anonymous (health and version only, unless RBAC grants more)
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub(crate) anonymous_auth: bool,
    /// Range of addresses that Services get theirs from
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/16", value_parser = service_range)]
    pub(crate) service_cluster_ip_range: IpNet,
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    #[command(flatten)]
    pub(crate) registry: InServerArgs,
    /// Form of the log, which goes to standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, also by module, as in `info,mosaic_store=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where objects are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Store {
    /// A file in the data directory.
    Sqlite,
    /// An etcd cluster, by its members' URLs.
    Etcd(Vec<String>),
}

impl FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "sqlite" {
            return Ok(Self::Sqlite);
        }
        let Some(urls) = text.strip_prefix("etcd=") else {
            return Err("a store is `sqlite` or `etcd=URL[,URL...]`".into());
        };
        let urls: Vec<String> = urls
            .split(',')
            .map(|url| url.trim_end_matches('/').to_owned())
            .collect();
        for url in &urls {
            let uri: http::Uri = url
                .parse()
                .map_err(|error| format!("`{url}` is not a URL: {error}"))?;
            if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.port_u16().is_none() {
                return Err(format!("`{url}` is not like https://HOST:2379"));
            }
            if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
                return Err(format!(
                    "`{url}` has a path; only scheme, host and port are wanted"
                ));
            }
        }
        let mut schemes = urls.iter().map(|url| url.starts_with("https:"));
        let first = schemes.next();
        if schemes.any(|scheme| Some(scheme) != first) {
            return Err("either all members are https or none is".into());
        }
        Ok(Self::Etcd(urls))
    }
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "an IP address with a port is wanted, such as 127.0.0.1:6443, 0.0.0.0:6443 or [::]:6443"
            .into()
    })
}

fn service_range(text: &str) -> Result<IpNet, String> {
    let range: IpNet = text
        .parse()
        .map_err(|_| "a range such as 10.96.0.0/16 is wanted".to_owned())?;
    let host_bits = range.max_prefix_len() - range.prefix_len();
    if range.trunc() != range {
        return Err(format!(
            "the address has bits beyond the prefix; `{}` is meant?",
            range.trunc()
        ));
    }
    if !(3..=20).contains(&host_bits) {
        let (least, most) = (range.max_prefix_len() - 20, range.max_prefix_len() - 3);
        return Err(format!("the prefix must be between /{least} and /{most}"));
    }
    Ok(range)
}

pub(crate) fn subject_name(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err("a DNS name or an IP address is wanted".into())
    }
}

/// Checks that the settings fit together.
fn check(args: &ServerArgs) -> Result<(), Failure> {
    let tls = [
        ("etcd-ca", &args.etcd_ca),
        ("etcd-cert", &args.etcd_cert),
        ("etcd-key", &args.etcd_key),
    ];
    match &args.store {
        Store::Sqlite => {
            if let Some((name, _)) = tls.iter().find(|(_, file)| file.is_some()) {
                return Err(
                    Failure::usage(format!("{name} is set, but the store is sqlite")).hint(
                        format!("remove {name}, or set the store to etcd=https://HOST:2379"),
                    ),
                );
            }
        }
        Store::Etcd(urls) => {
            let plain = urls.iter().find(|url| url.starts_with("http:"));
            if let (Some(url), Some((name, _))) =
                (plain, tls.iter().find(|(_, file)| file.is_some()))
            {
                return Err(
                    Failure::usage(format!("{name} is set, but {url} is not https"))
                        .hint("write https:// in the store, or remove the etcd certificates"),
                );
            }
        }
    }
    if args.etcd_cert.is_some() != args.etcd_key.is_some() {
        return Err(Failure::usage(
            "etcd-cert and etcd-key belong together, and one is missing",
        ));
    }
    if args.audit_policy.is_some() && args.audit_log.is_none() {
        return Err(Failure::usage(
            "audit-policy is set, but audit-log is not: nothing would be written",
        )
        .hint("add --audit-log FILE"));
    }
    let files = [
        ("etcd-ca", &args.etcd_ca),
        ("etcd-cert", &args.etcd_cert),
        ("etcd-key", &args.etcd_key),
        ("audit-policy", &args.audit_policy),
    ];
    for (name, file) in files {
        if let Some(path) = file
            && let Err(error) = std::fs::File::open(path)
        {
            return Err(Failure::new(format!(
                "{name}: cannot read {}: {error}",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Runs the server until it is told to stop.
pub(crate) fn run(args: ServerArgs) -> Result<(), Failure> {
    check(&args)?;
    log::to_stderr_for_server(args.log_format == LogFormat::Json, &args.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("mos")
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(serve(args))
}

/// Starts the server over its store, and stops it when the process is told to.
async fn serve(args: ServerArgs) -> Result<(), Failure> {
    // First what can fail without leaving anything behind.
    try_address(args.listen)?;
    let audit = audit(&args)?;
    let directory = DataDirectory::prepare(&args.data_dir)?;
    let store = match open_store(&args).await {
        Ok(store) => store,
        Err(failure) => {
            directory.take_back();
            return Err(failure);
        }
    };
    let options = mosaic_apiserver::Options {
        data_dir: args.data_dir.clone(),
        listen: args.listen,
        advertise: args.advertise_address,
        names: args.tls_san.clone(),
        anonymous: args.anonymous_auth,
        service_range: args.service_cluster_ip_range,
        toleration_seconds: args.hosts.toleration_seconds(),
        registry: args.registry.listens(&args.store).is_some(),
        audit,
    };
    let records = store.clone();
    let server = mosaic_apiserver::Server::start(options, store)
        .await
        .map_err(|error| {
            let failure = Failure::new(format!("cannot start the server: {error}"));
            match error {
                mosaic_apiserver::ServerError::Listen { .. } => failure.hint(LISTEN_HINT),
                _ => failure,
            }
        })?;
    let registry = match registry::Running::start(
        &args.registry,
        &args.store,
        records,
        &args.data_dir,
        &server,
    )
    .await
    {
        Ok(registry) => registry,
        Err(failure) => {
            server.stop().await;
            return Err(failure);
        }
    };
    tracing::info!(
        address = %format!("https://{}", server.address()),
        kubeconfig = %args.data_dir.join("admin.kubeconfig").display(),
        "ready"
    );
    let controllers = Controllers::start(&server, args.hosts.settings());
    crate::signals::told_to_stop().await;
    tracing::info!("stopping");
    if let Some(registry) = registry {
        registry.stop().await;
    }
    controllers.stop().await;
    server.stop().await;
    Ok(())
}

/// Sees whether the address can be listened on. The server binds it for good once its store is open;
/// until then clients are refused, rather than kept waiting for a store that may not answer.
fn try_address(address: SocketAddr) -> Result<(), Failure> {
    std::net::TcpListener::bind(address)
        .map(drop)
        .map_err(|error| {
            Failure::new(format!("cannot listen on {address}: {error}")).hint(LISTEN_HINT)
        })
}

async fn open_store(args: &ServerArgs) -> Result<std::sync::Arc<dyn mosaic_store::Store>, Failure> {
    match &args.store {
        Store::Sqlite => {
            let store = mosaic_store::Sqlite::open(&args.data_dir).map_err(|error| {
                Failure::new(format!(
                    "cannot open the database in {}: {error}",
                    args.data_dir.display()
                ))
            })?;
            Ok(std::sync::Arc::new(store))
        }
        Store::Etcd(urls) => {
            let secure = urls.iter().any(|url| url.starts_with("https:"));
            let tls = secure.then(|| mosaic_store::EtcdTls {
                ca: args.etcd_ca.clone(),
                cert: args.etcd_cert.clone(),
                key: args.etcd_key.clone(),
            });
            let options = mosaic_store::EtcdOptions {
                tls,
                ..mosaic_store::EtcdOptions::default()
            };
            let members = urls.join(", ");
            let mut connect = std::pin::pin!(mosaic_store::Etcd::connect(urls, "", options));
            let connected = match tokio::time::timeout(ETCD_IS_SLOW, &mut connect).await {
                Ok(connected) => connected,
                Err(_) => {
                    tracing::info!("waiting for etcd at {members}");
                    connect.await
                }
            };
            let store = connected.map_err(|error| {
                Failure::new(format!("cannot reach etcd at {members}: {error}")).hint(
                    "check that its members run, and that the URLs and certificates are theirs",
                )
            })?;
            Ok(std::sync::Arc::new(store))
        }
    }
}

fn audit(args: &ServerArgs) -> Result<Option<(AuditPolicy, AuditLog)>, Failure> {
    let Some(path) = &args.audit_log else {
        return Ok(None);
    };
    let policy = match &args.audit_policy {
        None => AuditPolicy::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure::new(format!(
                    "audit-policy: cannot read {}: {error}",
                    file.display()
                ))
            })?;
            AuditPolicy::parse(&text).map_err(|error| {
                Failure::new(format!("audit-policy: {}: {error}", file.display()))
            })?
        }
    };
    let log = AuditLog::open(AuditLogOptions::new(path)).map_err(|error| {
        let missing = missing_directory(path);
        let path = path.display();
        match missing {
            Some(directory) => Failure::new(format!(
                "audit-log: cannot open {path}: the directory {} does not exist",
                directory.display()
            ))
            .hint(format!("make it: mkdir -p {}", directory.display())),
            None => Failure::new(format!("audit-log: cannot open {path}: {error}")),
        }
    })?;
    Ok(Some((policy, log)))
}

/// The directory that a file should be in, if there is none.
fn missing_directory(file: &Path) -> Option<&Path> {
    let directory = file.parent()?;
    let named = !directory.as_os_str().is_empty();
    (named && !directory.exists()).then_some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_parsed_and_refused_with_a_reason() {
        assert_eq!("sqlite".parse(), Ok(Store::Sqlite));
        assert_eq!(
            "etcd=http://a:2379,http://b:2379/".parse(),
            Ok(Store::Etcd(vec![
                "http://a:2379".into(),
                "http://b:2379".into()
            ]))
        );
        for bad in [
            "",
            "etcd",
            "etcd=",
            "etcd=a:2379",
            "etcd=https://a",
            "etcd=http://a:1,https://b:2",
            "etcd=http://a:1/x",
        ] {
            assert!(bad.parse::<Store>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_and_names_are_checked() {
        assert!(service_range("10.96.0.0/16").is_ok());
        assert!(service_range("fd00::/108").is_ok());
        assert!(
            service_range("10.96.0.1/16")
                .unwrap_err()
                .contains("10.96.0.0/16")
        );
        assert!(service_range("10.0.0.0/8").is_err());
        assert!(service_range("10.0.0.0/30").is_err());
        assert!(subject_name("*.example.com").is_ok());
        assert!(subject_name("10.0.0.1").is_ok());
        assert!(subject_name("a_b").is_err());
        assert!(subject_name("").is_err());
    }
}
