//! `mos get`: objects in tables, as data, and as they change.

mod sort;
mod watch;

use clap::Args;
use mosaic_api::meta;
use serde_json::Value;

use crate::client::{Client, ConnectionArgs, Discovery, Form, Query, Resource};
use crate::commands::Outcome;
use crate::failure::Failure;
use crate::manifest;
use crate::output::table::{Table, View};
use crate::output::{self, Format, jsonpath, style};
use crate::selection::{self, Arguments, Target};
use crate::yaml;

/// Show objects
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos get pods
  mos get deploy,svc -l app=web -o wide
  mos get pod/web-1 deployment/web
  mos get nodes -o jsonpath='{.items[*].metadata.name}'
  mos get pods -A --sort-by=.metadata.creationTimestamp
  mos get pods -w")]
pub(crate) struct GetArgs {
    /// TYPE[,TYPE...], TYPE NAME... or TYPE/NAME...
    #[arg(
        value_name = "TYPE [NAME]",
        required_unless_present = "filename",
        conflicts_with = "filename"
    )]
    objects: Vec<String>,
    /// Show the objects that a file names; - is standard input, a directory is all of its files
    #[arg(short, long, value_name = "FILE")]
    filename: Vec<String>,
    /// With -f: also files in directories below
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Only objects whose labels match, as in app=web,tier!=cache
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Only objects whose fields match, as in spec.nodeName=host1
    #[arg(long, value_name = "SELECTOR")]
    field_selector: Option<String>,
    /// In every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// wide, json, yaml, name, jsonpath=TEMPLATE or custom-columns=NAME:PATH,...
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// After showing them, show each change
    #[arg(short, long)]
    watch: bool,
    /// Show changes only
    #[arg(long)]
    watch_only: bool,
    /// Sort by a field, as in .metadata.name
    #[arg(long, value_name = "PATH")]
    sort_by: Option<jsonpath::Template>,
    /// Show all labels in the last column
    #[arg(long)]
    show_labels: bool,
    /// Show a label in a column of its own
    #[arg(short = 'L', long, value_name = "KEY", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// Put the type before names
    #[arg(long)]
    show_kind: bool,
    /// Keep metadata.managedFields in JSON and YAML
    #[arg(long)]
    show_managed_fields: bool,
    /// No headings
    #[arg(long)]
    no_headers: bool,
    /// An object that is not there is no error
    #[arg(long)]
    ignore_not_found: bool,
    /// Objects a request when reading long lists; 0 for all at once
    #[arg(long, value_name = "NUMBER", default_value_t = 500)]
    chunk_size: u32,
}

impl GetArgs {
    fn format(&self) -> Format {
        self.output.clone().unwrap_or(Format::Table)
    }

    fn view(&self, namespaced: bool, prefix: Option<String>) -> View {
        View {
            wide: self.format() == Format::Wide,
            namespace: self.all_namespaces && namespaced,
            label_columns: self.label_columns.clone(),
            show_labels: self.show_labels,
            prefix,
        }
    }

    fn query(&self) -> Query {
        let filter = crate::commands::Filter {
            selector: self.selector.clone(),
            field_selector: self.field_selector.clone(),
            ..Default::default()
        };
        filter.query()
    }
}

/// What is read of one type.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    resource: Resource,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    /// All objects of a namespace, or of every one.
    All(Option<String>),
    /// These, by namespace and name.
    These(Vec<(Option<String>, String)>),
}

/// Runs the command.
pub(crate) async fn run(args: GetArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let groups = plan(&args, &client, &discovery, connection.namespace.as_deref())?;
    if args.watch || args.watch_only {
        return watch::run(&args, &client, &groups).await;
    }
    match args.format() {
        Format::Table | Format::Wide => tables(&args, &client, &groups).await,
        format => documents(&args, &client, &groups, &format).await,
    }
}

