//! The log, which goes to standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Logs of a client command, for `-v`.
pub(crate) fn to_stderr_for_client(verbosity: u8) {
    let level = match verbosity {
        0 => return,
        1 => "mos=debug,kube_client=debug",
        _ => "debug",
    };
    // A second subscriber would be refused; there is none, and nothing to do if there were.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_ansi(super::style::stderr().is_on())
        .try_init();
}

/// The server's log.
pub(crate) fn to_stderr_for_server(json: bool, level: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Failure::usage(format!("log-level: `{level}` is not understood: {error}")).hint(
            "write error, warn, info, debug or trace, or a list such as info,mosaic_store=debug",
        )
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let done = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder
            .with_ansi(std::io::stderr().is_terminal() && super::style::stderr().is_on())
            .try_init()
    };
    done.map_err(|error| Failure::new(format!("cannot start the log: {error}")))
}
