//! A whole cluster in one thread and in simulated time: servers over one store, controllers, hosts. Messages are lost,
//! late and repeated, processes die, clocks jump. In the end there is what was asked for, and on the way no promise is
//! broken.
//!
//! ```text
//!   user ───────────────┐                     seed ─▶ weather, deaths, clocks, requests
//!   controllers ─ Link ─┤
//!   controllers ─ Link ─┼─▶ servers ─▶ store in memory ─▶ promises (at each write)
//!   hosts ─────── Link ─┘                            └──▶ what there is in the end
//! ```
//!
//! `MOSAIC_SIMULATION_SEED=7` runs one seed and tells what happens; `MOSAIC_SIMULATION_SEEDS=500` runs so many, from
//! `MOSAIC_SIMULATION_FIRST` on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod actors;
mod network;
mod outcome;
mod process;
mod promises;
mod rollouts;
mod scenario;
mod server;
mod user;
mod world;

use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;

/// How many seeds are run if nothing is said.
const SEEDS: u64 = 6;
/// Seeds that have found something: controllers that went on asking for a version that is too old (10, 15), workloads that
/// waited for ever after a write without an answer (9, 20), pods that were not ready any more after their host
/// was cut off (17).
const FOUND: [u64; 5] = [9, 10, 15, 17, 20];

/// What became of a seed.
struct Run {
    trace: Vec<String>,
    failures: Vec<String>,
}

/// Runs a seed on a thread of its own, so that nothing is left of those before it.
fn run(seed: u64, aloud: bool) -> Run {
    let trace: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = trace.clone();
    let simulation = move || {
        process::seed_chance(seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let failures = runtime.block_on(async {
            process::begin_time();
            let world = world::World::new(seed, aloud, told);
            scenario::play(&world).await
        });
        runtime.shutdown_background();
        failures
    };
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let failures = thread.spawn(simulation).unwrap().join();
    let failures = failures.unwrap_or_else(|_| vec!["the simulation panicked".to_owned()]);
    let trace = std::mem::take(&mut *trace.lock());
    Run { trace, failures }
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {value}")),
    )
}

/// Fails with what is needed to see it again.
fn expect_success(seed: u64, run: &Run) {
    if run.failures.is_empty() {
        return;
    }
    let last = run.trace.iter().skip(run.trace.len().saturating_sub(60));
    let last: Vec<&str> = last.map(String::as_str).collect();
    panic!(
        "seed {seed} (MOSAIC_SIMULATION_SEED={seed} tells all):\n{}\n\nthe last that happened:\n{}",
        run.failures.join("\n"),
        last.join("\n"),
    );
}

#[test]
fn there_is_what_was_asked_for_whatever_goes_wrong() {
    if let Some(seed) = variable("MOSAIC_SIMULATION_SEED") {
        // What processes log is told too, as far as RUST_LOG asks for it.
        let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env());
        log.with_writer(std::io::stderr).init();
        return expect_success(seed, &run(seed, true));
    }
    let first = variable("MOSAIC_SIMULATION_FIRST").unwrap_or(1);
    let count = variable("MOSAIC_SIMULATION_SEEDS");
    let found = FOUND.into_iter().filter(|_| count.is_none());
    for seed in (first..first + count.unwrap_or(SEEDS)).chain(found) {
        let started = std::time::Instant::now();
        let run = run(seed, false);
        eprintln!(
            "seed {seed}: {} lines, {:?}",
            run.trace.len(),
            started.elapsed()
        );
        expect_success(seed, &run);
    }
}

#[test]
fn a_seed_is_one_history() {
    let (one, other) = (run(1_000, false), run(1_000, false));
    let pairs = one.trace.iter().zip(&other.trace);
    for (line, (one, other)) in pairs.enumerate() {
        assert_eq!(one, other, "line {line}");
    }
    assert_eq!(one.trace.len(), other.trace.len());
}
