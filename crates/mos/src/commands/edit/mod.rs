//! `mos edit`: an object in an editor.
//!
//! What is sent is the difference between what was shown and what was saved, bound to the version that
//! was shown. If the object changed meanwhile, the difference is applied to the new one, unless both
//! sides changed the same field: then the editor opens again and says so. It also opens again, with the
//! reason, when the server refuses.

mod difference;
mod editor;

use clap::Args;
use serde_json::{Value, json};

use super::Outcome;
use crate::client::{Client, ConnectionArgs, Form, PatchKind, Query};
use crate::failure::Failure;
use crate::output;
use crate::selection::{self, Target};
use crate::yaml;
use difference::{difference, merge, overlap};
use editor::{Editor, Saved};

/// Change objects in an editor
///
/// The editor is the one that KUBE_EDITOR, VISUAL or EDITOR names, or vi. Saving nothing new, or an
/// empty file, changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos edit deployment/web
  mos edit configmap settings -n shop
  EDITOR='code --wait' mos edit service web")]
pub(crate) struct EditArgs {
    /// TYPE NAME or TYPE/NAME
    #[arg(value_name = "TYPE NAME", required = true)]
    objects: Vec<String>,
    /// Name under which the changed fields are managed
    #[arg(long, value_name = "NAME", default_value = "mos-edit")]
    field_manager: String,
}

/// Runs the command: one object after the other.
pub(crate) async fn run(args: EditArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let mut outcome = Outcome::default();
    for target in selection::named(&args.objects, &discovery, client.namespace())? {
        outcome.record(edit(&args, &client, &target).await)?;
    }
    outcome.finish()
}

async fn edit(args: &EditArgs, client: &Client, target: &Target) -> Result<(), Failure> {
    let mut original = read(client, target).await?;
    let mut shown = original.clone();
    let mut remark = String::new();
    let mut editor = Editor::new(&target.object_name())?;
    loop {
        let edited = match editor.edit(&text(target, &remark, &shown)?)? {
            Saved::Unchanged if remark.is_empty() => {
                editor.discard();
                eprintln!("Edit cancelled, no changes made.");
                return Ok(());
            }
            Saved::Unchanged => {
                return Err(
                    Failure::new(format!("{} was not changed", target.object_name()))
                        .hint(format!("what was edited is kept in {}", editor.keep())),
                );
            }
            Saved::Text(edited) => edited,
        };
        let edited = match parse(&edited, &original) {
            Ok(edited) => edited,
            Err(problem) => {
                remark = problem;
                // A text that could not be read is shown again as it is.
                editor.set_text(edited);
                continue;
            }
        };
        match send(args, client, target, &original, &edited).await? {
            Sent::Nothing => {
                editor.discard();
                eprintln!("Edit cancelled, no changes made.");
                return Ok(());
            }
            Sent::Done => {
                editor.discard();
                return output::line(&format!("{} edited", target.object_name()));
            }
            Sent::Refused(problem) => {
                remark = problem;
                shown = edited;
                editor.forget_text();
            }
            Sent::Overlap { latest, fields } => {
                remark = format!(
                    "{} was changed by somebody else in the meantime, in fields that you changed too:\n{}\nBelow are your changes on top of theirs. Save them to go on.",
                    target.object_name(),
                    fields
                        .iter()
                        .map(|field| format!("  {field}"))
                        .collect::<Vec<_>>()
                        .join("\n")
                );
                shown = merge(latest.clone(), &difference(&original, &edited));
                original = latest;
                editor.forget_text();
            }
        }
    }
}

async fn read(client: &Client, target: &Target) -> Result<Value, Failure> {
    let object = client
        .get(
            &target.resource,
            target.namespace.as_deref(),
            &target.name,
            Form::Objects,
            &Query::new(),
        )
        .await?;
    Ok(output::without_managed_fields(object))
}

fn text(target: &Target, remark: &str, shown: &Value) -> Result<(String, String), Failure> {
    let mut head = format!(
        "# Edit {} and save. Lines that start with # are ignored; an empty file changes nothing.\n",
        target.object_name()
    );
    if !remark.is_empty() {
        head.push_str("#\n");
        for line in remark.lines() {
            head.push_str(&format!("# {}\n", output::style::printable(line)));
        }
    }
    head.push_str("#\n");
    Ok((head, yaml::write(shown)?))
}

/// The object in a saved text; what it is must not have been changed.
fn parse(text: &str, original: &Value) -> Result<Value, String> {
    let mut documents = yaml::read(text)?;
    let edited = match (documents.pop(), documents.is_empty()) {
        (Some(edited), true) if edited.is_object() => edited,
        _ => return Err("exactly one object is wanted".into()),
    };
    for pointer in [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
    ] {
        if edited.pointer(pointer) != original.pointer(pointer) {
            return Err(format!(
                "{} cannot be changed",
                pointer.trim_start_matches('/').replace('/', ".")
            ));
        }
    }
    Ok(edited)
}

enum Sent {
    Nothing,
    Done,
    Refused(String),
    Overlap { latest: Value, fields: Vec<String> },
}

async fn send(
    args: &EditArgs,
    client: &Client,
    target: &Target,
    original: &Value,
    edited: &Value,
) -> Result<Sent, Failure> {
    let changes = difference(original, edited);
    if changes.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(Sent::Nothing);
    }
    let query: Query = vec![
        ("fieldManager", args.field_manager.clone()),
        ("fieldValidation", "Strict".into()),
    ];
    let mut base = original.clone();
    loop {
        let mut patch = changes.clone();
        bind(&mut patch, &base);
        let Target {
            resource,
            namespace,
            name,
        } = target;
        match client
            .patch(
                resource,
                namespace.as_deref(),
                name,
                PatchKind::Merge,
                &patch,
                &query,
            )
            .await
        {
            Ok(_) => return Ok(Sent::Done),
            Err(error) if error.is_conflict() => {
                let latest = read(client, target).await?;
                let fields = overlap(&changes, &difference(original, &latest));
                if !fields.is_empty() {
                    return Ok(Sent::Overlap { latest, fields });
                }
                if latest.pointer("/metadata/resourceVersion")
                    == base.pointer("/metadata/resourceVersion")
                {
                    return Ok(Sent::Refused(error.to_string()));
                }
                base = latest;
            }
            Err(error) if error.is_about_the_object() => {
                return Ok(Sent::Refused(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Binds a patch to the version that it was made for.
fn bind(patch: &mut Value, base: &Value) {
    let version = base
        .pointer("/metadata/resourceVersion")
        .cloned()
        .unwrap_or_default();
    let Some(patch) = patch.as_object_mut() else {
        return;
    };
    let metadata = patch.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("resourceVersion".into(), version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_object_is_cannot_be_edited() {
        let original = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        assert!(
            parse(
                "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {x: y}}\n",
                &original
            )
            .is_ok()
        );
        assert_eq!(
            parse(
                "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\n",
                &original
            )
            .unwrap_err(),
            "metadata.name cannot be changed"
        );
        assert!(parse("a: 1\n---\nb: 1\n", &original).is_err());
        assert!(parse("[", &original).is_err());
    }

    #[test]
    fn a_patch_is_bound_to_its_version() {
        let mut patch = json!({"spec": {"a": 1}});
        bind(&mut patch, &json!({"metadata": {"resourceVersion": "7"}}));
        assert_eq!(
            patch,
            json!({"spec": {"a": 1}, "metadata": {"resourceVersion": "7"}})
        );
    }
}
