//! `mos image rm|prune`.

use clap::Args;
use mosaic_image::Name;

use super::places::Places;
use super::{parse_name, size};
use crate::failure::Failure;
use crate::output;

/// Delete images by name
///
/// A tag is taken away; by digest, the image is, with all its tags. The space comes back with the registry's next
/// collection if no other tag leads to the image, in a local directory with mos image prune.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image rm shop/web:1
  mos image rm shop/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
pub(crate) struct RmArgs {
    /// The images
    #[arg(value_name = "IMAGE", required = true, value_parser = parse_name)]
    images: Vec<Name>,
}

/// Delete images that no tag leads to
///
/// Pushing a tag anew, or taking it away, leaves its last image behind, which can still be pulled by its digest. In the
/// registry, images that were pushed longer ago than the registry's grace (24 hours by default) are deleted, and their
/// space comes back with the registry's next collection. In a local directory, space that no image uses comes back at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image prune
  mos image prune shop/web --dry-run
  mos image prune --dir ./images")]
pub(crate) struct PruneArgs {
    /// The repositories; by default all of the registry
    #[arg(value_name = "REPOSITORY", value_parser = parse_name)]
    repositories: Vec<Name>,
    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,
}

/// Runs `rm`.
pub(super) async fn rm(args: RmArgs, places: &Places<'_>) -> Result<(), Failure> {
    let mut outcome = crate::commands::Outcome::default();
    for image in &args.images {
        let removed = async {
            let at = places.to_write(image).await?;
            if at.place.delete(&at.name).await? {
                output::line(&format!("{} deleted", at.name))
            } else {
                let place = at.place.describe();
                Err(Failure::new(format!("{} is not in {place}", at.name))
                    .hint("`mos image ls` shows what is there"))
            }
        };
        outcome.record(removed.await)?;
    }
    outcome.finish()
}

/// Runs `prune`.
pub(super) async fn prune(args: PruneArgs, places: &Places<'_>) -> Result<(), Failure> {
    if !places.is_local() {
        return prune_registry(args, places).await;
    }
    if !args.repositories.is_empty() || args.dry_run {
        return Err(Failure::usage(
            "a local directory is pruned as a whole, without repositories and --dry-run",
        ));
    }
    let pruned = places.local_layout().await?.prune().await?;
    output::line(&format!(
        "{} blobs deleted, {} free again",
        pruned.blobs,
        size(pruned.bytes)
    ))
}

async fn prune_registry(args: PruneArgs, places: &Places<'_>) -> Result<(), Failure> {
    let registry = places.registry().await?;
    let repositories = if args.repositories.is_empty() {
        places.repositories().await?
    } else {
        let mut named = Vec::new();
        for repository in &args.repositories {
            named.push(places.in_registry(repository).await?.name);
        }
        named
    };
    let mut outcome = crate::commands::Outcome::default();
    let mut count = 0;
    for repository in &repositories {
        let pruned = async {
            loop {
                let pruned = registry.prune(repository, args.dry_run).await?;
                let over = pruned.is_empty() || args.dry_run;
                for digest in pruned {
                    output::line(&repository.untagged().with_digest(digest).to_string())?;
                    count += 1;
                }
                if over {
                    return Ok(());
                }
            }
        };
        outcome.record(pruned.await)?;
    }
    let what = if args.dry_run {
        "would be deleted"
    } else {
        "deleted"
    };
    eprintln!("{count} images {what}");
    outcome.finish()
}
