//! The measurement of the API server, part by part.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mosaic_store::{EtcdOptions, RawWrite};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Connection, Endpoint};
use super::figures::{Figures, Target, median, megabytes, milliseconds};
use super::load::{self, Create, Get, Load, Patch, Until, as_float};
use super::machine::Machine;
use super::objects::{self, Template};
use super::process::{self, Etcd, Process};
use super::watchers::Watchers;
use super::{ApiArgs, Engine, Part};
use crate::failure::Failure;
use crate::progress::Progress;

/// Rows in a transaction of SQLite's own rate: as many as clients write at once.
const RAW_BATCH: usize = 64;
/// How many of them may be under way at once; more than a server at that pace ever has.
const STEADY_CLIENTS: usize = 32;
/// Bytes of an object that is created.
const SMALL: usize = 2 << 10;
/// Bytes of a pod of the large cluster.
const LARGE: usize = 4 << 10;
/// How long memory has to settle: the allocator gives back what was freed within this time.
const SETTLE: Duration = Duration::from_secs(5);

/// The figures that a server is to reach on two cores. Against etcd they are not demanded.
fn targets(key: &str) -> Option<Target> {
    Some(match key {
        "configmap_creates_per_second" => Target::AtLeast(8_000.0),
        "gets_per_second" => Target::AtLeast(20_000.0),
        "steady_write_p99_ms" => Target::AtMost(10.0),
        "list_pods_ms" => Target::AtMost(1_000.0),
        "idle_memory_mb" => Target::AtMost(60.0),
        "scale_memory_mb" => Target::AtMost(450.0),
        "start_empty_ms" => Target::AtMost(1_000.0),
        "start_filled_ms" => Target::AtMost(5_000.0),
        _ => return None,
    })
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    clients: usize,
    rounds: usize,
    /// Of one measurement of a rate.
    time: Duration,
    settle: Duration,
    pods: usize,
    watchers: usize,
    /// Paced writes, a second.
    steady_rate: f64,
    lists: usize,
}

impl Sizes {
    fn new(args: &ApiArgs) -> Self {
        let number = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        if args.quick {
            return Self {
                clients: 8,
                rounds: 1,
                time: Duration::from_millis(300),
                settle: Duration::ZERO,
                pods: 160,
                watchers: 5,
                steady_rate: 100.0,
                lists: 1,
            };
        }
        Self {
            clients: args.clients.into(),
            rounds: args.rounds.into(),
            time: Duration::from_secs(args.seconds.into()),
            settle: SETTLE,
            pods: number(args.pods),
            watchers: number(args.watchers),
            steady_rate: 500.0,
            lists: usize::from(args.rounds) + 2,
        }
    }
}

/// Measures, and prints what came of it.
pub(super) async fn run(args: ApiArgs) -> Result<(), Failure> {
    let sizes = Sizes::new(&args);
    let directory = process::directory(args.dir.as_deref())?;
    let machine = Machine::before();
    let mut bench = Bench {
        progress: Progress::new(steps(&args, sizes), "bench"),
        figures: Figures::new(if args.store == Engine::Sqlite && !args.quick {
            targets
        } else {
            |_| None
        }),
        sizes,
        engine: args.store,
        etcd: args.etcd.clone(),
        directory,
    };
    let wants = |part| args.measure.is_empty() || args.measure.contains(&part);
    if wants(Part::Idle) || wants(Part::Creates) || wants(Part::Gets) {
        bench
            .small(wants(Part::Idle), wants(Part::Creates), wants(Part::Gets))
            .await?;
    }
    if wants(Part::Scale) {
        bench.scale().await?;
    }
    let Bench {
        figures, progress, ..
    } = bench;
    drop(progress);
    if args.json {
        let document = figures.to_json(conditions(&args, sizes, machine));
        println!("{document:#}");
        return Ok(());
    }
    figures.print()
}

