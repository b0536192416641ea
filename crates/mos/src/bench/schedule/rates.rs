//! Bare pods: as many a second as can be, and at a steady pace.

use std::sync::Arc;
use std::time::Instant;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::cluster::Cluster;
use super::follow::Watch;
use super::ledger::{self, Ledger};
use super::objects::Pods;
use super::{Bench, audit};
use crate::bench::figures::megabytes;
use crate::bench::load::{self, Create, Until, as_float};
use crate::bench::objects::PODS;
use crate::failure::Failure;

/// How many pods of the steady pace may be under way at once; more than a server at that pace ever has.
const STEADY_CLIENTS: usize = 32;

/// A cluster whose pods are followed.
struct Filled {
    cluster: Cluster,
    watch: Watch,
    ledger: Arc<Mutex<Ledger>>,
}

impl Filled {
    /// Waits until the watch has shown this of so many pods.
    async fn until(
        &mut self,
        what: &str,
        count: usize,
        of: impl Fn(&Ledger) -> usize,
    ) -> Result<(), Failure> {
        let (ledger, watch) = (&self.ledger, &mut self.watch);
        let what = format!("{count} pods are {what}");
        let look = || {
            watch.check()?;
            let ledger = ledger.lock();
            ledger.check()?;
            Ok((of(&ledger) >= count, of(&ledger)))
        };
        self.cluster.wait(&what, look).await
    }

    /// Reads everything anew, and checks that it is as the watch showed it and that no host has too much.
    async fn audit(&mut self) -> Result<(Vec<audit::Node>, Vec<audit::Pod>), Failure> {
        let mut connection = self.cluster.endpoint.connect().await?;
        let nodes = audit::nodes(&mut connection).await?;
        let pods = audit::pods(&mut connection).await?;
        let ledger = self.ledger.lock();
        ledger.check()?;
        if pods.len() != ledger.bound {
            let (listed, seen) = (pods.len(), ledger.bound);
            return Err(Failure::new(format!(
                "{listed} pods are listed, and {seen} were seen bound"
            )));
        }
        for pod in &pods {
            let number = ledger::number(pod.name());
            if !number.is_some_and(|number| ledger.is_on(number, pod.host())) {
                let (name, host) = (pod.name(), pod.host());
                return Err(Failure::new(format!("pod {name} was not seen on {host}")));
            }
        }
        audit::capacity(&nodes, &pods)?;
        Ok((nodes, pods))
    }
}

impl Bench {
    /// Plain pods: as many a second as can be, and then more of them at a steady pace.
    pub(super) async fn plain(&mut self, throughput: bool, steady: bool) -> Result<(), Failure> {
        let pods = Pods::plain();
        let mut filled = self.fill("plain", &pods, throughput.then_some("")).await?;
        if throughput {
            filled.audit().await?;
            self.progress.step();
        }
        if steady {
            self.steady(&mut filled, &pods).await?;
            self.progress.step();
        }
        filled.cluster.stop().await
    }

    /// Pods that are to be spread over zones and not to share hosts.
    pub(super) async fn constrained(&mut self) -> Result<(), Failure> {
        let pods = Pods::constrained(self.sizes.pods.div_ceil(self.sizes.group.max(1)));
        let mut filled = self
            .fill("constrained", &pods, Some("constrained_"))
            .await?;
        let (nodes, pods) = filled.audit().await?;
        audit::constraints(&nodes, &pods)?;
        self.progress.step();
        filled.cluster.stop().await
    }

