//! `mos api-resources` and `mos api-versions`: what the server serves.

use clap::{ArgAction, Args, ValueEnum};
use serde_json::{Value, json};

use crate::client::{Client, ConnectionArgs, Discovery, Resource};
use crate::failure::Failure;
use crate::output::table::simple;
use crate::output::{self, DataFormat, style};

/// Show the types of objects that the server knows
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos api-resources
  mos api-resources --namespaced=false -o wide
  mos api-resources --api-group=apps -o name")]
pub(crate) struct ApiResourcesArgs {
    /// Only types that live in namespaces, or only those that do not
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    namespaced: Option<bool>,
    /// Only types of this group; '' is the core group
    #[arg(long, value_name = "GROUP")]
    api_group: Option<String>,
    /// Only types that offer all of these verbs
    #[arg(long, value_name = "VERB", value_delimiter = ',')]
    verbs: Vec<String>,
    /// wide, name, json or yaml
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<ListFormat>,
    /// No headings
    #[arg(long)]
    no_headers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// With verbs and categories.
    Wide,
    /// `deployments.apps`, a line each.
    Name,
    Json,
    Yaml,
}

/// Show the API groups and versions that the server knows
#[derive(Debug, Args)]
pub(crate) struct ApiVersionsArgs {
    /// Print as data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs `mos api-versions`.
pub(crate) async fn versions(
    args: ApiVersionsArgs,
    connection: &ConnectionArgs,
) -> Result<(), Failure> {
    let discovery = Client::connect(connection).await?.discover().await?;
    warn_of_missing(&discovery);
    let mut versions = discovery.group_versions().to_vec();
    versions.sort();
    match args.output {
        Some(format) => format.print(&json!({ "versions": versions })),
        None => versions
            .iter()
            .try_for_each(|version| output::line(version)),
    }
}

/// Runs `mos api-resources`.
pub(crate) async fn run(
    args: ApiResourcesArgs,
    connection: &ConnectionArgs,
) -> Result<(), Failure> {
    let discovery = Client::connect(connection).await?.discover().await?;
    warn_of_missing(&discovery);
    let chosen = choose(&args, discovery.resources());
    match args.output {
        Some(ListFormat::Name) => chosen
            .iter()
            .try_for_each(|resource| output::line(&resource.qualified())),
        Some(ListFormat::Json) => DataFormat::Json.print(&data(&chosen)),
        Some(ListFormat::Yaml) => DataFormat::Yaml.print(&data(&chosen)),
        wide => {
            let wide = wide.is_some();
            let mut headings = vec!["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
            if wide {
                headings.extend(["VERBS", "CATEGORIES"]);
            }
            let rows = chosen.iter().map(|resource| row(resource, wide)).collect();
            output::print(&simple(&headings, rows, !args.no_headers, style::stdout()))
        }
    }
}

fn warn_of_missing(discovery: &Discovery) {
    for group in discovery.unavailable() {
        eprintln!(
            "{} {group} did not answer; its types are missing",
            style::stderr().warning("warning:")
        );
    }
}

/// The types that the flags ask for, one version of each, by group and name.
fn choose<'a>(args: &ApiResourcesArgs, resources: &'a [Resource]) -> Vec<&'a Resource> {
    let mut seen = std::collections::HashSet::new();
    let mut chosen: Vec<&Resource> = resources
        .iter()
        .filter(|resource| seen.insert(resource.qualified()))
        .filter(|resource| {
            args.namespaced
                .is_none_or(|wanted| wanted == resource.namespaced)
        })
        .filter(|resource| {
            args.api_group
                .as_ref()
                .is_none_or(|group| *group == resource.group)
        })
        .filter(|resource| args.verbs.iter().all(|verb| resource.can(verb)))
        .collect();
    chosen.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)));
    chosen
}

fn row(resource: &Resource, wide: bool) -> Vec<String> {
    let mut row = vec![
        resource.plural.clone(),
        resource.short_names.join(","),
        resource.api_version(),
        resource.namespaced.to_string(),
        resource.kind.clone(),
    ];
    if wide {
        row.push(resource.verbs.join(","));
        row.push(resource.categories.join(","));
    }
    row
}

fn data(resources: &[&Resource]) -> Value {
    let items: Vec<Value> = resources
        .iter()
        .map(|resource| {
            json!({
                "name": resource.plural, "singularName": resource.singular, "shortNames": resource.short_names,
                "group": resource.group, "version": resource.version, "kind": resource.kind,
                "namespaced": resource.namespaced, "verbs": resource.verbs, "categories": resource.categories,
            })
        })
        .collect();
    json!({ "resources": items })
}
