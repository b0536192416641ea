//! `mos image save|load`: images to and from a tar that Docker and skopeo read and write too.

use std::fs::Permissions;
use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use mosaic_image::archive::{self, LoadOptions, SaveOptions, Source};
use mosaic_image::{Name, Place, Platform};
use tokio::io::AsyncWriteExt;

use super::bar::Bar;
use super::places::Places;
use super::{parse_name, parse_platform, size};
use crate::failure::Failure;
use crate::output;

/// Save images to a tar, or only what they add to a base
///
/// Without --base, Docker and skopeo can load the tar. With it, only layers and configuration that the base lacks are in
/// it; `mos image load` completes it where the base is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image save shop/web:1 -o web.tar
  mos image save shop/web:2 --base shop/web:1 -o delta.tar
  mos image save shop/web:1 | ssh other-host mos image load")]
pub(crate) struct SaveArgs {
    /// The images
    #[arg(value_name = "IMAGE", required = true, value_parser = parse_name)]
    images: Vec<Name>,
    /// An image that the receiver has; may be given several times
    #[arg(long, value_name = "IMAGE", value_parser = parse_name)]
    base: Vec<Name>,
    /// The tar; by default, and with `-`, standard output, if that is no terminal
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Of images for several platforms only those for this, such as linux/amd64
    #[arg(long, value_name = "OS/ARCH", value_parser = parse_platform)]
    platform: Option<Platform>,
}

/// Load images from a tar
///
/// The tar may be of mos image save, docker save or skopeo, and may be compressed. Everything in it is checked against
/// its digest. What a tar of mos image save --base leaves out must be there already.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image load -i web.tar
  docker save app:1 | mos image load --name shop/app:1")]
pub(crate) struct LoadArgs {
    /// The tar; by default standard input, if that is no terminal
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The image's name, if the tar holds one image; by default the one in the tar
    #[arg(long, value_name = "IMAGE", value_parser = parse_name)]
    name: Option<Name>,
}

/// Runs `save`.
pub(super) async fn save(args: SaveArgs, places: &Places<'_>) -> Result<(), Failure> {
    let mut names = Vec::new();
    let mut place = None;
    for image in &args.images {
        let at = places.to_read(image).await?;
        names.push(source(image, at.name));
        place = Some(at.place);
    }
    let Some(place) = place else {
        return Err(Failure::usage("no image is named"));
    };
    let mut bases = Vec::new();
    for base in &args.base {
        bases.push(source(base, places.to_read(base).await?.name));
    }
    let output = args.output.filter(|path| path != Path::new("-"));
    if output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::usage("a tar is not for a terminal")
            .hint("give -o FILE, or send the output somewhere else"));
    }
    let options = SaveOptions {
        bases,
        platform: args.platform,
        progress: Bar::new("save".into()),
    };
    let place: &dyn Place = &*place;
    let saved = match &output {
        None => {
            let mut out = tokio::io::stdout();
            let saved = archive::save(place, &names, &mut out, &options).await?;
            out.flush().await?;
            saved
        }
        Some(path) => to_file(path, place, &names, &options).await?,
    };
    drop(options);
    let omitted: u64 = saved.omitted.iter().map(|blob| blob.size()).sum();
    eprintln!(
        "saved {} with {} blobs{}",
        size(saved.bytes),
        saved.blobs,
        if saved.omitted.is_empty() {
            String::new()
        } else {
            format!("; {} are left out, which the base has", size(omitted))
        }
    );
    Ok(())
}

/// An image by the name that the user gave it: the receiver may know the registry by another address.
fn source(given: &Name, name: Name) -> Source {
    Source {
        name,
        saved_as: given.with_default_tag(),
    }
}

/// Writes beside the file and renames, so that there is never half a tar under its name. What is there and no file, such as
/// a pipe, is written to.
async fn to_file(
    path: &Path,
    place: &dyn Place,
    names: &[Source],
    options: &SaveOptions,
) -> Result<archive::Saved, Failure> {
    let cannot =
        |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", path.display()));
    // A link stays one.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let there = std::fs::metadata(&target).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        let file = tokio::fs::File::options().write(true).open(&target).await;
        let mut out = tokio::io::BufWriter::with_capacity(256 << 10, file.map_err(cannot)?);
        return Ok(archive::save(place, names, &mut out, options).await?);
    }
    let permissions = there.map_or(Permissions::from_mode(0o666), |there| there.permissions());
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .permissions(permissions)
        .tempfile_in(folder);
    let temporary = temporary.map_err(cannot)?;
    let file = temporary.reopen().map_err(cannot)?;
    let mut out = tokio::io::BufWriter::with_capacity(256 << 10, tokio::fs::File::from_std(file));
    let saved = archive::save(place, names, &mut out, options).await?;
    out.flush().await.map_err(cannot)?;
    out.into_inner().sync_all().await.map_err(cannot)?;
    temporary
        .persist(&target)
        .map_err(|error| cannot(error.error))?;
    Ok(saved)
}

/// Runs `load`.
pub(super) async fn load(args: LoadArgs, places: &Places<'_>) -> Result<(), Failure> {
    let into = places.to_load(args.name.as_ref()).await?;
    let options = LoadOptions {
        name: into.name,
        registry: into.registry,
        progress: Bar::new("load".into()),
        ..LoadOptions::default()
    };
    let (place, staging): (&dyn Place, &Path) = (&*into.place, into.staging.path());
    let loaded = match &args.input {
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::usage("a tar is wanted on standard input")
                .hint("give -i FILE, or send a tar to the command"));
        }
        None => archive::load(tokio::io::stdin(), place, staging, &options).await?,
        Some(path) => {
            let file = tokio::fs::File::open(path).await.map_err(|error| {
                Failure::new(format!("cannot read {}: {error}", path.display()))
            })?;
            archive::load(file, place, staging, &options).await?
        }
    };
    drop(options);
    for image in loaded {
        for name in &image.names {
            output::line(&format!("{name}@{}", image.document.digest()))?;
        }
        if image.completed > 0 {
            eprintln!("{} blobs were here already", image.completed);
        }
    }
    Ok(())
}
