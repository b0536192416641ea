//! The measurement of the image registry, beside Debian's `docker-registry`, with skopeo as the client of both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use futures::{StreamExt, TryStreamExt};
use mosaic_image::config::{Changes, NewLayer, derive, host_platform};
use mosaic_image::digest::sha256;
use mosaic_image::document::describe;
use mosaic_image::place::{As, bytes_body};
use mosaic_image::{Descriptor, Document, Layout, Name, Place, media};
use rand::RngCore;
use serde_json::json;
use tempfile::TempDir;

use super::figures::{Figures, Target, median, megabytes};
use super::load::as_float;
use super::machine::Machine;
use super::process::{self, Process, directory};
use crate::failure::Failure;
use crate::progress::Progress;

/// Measure the image registry: pushes and pulls, memory, child images.
///
/// Starts a registry of its own and Debian's docker-registry on free ports of the loopback interface, with directories
/// of their own, pushes images to both and pulls them again with skopeo, in turns, and ends them. Nothing else is
/// touched, but that skopeo notes where it saw which layer in its own cache.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos bench image
  mos bench image --json
  mos bench image --quick")]
pub(crate) struct ImageArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// How many images are pushed and pulled
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    images: u16,
    /// How many layers each of them has
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=20))]
    layers: u16,
    /// How many megabytes each layer has
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    layer_mb: u32,
    /// How many clients push and pull at once
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    clients: u16,
    /// How often everything is measured; the median counts
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=25))]
    rounds: u8,
    /// Try everything with small numbers, in a few seconds; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Directory on the disk to measure; by default the one for temporary files
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The registry to measure beside
    #[arg(long, value_name = "FILE", default_value = "docker-registry")]
    docker_registry: PathBuf,
    /// The client
    #[arg(long, value_name = "FILE", default_value = "skopeo")]
    skopeo: PathBuf,
}

/// The figures to reach on two cores.
fn targets(key: &str) -> Option<Target> {
    Some(match key {
        "push_cold_ratio" | "pull_cold_ratio" | "push_shared_ratio" | "pull_shared_ratio"
        | "cold_ratio" | "shared_ratio" => Target::AtLeast(1.3),
        "memory_mb" => Target::AtMost(80.0),
        "child_save_size_percent" | "child_save_time_percent" => Target::AtMost(2.0),
        _ => return None,
    })
}

/// The kinds of images that are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// No two have a layer in common.
    Cold,
    /// All layers but one are those of all the others.
    Shared,
}

impl Set {
    fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Shared => "shared",
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    images: usize,
    layers: usize,
    layer: usize,
    clients: usize,
    rounds: usize,
}

impl Sizes {
    fn new(args: &ImageArgs) -> Self {
        if args.quick {
            return Self {
                images: 2,
                layers: 2,
                layer: 200_000,
                clients: 2,
                rounds: 1,
            };
        }
        Self {
            images: args.images.into(),
            layers: args.layers.into(),
            layer: usize::try_from(args.layer_mb).unwrap_or(usize::MAX) * 1_000_000,
            clients: args.clients.into(),
            rounds: args.rounds.into(),
        }
    }

    /// The bytes of all images, each layer counted for every image that has it.
    fn bytes(self) -> u64 {
        (self.images * self.layers * self.layer) as u64
    }
}

/// All images of a set that were pushed or pulled once.
struct Move {
    what: &'static str,
    set: Set,
    /// How long that took.
    seconds: f64,
    /// Processor time of the registry and of its clients in it, in seconds.
    cpu: [f64; 2],
}

/// A registry that is measured.
struct Measured {
    process: Process,
    address: String,
    moves: Vec<Move>,
    /// The most memory that it used in any round, in bytes.
    memory: u64,
}

