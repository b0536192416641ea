//! One module a command.

pub(crate) mod api_resources;
pub(crate) mod apply;
pub(crate) mod auth;
pub(crate) mod completion;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod drain;
pub(crate) mod edit;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod image;
pub(crate) mod metadata;
pub(crate) mod rebalance;
pub(crate) mod rollout;
pub(crate) mod scale;
pub(crate) mod sim;
mod snapshot;
pub(crate) mod top;
pub(crate) mod version;
mod wait;
pub(crate) mod why;

use clap::ValueEnum;
use mosaic_api::meta;
use serde_json::Value;

use crate::cli::Command;
use crate::client::{ApiError, Client, ConnectionArgs, Discovery, Form, Query, Resource};
use crate::failure::Failure;
use crate::nearest::did_you_mean;
use crate::selection::{self, Arguments, Target};

/// Runs a client command.
pub(crate) async fn run(command: Command, connection: &ConnectionArgs) -> Result<(), Failure> {
    match command {
        Command::Server(_) | Command::Registry(_) => {
            Err(Failure::new("a server is not a client command"))
        }
        Command::Get(args) => get::run(args, connection).await,
        Command::Describe(args) => describe::run(args, connection).await,
        Command::Apply(args) => apply::run(args, connection).await,
        Command::Delete(args) => delete::run(args, connection).await,
        Command::Edit(args) => edit::run(args, connection).await,
        Command::Label(args) => metadata::label(args, connection).await,
        Command::Annotate(args) => metadata::annotate(args, connection).await,
        Command::Scale(args) => scale::run(args, connection).await,
        Command::Rollout(args) => rollout::run(args, connection).await,
        Command::Cordon(args) => drain::cordon(args, connection).await,
        Command::Uncordon(args) => drain::uncordon(args, connection).await,
        Command::Drain(args) => drain::drain(args, connection).await,
        Command::Why(args) => why::run(args, connection).await,
        Command::Rebalance(args) => rebalance::run(args, connection).await,
        Command::Top(args) => top::run(args, connection).await,
        Command::Image(args) => image::run(args, connection).await,
        Command::Events(args) => events::run(args, connection).await,
        Command::Explain(args) => explain::run(args, connection).await,
        Command::ApiResources(args) => api_resources::run(args, connection).await,
        Command::ApiVersions(args) => api_resources::versions(args, connection).await,
        Command::Auth(args) => auth::run(args, connection).await,
        Command::Version(args) => version::run(args, connection).await,
        Command::Sim(args) => sim::run(args, connection).await,
        Command::Bench(args) => crate::bench::run(args).await,
        Command::Completion(args) => completion::run(args),
    }
}

/// Whether a change is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// Carried out.
    None,
    /// Checked by the server in every way, but not stored.
    Server,
}

impl DryRun {
    /// What stands behind a line of output.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Server => " (server dry run)",
        }
    }

    /// Adds the query parameter.
    pub(crate) fn add_to(self, query: &mut Query) {
        if self == Self::Server {
            query.push(("dryRun", "All".into()));
        }
    }
}

/// Several objects: a failure of one does not hold up the others, but the command fails.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    failed: bool,
}

impl Outcome {
    /// Prints a failure at once. A reader that went away ends the command.
    pub(crate) fn record(&mut self, result: Result<(), Failure>) -> Result<(), Failure> {
        match result {
            Ok(()) => Ok(()),
            Err(failure) if failure.is_broken_pipe() => Err(failure),
            Err(failure) => {
                failure.print();
                self.failed = true;
                Ok(())
            }
        }
    }

    /// Whether nothing failed so far.
    pub(crate) fn is_clean(&self) -> bool {
        !self.failed
    }

    /// The command's result.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        if self.failed {
            Err(Failure::reported())
        } else {
            Ok(())
        }
    }
}

/// Which objects of a type: all, or those that a selector matches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) selector: Option<String>,
    pub(crate) field_selector: Option<String>,
    pub(crate) all: bool,
    pub(crate) all_namespaces: bool,
}

impl Filter {
    fn is_given(&self) -> bool {
        self.all || self.selector.is_some() || self.field_selector.is_some()
    }

    /// The filter as parameters of a list.
    pub(crate) fn query(&self) -> Query {
        let mut query = Query::new();
        if let Some(selector) = &self.selector {
            query.push(("labelSelector", selector.clone()));
        }
        if let Some(selector) = &self.field_selector {
            query.push(("fieldSelector", selector.clone()));
        }
        query
    }
}

/// The objects to change: named ones, or those that a filter picks. A type alone is not enough, so
/// that nothing happens to all objects by a slip.
pub(crate) async fn targets(
    client: &Client,
    discovery: &Discovery,
    arguments: &[String],
    filter: &Filter,
) -> Result<Vec<Target>, Failure> {
    if !filter.is_given() {
        if filter.all_namespaces {
            return Err(Failure::usage("--all-namespaces needs --all or a selector"));
        }
        return selection::named(arguments, discovery, client.namespace());
    }
    let Arguments::Types(types) = selection::parse(arguments)? else {
        return Err(Failure::usage(
            "names cannot be combined with --all or a selector",
        ));
    };
    let mut found = Vec::new();
    for resource in discovery.resolve_list(&types)? {
        let namespace = (!filter.all_namespaces).then(|| client.namespace());
        let objects = client
            .list_all(resource, namespace, &filter.query())
            .await?;
        found.extend(objects.iter().map(|object| target(resource, object)));
    }
    Ok(found)
}

/// An object that was not found, with the names that may have been meant.
pub(crate) async fn not_found(client: &Client, target: &Target, error: ApiError) -> Failure {
    let failure = Failure::from(error);
    let query = Query::new();
    let list = client.list_all(&target.resource, target.namespace.as_deref(), &query);
    // Whoever may read one need not be allowed to list all.
    let objects = list.await.unwrap_or_default();
    match did_you_mean(&target.name, objects.iter().map(meta::name)) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Reads an object; if there is none, says which may have been meant.
pub(crate) async fn read(client: &Client, target: &Target) -> Result<Value, Failure> {
    let namespace = target.namespace.as_deref();
    let (query, form) = (Query::new(), Form::Objects);
    let read = client.get(&target.resource, namespace, &target.name, form, &query);
    match read.await {
        Ok(object) => Ok(object),
        Err(error) if error.is_not_found() => Err(not_found(client, target, error).await),
        Err(error) => Err(error.into()),
    }
}

fn target(resource: &Resource, object: &Value) -> Target {
    let namespace = meta::namespace(object);
    Target {
        resource: resource.clone(),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        name: meta::name(object).to_owned(),
    }
}
