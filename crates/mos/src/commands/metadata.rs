//! `mos label` and `mos annotate`: one change to the texts in an object's metadata.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{DryRun, Filter, Outcome, targets};
use crate::client::{Client, ConnectionArgs, Form, PatchKind, Query};
use crate::failure::Failure;
use crate::output::{self, DataFormat};
use crate::selection::Target;

/// Set and remove labels
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos label node host1 pool=cache
  mos label pods web-1 web-2 tier=front --overwrite
  mos label deployment/web tier-
  mos label pods --all -n shop unit=retail
  mos label node host1 --list")]
pub(crate) struct LabelArgs {
    #[command(flatten)]
    common: MetadataArgs,
}

/// Set and remove annotations
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos annotate deployment web owner='team retail'
  mos annotate pod/web-1 note-
  mos annotate pods -l app=web checked=yes --overwrite")]
pub(crate) struct AnnotateArgs {
    #[command(flatten)]
    common: MetadataArgs,
}

#[derive(Debug, Args)]
struct MetadataArgs {
    /// TYPE NAME... or TYPE/NAME..., then KEY=VALUE to set and KEY- to remove
    #[arg(value_name = "TYPE NAME KEY=VALUE", required = true)]
    words: Vec<String>,
    /// Change a key that has another value
    #[arg(long)]
    overwrite: bool,
    /// Those whose labels match
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    selector: Option<String>,
    /// Those whose fields match
    #[arg(long, value_name = "SELECTOR")]
    field_selector: Option<String>,
    /// All of the type, in the namespace
    #[arg(long)]
    all: bool,
    /// With --all or a selector: in every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Show what is set
    #[arg(long)]
    list: bool,
    /// `server`: check everything on the server, but store nothing
    #[arg(long, value_name = "HOW", value_enum, default_value_t = DryRun::None)]
    dry_run: DryRun,
    /// Print the objects instead of a line each
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Which of the two maps.
#[derive(Debug, Clone, Copy)]
struct Field {
    key: &'static str,
    one: &'static str,
    done: &'static str,
    undone: &'static str,
}

const LABELS: Field = Field {
    key: "labels",
    one: "label",
    done: "labeled",
    undone: "unlabeled",
};
const ANNOTATIONS: Field = Field {
    key: "annotations",
    one: "annotation",
    done: "annotated",
    undone: "annotations removed",
};

/// What to set (a text) and to remove (none), by key.
type Changes = BTreeMap<String, Option<String>>;

/// Runs `mos label`.
pub(crate) async fn label(args: LabelArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    run(args.common, LABELS, connection).await
}

/// Runs `mos annotate`.
pub(crate) async fn annotate(
    args: AnnotateArgs,
    connection: &ConnectionArgs,
) -> Result<(), Failure> {
    run(args.common, ANNOTATIONS, connection).await
}

async fn run(args: MetadataArgs, field: Field, connection: &ConnectionArgs) -> Result<(), Failure> {
    let (objects, changes) = split(&args.words, field)?;
    if changes.is_empty() && !args.list {
        return Err(
            Failure::usage(format!("nothing to change: no {} is given", field.one))
                .hint("KEY=VALUE sets one, KEY- removes one, --list shows them"),
        );
    }
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let filter = Filter {
        selector: args.selector.clone(),
        field_selector: args.field_selector.clone(),
        all: args.all,
        all_namespaces: args.all_namespaces,
    };
    let targets = targets(&client, &discovery, &objects, &filter).await?;
    if targets.is_empty() {
        eprintln!("No resources found");
    }
    let mut outcome = Outcome::default();
    let mut printed = Vec::new();
    for target in &targets {
        match change(&args, &client, field, &changes, target).await {
            Ok((object, line)) => {
                if args.list {
                    list(&object, field, target, targets.len() > 1)?;
                } else if args.output.is_none() {
                    output::line(&line)?;
                }
                printed.push(output::without_managed_fields(object));
            }
            Err(failure) => outcome.record(Err(failure.at(target.object_name())))?,
        }
    }
    if let Some(format) = args.output {
        let single = printed.len() == 1;
        let document = printed.pop().filter(|_| single);
        format.print(&document.unwrap_or_else(|| output::list_of(printed)))?;
    }
    outcome.finish()
}

async fn change(
    args: &MetadataArgs,
    client: &Client,
    field: Field,
    changes: &Changes,
    target: &Target,
) -> Result<(Value, String), Failure> {
    let Target {
        resource,
        namespace,
        name,
    } = target;
    let namespace = namespace.as_deref();
    let object = client
        .get(resource, namespace, name, Form::Objects, &Query::new())
        .await?;
    let current = object
        .pointer("/metadata")
        .and_then(|metadata| metadata.get(field.key))
        .and_then(Value::as_object);
    let patch = patch(current, changes, args.overwrite, field)?;
    let Some(patch) = patch else {
        return Ok((
            object,
            format!("{} not {}", target.object_name(), field.done),
        ));
    };
    let only_removes = patch.values().all(Value::is_null);
    let mut metadata = json!({ field.key: patch });
    if !args.overwrite
        && let Some(metadata) = metadata.as_object_mut()
        && let Some(version) = object.pointer("/metadata/resourceVersion")
    {
        // What was looked at is what is changed: nothing of others is overwritten unseen.
        metadata.insert("resourceVersion".into(), version.clone());
    }
    let mut query: Query = vec![("fieldManager", "mos".into())];
    args.dry_run.add_to(&mut query);
    let patch = json!({ "metadata": metadata });
    let object = client
        .patch(resource, namespace, name, PatchKind::Merge, &patch, &query)
        .await?;
    let done = if only_removes {
        field.undone
    } else {
        field.done
    };
    Ok((
        object,
        format!("{} {done}{}", target.object_name(), args.dry_run.suffix()),
    ))
}

fn list(object: &Value, field: Field, target: &Target, several: bool) -> Result<(), Failure> {
    if several {
        output::line(&format!("{}:", target.object_name()))?;
    }
    let indent = if several { "  " } else { "" };
    let entries = object
        .pointer("/metadata")
        .and_then(|metadata| metadata.get(field.key))
        .and_then(Value::as_object);
    for (key, value) in entries.into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        output::line(&format!(
            "{indent}{key}={}",
            output::style::printable_lines(text)
        ))?;
    }
    Ok(())
}

