//! `mos`, the one binary of Mosaic: the server, and a command line for any Kubernetes API.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 all done, 1
//! something failed, 2 the command line itself is wrong.

mod advice;
mod allocator;
mod bench;
mod cli;
mod client;
mod commands;
mod config;
mod controllers;
mod data_directory;
mod describe;
mod failure;
mod hosts;
mod manifest;
mod nearest;
mod output;
mod progress;
mod readiness;
mod registry;
mod selection;
mod server;
mod signals;
mod yaml;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::cli::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let environment = std::env::vars_os();
    let matches = config::matches(cli::command(), arguments, environment)?;
    cli::check(&matches)?;
    let cli = Cli::from_arg_matches(&matches)?;
    match cli.command {
        Command::Server(args) => server::run(args),
        Command::Registry(args) => registry::run(args),
        command => {
            output::log::to_stderr_for_client(cli.connection.verbose);
            // One thread is plenty for a client, and starts faster than a pool.
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?
                .block_on(commands::run(command, &cli.connection))
        }
    }
}