/// What to read, a group for each type in the order in which the types were named.
fn plan(
    args: &GetArgs,
    client: &Client,
    discovery: &Discovery,
    asked: Option<&str>,
) -> Result<Vec<Group>, Failure> {
    let filtered = args.selector.is_some() || args.field_selector.is_some();
    if !args.filename.is_empty() {
        let manifests = manifest::read(&args.filename, args.recursive)?;
        let targets = manifests
            .iter()
            .map(|manifest| selection::of_manifest(manifest, discovery, client, asked))
            .collect::<Result<Vec<_>, _>>()?;
        return Ok(group(targets));
    }
    if let Arguments::Types(types) = selection::parse(&args.objects)? {
        let namespace = (!args.all_namespaces).then(|| client.namespace().to_owned());
        return Ok(discovery
            .resolve_list(&types)?
            .into_iter()
            .map(|resource| Group {
                resource: resource.clone(),
                what: What::All(namespace.clone()),
            })
            .collect());
    }
    if args.all_namespaces {
        return Err(
            Failure::usage("an object cannot be looked for by name in all namespaces")
                .hint("use --field-selector metadata.name=NAME with -A"),
        );
    }
    if filtered {
        return Err(Failure::usage("a selector cannot be combined with names"));
    }
    Ok(group(selection::named(
        &args.objects,
        discovery,
        client.namespace(),
    )?))
}

fn group(targets: Vec<Target>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for target in targets {
        let entry = (target.namespace, target.name);
        let known = groups
            .iter_mut()
            .find(|group| group.resource == target.resource);
        match known.map(|group| &mut group.what) {
            Some(What::These(names)) => names.push(entry),
            _ => groups.push(Group {
                resource: target.resource,
                what: What::These(vec![entry]),
            }),
        }
    }
    groups
}

/// The documents of a group: pages of a list, or single objects. What is missing goes to the outcome.
async fn read(
    args: &GetArgs,
    client: &Client,
    group: &Group,
    form: Form,
    outcome: &mut Outcome,
) -> Result<Vec<Value>, Failure> {
    let mut query = args.query();
    if form == Form::Table && args.sort_by.is_some() {
        query.push(("includeObject", "Object".into()));
    }
    match &group.what {
        What::All(namespace) => Ok(client
            .pages(
                &group.resource,
                namespace.as_deref(),
                form,
                &query,
                args.chunk_size,
            )
            .await?),
        What::These(names) => {
            let mut found = Vec::new();
            for (namespace, name) in names {
                match client
                    .get(&group.resource, namespace.as_deref(), name, form, &query)
                    .await
                {
                    Ok(document) => found.push(document),
                    Err(error) if error.is_not_found() && args.ignore_not_found => {}
                    Err(error) => outcome.record(Err(error.into()))?,
                }
            }
            Ok(found)
        }
    }
}

async fn tables(args: &GetArgs, client: &Client, groups: &[Group]) -> Result<(), Failure> {
    let mut outcome = Outcome::default();
    let mut printed = 0;
    let style = style::stdout();
    let several = groups.len() > 1 || args.show_kind;
    for group in groups {
        let documents = match read(args, client, group, Form::Table, &mut outcome).await {
            Ok(documents) => documents,
            Err(failure) => {
                outcome.record(Err(failure))?;
                continue;
            }
        };
        let mut table = merged(&documents);
        if let Some(path) = &args.sort_by {
            table
                .rows
                .sort_by(|a, b| sort::compare(path.first(&a.object), path.first(&b.object)));
        }
        if table.rows.is_empty() {
            continue;
        }
        if printed > 0 {
            output::line("")?;
        }
        printed += 1;
        let prefix = several.then(|| group.resource.object_name(""));
        let view = args.view(group.resource.namespaced, prefix);
        output::print(&table.render(&view, !args.no_headers, style))?;
    }
    outcome.finish()?;
    if printed == 0 && !args.ignore_not_found {
        eprintln!("{}", nothing_found(groups));
    }
    Ok(())
}

/// One table of all pages. A server that makes no tables is helped out.
fn merged(documents: &[Value]) -> Table {
    let mut merged = Table::default();
    for document in documents {
        let table = Table::from_document(document).unwrap_or_else(|| {
            let now = jiff::Timestamp::now();
            match document.get("items").and_then(Value::as_array) {
                Some(items) => Table::from_objects(items, now),
                None => Table::from_objects(std::slice::from_ref(document), now),
            }
        });
        if merged.columns.is_empty() {
            merged.columns = table.columns;
        }
        merged.rows.extend(table.rows);
    }
    merged
}

fn nothing_found(groups: &[Group]) -> String {
    let namespace = groups.iter().find_map(|group| match &group.what {
        What::All(Some(namespace)) if group.resource.namespaced => Some(namespace),
        _ => None,
    });
    match namespace {
        Some(namespace) => format!("No resources found in {namespace} namespace."),
        None => "No resources found".into(),
    }
}

