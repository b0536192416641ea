//! Runs the kubectl matrix with every version and writes the page of its results.
//!
//! Usage: `compatibility [FILE]`, to standard output without one.

use std::process::ExitCode;
use std::thread;

use mosaic_tests::matrix::{Results, Stage, kinds, report, run_commands, run_verbs};
use mosaic_tests::{KubectlVersion, Server};

fn main() -> ExitCode {
    // A failed check is a cell of the table; its panic need not be told twice.
    std::panic::set_hook(Box::new(|_| {}));
    let server = Server::start();
    let results: Vec<Results> = thread::scope(|scope| {
        let runs: Vec<_> = KubectlVersion::ALL
            .into_iter()
            .map(|version| {
                let server = &server;
                scope.spawn(move || {
                    let stage = Stage::new(server, version, "m");
                    let shown = stage.kubectl.run("version --client -o json");
                    let shown: serde_json::Value = serde_json::from_str(shown.ok()).expect("JSON");
                    Results {
                        version: shown["clientVersion"]["gitVersion"]
                            .as_str()
                            .unwrap_or("?")
                            .to_owned(),
                        verbs: run_verbs(&stage, kinds()),
                        commands: run_commands(&stage),
                    }
                })
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("a run to its end"))
            .collect()
    });
    let page = report(&results);
    match std::env::args_os().nth(1) {
        Some(file) => std::fs::write(file, page).expect("a writable file"),
        None => print!("{page}"),
    }
    ExitCode::SUCCESS
}
