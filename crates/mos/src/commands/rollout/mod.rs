//! `mos rollout`: how a workload comes from one template of its pods to another.

mod change;
mod history;
mod status;

use std::time::Duration;

use clap::{ArgAction, Args, Subcommand};
use mosaic_api::meta;
use serde_json::Value;

use super::{DryRun, Filter, targets};
use crate::client::{Client, ConnectionArgs, Discovery};
use crate::failure::Failure;
use crate::output::DataFormat;
use crate::selection::Target;

/// Follow, undo, pause and restart the rollout of a workload
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos rollout status deployment/web
  mos rollout history deployment/web --revision 3
  mos rollout undo deployment/web --to-revision 2
  mos rollout restart statefulset/db
  mos rollout pause deployment/web")]
pub(crate) struct RolloutArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Wait until the pods are of the newest template, and serve
    Status(StatusArgs),
    /// List the templates that there were
    History(HistoryArgs),
    /// Go back to an earlier template
    Undo(UndoArgs),
    /// Hold a deployment's rollout: changes of its template wait
    Pause(ChangeArgs),
    /// Go on with a deployment's rollout
    Resume(ChangeArgs),
    /// Replace all pods by new ones of the same template
    Restart(ChangeArgs),
}

/// Which workloads.
#[derive(Debug, Args)]
struct Selected {
    /// TYPE NAME..., TYPE/NAME..., or TYPE with a selector: deployments, stateful sets, daemon sets
    #[arg(value_name = "TYPE NAME", required = true)]
    objects: Vec<String>,
    /// Those whose labels match
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    selected: Selected,
    /// Wait until the rollout has ended; without, tell how far it is
    #[arg(short, long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    watch: bool,
    /// How long to wait at most; by default as long as it takes
    #[arg(long, value_name = "DURATION", value_parser = crate::client::duration)]
    timeout: Option<Duration>,
    /// It is an error if a deployment's rollout is of another revision
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    revision: Option<i64>,
    /// Print how far it is as data, at the end of the wait
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

#[derive(Debug, Args)]
struct HistoryArgs {
    #[command(flatten)]
    selected: Selected,
    /// Show this revision's template
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    revision: Option<i64>,
    /// Print the objects that hold the revisions
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

#[derive(Debug, Args)]
struct UndoArgs {
    #[command(flatten)]
    selected: Selected,
    /// The revision to go back to; by default the one before
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    to_revision: i64,
    /// `server`: check everything on the server, but change nothing
    #[arg(long, value_name = "HOW", value_enum, default_value_t = DryRun::None)]
    dry_run: DryRun,
    /// Print the objects instead of a line each
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    #[command(flatten)]
    selected: Selected,
    /// `server`: check everything on the server, but change nothing
    #[arg(long, value_name = "HOW", value_enum, default_value_t = DryRun::None)]
    dry_run: DryRun,
    /// Print the objects instead of a line each
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs the command.
pub(crate) async fn run(args: RolloutArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    match args.action {
        Action::Status(args) => status::run(&client, &discovery, args).await,
        Action::History(args) => history::run(&client, &discovery, args).await,
        Action::Undo(args) => change::undo(&client, &discovery, args).await,
        Action::Pause(args) => change::run(&client, &discovery, args, change::Step::Pause).await,
        Action::Resume(args) => change::run(&client, &discovery, args, change::Step::Resume).await,
        Action::Restart(args) => {
            change::run(&client, &discovery, args, change::Step::Restart).await
        }
    }
}

/// A kind that is rolled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

/// A workload on the command line.
#[derive(Debug, Clone)]
struct Workload {
    target: Target,
    kind: Kind,
}

async fn workloads(
    client: &Client,
    discovery: &Discovery,
    selected: &Selected,
) -> Result<Vec<Workload>, Failure> {
    let filter = Filter {
        selector: selected.selector.clone(),
        ..Filter::default()
    };
    let targets = targets(client, discovery, &selected.objects, &filter).await?;
    if targets.is_empty() {
        eprintln!("No resources found");
    }
    targets.into_iter().map(workload).collect()
}

fn workload(target: Target) -> Result<Workload, Failure> {
    let resource = &target.resource;
    let kind = match (resource.group.as_str(), resource.kind.as_str()) {
        ("apps", "Deployment") => Kind::Deployment,
        ("apps", "StatefulSet") => Kind::StatefulSet,
        ("apps", "DaemonSet") => Kind::DaemonSet,
        _ => {
            let failure = Failure::new(format!("{} is not rolled out", target.object_name()));
            return Err(failure.hint("deployments, stateful sets and daemon sets are"));
        }
    };
    Ok(Workload { target, kind })
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let value = object.pointer(pointer).and_then(Value::as_str);
    value.unwrap_or_default()
}

fn is_paused(deployment: &Value) -> bool {
    deployment.pointer("/spec/paused") == Some(&Value::Bool(true))
}

/// The revision that a deployment or a replica set of it says it has.
fn revision_of(object: &Value) -> Option<i64> {
    meta::annotation(object, "deployment.kubernetes.io/revision")?
        .parse()
        .ok()
}