async fn documents(
    args: &GetArgs,
    client: &Client,
    groups: &[Group],
    format: &Format,
) -> Result<(), Failure> {
    let mut outcome = Outcome::default();
    let mut objects: Vec<(Resource, Value)> = Vec::new();
    let mut is_single = false;
    for group in groups {
        is_single =
            groups.len() == 1 && matches!(&group.what, What::These(names) if names.len() == 1);
        let documents = read(args, client, group, Form::Objects, &mut outcome).await?;
        for document in documents {
            let found = match (&group.what, document) {
                (What::All(_), mut page) => match page.get_mut("items").map(Value::take) {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                },
                (What::These(_), object) => vec![object],
            };
            objects.extend(found.into_iter().map(|object| {
                let object = if args.show_managed_fields {
                    object
                } else {
                    output::without_managed_fields(object)
                };
                (group.resource.clone(), typed(object, &group.resource))
            }));
        }
    }
    if let Some(path) = &args.sort_by {
        objects.sort_by(|(_, a), (_, b)| sort::compare(path.first(a), path.first(b)));
    }
    if is_single && objects.is_empty() {
        return outcome.finish();
    }
    print_documents(objects, is_single, format, !args.no_headers)?;
    outcome.finish()
}

fn print_documents(
    objects: Vec<(Resource, Value)>,
    is_single: bool,
    format: &Format,
    headings: bool,
) -> Result<(), Failure> {
    match format {
        Format::Name => objects
            .iter()
            .try_for_each(|(resource, object)| output::line(&name(resource, object))),
        Format::Columns(columns) => {
            let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            let rows = objects
                .iter()
                .map(|(_, object)| custom_cells(columns, object))
                .collect();
            output::print(&output::table::simple(
                &names,
                rows,
                headings,
                style::stdout(),
            ))
        }
        format => {
            let mut objects: Vec<Value> = objects.into_iter().map(|(_, object)| object).collect();
            let document = match objects.pop() {
                Some(object) if is_single => object,
                last => {
                    objects.extend(last);
                    output::list_of(objects)
                }
            };
            match format {
                Format::JsonPath(template) => output::print(&template.render(&document)),
                Format::Yaml => output::print(&yaml::write(&document)?),
                _ => output::line(&format!("{document:#}")),
            }
        }
    }
}

fn custom_cells(columns: &[(String, jsonpath::Template)], object: &Value) -> Vec<String> {
    columns
        .iter()
        .map(|(_, template)| {
            let text = template.render(object);
            if text.is_empty() {
                "<none>".into()
            } else {
                text
            }
        })
        .collect()
}

fn name(resource: &Resource, object: &Value) -> String {
    resource.object_name(meta::name(object))
}

/// Adds the type, which objects of a list lack.
fn typed(mut object: Value, resource: &Resource) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.entry("apiVersion")
            .or_insert_with(|| resource.api_version().into());
        map.entry("kind")
            .or_insert_with(|| resource.kind.clone().into());
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn named_objects_are_grouped_by_type() {
        let target = |plural: &str, name: &str| Target {
            resource: Resource {
                plural: plural.into(),
                ..Resource::default()
            },
            namespace: None,
            name: name.into(),
        };
        let groups = group(vec![
            target("pods", "a"),
            target("svc", "b"),
            target("pods", "c"),
        ]);
        assert_eq!(groups.len(), 2);
        assert_eq!(
            groups[0].what,
            What::These(vec![(None, "a".into()), (None, "c".into())])
        );
    }

    #[test]
    fn nothing_found_names_the_namespace_only_where_there_is_one() {
        let group = |namespaced, namespace: Option<&str>| Group {
            resource: Resource {
                namespaced,
                ..Resource::default()
            },
            what: What::All(namespace.map(str::to_owned)),
        };
        assert_eq!(
            nothing_found(&[group(true, Some("default"))]),
            "No resources found in default namespace."
        );
        assert_eq!(nothing_found(&[group(true, None)]), "No resources found");
        assert_eq!(
            nothing_found(&[group(false, Some("default"))]),
            "No resources found"
        );
    }

    #[test]
    fn pages_become_one_table() {
        let page = |name: &str| json!({"kind": "Table", "columnDefinitions": [{"name": "Name"}], "rows": [{"cells": [name], "object": {}}]});
        let table = merged(&[page("a"), page("b")]);
        assert_eq!((table.columns.len(), table.rows.len()), (1, 2));
        let table = merged(&[json!({"kind": "PodList", "items": [{"metadata": {"name": "x"}}]})]);
        assert_eq!(table.rows[0].cells[0], "x");
    }
}
