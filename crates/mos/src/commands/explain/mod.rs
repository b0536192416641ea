//! `mos explain`: what the fields of a type mean, from the server's OpenAPI documents.

mod schema;

use clap::Args;
use serde_json::Value;

use crate::client::{Client, ConnectionArgs, Resource};
use crate::failure::Failure;
use crate::output;
use schema::Document;

/// Explain a type and its fields
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos explain pods
  mos explain deployment.spec.strategy
  mos explain pod.spec.containers --recursive
  mos explain cronjob --api-version=batch/v1")]
pub(crate) struct ExplainArgs {
    /// TYPE, or TYPE.FIELD.FIELD...
    #[arg(value_name = "TYPE[.FIELD...]")]
    path: String,
    /// All fields below, without their descriptions
    #[arg(long)]
    recursive: bool,
    /// Group and version, such as apps/v1
    #[arg(long, value_name = "VERSION")]
    api_version: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(args: ExplainArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let (kind, fields) = split(&args.path, |name| discovery.resolve(name).is_ok());
    let mut resource = discovery.resolve(&kind)?;
    if let Some(api_version) = &args.api_version {
        resource = discovery
            .resources()
            .iter()
            .find(|other| other.plural == resource.plural && other.api_version() == *api_version)
            .ok_or_else(|| {
                Failure::new(format!("{} has no {}", api_version, resource.plural))
                    .hint("`mos api-resources` shows the version of each type")
            })?;
    }
    let document = Document::new(document(&client, resource).await?);
    let text = document.explain(resource, &fields, args.recursive)?;
    output::print(&text)
}

/// Where the type ends and the fields begin: the longest start that names a type, so that
/// `deployments.apps.spec` works as well as `deployment.spec`.
fn split(path: &str, is_type: impl Fn(&str) -> bool) -> (String, Vec<String>) {
    let words: Vec<&str> = path.split('.').collect();
    for end in (1..=words.len()).rev() {
        let (start, rest) = words.split_at(end);
        let name = start.join(".");
        if is_type(&name) {
            return (name, rest.iter().map(|word| (*word).to_owned()).collect());
        }
    }
    let (first, rest) = words
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (*first, rest));
    (
        first.to_owned(),
        rest.iter().map(|word| (*word).to_owned()).collect(),
    )
}

/// The OpenAPI document of the type's group and version.
async fn document(client: &Client, resource: &Resource) -> Result<Value, Failure> {
    let key = if resource.group.is_empty() {
        format!("api/{}", resource.version)
    } else {
        format!("apis/{}/{}", resource.group, resource.version)
    };
    let index = client.raw("/openapi/v3").await?;
    let url = index
        .get("paths")
        .and_then(|paths| paths.get(&key))
        .and_then(|entry| entry.get("serverRelativeURL"));
    let Some(url) = url
        .and_then(Value::as_str)
        .filter(|url| url.starts_with('/'))
    else {
        return Err(Failure::new(format!(
            "the server does not describe {}",
            resource.api_version()
        )));
    };
    Ok(client.raw(url).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_the_longest_start_that_names_one() {
        let is_type = |name: &str| {
            [
                "pods",
                "deployments",
                "deployments.apps",
                "deployments.v1.apps",
            ]
            .contains(&name)
        };
        let parts = |path: &str| {
            let (kind, fields) = split(path, is_type);
            (kind, fields.join("/"))
        };
        assert_eq!(parts("pods"), ("pods".into(), String::new()));
        assert_eq!(
            parts("pods.spec.containers"),
            ("pods".into(), "spec/containers".into())
        );
        assert_eq!(
            parts("deployments.apps.spec"),
            ("deployments.apps".into(), "spec".into())
        );
        assert_eq!(
            parts("deployments.v1.apps"),
            ("deployments.v1.apps".into(), String::new())
        );
        assert_eq!(parts("nothing.spec"), ("nothing".into(), "spec".into()));
    }
}
