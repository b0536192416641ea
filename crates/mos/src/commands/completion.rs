//! `mos completion`: what a shell needs to complete a command line.

use clap::Args;
use clap_complete::Shell;

use crate::cli;
use crate::failure::Failure;
use crate::output;

/// Print a script that completes `mos` command lines
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  source <(mos completion bash)
  mos completion zsh > \"${fpath[1]}/_mos\"
  mos completion fish > ~/.config/fish/completions/mos.fish")]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(crate) fn run(args: CompletionArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "mos", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
