//! `mos auth`: who one is, and what one may do.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::{Client, ConnectionArgs, Resource};
use crate::failure::Failure;
use crate::nearest::did_you_mean;
use crate::output::{self, DataFormat};

/// Ask who one is and what one may do
#[derive(Debug, Args)]
pub(crate) struct AuthArgs {
    #[command(subcommand)]
    command: AuthCommand,
}

#[derive(Debug, Subcommand)]
enum AuthCommand {
    CanI(CanIArgs),
    Whoami(WhoamiArgs),
}

/// Ask whether something is allowed: prints yes or no, and exits with 0 or 1
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos auth can-i list pods -n shop
  mos auth can-i delete deployment/web
  mos auth can-i '*' '*' -A
  mos auth can-i get pods --as alice --as-group retail")]
struct CanIArgs {
    /// What to do: get, list, watch, create, update, patch, delete, deletecollection, or *
    verb: String,
    /// With what: TYPE, TYPE/NAME, or a path such as /metrics
    #[arg(value_name = "TYPE[/NAME]")]
    object: String,
    /// A subresource, such as log or scale
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// In every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Print nothing; the exit code says it
    #[arg(short, long)]
    quiet: bool,
}

/// Ask who the server takes one for
#[derive(Debug, Args)]
struct WhoamiArgs {
    /// Print as data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs the command.
pub(crate) async fn run(args: AuthArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    match args.command {
        AuthCommand::CanI(args) => can_i(args, &client).await,
        AuthCommand::Whoami(args) => whoami(args, &client).await,
    }
}

/// A kind that is only ever created, as a question.
fn review(group: &str, kind: &str, plural: &str) -> Resource {
    Resource {
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
        plural: plural.into(),
        ..Resource::default()
    }
}

/// What a request to an object can be, and the verbs that Kubernetes itself asks about beside requests.
const VERBS: [&str; 16] = [
    "*",
    "approve",
    "attest",
    "bind",
    "create",
    "delete",
    "deletecollection",
    "escalate",
    "get",
    "impersonate",
    "list",
    "patch",
    "sign",
    "update",
    "use",
    "watch",
];
/// What a request to a path can be.
const PATH_VERBS: [&str; 8] = [
    "*", "delete", "get", "head", "options", "patch", "post", "put",
];

/// What is odd about a verb; it may be asked about all the same.
fn odd_verb(verb: &str, object: &str) -> Option<String> {
    let known: &[&str] = if object.starts_with('/') {
        &PATH_VERBS
    } else {
        &VERBS
    };
    if known.contains(&verb) {
        return None;
    }
    let hint = did_you_mean(verb, known.iter().copied());
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    Some(format!("`{verb}` is not a known verb{hint}"))
}

fn warn(text: &str) {
    let style = output::style::stderr();
    eprintln!("{} {text}", style.warning("warning:"));
}

async fn can_i(args: CanIArgs, client: &Client) -> Result<(), Failure> {
    if let Some(warning) = odd_verb(&args.verb, &args.object) {
        warn(&warning);
    }
    let spec = if args.object.starts_with('/') {
        json!({"nonResourceAttributes": {"verb": args.verb, "path": args.object}})
    } else {
        let (kind, name) = args.object.split_once('/').unwrap_or((&args.object, ""));
        let (group, plural, namespaced) = if kind == "*" {
            ("*".to_owned(), "*".to_owned(), true)
        } else {
            let discovery = client.discover().await?;
            match discovery.resolve(kind) {
                Ok(resource) => (
                    resource.group.clone(),
                    resource.plural.clone(),
                    resource.namespaced,
                ),
                // A right may be given before the type is there.
                Err(failure) => {
                    warn(&failure.to_string());
                    let (plural, group) = kind.split_once('.').unwrap_or((kind, ""));
                    (group.to_owned(), plural.to_owned(), true)
                }
            }
        };
        let mut attributes =
            json!({"verb": args.verb, "group": group, "resource": plural, "name": name});
        if let Some(map) = attributes.as_object_mut() {
            if namespaced && !args.all_namespaces {
                map.insert("namespace".into(), client.namespace().into());
            }
            if let Some(subresource) = &args.subresource {
                map.insert("subresource".into(), subresource.clone().into());
            }
        }
        json!({ "resourceAttributes": attributes })
    };
    let resource = review(
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
    );
    let question =
        json!({"apiVersion": resource.api_version(), "kind": resource.kind, "spec": spec});
    let answer = client.create(&resource, None, &question).await?;
    let allowed = answer
        .pointer("/status/allowed")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    if !args.quiet {
        let reason = answer
            .pointer("/status/reason")
            .and_then(Value::as_str)
            .filter(|reason| !reason.is_empty());
        match reason.filter(|_| !allowed) {
            Some(reason) => output::line(&format!("no - {}", output::style::printable(reason)))?,
            None => output::line(if allowed { "yes" } else { "no" })?,
        }
    }
    if allowed {
        Ok(())
    } else {
        Err(Failure::negative())
    }
}

async fn whoami(args: WhoamiArgs, client: &Client) -> Result<(), Failure> {
    let resource = review(
        "authentication.k8s.io",
        "SelfSubjectReview",
        "selfsubjectreviews",
    );
    let question = json!({"apiVersion": resource.api_version(), "kind": resource.kind});
    let answer = client.create(&resource, None, &question).await?;
    if let Some(format) = args.output {
        return format.print(&answer);
    }
    let info = answer
        .pointer("/status/userInfo")
        .cloned()
        .unwrap_or_default();
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let join = |value: &Value| {
        value.as_array().map_or_else(
            || text(value),
            |items| items.iter().map(text).collect::<Vec<_>>().join(", "),
        )
    };
    let mut rows = Vec::new();
    for (label, key) in [
        ("Username", "username"),
        ("UID", "uid"),
        ("Groups", "groups"),
    ] {
        if let Some(value) = info.get(key) {
            rows.push(vec![label.to_owned(), join(value)]);
        }
    }
    for (key, value) in info
        .get("extra")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        rows.push(vec![format!("Extra: {key}"), join(value)]);
    }
    output::print(&output::table::simple(
        &["ATTRIBUTE", "VALUE"],
        rows,
        true,
        output::style::stdout(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_odd_where_no_request_has_it() {
        assert_eq!(odd_verb("list", "pods"), None);
        assert_eq!(odd_verb("*", "*"), None);
        assert_eq!(odd_verb("put", "/metrics"), None);
        assert!(odd_verb("put", "pods").is_some());
        assert!(odd_verb("list", "/metrics").is_some());
        let warning = odd_verb("lst", "pods").unwrap();
        assert!(warning.contains("did you mean `list`?"), "{warning}");
    }
}
