//! `mos sim`: hosts that are not there, for trying and measuring a cluster.

use std::time::{Duration, Instant};

use clap::{ArgAction, Args, Subcommand};
use ipnet::Ipv4Net;
use mosaic_api::Quantity;
use mosaic_lab::{Fault, LabError, Options, Progress, SimulatedHosts};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::client::{ConnectionArgs, config, duration};
use crate::failure::Failure;
use crate::output;
use crate::progress;

/// Simulate parts of a cluster
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// What to simulate.
    #[command(subcommand)]
    what: What,
}

/// What to simulate.
#[derive(Debug, Subcommand)]
enum What {
    Hosts(HostsArgs),
}

/// Register hosts that run pods without containers.
///
/// Each host has its Node, its lease and its own watch, as a real one has, and its pods live as on a
/// real one; only the containers are missing. Runs until it is stopped. The Nodes then stay, as those
/// of hosts that died do, unless --remove-on-exit is given.
///
/// Annotations of pods say how these behave (mosaic/sim-exit-after: 3s:1, mosaic/sim-readiness: fail,
/// mosaic/sim-stop: ignore-term, ...), and the annotation mosaic/sim of a Node breaks its host (silent,
/// down, restart). docs/simulation.md has all of them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos sim hosts --count 1000 --zones 3
  mos sim hosts --count 10 --cpu 4 --memory 16Gi --start-ms 500 --remove-on-exit
  mos sim hosts --count 100 --zones 3 --fail silent=10@30s,zone=zone-2@1m/20s
  kubectl annotate node sim-7 mosaic/sim=silent")]
struct HostsArgs {
    /// How many hosts
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    count: u32,
    /// Number of the first host; other processes take other numbers
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    first: u32,
    /// What the hosts' names begin with
    #[arg(long, value_name = "TEXT", default_value = "sim-")]
    prefix: String,
    /// How many zones they are in: zone-1, zone-2, ..., by turns
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    zones: u32,
    /// Processors of each host
    #[arg(long, value_name = "QUANTITY", default_value = "32", value_parser = quantity)]
    cpu: Quantity,
    /// Memory of each host
    #[arg(long, value_name = "QUANTITY", default_value = "128Gi", value_parser = quantity)]
    memory: Quantity,
    /// Local storage of each host
    #[arg(long, value_name = "QUANTITY", default_value = "1Ti", value_parser = quantity)]
    storage: Quantity,
    /// How many pods each host takes
    #[arg(long, value_name = "NUMBER", default_value_t = 110)]
    pods: u32,
    /// How long a container takes to start, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 100)]
    start_ms: u32,
    /// What goes wrong: KIND=WHICH@WHEN[/HOW LONG], with silent, down, restart or flap of so many hosts, or zone of one
    #[arg(long, value_name = "PLAN", value_delimiter = ',', action = ArgAction::Append)]
    fail: Vec<Fault>,
    /// How often leases are renewed
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    lease_interval: Duration,
    /// How long a lease says that it holds, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    lease_seconds: u32,
    /// How often a Node's status is written though nothing changed
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    heartbeat: Duration,
    /// How long a container that crashed twice waits for its restart; doubles with each further crash
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    back_off: Duration,
    /// Where addresses of pods come from
    #[arg(long, value_name = "CIDR", default_value = "10.128.0.0/9")]
    pod_range: Ipv4Net,
    /// Where addresses of hosts come from
    #[arg(long, value_name = "CIDR", default_value = "172.16.0.0/12")]
    host_range: Ipv4Net,
    /// Each host acts as system:node:NAME and not as the caller, who must be allowed to impersonate it
    #[arg(long)]
    as_nodes: bool,
    /// Delete the Nodes and their leases in the end
    #[arg(long)]
    remove_on_exit: bool,
    /// Take hosts over that another process simulates
    #[arg(long)]
    take_over: bool,
    /// How many writes are under way at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    writes: u16,
    /// Print a line of JSON when all hosts are ready, and one in the end
    #[arg(long)]
    json: bool,
}

fn quantity(text: &str) -> Result<Quantity, String> {
    let amount: Quantity = text
        .parse()
        .map_err(|_| "an amount such as 4, 500m or 16Gi is wanted".to_owned())?;
    if amount.sign().is_gt() {
        Ok(amount)
    } else {
        Err("more than nothing is wanted".to_owned())
    }
}