/// Measures, and prints what came of it.
pub(super) async fn run(args: ImageArgs) -> Result<(), Failure> {
    let sizes = Sizes::new(&args);
    let directory = directory(args.dir.as_deref())?;
    let machine = Machine::before();
    let progress = Progress::new(sizes.rounds * 8 + 1, "bench");
    let none = |_: &str| None;
    let mut figures = Figures::new(if args.quick { none } else { targets });
    let mut moves: [Vec<Move>; 2] = Default::default();
    let (mut memory, mut reference_memory) = (0, 0);
    for round in 0..sizes.rounds {
        progress.message("making images");
        let bench = Round::new(&args, sizes, &directory, round).await?;
        let mut both = bench.start(&args).await?;
        // In turns, and the first of the two changes: what one leaves behind is not always the other's.
        for set in [Set::Cold, Set::Shared] {
            for what in ["push", "pull"] {
                let [own, reference] = &mut both;
                let mut order = [own, reference];
                if round % 2 == 1 {
                    order.reverse();
                }
                for measured in order {
                    progress.message(&format!(
                        "{what}, {}: {}",
                        set.name(),
                        measured.process.name()
                    ));
                    bench.measure(measured, what, set).await?;
                    progress.step();
                }
            }
        }
        let [own, reference] = both;
        memory = memory.max(own.memory);
        reference_memory = reference_memory.max(reference.memory);
        for (measured, moves) in [own, reference].into_iter().zip(&mut moves) {
            moves.extend(measured.moves);
            measured.process.stop().await?;
        }
    }
    rates(&moves, sizes, &mut figures);
    figures.add("memory_mb", megabytes(memory));
    figures.add("reference_memory_mb", megabytes(reference_memory));
    progress.message("child images");
    child(&directory, sizes, &mut figures).await?;
    drop(progress);
    if args.json {
        let conditions = machine.conditions(json!({
            "images": sizes.images,
            "layers": sizes.layers,
            "layerBytes": sizes.layer,
            "clients": sizes.clients,
            "rounds": sizes.rounds,
            "reference": version(&args.docker_registry),
            "client": version(&args.skopeo),
        }));
        println!("{:#}", figures.to_json(conditions));
        return Ok(());
    }
    figures.print()
}

/// How fast images moved, by which processor time, and the one registry beside the other.
fn rates(moves: &[Vec<Move>; 2], sizes: Sizes, figures: &mut Figures) {
    let megabytes = as_float(sizes.bytes()) / 1e6;
    for set in [Set::Cold, Set::Shared] {
        let mut both = [0.0, 0.0];
        for what in ["push", "pull"] {
            let key = format!("{what}_{}", set.name());
            let mut seconds = [0.0, 0.0];
            for (which, prefix) in ["", "reference_"].into_iter().enumerate() {
                let same = |moves: &Vec<Move>, of: fn(&Move) -> f64| {
                    let same = moves.iter().filter(|it| it.what == what && it.set == set);
                    median(same.map(of).collect())
                };
                let (Some(moves), Some(taken)) = (moves.get(which), seconds.get_mut(which)) else {
                    continue;
                };
                *taken = same(moves, |it| it.seconds);
                figures.add(format!("{prefix}{key}_mb_per_second"), megabytes / *taken);
                figures.add(
                    format!("{prefix}{key}_cpu_seconds"),
                    same(moves, |it| it.cpu[0]),
                );
                figures.add(
                    format!("{prefix}{key}_clients_cpu_seconds"),
                    same(moves, |it| it.cpu[1]),
                );
            }
            let [own, reference] = seconds;
            figures.add(format!("{key}_ratio"), reference / own);
            both = [both[0] + own, both[1] + reference];
        }
        let [own, reference] = both;
        figures.add(format!("{}_ratio", set.name()), reference / own);
    }
}

/// What a program says of itself.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().trim().to_owned()
}

/// One round: images that nobody has seen, and two empty registries.
struct Round {
    sizes: Sizes,
    skopeo: PathBuf,
    directory: TempDir,
}

