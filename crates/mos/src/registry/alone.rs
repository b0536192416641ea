//! `mos registry`: the registry without a cluster around it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use mosaic_auth::pki::{self, Authority, ServingResolver};
use mosaic_registry::AllowAll;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::storage::{MirrorArgs, Storage};
use super::{collect, listen, open, serve};
use crate::client::duration;
use crate::failure::Failure;
use crate::output::log;
use crate::server::{LogFormat, subject_name};
use crate::signals::told_to_stop;

/// Run an image registry alone
///
/// Any OCI client can push and pull. Nobody is asked who they are, so it listens on the loopback interface unless it is
/// told that everybody who reaches it may do everything. In `mos server`, the registry has the cluster's identities and
/// rights.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos registry --data-dir /var/lib/mosaic-registry
  mos registry --listen 127.0.0.1:5001 --plain-http")]
pub(crate) struct RegistryArgs {
    /// Directory of the images, and of the authority that signs the certificate; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "/var/lib/mosaic-registry")]
    data_dir: PathBuf,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR:PORT", default_value_t = super::DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// Speak plain HTTP instead of TLS
    #[arg(long)]
    plain_http: bool,
    /// Listen also where others than this machine's users come from, who may all do everything
    #[arg(long)]
    open: bool,
    /// Further name or address in the certificate; may be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = subject_name)]
    tls_san: Vec<String>,
    /// How long what was uploaded stays without an image that needs it; a push has to end within half of it
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    grace: Duration,
    #[command(flatten)]
    mirrors: MirrorArgs,
    /// Form of the log, which goes to standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

/// Runs the registry until it is told to stop.
pub(crate) fn run(args: RegistryArgs) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() && !args.open {
        return Err(Failure::usage(format!(
            "on {} everybody who reaches this machine could push and delete images",
            args.listen
        ))
        .hint("give --open if that is what you want")
        .hint("`mos server --registry-listen ADDR:PORT` has a registry with users and rights"));
    }
    log::to_stderr_for_server(args.log_format == LogFormat::Json, &args.log_level)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("mos")
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?
        .block_on(registry(args))
}

async fn registry(args: RegistryArgs) -> Result<(), Failure> {
    let listener = listen(args.listen)
        .await
        .map_err(|failure| failure.hint("choose another with --listen ADDR:PORT"))?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::new(format!("the image registry has no address: {error}")))?;
    let storage = Storage::directory(&args.data_dir)?;
    let registry = open(storage, Arc::new(AllowAll), args.grace, !args.plain_http);
    registry.set_mirrors(args.mirrors.open()?);
    let tls = if args.plain_http {
        None
    } else {
        Some(tls(&args, address)?)
    };
    let scheme = if args.plain_http { "http" } else { "https" };
    if tls.is_some() {
        tracing::info!(
            "clients check its certificate against {}",
            args.data_dir.join("pki/ca.crt").display()
        );
    }
    tracing::info!(
        address = %format!("{scheme}://{address}"),
        directory = %args.data_dir.display(),
        "ready"
    );
    let shutdown = CancellationToken::new();
    let collecting = tokio::spawn(collect(registry.clone(), args.grace, shutdown.clone()));
    let serving = serve(listener, tls, None, registry, shutdown.clone());
    let stopping = async {
        told_to_stop().await;
        tracing::info!("stopping");
        shutdown.cancel();
    };
    tokio::join!(serving, stopping);
    let _ = collecting.await;
    Ok(())
}

/// TLS by an authority of the registry's own, whose certificate clients get from `DIR/pki/ca.crt`.
fn tls(args: &RegistryArgs, address: SocketAddr) -> Result<TlsAcceptor, Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        let directory = args.data_dir.display();
        Failure::new(format!("cannot make a certificate in {directory}: {error}"))
    };
    let directory = args.data_dir.join("pki");
    let authority = Authority::load_or_create(&directory).map_err(|error| cannot(&error))?;
    let names = pki::serving_names(address, &args.tls_san);
    let certificate = authority
        .serving_certificate(&directory, &names, Timestamp::now().as_second())
        .map_err(|error| cannot(&error))?;
    let resolver = ServingResolver::new(&certificate).map_err(|error| cannot(&error))?;
    let config = pki::rustls_server_config(&authority, resolver).map_err(|error| cannot(&error))?;
    Ok(TlsAcceptor::from(config))
}
