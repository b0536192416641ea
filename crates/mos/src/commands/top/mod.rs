//! `mos top`: who uses most. Where no measurements are served, who asks for most.

mod amounts;
mod report;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::Filter;
use crate::client::{Client, ConnectionArgs, Discovery, Query, Resource};
use crate::failure::Failure;
use crate::output::{self, DataFormat, style, table};
use report::Report;

/// The group that serves measurements.
const METRICS: &str = "metrics.k8s.io";

/// Show which hosts and pods use or ask for most
///
/// If the server has measurements (`metrics.k8s.io`), these are shown. Otherwise what pods ask for, and what
/// hosts have for them, as the names of the columns say.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos top nodes
  mos top pods -A --sort-by memory
  mos top pods -l app=web -o json")]
pub(crate) struct TopArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Hosts
    #[command(visible_aliases = ["node", "no", "hosts"])]
    Nodes(NodesArgs),
    /// Pods
    #[command(visible_aliases = ["pod", "po"])]
    Pods(PodsArgs),
}

#[derive(Debug, Args)]
struct Common {
    /// Only this one
    #[arg(value_name = "NAME", conflicts_with = "selector")]
    name: Option<String>,
    /// Those whose labels match
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// What the first line has most of
    #[arg(long, value_name = "COLUMN", value_enum, default_value_t = SortBy::Cpu)]
    sort_by: SortBy,
    /// Leave the headings and the totals out
    #[arg(long)]
    no_headers: bool,
    /// Print data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

#[derive(Debug, Args)]
struct NodesArgs {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct PodsArgs {
    #[command(flatten)]
    common: Common,
    /// In every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

/// What lines are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SortBy {
    /// Most processor time first.
    Cpu,
    /// Most memory first.
    Memory,
    /// By name.
    Name,
}

/// Runs the command.
pub(crate) async fn run(args: TopArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let (report, common, kind) = match args.what {
        What::Nodes(args) => {
            let report = nodes(&client, &discovery, &args).await?;
            (report, args.common, "node")
        }
        What::Pods(args) => {
            let report = pods(&client, &discovery, &args).await?;
            (report, args.common, "pod")
        }
    };
    if report.is_empty() {
        if let Some(name) = &common.name {
            return Err(Failure::new(format!("there is no {kind} `{name}`"))
                .hint(format!("`mos get {kind}s` lists those that there are")));
        }
        eprintln!("No resources found");
        return Ok(());
    }
    match common.output {
        Some(format) => format.print(&report.as_data()),
        None => {
            let rows = report.rows(!common.no_headers);
            let table = table::simple(report.headings(), rows, !common.no_headers, style::stdout());
            output::print(&table)
        }
    }
}

/// The type under which measurements of something are served, if they are.
fn measured<'a>(discovery: &'a Discovery, plural: &str) -> Option<&'a Resource> {
    let resources = discovery.resources().iter();
    let mut found = resources.filter(|one| one.group == METRICS && one.plural == plural);
    found.next()
}

fn tell_what_is_shown() {
    eprintln!(
        "{} no measurements are served ({METRICS}): this is what is asked for, not what is used",
        style::stderr().hint("note:")
    );
}

/// Objects, or the one of this name.
async fn list(
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
    common: &Common,
) -> Result<Vec<Value>, Failure> {
    let mut query = Filter {
        selector: common.selector.clone(),
        ..Filter::default()
    }
    .query();
    if let Some(name) = &common.name {
        query.push(("fieldSelector", format!("metadata.name={name}")));
    }
    Ok(client.list_all(resource, namespace, &query).await?)
}

async fn nodes(
    client: &Client,
    discovery: &Discovery,
    args: &NodesArgs,
) -> Result<Report, Failure> {
    let nodes = list(client, discovery.resolve("nodes")?, None, &args.common).await?;
    if let Some(measured) = measured(discovery, "nodes") {
        // Not every server of measurements knows field selectors.
        let measurements = client.list_all(measured, None, &Query::new()).await?;
        return Ok(report::used_of_nodes(
            &nodes,
            &measurements,
            args.common.sort_by,
        ));
    }
    tell_what_is_shown();
    let mut query = Query::new();
    // Pods that have ended hold nothing.
    let alive = "status.phase!=Succeeded,status.phase!=Failed";
    query.push(("fieldSelector", alive.to_owned()));
    let pods = client
        .list_all(discovery.resolve("pods")?, None, &query)
        .await?;
    Ok(report::requested_of_nodes(
        &nodes,
        &pods,
        args.common.sort_by,
    ))
}

async fn pods(client: &Client, discovery: &Discovery, args: &PodsArgs) -> Result<Report, Failure> {
    let namespace = (!args.all_namespaces).then(|| client.namespace());
    if let Some(measured) = measured(discovery, "pods") {
        let query = Filter {
            selector: args.common.selector.clone(),
            ..Filter::default()
        };
        let mut measurements = client.list_all(measured, namespace, &query.query()).await?;
        if let Some(name) = &args.common.name {
            measurements.retain(|one| mosaic_api::meta::name(one) == name);
        }
        return Ok(report::used_of_pods(
            &measurements,
            args.all_namespaces,
            args.common.sort_by,
        ));
    }
    tell_what_is_shown();
    let pods = list(client, discovery.resolve("pods")?, namespace, &args.common).await?;
    Ok(report::requested_of_pods(
        &pods,
        args.all_namespaces,
        args.common.sort_by,
    ))
}