/// The words that name objects, and the changes behind them.
fn split(words: &[String], field: Field) -> Result<(Vec<String>, Changes), Failure> {
    let is_change = |word: &String| word.contains('=') || (word.ends_with('-') && word.len() > 1);
    let first = words.iter().position(is_change).unwrap_or(words.len());
    let (objects, rest) = words.split_at(first);
    let mut changes = Changes::new();
    for word in rest {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => match word.strip_suffix('-') {
                Some(key) => (key, None),
                None => {
                    return Err(
                        Failure::usage(format!("`{word}` is neither KEY=VALUE nor KEY-"))
                            .hint("names of objects stand before the changes"),
                    );
                }
            },
        };
        if key.is_empty() {
            return Err(Failure::usage(format!("`{word}` has no key")));
        }
        if changes.insert(key.to_owned(), value).is_some() {
            return Err(Failure::usage(format!(
                "the {} `{key}` is changed twice",
                field.one
            )));
        }
    }
    Ok((objects.to_vec(), changes))
}

/// The merge patch of the map; none if nothing would change.
fn patch(
    current: Option<&Map<String, Value>>,
    changes: &Changes,
    overwrite: bool,
    field: Field,
) -> Result<Option<Map<String, Value>>, Failure> {
    let mut patch = Map::new();
    for (key, wanted) in changes {
        let current = current.and_then(|map| map.get(key)).and_then(Value::as_str);
        match (current, wanted) {
            (None, None) => {}
            (Some(current), Some(wanted)) if current == wanted => {}
            (Some(current), Some(_)) if !overwrite => {
                return Err(Failure::new(format!(
                    "the {} `{key}` has the value `{current}` already",
                    field.one
                ))
                .hint("--overwrite replaces it"));
            }
            (_, wanted) => {
                patch.insert(key.clone(), wanted.clone().map_or(Value::Null, Value::from));
            }
        }
    }
    Ok(Some(patch).filter(|patch| !patch.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn names_end_where_changes_begin() {
        let (objects, changes) = split(&words("pods a b x=1 y- z="), LABELS).unwrap();
        assert_eq!(objects, words("pods a b"));
        assert_eq!(changes.len(), 3);
        assert_eq!(changes["x"].as_deref(), Some("1"));
        assert_eq!(changes["y"], None);
        assert_eq!(changes["z"].as_deref(), Some(""));
        assert_eq!(split(&words("pod/a"), LABELS).unwrap().1, Changes::new());
        for bad in ["pod a x=1 b", "pod a =1", "pod a x=1 x-"] {
            assert!(split(&words(bad), LABELS).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_value_is_replaced_only_when_asked() {
        let current = json!({"a": "1", "b": "2"});
        let current = current.as_object();
        let changes = |key: &str, value: Option<&str>| {
            Changes::from([(key.to_owned(), value.map(str::to_owned))])
        };
        assert!(patch(current, &changes("a", Some("2")), false, LABELS).is_err());
        assert_eq!(
            patch(current, &changes("a", Some("2")), true, LABELS)
                .unwrap()
                .unwrap()["a"],
            "2"
        );
        assert_eq!(
            patch(current, &changes("a", Some("1")), false, LABELS).unwrap(),
            None
        );
        assert_eq!(
            patch(current, &changes("c", None), false, LABELS).unwrap(),
            None
        );
        assert_eq!(
            patch(current, &changes("b", None), false, LABELS)
                .unwrap()
                .unwrap()["b"],
            Value::Null
        );
        assert_eq!(
            patch(None, &changes("x", Some("y")), false, LABELS)
                .unwrap()
                .unwrap()["x"],
            "y"
        );
    }
}
