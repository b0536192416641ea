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

use std::process::Command;

use tracing_subscriber::EnvFilter;

/// How many seeds are run if nothing is said.
const SEEDS: u64 = 6;
/// Seeds that have found something: controllers that went on asking for a version that is too old (10, 15), workloads that
/// waited for ever after a write without an answer (9, 20), pods that were not ready any more after their host
/// was cut off (17), pods that ran again after their end (167).
const FOUND: [u64; 6] = [9, 10, 15, 17, 20, 167];

/// The test that plays one seed, if it is told which.
const PLAYS: &str = "there_is_what_was_asked_for_whatever_goes_wrong";

/// Plays a seed in this process, and tells aloud what happens. What is wrong in the end.
fn play(seed: u64) -> Vec<String> {
    let simulation = move || {
        process::seed_chance(seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let failures = runtime.block_on(async {
            process::begin_time();
            scenario::play(&world::World::new(seed)).await
        });
        runtime.shutdown_background();
        failures
    };
    // A thread that has drawn no chance yet.
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let failures = thread.spawn(simulation).unwrap().join();
    failures.unwrap_or_else(|_| vec!["the simulation panicked".to_owned()])
}

/// Plays a seed in a process of its own, so that nothing is left of those before it: whether all was well, and what
/// was told.
fn play_apart(seed: u64) -> (bool, Vec<String>) {
    let test = std::env::current_exe().unwrap();
    let played = Command::new(test)
        .args([PLAYS, "--exact", "--nocapture"])
        .env("MOSAIC_SIMULATION_SEED", seed.to_string())
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&played.stderr);
    let told = told.lines().map(str::to_owned).collect();
    (played.status.success(), told)
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {value}")),
    )
}

#[test]
fn there_is_what_was_asked_for_whatever_goes_wrong() {
    if let Some(seed) = variable("MOSAIC_SIMULATION_SEED") {
        // What processes log is told too, as far as RUST_LOG asks for it.
        let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env());
        log.with_writer(std::io::stderr).init();
        let failures = play(seed);
        assert!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n"));
        return;
    }
    let first = variable("MOSAIC_SIMULATION_FIRST").unwrap_or(1);
    let count = variable("MOSAIC_SIMULATION_SEEDS");
    let found = FOUND.into_iter().filter(|_| count.is_none());
    for seed in (first..first + count.unwrap_or(SEEDS)).chain(found) {
        let (all_is_well, told) = play_apart(seed);
        let last = told.iter().skip(told.len().saturating_sub(80));
        let last: Vec<&str> = last.map(String::as_str).collect();
        assert!(
            all_is_well,
            "seed {seed} (MOSAIC_SIMULATION_SEED={seed} tells all):\n{}",
            last.join("\n")
        );
    }
}

#[test]
fn a_seed_is_one_history() {
    if variable("MOSAIC_SIMULATION_SEED").is_some() {
        return;
    }
    let (one, other) = (play_apart(1_000).1, play_apart(1_000).1);
    let pairs = one.iter().zip(&other);
    for (line, (one, other)) in pairs.enumerate() {
        assert_eq!(one, other, "line {line}");
    }
    assert_eq!(one.len(), other.len());
    assert!(one.len() > 50, "{one:?}");
}
