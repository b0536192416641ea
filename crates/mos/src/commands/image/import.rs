//! `mos image import`: an image of a tree.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use mosaic_image::config::{Changes, host_platform};
use mosaic_image::import::{ImportError, ImportOptions, TreeOptions, import};
use mosaic_image::{Name, Platform};

use super::places::Places;
use super::{parse_name, parse_platform};
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// Make an image from a directory, or a layer on a base
///
/// The same tree with the same options is the same image, if SOURCE_DATE_EPOCH is set, whenever and wherever it is made.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image import ./rootfs --name shop/web:1 --entrypoint /bin/web --env PORT=8080
  mos image import ./site --name shop/site:2 --base shop/nginx:1.27
  mos image import ./rootfs --name app:1 --dir ./images --cmd sh --cmd -c --cmd 'exec app'")]
pub(crate) struct ImportArgs {
    /// The directory
    #[arg(value_name = "DIR")]
    tree: PathBuf,
    /// The image's name
    #[arg(long, value_name = "IMAGE", value_parser = parse_name)]
    name: Name,
    /// The image that the directory is laid on
    #[arg(long, value_name = "IMAGE", value_parser = parse_name)]
    base: Option<Name>,
    /// The program, and its first arguments: given once for each word
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// Arguments that whoever runs it may replace: given once for each word
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// A variable of the environment; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<String>,
    /// The directory that it starts in
    #[arg(long, value_name = "PATH")]
    workdir: Option<String>,
    /// Whom it runs as: USER or USER:GROUP, names or numbers
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// A label; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// A port that it listens on, such as 8080 or 53/udp; may be given several times
    #[arg(long, value_name = "PORT", value_parser = port)]
    expose: Vec<String>,
    /// What it runs on; by default this machine's
    #[arg(long, value_name = "OS/ARCH", value_parser = parse_platform)]
    platform: Option<Platform>,
    /// Whose all files become: USER:GROUP, numbers; by default whose they are
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    owner: Option<(u32, u32)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "NAME=VALUE is wanted".into())
}

fn variable(text: &str) -> Result<String, String> {
    pair(text).map(|_| text.to_owned())
}

fn port(text: &str) -> Result<String, String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_port = number.parse::<u16>().is_ok_and(|number| number > 0);
    if is_port && matches!(protocol, "tcp" | "udp" | "sctp") {
        Ok(format!("{number}/{protocol}"))
    } else {
        Err("a port such as 80, 80/tcp or 53/udp is wanted".into())
    }
}

fn owner(text: &str) -> Result<(u32, u32), String> {
    let numbers = text
        .split_once(':')
        .and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
    numbers.ok_or_else(|| "two numbers are wanted, such as 0:0".into())
}

/// Runs `import`.
pub(super) async fn run(args: ImportArgs, places: &Places<'_>) -> Result<(), Failure> {
    let into = places.to_load(Some(&args.name)).await?;
    let base = match &args.base {
        Some(base) => Some(places.to_write(base).await?.name),
        None => None,
    };
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let epoch: Option<u64> = match epoch.as_deref() {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            Failure::usage(format!(
                "SOURCE_DATE_EPOCH is `{text}`, not seconds since 1970"
            ))
        })?),
    };
    let now = match epoch {
        None => Timestamp::now(),
        Some(seconds) => i64::try_from(seconds)
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .ok_or_else(|| Failure::usage("SOURCE_DATE_EPOCH is no time that there is"))?,
    };
    let words = |words: Vec<String>| (!words.is_empty()).then_some(words);
    let options = ImportOptions {
        base,
        changes: Changes {
            entrypoint: words(args.entrypoint),
            cmd: words(args.cmd),
            env: args.env,
            working_dir: args.workdir,
            user: args.user,
            labels: args.label,
            exposed_ports: args.expose,
        },
        platform: args.platform.unwrap_or_else(host_platform),
        tree: TreeOptions {
            mtime_max: epoch,
            owner: args.owner,
            ..TreeOptions::default()
        },
        created: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        created_by: "mos image import".into(),
    };
    let name = into.name.as_ref().unwrap_or(&args.name);
    let spinner = Progress::spinner(format!("import {}", args.tree.display()));
    let document = import(
        &args.tree,
        &*into.place,
        name,
        into.staging.path(),
        &options,
    )
    .await?;
    drop(spinner);
    eprintln!("{name}");
    output::line(document.digest().as_ref())
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Place(error) => error.into(),
            other => Self::new(other.to_string()),
        }
    }
}