    /// Starts a cluster and creates all pods; the figures have this prefix, if they are wanted.
    async fn fill(
        &mut self,
        name: &str,
        pods: &Pods,
        prefix: Option<&str>,
    ) -> Result<Filled, Failure> {
        let sizes = self.sizes;
        self.progress
            .message(&format!("starting a server and {} hosts", sizes.hosts));
        let cluster = Cluster::start(&self.directory.path().join(name), sizes).await?;
        // Those of the steady pace come later.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let later = (sizes.steady_rate * sizes.steady.as_secs_f64()).ceil() as usize;
        let ledger = Arc::new(Mutex::new(Ledger::new(sizes.pods + later + STEADY_CLIENTS)));
        let follows = ledger.clone();
        let watch = Watch::open(&cluster.endpoint, PODS, move |change, now| {
            follows.lock().seen(change, now);
        })
        .await?;
        let mut filled = Filled {
            cluster,
            watch,
            ledger: ledger.clone(),
        };
        self.progress
            .message(&format!("creating {} pods", sizes.pods));
        let before = filled.cluster.server.cpu()?;
        let until = Until::Count(sizes.pods);
        let created = load::flood(&mut filled.cluster.connections, until, |_, number| {
            let body = pods.body(number);
            ledger.lock().sent(number, Instant::now());
            Create(PODS, body)
        })
        .await?;
        filled
            .until("bound", sizes.pods, |ledger| ledger.bound)
            .await?;
        let bound_cpu = filled.cluster.server.cpu()?;
        filled
            .until("running", sizes.pods, |ledger| ledger.running)
            .await?;
        let cpu = filled.cluster.server.cpu()?;
        tokio::time::sleep(sizes.settle).await;
        if let Some(prefix) = prefix {
            let memory = filled.cluster.server.memory()?;
            let figures = &mut self.figures;
            let mut add = |key: &str, value| figures.add(format!("{prefix}{key}"), value);
            let ledger = ledger.lock();
            let rate = as_float(sizes.pods as u64) / ledger.bound_within(0).max(1e-9);
            add("bound_per_second", rate);
            add("creates_per_second", created.rate());
            percentiles(&mut add, "create_to_bound_ms", &ledger.create_to_bound(0)?);
            percentiles(
                &mut add,
                "create_to_running_ms",
                &ledger.create_to_running(0)?,
            );
            add("server_rss_mb", megabytes(memory.resident));
            add("server_peak_rss_mb", megabytes(memory.peak));
            add(
                "server_cpu_seconds",
                cpu.saturating_sub(before).as_secs_f64(),
            );
            add(
                "server_cpu_until_bound_seconds",
                bound_cpu.saturating_sub(before).as_secs_f64(),
            );
        }
        Ok(filled)
    }

    /// More pods beside those that run, at a steady pace.
    async fn steady(&mut self, filled: &mut Filled, pods: &Pods) -> Result<(), Failure> {
        let sizes = self.sizes;
        self.progress.message("creating more pods at a steady pace");
        // New ones: the server may have closed those that waited for long.
        let endpoint = &filled.cluster.endpoint;
        let mut connections = load::connect(endpoint, STEADY_CLIENTS.min(sizes.clients)).await?;
        let ledger = filled.ledger.clone();
        let from = sizes.pods;
        let (rate, time) = (sizes.steady_rate, sizes.steady);
        let before = filled.cluster.server.cpu()?;
        let created = load::steady(&mut connections, rate, time, |turn, due| {
            let number = from + usize::try_from(turn).unwrap_or(0);
            ledger.lock().sent(number, due.into_std());
            Create(PODS, pods.body(number))
        })
        .await?;
        let all = from + usize::try_from(created.count).unwrap_or(0);
        filled.until("bound", all, |ledger| ledger.bound).await?;
        filled
            .until("running", all, |ledger| ledger.running)
            .await?;
        let cpu = filled.cluster.server.cpu()?.saturating_sub(before);
        let figures = &mut self.figures;
        let mut add = |key: &str, value| figures.add(format!("steady_{key}"), value);
        add("creates_per_second", created.rate());
        {
            let ledger = ledger.lock();
            percentiles(
                &mut add,
                "create_to_bound_ms",
                &ledger.create_to_bound(from)?,
            );
            percentiles(
                &mut add,
                "create_to_running_ms",
                &ledger.create_to_running(from)?,
            );
        }
        add(
            "server_cpu_us_per_pod",
            cpu.as_secs_f64() * 1e6 / as_float(created.count.max(1)),
        );
        filled.audit().await?;
        Ok(())
    }
}

/// Adds two percentiles of a figure.
fn percentiles(add: &mut impl FnMut(&str, f64), key: &str, latencies: &Histogram<u64>) {
    for (name, percent) in [("p50", 50.0), ("p99", 99.0)] {
        let micros = latencies.value_at_percentile(percent);
        add(&format!("{key}.{name}"), as_float(micros) / 1e3);
    }
}
