//! `mos image push|pull|copy`: images between a local directory and registries, and between registries.

use clap::Args;
use mosaic_image::config::host_platform;
use mosaic_image::document::Platform;
use mosaic_image::{CopyOptions, Name, Place, copy as move_image};

use super::bar::Bar;
use super::places::{At, Places};
use super::{parse_name, parse_platform, size};
use crate::failure::Failure;
use crate::output;

/// Push an image from the local directory to a registry
///
/// Layers that the registry has already are not sent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image push shop/web:1 --dir ./images
  mos image push nginx:1.27 registry.example.com/mirror/nginx:1.27 --dir ./images")]
pub(crate) struct PushArgs {
    /// The image
    #[arg(value_name = "IMAGE", value_parser = parse_name)]
    image: Name,
    /// Its name in the registry; by default the same, and without a registry the cluster's
    #[arg(value_name = "TARGET", value_parser = parse_name)]
    target: Option<Name>,
    #[command(flatten)]
    how: HowArgs,
}

/// Pull an image from a registry into the local directory
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image pull shop/web:1 --dir ./images
  mos image pull debian:12 --all-platforms --dir ./images")]
pub(crate) struct PullArgs {
    /// The image
    #[arg(value_name = "IMAGE", value_parser = parse_name)]
    image: Name,
    #[command(flatten)]
    how: HowArgs,
}

/// Copy an image from a registry to a registry
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image copy docker.io/library/debian:12 shop/debian:12
  mos image copy shop/web:1 registry.example.com/shop/web:1 --referrers")]
pub(crate) struct CopyArgs {
    /// The image
    #[arg(value_name = "IMAGE", value_parser = parse_name)]
    image: Name,
    /// Where it goes; a name without a registry is in the cluster's
    #[arg(value_name = "TARGET", value_parser = parse_name)]
    target: Name,
    #[command(flatten)]
    how: HowArgs,
}

/// Which part of an image moves.
#[derive(Debug, Args)]
struct HowArgs {
    /// Of an image for several platforms the one for this, such as linux/arm64; by default all for push and copy, this
    /// machine's for pull
    #[arg(long, value_name = "OS/ARCH", value_parser = parse_platform, conflicts_with = "all_platforms")]
    platform: Option<Platform>,
    /// The images for all platforms
    #[arg(long)]
    all_platforms: bool,
    /// Signatures and other documents about the image too
    #[arg(long)]
    referrers: bool,
}

impl HowArgs {
    fn options(self, default: Option<Platform>, progress: std::sync::Arc<Bar>) -> CopyOptions {
        CopyOptions {
            platform: self.platform.or(default.filter(|_| !self.all_platforms)),
            referrers: self.referrers,
            progress,
        }
    }
}

/// Runs `push`.
pub(super) async fn push(args: PushArgs, places: &Places<'_>) -> Result<(), Failure> {
    let source = At {
        place: places.local().await?,
        name: args.image.with_default_tag(),
    };
    let target = places
        .in_registry(args.target.as_ref().unwrap_or(&args.image))
        .await?;
    transfer(&source, &target, args.how, None, "push").await
}

/// Runs `pull`.
pub(super) async fn pull(args: PullArgs, places: &Places<'_>) -> Result<(), Failure> {
    let target = std::sync::Arc::new(places.local_to_write().await?);
    let source = places.to_pull(&args.image).await?;
    let target = At {
        place: target,
        name: args.image.with_default_tag(),
    };
    transfer(&source, &target, args.how, Some(host_platform()), "pull").await
}

/// Runs `copy`.
pub(super) async fn copy(args: CopyArgs, places: &Places<'_>) -> Result<(), Failure> {
    let source = places.to_pull(&args.image).await?;
    let target = places.in_registry(&args.target).await?;
    transfer(&source, &target, args.how, None, "copy").await
}

async fn transfer(
    from: &At,
    to: &At,
    how: HowArgs,
    platform: Option<Platform>,
    what: &str,
) -> Result<(), Failure> {
    let bar = Bar::new(format!("{what} {}", from.name));
    let options = how.options(platform, bar);
    let (source, target): (&dyn Place, &dyn Place) = (&*from.place, &*to.place);
    let copied = move_image(source, &from.name, target, &to.name, &options).await?;
    drop(options);
    eprintln!(
        "{}: {} moved, {} there already",
        to.name,
        size(copied.moved),
        size(copied.spared)
    );
    output::line(&format!("{}", copied.document.digest()))
}