impl HostsArgs {
    fn options(&self) -> Options {
        Options {
            count: self.count,
            prefix: self.prefix.clone(),
            first: self.first,
            zones: self.zones,
            cpu: self.cpu,
            memory: self.memory,
            storage: self.storage,
            pods: self.pods,
            start: Duration::from_millis(self.start_ms.into()),
            faults: self.fail.clone(),
            lease_interval: self.lease_interval,
            lease_seconds: self.lease_seconds.into(),
            heartbeat: self.heartbeat,
            back_off: self.back_off,
            pod_range: self.pod_range,
            host_range: self.host_range,
            as_nodes: self.as_nodes,
            remove_on_exit: self.remove_on_exit,
            take_over: self.take_over,
            writes: self.writes.into(),
            tell: |what| eprintln!("{what}"),
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: SimArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let What::Hosts(args) = args.what;
    if args.as_nodes && connection.as_user.is_some() {
        return Err(Failure::usage(
            "--as and --as-nodes cannot be given together: a host can act as one user only",
        ));
    }
    let config = config(connection).await?;
    let server = config.cluster_url.to_string();
    let client = mosaic_lab::client(config)
        .await
        .map_err(|error| Failure::new(format!("cannot connect to {server}: {error}")))?;
    let hosts = SimulatedHosts::new(client, args.options()).map_err(failure)?;
    let progress = hosts.progress();
    let shutdown = CancellationToken::new();
    let running = hosts.run(shutdown.clone());
    let watched = async {
        show(&args, progress).await?;
        std::future::pending().await
    };
    let mut running = std::pin::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => ended,
        failed = watched => return failed,
        () = crate::signals::told_to_stop() => {
            shutdown.cancel();
            running.await
        }
    };
    let progress = ended.map_err(failure)?;
    if args.json {
        output::print(&format!("{}\n", summary("stopped", &progress)))?;
    }
    Ok(())
}

fn failure(error: LabError) -> Failure {
    match error {
        LabError::Options(_) => Failure::usage(error.to_string()),
        LabError::Register { .. } => Failure::new(error.to_string()),
        LabError::Held { .. } => Failure::new(error.to_string()).hint(
            "end that process, take other names with --first or --prefix, or give --take-over to have these hosts here",
        ),
    }
}

/// Shows hosts becoming ready, and says so when all are.
async fn show(
    args: &HostsArgs,
    mut progress: tokio::sync::watch::Receiver<Progress>,
) -> Result<(), Failure> {
    let began = Instant::now();
    let bar = progress::Progress::new(args.count as usize, "registering hosts");
    let mut shown = 0;
    let last = loop {
        let now = *progress.borrow_and_update();
        (shown..now.ready).for_each(|_| bar.step());
        shown = shown.max(now.ready);
        if now.ready >= args.count {
            break now;
        }
        if progress.changed().await.is_err() {
            // The hosts ended, and say why themselves.
            return Ok(());
        }
    };
    drop(bar);
    let seconds = began.elapsed().as_secs_f64();
    if args.json {
        return output::print(&format!("{}\n", summary("ready", &last)));
    }
    let (hosts, zones) = (args.count, args.zones.min(args.count));
    let plural = |count: u32| if count == 1 { "" } else { "s" };
    eprintln!(
        "{hosts} host{} in {zones} zone{} ready after {seconds:.1} s; Ctrl-C ends them",
        plural(hosts),
        plural(zones)
    );
    Ok(())
}

/// One line for programs.
fn summary(state: &str, progress: &Progress) -> serde_json::Value {
    json!({
        "state": state,
        "hosts_ready": progress.ready,
        "pods": progress.pods,
        "pods_running": progress.running,
        "pods_started": progress.started,
        "pods_refused": progress.refused,
        "status_writes": progress.writes,
        "calls_failed": progress.failures,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(words: &[&str]) -> Result<Options, clap::Error> {
        let words = ["mos", "sim", "hosts"].iter().chain(words);
        let Command::Sim(args) = Cli::try_parse_from(words)?.command else {
            panic!("another command");
        };
        let What::Hosts(args) = args.what;
        Ok(args.options())
    }

    #[test]
    fn hosts_are_described_by_flags() {
        let options = parse(&[
            "--count",
            "5",
            "--cpu",
            "500m",
            "--start-ms",
            "20",
            "--fail",
            "silent=1@1s,zone=zone-2@2s/3s",
        ])
        .unwrap();
        assert_eq!((options.count, options.cpu.milli_value()), (5, 500));
        assert_eq!(options.start, Duration::from_millis(20));
        assert_eq!(options.faults.len(), 2);
        assert_eq!(options.faults[1].lasts, Some(3_000));
    }

    #[test]
    fn flags_that_make_no_sense_are_refused() {
        for bad in [
            ["--cpu", "0"],
            ["--cpu", "many"],
            ["--fail", "silent"],
            ["--pod-range", "10.0.0.0"],
            ["--writes", "0"],
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }
}
