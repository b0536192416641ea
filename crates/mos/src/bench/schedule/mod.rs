//! The measurement of the scheduler and of the controllers, part by part, on simulated hosts.
//!
//! ```text
//!   mos bench schedule ──starts──▶ mos server (own process, loopback, directory of its own)
//!        │                              ▲
//!        ├──starts──▶ mos sim hosts ────┘ one watch and one lease each, statuses of pods
//!        ├── creates, HTTP/1.1 ────────▶│
//!        └── one watch of all pods ◀────┘ says when a pod is bound, and when it runs
//! ```
//!
//! All times are taken by the one clock of this process: from sending a request to the moment at which its
//! watch shows what came of it. So they hold what a user waits for, the way back included.

mod audit;
mod cluster;
mod follow;
mod ledger;
mod lost;
mod objects;
mod rates;
mod rollover;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;
use tempfile::TempDir;

use super::figures::{Figures, Target, Targets};
use super::machine::Machine;
use super::process;
use crate::failure::Failure;
use crate::progress::Progress;

/// More pods a host than this might not fit: hosts have 32 processors, and pods ask for half a one on average.
const PODS_PER_HOST: u32 = 50;
/// The cluster that the targets are for.
const HOSTS: u32 = 1_000;
const PODS: u32 = 30_000;

/// Measure scheduling: pods bound a second, latencies, rollouts and lost hosts, on simulated hosts.
///
/// Starts a server of its own on a free port of the loopback interface, with a directory of its own, and a
/// process with simulated hosts, and ends both again. Nothing else is touched. The figures go to standard
/// output, the progress to standard error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos bench schedule
  mos bench schedule --hosts 5000 --pods 100000 --measure throughput --json
  mos bench schedule --measure steady,lost
  mos bench schedule --quick")]
pub(crate) struct ScheduleArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// How many simulated hosts, in three zones
    #[arg(long, value_name = "NUMBER", default_value_t = HOSTS, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    hosts: u32,
    /// How many pods, at most 50 a host; the Deployment that is rolled over has a third of them
    #[arg(long, value_name = "NUMBER", default_value_t = PODS, value_parser = clap::value_parser!(u32).range(10..=500_000))]
    pods: u32,
    /// How many clients create pods at once
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// How long pods are created at a steady pace
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// How long a container takes to start on a simulated host
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    start_ms: u32,
    /// What to measure; by default everything
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    measure: Vec<Part>,
    /// Try everything with small numbers, in less than a minute; the figures mean nothing
    #[arg(long, conflicts_with_all = ["hosts", "pods", "clients", "seconds"])]
    quick: bool,
    /// Directory on the disk to measure; by default the one for temporary files
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Pods created by many clients, until they are bound and run; memory and processor time of the server.
    Throughput,
    /// The same with pods that are to be spread over zones and not to share hosts.
    Constrained,
    /// Beside all those pods, 500 more a second.
    Steady,
    /// A Deployment that changes its template.
    Rollover,
    /// A tenth of the hosts falls silent.
    Lost,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    hosts: u32,
    pods: usize,
    clients: usize,
    /// Pods of one group have the same labels, and are not to share a host.
    group: usize,
    steady_rate: f64,
    steady: Duration,
    start_ms: u32,
    /// How long memory has to settle: the allocator gives back what was freed within this time.
    settle: Duration,
    /// When a silent host counts as dead.
    grace: Duration,
    lease_interval: Duration,
}

impl Sizes {
    fn new(args: &ScheduleArgs) -> Result<Self, Failure> {
        if args.quick {
            return Ok(Self {
                hosts: 20,
                pods: 120,
                clients: 8,
                group: 10,
                steady_rate: 50.0,
                steady: Duration::from_secs(1),
                start_ms: args.start_ms,
                settle: Duration::ZERO,
                grace: Duration::from_secs(5),
                lease_interval: Duration::from_secs(1),
            });
        }
        let most = args.hosts.saturating_mul(PODS_PER_HOST);
        if args.pods > most {
            return Err(Failure::usage(format!(
                "{} pods do not fit on {} hosts: at most {most} do",
                args.pods, args.hosts
            )));
        }
        let hosts = usize::try_from(args.hosts).unwrap_or(usize::MAX);
        Ok(Self {
            hosts: args.hosts,
            pods: usize::try_from(args.pods).unwrap_or(usize::MAX),
            clients: args.clients.into(),
            group: (hosts / 2).min(100),
            steady_rate: 500.0,
            steady: Duration::from_secs(args.seconds.into()),
            start_ms: args.start_ms,
            settle: Duration::from_secs(5),
            grace: Duration::from_secs(40),
            lease_interval: Duration::from_secs(10),
        })
    }