impl Round {
    async fn new(
        args: &ImageArgs,
        sizes: Sizes,
        within: &TempDir,
        round: usize,
    ) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("round-{round}-"))
            .tempdir_in(within.path())
            .map_err(|error| Failure::new(format!("cannot make a directory: {error}")))?;
        let round = Self {
            sizes,
            skopeo: args.skopeo.clone(),
            directory,
        };
        for set in [Set::Cold, Set::Shared] {
            let layout = Layout::open(round.source(set)).await?;
            let common = match set {
                Set::Cold => Vec::new(),
                Set::Shared => layers(&layout, sizes.layers - 1, sizes.layer).await?,
            };
            for image in 0..sizes.images {
                let own = layers(&layout, sizes.layers - common.len(), sizes.layer).await?;
                let name = format!("image-{image}:1");
                put(&layout, &name, &[common.clone(), own].concat()).await?;
            }
        }
        Ok(round)
    }

    fn source(&self, set: Set) -> PathBuf {
        self.directory.path().join(format!("source-{}", set.name()))
    }

    async fn start(&self, args: &ImageArgs) -> Result<[Measured; 2], Failure> {
        let measured = |(process, address): (Process, std::net::SocketAddr)| Measured {
            process,
            address: address.to_string(),
            moves: Vec::new(),
            memory: 0,
        };
        let path = |name: &str| {
            let path = self.directory.path().join(name);
            std::fs::create_dir_all(&path)
                .map(|()| path)
                .map_err(|error| Failure::new(format!("cannot make a directory: {error}")))
        };
        let own = process::start_registry(&path("own")?).await?;
        let reference =
            process::start_reference_registry(&args.docker_registry, &path("reference")?).await?;
        Ok([measured(own), measured(reference)])
    }

    /// Moves all images of a set to or from a registry.
    async fn measure(
        &self,
        measured: &mut Measured,
        what: &'static str,
        set: Set,
    ) -> Result<(), Failure> {
        let pulled = self.directory.path().join("pulled");
        std::fs::create_dir_all(&pulled)
            .map_err(|error| Failure::new(format!("cannot make a directory: {error}")))?;
        let cpu = || -> Result<[f64; 2], Failure> {
            let clients = process::cpu_of_the_ended()?;
            Ok([measured.process.cpu()?, clients].map(|time| time.as_secs_f64()))
        };
        let before = cpu()?;
        let started = Instant::now();
        futures::stream::iter(0..self.sizes.images)
            .map(|image| {
                let local = match what {
                    "push" => format!("oci:{}:image-{image}:1", self.source(set).display()),
                    _ => format!("dir:{}", pulled.join(image.to_string()).display()),
                };
                let remote = format!(
                    "docker://{}/{}/image-{image}:1",
                    measured.address,
                    set.name()
                );
                let words = match what {
                    "push" => [local, remote],
                    _ => [remote, local],
                };
                let skopeo = self.skopeo.clone();
                async move { copy(&skopeo, &words).await }
            })
            .buffer_unordered(self.sizes.clients)
            .try_collect::<()>()
            .await?;
        let seconds = started.elapsed().as_secs_f64();
        let after = cpu()?;
        measured.moves.push(Move {
            what,
            set,
            seconds,
            cpu: [after[0] - before[0], after[1] - before[1]],
        });
        measured.memory = measured.memory.max(measured.process.memory()?.peak);
        // What was pulled is not to be found by the next pull.
        std::fs::remove_dir_all(&pulled)
            .map_err(|error| Failure::new(format!("cannot remove what was pulled: {error}")))
    }
}

/// Lets skopeo copy an image.
async fn copy(skopeo: &Path, words: &[String; 2]) -> Result<(), Failure> {
    let output = tokio::process::Command::new(skopeo)
        .args(["--insecure-policy", "copy", "--quiet"])
        .args(["--src-tls-verify=false", "--dest-tls-verify=false"])
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| {
            Failure::new(format!("cannot start {}: {error}", skopeo.display()))
                .hint("install skopeo (a package of Debian), or name it with --skopeo FILE")
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("skopeo failed: {}", said.trim())))
}

/// Layers that cannot be compressed further and that nobody has seen.
async fn layers(layout: &Layout, count: usize, bytes: usize) -> Result<Vec<Layer>, Failure> {
    let mut layers = Vec::new();
    for _ in 0..count {
        layers.push(layer(layout, bytes).await?);
    }
    Ok(layers)
}

#[derive(Debug, Clone)]
struct Layer {
    descriptor: Descriptor,
    diff_id: mosaic_image::Digest,
}

/// A tar of one file of noise, as it is: what compresses nothing takes no time.
async fn layer(layout: &Layout, bytes: usize) -> Result<Layer, Failure> {
    let (content, diff_id) = tokio::task::spawn_blocking(move || tar_of_noise(bytes))
        .await
        .map_err(|error| Failure::new(format!("cannot make a layer: {error}")))?
        .map_err(|error| Failure::new(format!("cannot make a layer: {error}")))?;
    let descriptor = describe(media::OCI_LAYER_GZIP, &content);
    let name: Name = unnamed()?;
    layout
        .write(&name, &descriptor, bytes_body(content))
        .await?;
    Ok(Layer {
        descriptor,
        diff_id,
    })
}

