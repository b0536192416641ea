//! `mos describe`: objects for people, with what belongs to them.

use clap::Args;
use jiff::Timestamp;
use mosaic_api::meta;
use serde_json::Value;

use super::{Outcome, events, target};
use crate::client::{Client, ConnectionArgs, Discovery, Form, Query};
use crate::describe::{Related, describe};
use crate::failure::Failure;
use crate::manifest;
use crate::output::{self, DataFormat};
use crate::selection::{self, Arguments, Target};

/// Describe objects in detail, with their events
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos describe pod web-1
  mos describe deployment/web
  mos describe nodes
  mos describe pods -l app=web -n shop")]
pub(crate) struct DescribeArgs {
    /// TYPE, TYPE NAME... or TYPE/NAME...
    #[arg(
        value_name = "TYPE [NAME]",
        required_unless_present = "filename",
        conflicts_with = "filename"
    )]
    objects: Vec<String>,
    /// The objects that a file names; - is standard input
    #[arg(short, long, value_name = "FILE")]
    filename: Vec<String>,
    /// With -f: also files in directories below
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Those whose labels match
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// In every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Leave the events out
    #[arg(long)]
    no_events: bool,
    /// Print the objects and their events as data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs the command.
pub(crate) async fn run(args: DescribeArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let targets = chosen(&args, &client, &discovery, connection.namespace.as_deref()).await?;
    if targets.is_empty() {
        eprintln!("No resources found");
    }
    let mut outcome = Outcome::default();
    let mut is_first = true;
    let mut documents = Vec::new();
    for target in &targets {
        let object = client
            .get(
                &target.resource,
                target.namespace.as_deref(),
                &target.name,
                Form::Objects,
                &Query::new(),
            )
            .await;
        let object = match object {
            Ok(object) => output::without_managed_fields(object),
            Err(error) => {
                outcome.record(Err(error.into()))?;
                continue;
            }
        };
        let related = related(&args, &client, &discovery, &object).await;
        if args.output.is_some() {
            documents.push(object);
            documents.extend(related.events.unwrap_or_default());
            continue;
        }
        let separator = if is_first { "" } else { "\n\n" };
        is_first = false;
        output::print(&format!(
            "{separator}{}",
            describe(&object, &related, Timestamp::now())
        ))?;
    }
    if let Some(format) = args.output {
        format.print(&output::list_of(documents))?;
    }
    outcome.finish()
}

async fn chosen(
    args: &DescribeArgs,
    client: &Client,
    discovery: &Discovery,
    asked: Option<&str>,
) -> Result<Vec<Target>, Failure> {
    if !args.filename.is_empty() {
        return manifest::read(&args.filename, args.recursive)?
            .iter()
            .map(|manifest| selection::of_manifest(manifest, discovery, client, asked))
            .collect();
    }
    let Arguments::Types(types) = selection::parse(&args.objects)? else {
        if args.selector.is_some() {
            return Err(Failure::usage("a selector cannot be combined with names"));
        }
        return selection::named(&args.objects, discovery, client.namespace());
    };
    let mut query = Query::new();
    if let Some(selector) = &args.selector {
        query.push(("labelSelector", selector.clone()));
    }
    let namespace = (!args.all_namespaces).then(|| client.namespace());
    let mut found = Vec::new();
    for resource in discovery.resolve_list(&types)? {
        let objects = client.list_all(resource, namespace, &query).await?;
        found.extend(objects.iter().map(|object| target(resource, object)));
    }
    Ok(found)
}

/// What belongs to an object. Whoever may read the object need not be allowed to read all of it, so
/// what cannot be read is left out.
async fn related(
    args: &DescribeArgs,
    client: &Client,
    discovery: &Discovery,
    object: &Value,
) -> Related {
    let mut related = Related::default();
    if !args.no_events {
        related.events = events::of_object(client, object).await.ok();
    }
    let namespace = object
        .pointer("/metadata/namespace")
        .and_then(Value::as_str);
    let name = meta::name(object);
    match (meta::api_version(object), meta::kind(object)) {
        ("v1", "Node") => {
            let query = vec![("fieldSelector", format!("spec.nodeName={name}"))];
            related.pods = objects(client, discovery, "pods.v1", None, &query).await;
        }
        ("v1", "Service") => {
            let query = vec![(
                "labelSelector",
                format!("kubernetes.io/service-name={name}"),
            )];
            related.endpoint_slices = objects(
                client,
                discovery,
                "endpointslices.discovery.k8s.io",
                namespace,
                &query,
            )
            .await;
        }
        ("apps/v1", "Deployment") => {
            let uid = meta::uid(object);
            let sets = objects(
                client,
                discovery,
                "replicasets.apps",
                namespace,
                &Query::new(),
            )
            .await;
            related.replica_sets = sets
                .into_iter()
                .filter(|set| meta::owner_references(set).any(|owner| owner.uid == uid))
                .collect();
        }
        _ => {}
    }
    related
}

async fn objects(
    client: &Client,
    discovery: &Discovery,
    resource: &str,
    namespace: Option<&str>,
    query: &Query,
) -> Vec<Value> {
    match discovery.resolve(resource) {
        Ok(resource) => client
            .list_all(resource, namespace, query)
            .await
            .unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}