/// What the figures depend on, for whoever compares them.
fn conditions(args: &ApiArgs, sizes: Sizes, machine: Machine) -> Value {
    machine.conditions(json!({
        "store": if args.store == Engine::Sqlite { "sqlite" } else { "etcd" },
        "clients": sizes.clients,
        "rounds": sizes.rounds,
        "secondsEach": sizes.time.as_secs_f64(),
        "pods": sizes.pods,
        "watchers": sizes.watchers,
    }))
}

/// How many steps the progress bar has.
fn steps(args: &ApiArgs, sizes: Sizes) -> usize {
    let wants = |part| args.measure.is_empty() || args.measure.contains(&part);
    let count = |part, steps| if wants(part) { steps } else { 0 };
    count(Part::Idle, 1)
        + count(Part::Creates, 2 * sizes.rounds)
        + count(Part::Gets, sizes.rounds)
        + count(Part::Scale, 7)
}

/// The measurement under way.
struct Bench {
    progress: Progress,
    figures: Figures,
    sizes: Sizes,
    engine: Engine,
    etcd: PathBuf,
    directory: TempDir,
}

/// A server, with what it keeps its objects in.
struct Running {
    server: Process,
    etcd: Option<Etcd>,
    endpoint: Endpoint,
    /// From the start of the process to ready.
    start: Duration,
}

impl Running {
    async fn stop(self) -> Result<(), Failure> {
        self.server.stop().await?;
        match self.etcd {
            Some(etcd) => etcd.process.stop().await,
            None => Ok(()),
        }
    }
}

/// The processor time that a process used for each of so many requests, in microseconds.
fn micros_each(before: Duration, after: Duration, count: u64) -> f64 {
    after.saturating_sub(before).as_secs_f64() * 1e6 / as_float(count.max(1))
}

