//! The command line as a whole.

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::client::ConnectionArgs;
use crate::commands::{
    api_resources, apply, auth, completion, delete, describe, drain, edit, events, explain, get,
    image, metadata, rebalance, rollout, scale, sim, top, version, why,
};
use crate::config;
use crate::failure::Failure;
use crate::registry::RegistryArgs;
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
    Registry(RegistryArgs),
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
    Rebalance(rebalance::RebalanceArgs),
    Top(top::TopArgs),
    Image(image::ImageArgs),
    Events(events::EventsArgs),
    Explain(explain::ExplainArgs),
    ApiResources(api_resources::ApiResourcesArgs),
    ApiVersions(api_resources::ApiVersionsArgs),
    Auth(auth::AuthArgs),
    Version(version::VersionArgs),
    Sim(sim::SimArgs),
    Bench(BenchArgs),
    Completion(completion::CompletionArgs),
}

/// The commands that use no server, and so have no use for the flags that choose one.
const WITHOUT_CONNECTION: [&str; 4] = ["server", "registry", "bench", "completion"];

/// The command line's description, complete with where settings may stand.
pub(crate) fn command() -> clap::Command {
    let mut command = config::with_sources_in_help(Cli::command());
    for name in WITHOUT_CONNECTION {
        // Flags of all commands are in the description of each; here they are known, to be refused by
        // name, and not offered.
        let hidden = ConnectionArgs::flags()
            .into_iter()
            .map(|flag| flag.hide(true));
        command = command.mut_subcommand(name, |command| command.args(hidden));
    }
    command
}

/// Refuses flags that choose a server where none is used, rather than ignoring them.
///
/// # Errors
/// If there is one.
pub(crate) fn check(matches: &ArgMatches) -> Result<(), Failure> {
    let Some(name) = matches
        .subcommand_name()
        .filter(|name| WITHOUT_CONNECTION.contains(name))
    else {
        return Ok(());
    };
    let given = ConnectionArgs::flags().into_iter().find(|flag| {
        matches.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine)
    });
    match given {
        None => Ok(()),
        Some(flag) => Err(Failure::usage(format!(
            "`mos {name}` has no --{}: it is a flag of commands that use a server",
            flag.get_long().unwrap_or_default()
        ))
        .hint(format!("`mos {name} --help` shows its flags"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn commands_without_a_server_refuse_the_flags_that_choose_one() {
        for words in [
            "mos server -n x",
            "mos -n x server",
            "mos bench api --context x",
            "mos bench --as x api",
            "mos completion bash -v",
        ] {
            let matches = command().get_matches_from(words.split(' '));
            let failure = check(&matches).unwrap_err();
            assert!(
                failure.message().contains("has no --"),
                "{words}: {failure}"
            );
        }
        for words in ["mos server --listen 127.0.0.1:0", "mos get pods -n x"] {
            check(&command().get_matches_from(words.split(' '))).unwrap();
        }
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
