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
/// collection, in a local directory with mos image prune.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image rm shop/web:1
  mos image rm shop/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
pub(crate) struct RmArgs {
    /// The images
    #[arg(value_name = "IMAGE", required = true, value_parser = parse_name)]
    images: Vec<Name>,
}

/// Give back the space of what no image of the local directory uses
///
/// The cluster's registry does this by itself.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {}

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
pub(super) async fn prune(_: PruneArgs, places: &Places<'_>) -> Result<(), Failure> {
    let pruned = places.local_layout().await?.prune().await?;
    output::line(&format!(
        "{} blobs deleted, {} free again",
        pruned.blobs,
        size(pruned.bytes)
    ))
}