fn engine_failed(error: mosaic_store::StoreError) -> Failure {
    Failure::new(format!("measuring the storage engine itself: {error}"))
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn begin(&self, what: &str) {
        self.progress.message(what);
    }

    fn done(&self) {
        self.progress.step();
    }

    /// Starts a server whose files are under a name; once more on the same files, if it was started
    /// under that name before.
    async fn start(&self, name: &str, etcd: Option<Etcd>) -> Result<Running, Failure> {
        let directory = self.path(name);
        let etcd = match (self.engine, etcd) {
            (Engine::Sqlite, _) => None,
            (Engine::Etcd, Some(etcd)) => Some(etcd),
            (Engine::Etcd, None) => {
                Some(process::start_etcd(&self.etcd, &self.path(&format!("{name}-etcd"))).await?)
            }
        };
        let store = etcd
            .as_ref()
            .map_or_else(|| "sqlite".to_owned(), |etcd| format!("etcd={}", etcd.url));
        // Its hosts are but objects: nobody is to miss them while it is measured.
        let flags = ["--node-monitor-grace-period=1h".to_owned()];
        let (server, start) = process::start_server(&directory, &store, &flags).await?;
        let endpoint = Endpoint::read(&directory.join("admin.kubeconfig")).await?;
        Ok(Running {
            server,
            etcd,
            endpoint,
            start,
        })
    }

    /// What SQLite does by itself, in writes a second.
    async fn raw_sqlite(&self, size: usize) -> Result<f64, Failure> {
        let directory = self.directory.path().to_owned();
        let time = self.sizes.time.div_f64(2.0);
        tokio::task::spawn_blocking(move || {
            mosaic_store::raw_batch_rate(&directory, size, RAW_BATCH, time)
        })
        .await
        .map_err(|error| Failure::new(error.to_string()))?
        .map_err(engine_failed)
    }

    /// What an etcd of its own does by itself, in writes a second: not the server's, since what etcd did
    /// before makes it slower.
    async fn raw_etcd(&self, write: RawWrite, size: usize) -> Result<f64, Failure> {
        let directory = self.path("raw-etcd");
        let etcd = process::start_etcd(&self.etcd, &directory).await?;
        let time = self.sizes.time.div_f64(2.0);
        let rate = async |count: usize| {
            mosaic_store::raw_etcd_rate(
                std::slice::from_ref(&etcd.url),
                &EtcdOptions::default(),
                write,
                size,
                self.sizes.clients,
                count,
            )
            .await
            .map_err(engine_failed)
        };
        // As many writes as take about the time: a first few tell how many.
        let guess = rate(self.sizes.clients * 4).await? * time.as_secs_f64();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let measured = rate(guess.clamp(100.0, 1e6) as usize).await?;
        etcd.process.stop().await?;
        std::fs::remove_dir_all(&directory).map_err(|error| {
            Failure::new(format!("cannot remove {}: {error}", directory.display()))
        })?;
        Ok(measured)
    }

    /// A small cluster: start, memory, creates, gets.
    async fn small(&mut self, idle: bool, creates: bool, gets: bool) -> Result<(), Failure> {
        self.begin("starting an empty server");
        let running = self.start("small", None).await?;
        if idle {
            tokio::time::sleep(self.sizes.settle).await;
            self.figures
                .add("start_empty_ms", milliseconds(running.start));
            let memory = running.server.memory()?;
            self.figures
                .add("idle_memory_mb", megabytes(memory.resident));
            self.done();
        }
        if creates || gets {
            let mut connections = load::connect(&running.endpoint, self.sizes.clients).await?;
            let Some(first) = connections.first_mut() else {
                return Err(Failure::new("no clients"));
            };
            objects::prepare_namespace(first).await?;
            let config_map = Template::config_map(first, SMALL).await?;
            let pod = Template::pod(first, SMALL, false).await?;
            if creates {
                self.creates(&running, &mut connections, "configmap", &config_map)
                    .await?;
                self.creates(&running, &mut connections, "pod", &pod)
                    .await?;
            }
            if gets {
                self.gets(&running, &mut connections, &config_map).await?;
            }
        }
        running.stop().await
    }

    /// Creates by all clients, beside what the engine does by itself.
    async fn creates(
        &mut self,
        running: &Running,
        connections: &mut [Connection],
        kind: &str,
        template: &Template,
    ) -> Result<(), Failure> {
        let mut rounds = Rounds::default();
        let (mut raw, mut raw_puts) = (Vec::new(), Vec::new());
        let mut ratios = Vec::new();
        for round in 0..self.sizes.rounds {
            self.begin(&format!("creating {kind}s, round {}", round + 1));
            let engine = match self.engine {
                Engine::Sqlite => self.raw_sqlite(template.size).await?,
                Engine::Etcd => {
                    raw_puts.push(self.raw_etcd(RawWrite::Put, template.size).await?);
                    self.raw_etcd(RawWrite::Create, template.size).await?
                }
            };
            let before = running.server.cpu()?;
            let until = Until::Time(self.sizes.time);
            let load = load::flood(connections, until, |client, number| {
                let name = objects::name(round, client, number);
                Create(template.path, template.body(&name, ""))
            })
            .await?;
            raw.push(engine);
            ratios.push(load.rate() / engine.max(1.0));
            rounds.add(&load, before, running.server.cpu()?);
            self.done();
        }
        let figures = &mut self.figures;
        rounds.report(
            figures,
            &format!("{kind}_creates"),
            &format!("{kind}_create"),
        );
        figures.add(format!("{kind}_size_bytes"), as_float(template.size as u64));
        match self.engine {
            Engine::Sqlite => figures.add(
                format!("raw_sqlite_{kind}_size_writes_per_second"),
                median(raw),
            ),
            Engine::Etcd => {
                figures.add(
                    format!("raw_etcd_{kind}_size_creates_per_second"),
                    median(raw),
                );
                figures.add(
                    format!("raw_etcd_{kind}_size_puts_per_second"),
                    median(raw_puts),
                );
            }
        }
        figures.add(format!("{kind}_creates_to_raw_ratio"), median(ratios));
        Ok(())
    }

    /// Gets by all clients, of objects that are made for it.
    async fn gets(
        &mut self,
        running: &Running,
        connections: &mut [Connection],
        template: &Template,
    ) -> Result<(), Failure> {
        const OBJECTS: usize = 1_000;
        const ROUND: usize = 99;
        self.begin("creating objects to get");
        load::flood(connections, Until::Count(OBJECTS), |_, number| {
            Create(
                template.path,
                template.body(&objects::name(ROUND, 0, number), ""),
            )
        })
        .await?;
        let mut rounds = Rounds::default();
        for round in 0..self.sizes.rounds {
            self.begin(&format!("getting objects, round {}", round + 1));
            let before = running.server.cpu()?;
            let until = Until::Time(self.sizes.time);
            let load = load::flood(connections, until, |_, number| {
                let name = objects::name(ROUND, 0, number % OBJECTS);
                Get(format!("{}/{name}", template.path))
            })
            .await?;
            rounds.add(&load, before, running.server.cpu()?);
            self.done();
        }
        rounds.report(&mut self.figures, "gets", "get");
        Ok(())
    }

    /// A large cluster.
    async fn scale(&mut self) -> Result<(), Failure> {
        let Sizes { pods, watchers, .. } = self.sizes;
        self.begin(&format!("creating {pods} pods"));
        let running = self.start("scale", None).await?;
        let mut connections = load::connect(&running.endpoint, self.sizes.clients).await?;
        let Some(first) = connections.first_mut() else {
            return Err(Failure::new("no clients"));
        };
        objects::prepare_namespace(first).await?;
        let template = Template::pod(first, LARGE, true).await?;
        // Pods of hosts that are not there would be removed after a while.
        let host = Template::host();
        load::flood(&mut connections, Until::Count(watchers), |_, number| {
            Create(host.path, host.body(&objects::node(number), ""))
        })
        .await?;
        let filled = load::flood(&mut connections, Until::Count(pods), |_, number| {
            let node = objects::node(number % watchers);
            Create(template.path, template.body(&pod_name(number), &node))
        })
        .await?;
        drop(connections);
        self.figures
            .add("scale_pod_size_bytes", as_float(template.size as u64));
        self.figures
            .add("scale_pod_creates_per_second", filled.rate());
        self.done();
        self.watched_writes(&running).await?;
        self.lists(&running).await?;
        self.restart(running).await
    }

    /// Paced writes beside watchers; whether watchers of other nodes cost anything.
    async fn watched_writes(&mut self, running: &Running) -> Result<(), Failure> {
        let Sizes { pods, watchers, .. } = self.sizes;
        // The pods of node 0 have the numbers 0, watchers, 2 * watchers, ...
        let on_first_node = |number: u64| {
            let turn = usize::try_from(number).unwrap_or(0) % pods.div_ceil(watchers);
            pod_name(turn * watchers)
        };
        let on_all_nodes = |number: u64| pod_name(usize::try_from(number).unwrap_or(0) % pods);

        self.begin("writing beside one watcher");
        let one = Watchers::open(&running.endpoint, 1).await?;
        one.reach(pods.div_ceil(watchers) as u64).await?;
        let (_, alone_micros) = self.steady(running, &on_first_node).await?;
        drop(one);
        self.done();

        self.begin(&format!("opening {watchers} watches"));
        let mut all = Watchers::open(&running.endpoint, watchers).await?;
        all.reach(pods as u64).await?;
        tokio::time::sleep(self.sizes.settle).await;
        let memory = running.server.memory()?;
        self.figures
            .add("scale_memory_mb", megabytes(memory.resident));
        self.done();

        self.begin("writing to one node's pods beside all watchers");
        let before: Vec<u64> = all.seen();
        let (load, beside_micros) = self.steady(running, &on_first_node).await?;
        all.reach(before.iter().sum::<u64>() + load.count).await?;
        let seen: Vec<u64> = all
            .seen()
            .iter()
            .zip(&before)
            .map(|(now, before)| now.saturating_sub(*before))
            .collect();
        let others = seen.iter().skip(1).sum::<u64>();
        let figures = &mut self.figures;
        figures.add("write_beside_1_watcher_server_cpu_us", alone_micros);
        figures.add(
            format!("write_beside_{watchers}_watchers_server_cpu_us"),
            beside_micros,
        );
        figures.add(
            "events_per_write",
            as_float(seen.iter().sum()) / as_float(load.count.max(1)),
        );
        figures.add("events_to_other_watchers", as_float(others));
        self.done();

        self.begin("writing to all nodes' pods beside all watchers");
        let before = all.seen().iter().sum::<u64>();
        let (load, micros) = self.steady(running, &on_all_nodes).await?;
        all.reach(before + load.count).await?;
        let figures = &mut self.figures;
        figures.add("steady_writes_per_second", load.rate());
        figures.add("steady_write_p50_ms", load.percentile_ms(50.0));
        figures.add("steady_write_p99_ms", load.percentile_ms(99.0));
        figures.add("steady_write_server_cpu_us", micros);
        self.done();
        if !all.all_open() {
            return Err(Failure::new("the server ended a watch"));
        }
        Ok(())
    }

    /// Paced writes, and the processor time that the server used for each.
    async fn steady(
        &self,
        running: &Running,
        pod: &dyn Fn(u64) -> String,
    ) -> Result<(Load, f64), Failure> {
        // New ones: the server may have closed those that waited for long.
        let mut connections = load::connect(&running.endpoint, STEADY_CLIENTS).await?;
        let before = running.server.cpu()?;
        let time = self.sizes.time.mul_f64(2.0);
        let load = load::steady(&mut connections, self.sizes.steady_rate, time, |turn, _| {
            let path = format!("{}/{}/status", objects::PODS, pod(turn));
            Patch(path, objects::status_patch())
        })
        .await?;
        let micros = micros_each(before, running.server.cpu()?, load.count);
        Ok((load, micros))
    }

    /// Lists of all pods, to the last byte.
    async fn lists(&mut self, running: &Running) -> Result<(), Failure> {
        self.begin("listing all pods");
        let mut connection = running.endpoint.connect().await?;
        let mut times = Vec::new();
        let mut size = 0;
        for _ in 0..self.sizes.lists {
            let start = Instant::now();
            size = connection.get("/api/v1/pods").await?;
            times.push(milliseconds(start.elapsed()));
        }
        self.figures.add("list_pods_ms", median(times));
        self.figures
            .add("list_pods_size_mb", megabytes(size as u64));
        let memory = running.server.memory()?;
        self.figures
            .add("scale_peak_memory_mb", megabytes(memory.peak));
        self.done();
        Ok(())
    }

    /// The start of a server on a full store.
    async fn restart(&mut self, running: Running) -> Result<(), Failure> {
        self.begin("starting on the full store");
        let Running {
            server, mut etcd, ..
        } = running;
        server.stop().await?;
        let mut times = Vec::new();
        for _ in 0..self.sizes.rounds {
            let again = self.start("scale", etcd.take()).await?;
            times.push(milliseconds(again.start));
            again.server.stop().await?;
            etcd = again.etcd;
        }
        self.figures.add("start_filled_ms", median(times));
        if let Some(etcd) = etcd {
            etcd.process.stop().await?;
        }
        self.done();
        Ok(())
    }
}

/// What several rounds of a load came to.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, load: &Load, cpu_before: Duration, cpu_after: Duration) {
        self.rates.push(load.rate());
        self.p50.push(load.percentile_ms(50.0));
        self.p99.push(load.percentile_ms(99.0));
        self.cpu
            .push(micros_each(cpu_before, cpu_after, load.count));
    }

    fn report(self, figures: &mut Figures, many: &str, one: &str) {
        figures.add(format!("{many}_per_second"), median(self.rates));
        figures.add(format!("{one}_p50_ms"), median(self.p50));
        figures.add(format!("{one}_p99_ms"), median(self.p99));
        figures.add(format!("{one}_server_cpu_us"), median(self.cpu));
    }
}

/// The name of a pod of the large cluster.
fn pod_name(number: usize) -> String {
    objects::name(0, 0, number)
}
