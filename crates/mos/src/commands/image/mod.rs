//! `mos image`: images in the cluster's registry, in other registries and in local directories.
//!
//! ```text
//!   push, pull            a local directory ⇄ a registry
//!   copy                  a registry ─► a registry
//!   import, load, save    a tree or a tar ⇄ the cluster's registry, or a local directory with --dir
//!   ls, inspect, rm,      the same places
//!   prune
//! ```

mod archive;
mod bar;
mod import;
mod places;
mod remove;
mod show;
mod transfer;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mosaic_image::{Name, PlaceError, Platform, archive::ArchiveError};

use crate::client::ConnectionArgs;
use crate::failure::Failure;
use crate::output::bytes as size;
use crate::signals::told_to_stop;

/// Move, make and look at container images
///
/// Images are in registries and in local directories. The cluster's registry is found by way of the kubeconfig, with no
/// login. A name without a registry, such as `app:1` or `team/app:1`, is one of the cluster's registry; what is not there is
/// pulled from Docker's. Logins for other registries are those of Docker (~/.docker/config.json).
///
/// A local directory is an OCI image layout, which skopeo reads and writes as `oci:DIR`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image import ./rootfs --name shop/web:1 --entrypoint /bin/web
  mos image copy nginx:1.27 shop/nginx:1.27
  mos image save shop/web:2 --base shop/web:1 -o delta.tar
  mos image inspect shop/web:2")]
pub(crate) struct ImageArgs {
    /// Where images are, and how registries are spoken to.
    #[command(flatten)]
    pub(crate) places: PlaceArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) what: What,
}

/// Where images are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Places")]
pub(crate) struct PlaceArgs {
    /// Local directory of images, which push and pull need, and which the others use instead of the cluster's registry
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Registry to use as the cluster's, instead of the one that the kubeconfig leads to
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub(crate) registry: Option<String>,
    /// Certificates that registries' are checked against besides the usual ones (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Speak plain HTTP to registries but Docker's, which anybody on the way can read and change
    #[arg(long, global = true)]
    pub(crate) plain_http: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    Push(transfer::PushArgs),
    Pull(transfer::PullArgs),
    Copy(transfer::CopyArgs),
    Import(import::ImportArgs),
    Load(archive::LoadArgs),
    Save(archive::SaveArgs),
    #[command(visible_alias = "list")]
    Ls(show::LsArgs),
    Inspect(show::InspectArgs),
    Rm(remove::RmArgs),
    Prune(remove::PruneArgs),
}

/// Runs the command. What it was moving is not kept when it is interrupted.
pub(crate) async fn run(args: ImageArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let places = places::Places::new(args.places, connection);
    let done = async {
        match args.what {
            What::Push(args) => transfer::push(args, &places).await,
            What::Pull(args) => transfer::pull(args, &places).await,
            What::Copy(args) => transfer::copy(args, &places).await,
            What::Import(args) => import::run(args, &places).await,
            What::Load(args) => archive::load(args, &places).await,
            What::Save(args) => archive::save(args, &places).await,
            What::Ls(args) => show::ls(args, &places).await,
            What::Inspect(args) => show::inspect(args, &places).await,
            What::Rm(args) => remove::rm(args, &places).await,
            What::Prune(args) => remove::prune(args, &places).await,
        }
    };
    tokio::select! {
        done = done => done,
        () = told_to_stop() => Err(Failure::new("interrupted")),
    }
}

fn parse_name(text: &str) -> Result<Name, String> {
    text.parse::<Name>().map_err(|error| error.to_string())
}

fn parse_platform(text: &str) -> Result<Platform, String> {
    mosaic_image::config::parse_platform(text)
        .ok_or_else(|| "a platform such as linux/amd64 or linux/arm64/v8 is wanted".into())
}

impl From<PlaceError> for Failure {
    fn from(error: PlaceError) -> Self {
        let failure = Self::new(error.to_string());
        match &error {
            PlaceError::Refused { status: 401, .. } => failure
                .hint("log in with `docker login REGISTRY`; for the cluster's registry, the kubeconfig's user counts"),
            PlaceError::Unreachable { reason, .. } if reason.contains("UnknownIssuer") => failure
                .hint("give the authority of the registry's certificate with --ca FILE"),
            _ => failure,
        }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Place(error) => error.into(),
            other => Self::new(other.to_string()),
        }
    }
}
