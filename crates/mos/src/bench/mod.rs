//! `mos bench`: how fast a server is.
//!
//! ```text
//!   mos bench api ──starts──▶ mos server (own process, loopback, directory of its own) ──▶ SQLite | etcd
//!        └── HTTP/1.1 and HTTP/2 over TLS ──▶┘        /proc says what it costs
//! ```
//!
//! Each rate stands beside what the storage engine does by itself in the same minute, because
//! absolute figures say as much about the machine as about the server.

mod api;
mod client;
mod figures;
mod image;
mod load;
mod machine;
mod objects;
mod process;
mod schedule;
mod watchers;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::failure::Failure;
use crate::signals::told_to_stop;

/// Measure how fast Mosaic is on this machine.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    Api(ApiArgs),
    Schedule(schedule::ScheduleArgs),
    Image(image::ImageArgs),
}

/// Measure the API server: rates, latencies, memory and start.
///
/// Starts a server of its own on a free port of the loopback interface, with a directory of its own,
/// and ends it again. Nothing else is touched. The figures go to standard output, the progress to
/// standard error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos bench api
  mos bench api --json --store etcd
  mos bench api --measure creates,gets --rounds 5
  mos bench api --quick")]
pub(crate) struct ApiArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the server keeps its objects; for etcd, one is started
    #[arg(long, value_name = "STORE", value_enum, default_value_t = Engine::Sqlite)]
    pub(crate) store: Engine,
    /// How many clients create and read at once
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) clients: u16,
    /// How often each rate is measured; the median counts
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=25))]
    pub(crate) rounds: u8,
    /// How long one measurement takes
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=120))]
    pub(crate) seconds: u16,
    /// How many pods the large cluster has
    #[arg(long, value_name = "NUMBER", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) pods: u32,
    /// How many watchers the large cluster has, each of one node's pods
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) watchers: u32,
    /// What to measure; by default everything
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    pub(crate) measure: Vec<Part>,
    /// Try everything with small numbers, in a few seconds; the figures mean nothing
    #[arg(long)]
    pub(crate) quick: bool,
    /// Directory on the disk to measure; by default the one for temporary files
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The etcd to start
    #[arg(long, value_name = "FILE", default_value = "etcd")]
    pub(crate) etcd: PathBuf,
}

/// The storage engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// The embedded one.
    Sqlite,
    /// An etcd of one member.
    Etcd,
}

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Start and memory of an empty server.
    Idle,
    /// Creates from many clients.
    Creates,
    /// Gets from many clients.
    Gets,
    /// A large cluster: watchers, paced writes, lists, memory and start.
    Scale,
}

/// Runs a measurement.
pub(crate) async fn run(args: BenchArgs) -> Result<(), Failure> {
    let measured = async {
        match args.what {
            What::Api(args) => api::run(args).await,
            What::Schedule(args) => schedule::run(args).await,
            What::Image(args) => image::run(args).await,
        }
    };
    // What was started ends when the future is dropped.
    tokio::select! {
        done = measured => done,
        () = told_to_stop() => Err(Failure::new("interrupted")),
    }
}
