//! The command line as a whole.

use clap::{CommandFactory, Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::client::ConnectionArgs;
use crate::commands::{
    api_resources, apply, auth, completion, delete, describe, drain, edit, events, explain, get,
    metadata, rollout, scale, top, version, why,
};
use crate::config;
use crate::server::ServerArgs;

/// Mosaic: a container platform in one binary.
///
/// `mos server` runs the API. The other commands work with any Kubernetes API; they find it as
/// kubectl does, by KUBECONFIG, --kubeconfig and --context.
///
/// Data goes to standard output, everything else to standard error. Exit codes: 0 all done, 1
/// something failed, 2 the command line is wrong.
#[derive(Debug, Parser)]
#[command(
    name = "mos",
    version,
    max_term_width = 100,
    after_help = "Examples:
  mos server --data-dir /var/lib/mosaic
  export KUBECONFIG=/var/lib/mosaic/admin.kubeconfig
  mos apply -f app.yaml --wait
  mos get deploy,pods -o wide
  mos explain deployment.spec.strategy"
)]
pub(crate) struct Cli {
    /// Which server, as whom.
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Server(ServerArgs),
    Get(get::GetArgs),
    Describe(describe::DescribeArgs),
    Apply(apply::ApplyArgs),
    Delete(delete::DeleteArgs),
    Edit(edit::EditArgs),
    Label(metadata::LabelArgs),
    Annotate(metadata::AnnotateArgs),
    Scale(scale::ScaleArgs),
    Rollout(rollout::RolloutArgs),
    Cordon(drain::CordonArgs),
    Uncordon(drain::UncordonArgs),
    Drain(drain::DrainArgs),
    Why(why::WhyArgs),
    Top(top::TopArgs),
    Events(events::EventsArgs),
    Explain(explain::ExplainArgs),
    ApiResources(api_resources::ApiResourcesArgs),
    ApiVersions(api_resources::ApiVersionsArgs),
    Auth(auth::AuthArgs),
    Version(version::VersionArgs),
    Bench(BenchArgs),
    Completion(completion::CompletionArgs),
}

/// The command line's description, complete with where settings may stand.
pub(crate) fn command() -> clap::Command {
    config::with_sources_in_help(Cli::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn connection_flags_may_stand_before_or_after_the_command() {
        for words in [
            ["mos", "-n", "x", "get", "pods"],
            ["mos", "get", "pods", "-n", "x"],
        ] {
            let cli = Cli::try_parse_from(words).unwrap();
            assert_eq!(cli.connection.namespace.as_deref(), Some("x"));
        }
    }
}