fn unnamed() -> Result<Name, Failure> {
    let name = "bench:1".parse();
    name.map_err(|error| Failure::new(format!("a name is refused: {error}")))
}

fn tar_of_noise(bytes: usize) -> std::io::Result<(Vec<u8>, mosaic_image::Digest)> {
    let mut noise = vec![0; bytes];
    rand::rng().fill_bytes(&mut noise);
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::with_capacity(bytes + 4096));
    archive.append_data(&mut header, "noise", noise.as_slice())?;
    let plain = archive.into_inner()?;
    let diff_id = sha256(&plain);
    let mut out = flate2::write::GzEncoder::new(
        Vec::with_capacity(plain.len() + 4096),
        flate2::Compression::none(),
    );
    std::io::Write::write_all(&mut out, &plain)?;
    Ok((out.finish()?, diff_id))
}

/// Puts an image of these layers into a layout.
async fn put(layout: &Layout, name: &str, layers: &[Layer]) -> Result<(), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(format!("cannot make an image: {error}"));
    let name: Name = name.parse().map_err(|error| failed(&error))?;
    let history: Vec<NewLayer> = layers
        .iter()
        .map(|layer| NewLayer {
            diff_id: layer.diff_id.clone(),
            created_by: "bench".into(),
        })
        .collect();
    let config = derive(
        None,
        &host_platform(),
        &history,
        &Changes::default(),
        "1970-01-01T00:00:00Z",
    )
    .map_err(|error| failed(&error))?;
    let config_descriptor = describe(media::OCI_CONFIG, &config);
    layout
        .write(&name, &config_descriptor, bytes_body(config))
        .await?;
    let layers = layers.iter().map(|layer| &layer.descriptor);
    let document = Document::image(false, &config_descriptor, layers, &BTreeMap::new())
        .map_err(|error| failed(&error))?;
    layout.put(&name, &document, As::Root).await?;
    Ok(())
}

/// What it takes to save an image that adds a hundredth to its base, and to save it whole.
async fn child(directory: &TempDir, sizes: Sizes, figures: &mut Figures) -> Result<(), Failure> {
    let path = directory.path().join("child");
    let layout = Layout::open(&path).await?;
    // As large as all images of a round: of a small one, starting the program and the disk's own time are the most.
    let count = sizes.layers * sizes.images;
    let base = layers(&layout, count, sizes.layer).await?;
    put(&layout, "base:1", &base).await?;
    let added = layers(&layout, 1, count * sizes.layer / 100).await?;
    put(&layout, "child:1", &[base, added].concat()).await?;
    let file = directory.path().join("saved.tar");
    let (mut full, mut child) = (Vec::new(), Vec::new());
    let (mut full_bytes, mut child_bytes) = (0, 0);
    for _ in 0..3 {
        let (taken, size) = save(&path, None, &file).await?;
        full.push(taken.as_secs_f64());
        full_bytes = size;
        let (taken, size) = save(&path, Some("base:1"), &file).await?;
        child.push(taken.as_secs_f64());
        child_bytes = size;
    }
    let [full, child] = [full, child].map(median);
    figures.add("full_save_ms", full * 1e3);
    figures.add("child_save_ms", child * 1e3);
    figures.add("child_save_time_percent", 100.0 * child / full);
    figures.add(
        "child_save_size_percent",
        100.0 * as_float(child_bytes) / as_float(full_bytes.max(1)),
    );
    Ok(())
}

/// Saves the child to a file as a user would, and tells how long that took and how large the file is.
async fn save(layout: &Path, base: Option<&str>, file: &Path) -> Result<(Duration, u64), Failure> {
    let mut command = process::this_program()?;
    command
        .arg("image")
        .arg("--dir")
        .arg(layout)
        .args(["save", "child:1", "-o"])
        .arg(file)
        .stderr(Stdio::null());
    if let Some(base) = base {
        command.args(["--base", base]);
    }
    // That a larger file is freed is not what is measured.
    if file.exists() {
        let removed = std::fs::remove_file(file);
        removed.map_err(|error| Failure::new(format!("cannot remove what was saved: {error}")))?;
    }
    let started = Instant::now();
    let status = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| Failure::new(format!("cannot start the program itself: {error}")))?;
    let taken = started.elapsed();
    if !status.success() {
        return Err(Failure::new(format!("saving an image failed: {status}")));
    }
    let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    Ok((taken, size))
}