    /// What is to be reached: figures of the cluster that the targets are for, and half of the rates on
    /// larger ones. Of smaller ones nothing is demanded.
    fn targets(self) -> Targets {
        let (hosts, pods) = (HOSTS, PODS as usize);
        if self.hosts == hosts && self.pods == pods {
            targets
        } else if self.hosts >= hosts && self.pods >= pods {
            targets_of_larger
        } else {
            |_| None
        }
    }
}

/// The figures that are to be reached on two cores, by 1,000 hosts and 30,000 pods.
fn targets(key: &str) -> Option<Target> {
    Some(match key {
        "bound_per_second" => Target::AtLeast(4_000.0),
        "constrained_bound_per_second" => Target::AtLeast(2_000.0),
        "steady_create_to_bound_ms.p99" => Target::AtMost(40.0),
        "rollover_seconds" => Target::AtMost(30.0),
        "lost_hosts_replaced_seconds" => Target::AtMost(5.0),
        "server_rss_mb" => Target::AtMost(700.0),
        _ => return None,
    })
}

fn targets_of_larger(key: &str) -> Option<Target> {
    Some(match key {
        "bound_per_second" => Target::AtLeast(2_000.0),
        "constrained_bound_per_second" => Target::AtLeast(1_000.0),
        _ => return None,
    })
}

/// The measurement under way.
struct Bench {
    progress: Progress,
    figures: Figures,
    sizes: Sizes,
    directory: TempDir,
}

/// Measures, and prints what came of it.
pub(super) async fn run(args: ScheduleArgs) -> Result<(), Failure> {
    let sizes = Sizes::new(&args)?;
    let machine = Machine::before();
    let wants = |part| args.measure.is_empty() || args.measure.contains(&part);
    let parts = <Part as ValueEnum>::value_variants();
    let steps = parts.iter().filter(|part| wants(**part)).count();
    let mut bench = Bench {
        progress: Progress::new(steps, "bench"),
        figures: Figures::new(sizes.targets()),
        sizes,
        directory: process::directory(args.dir.as_deref())?,
    };
    if wants(Part::Throughput) || wants(Part::Steady) {
        bench
            .plain(wants(Part::Throughput), wants(Part::Steady))
            .await?;
    }
    if wants(Part::Constrained) {
        bench.constrained().await?;
    }
    if wants(Part::Rollover) {
        bench.rollover().await?;
    }
    if wants(Part::Lost) {
        bench.lost().await?;
    }
    let Bench {
        figures, progress, ..
    } = bench;
    drop(progress);
    if args.json {
        let document = figures.to_json(machine.conditions(json!({
            "hosts": sizes.hosts,
            "pods": sizes.pods,
            "clients": sizes.clients,
            "podsOfOneGroup": sizes.group,
            "steadyPodsPerSecond": sizes.steady_rate,
            "steadySeconds": sizes.steady.as_secs_f64(),
            "containerStartMs": sizes.start_ms,
            "nodeMonitorGracePeriodSeconds": sizes.grace.as_secs_f64(),
            "leaseIntervalSeconds": sizes.lease_interval.as_secs_f64(),
        })));
        println!("{document:#}");
        return Ok(());
    }
    figures.print()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: ScheduleArgs,
    }

    fn sizes(arguments: &[&str]) -> Result<Sizes, String> {
        let command = Command::try_parse_from(["schedule"].iter().chain(arguments))
            .map_err(|error| error.to_string())?;
        Sizes::new(&command.args).map_err(|failure| failure.to_string())
    }

    #[test]
    fn sizes_are_checked() {
        let sizes_of = |arguments: &[&str]| sizes(arguments).unwrap();
        assert_eq!(sizes_of(&[]).pods, 30_000);
        assert_eq!(sizes_of(&["--hosts=5000", "--pods=100000"]).hosts, 5_000);
        for (wrong, said) in [
            (&["--hosts=5"][..], "10..=10000"),
            (&["--hosts=10", "--pods=501"], "at most 500"),
            (&["--clients=0"], "1..=1024"),
            (&["--measure=everything"], "possible values"),
            (&["--quick", "--pods=100"], "cannot be used with"),
        ] {
            let failure = sizes(wrong).unwrap_err();
            assert!(failure.contains(said), "{wrong:?}: {failure}");
        }
    }

    #[test]
    fn targets_are_for_clusters_of_that_size_and_halved_for_larger_ones() {
        let target = |arguments: &[&str]| (sizes(arguments).unwrap().targets())("bound_per_second");
        assert_eq!(target(&[]), Some(Target::AtLeast(4_000.0)));
        assert_eq!(
            target(&["--hosts=5000", "--pods=100000"]),
            Some(Target::AtLeast(2_000.0))
        );
        assert_eq!(target(&["--pods=1000"]), None);
    }
}
