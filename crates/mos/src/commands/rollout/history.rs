//! The templates that a workload had: those of a deployment are in its replica sets, those of stateful sets and
//! daemon sets in controller revisions.

use jiff::Timestamp;
use mosaic_api::meta;
use serde_json::{Value, json};

use super::{HistoryArgs, Kind, Workload, revision_of, workloads};
use crate::client::{Client, Discovery, Query};
use crate::commands::{Outcome, read};
use crate::describe;
use crate::failure::Failure;
use crate::output::{self, style, table};

const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// A template that a workload has or had.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Revision {
    /// Its number: the newest has the highest.
    pub(super) number: i64,
    /// Why it came to be, if whoever made it said so.
    pub(super) cause: Option<String>,
    /// The template.
    pub(super) template: Value,
    /// The object that holds it.
    pub(super) holder: Value,
}

/// Runs the command.
pub(super) async fn run(
    client: &Client,
    discovery: &Discovery,
    args: HistoryArgs,
) -> Result<(), Failure> {
    let mut outcome = Outcome::default();
    let mut printed = Vec::new();
    for workload in workloads(client, discovery, &args.selected).await? {
        let result = show(client, discovery, &workload, &args).await;
        match result {
            Ok(mut holders) => printed.append(&mut holders),
            Err(failure) => outcome.record(Err(failure))?,
        }
    }
    if let Some(format) = args.output {
        let single = args.revision.is_some() && printed.len() == 1;
        let document = printed.pop().filter(|_| single);
        format.print(&document.unwrap_or_else(|| output::list_of(printed)))?;
    }
    outcome.finish()
}

async fn show(
    client: &Client,
    discovery: &Discovery,
    workload: &Workload,
    args: &HistoryArgs,
) -> Result<Vec<Value>, Failure> {
    let object = read(client, &workload.target).await?;
    let name = workload.target.object_name();
    let mut revisions = of_workload(client, discovery, workload, &object).await?;
    if let Some(number) = args.revision {
        revisions = vec![numbered(&revisions, number).map_err(|failure| failure.at(&name))?];
    }
    if args.output.is_some() {
        let holders = revisions.into_iter().map(|revision| revision.holder);
        return Ok(holders.map(output::without_managed_fields).collect());
    }
    match (args.revision, revisions.as_slice()) {
        (Some(number), [revision]) => {
            let template = describe::template(&revision.template, Timestamp::now());
            output::print(&format!("{name}, revision {number}\n{template}"))?;
        }
        _ => {
            let rows = revisions.iter().map(|revision| {
                let cause = revision.cause.as_deref().unwrap_or("<none>");
                vec![revision.number.to_string(), cause.to_owned()]
            });
            let table = table::simple(
                &["REVISION", "CHANGE-CAUSE"],
                rows.collect(),
                true,
                style::stdout(),
            );
            output::print(&format!("{name}\n{table}"))?;
        }
    }
    Ok(Vec::new())
}

/// The revisions of a workload, the oldest first.
pub(super) async fn of_workload(
    client: &Client,
    discovery: &Discovery,
    workload: &Workload,
    object: &Value,
) -> Result<Vec<Revision>, Failure> {
    let holder = match workload.kind {
        Kind::Deployment => "replicasets.apps",
        Kind::StatefulSet | Kind::DaemonSet => "controllerrevisions.apps",
    };
    let holders = discovery.resolve(holder)?;
    let namespace = workload.target.namespace.as_deref();
    let all = client.list_all(holders, namespace, &Query::new()).await?;
    let all = all.into_iter().map(|mut holder| {
        // Objects in a list do not say what they are.
        if let Some(fields) = holder.as_object_mut() {
            fields.insert("apiVersion".into(), holders.api_version().into());
            fields.insert("kind".into(), holders.kind.clone().into());
        }
        holder
    });
    Ok(revisions(workload.kind, object, all))
}

/// Those of these objects that hold a revision of a workload, the oldest first.
fn revisions(
    kind: Kind,
    object: &Value,
    holders: impl IntoIterator<Item = Value>,
) -> Vec<Revision> {
    let owner = meta::uid(object);
    let owned = holders
        .into_iter()
        .filter(|holder| meta::controller(holder).is_some_and(|of| of.uid == owner));
    let mut revisions: Vec<Revision> = owned
        .filter_map(|holder| {
            let (number, template) = match kind {
                Kind::Deployment => (revision_of(&holder)?, holder.pointer("/spec/template")?),
                Kind::StatefulSet | Kind::DaemonSet => (
                    holder.get("revision")?.as_i64()?,
                    holder.pointer("/data/spec/template")?,
                ),
            };
            Some(Revision {
                number,
                cause: meta::annotation(&holder, CHANGE_CAUSE).map(str::to_owned),
                template: plain(template),
                holder,
            })
        })
        .collect();
    revisions.sort_by_key(|revision| revision.number);
    revisions
}

/// A template without what only says how it is kept.
fn plain(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    let labels = template.pointer_mut("/metadata/labels");
    if let Some(labels) = labels.and_then(Value::as_object_mut) {
        labels.remove("pod-template-hash");
    }
    template
}

/// The revision of this number.
fn numbered(revisions: &[Revision], number: i64) -> Result<Revision, Failure> {
    let found = revisions.iter().find(|revision| revision.number == number);
    found.cloned().ok_or_else(|| {
        let known: Vec<String> = revisions.iter().map(|one| one.number.to_string()).collect();
        let failure = Failure::new(format!("there is no revision {number}"));
        match known.as_slice() {
            [] => failure.hint("no revision is kept of it"),
            _ => failure.hint(format!("there are {}", known.join(", "))),
        }
    })
}

/// What an undo goes back to.
#[derive(Debug, PartialEq)]
pub(super) enum Undo {
    /// The template is that of this revision already.
    Already(i64),
    /// To this template.
    To(Revision),
}

/// Where to go back to: a revision by its number, or with 0 the one before the newest.
pub(super) fn undo(object: &Value, revisions: &[Revision], number: i64) -> Result<Undo, Failure> {
    let wanted = match (number, revisions) {
        (0, [.., previous, _]) => previous.clone(),
        (0, _) => return Err(Failure::new("there is no earlier revision to go back to")),
        (number, _) => numbered(revisions, number)?,
    };
    let now = object.pointer("/spec/template").map(plain);
    if now.as_ref() == Some(&wanted.template) {
        return Ok(Undo::Already(wanted.number));
    }
    Ok(Undo::To(wanted))
}

/// The operations that put a template in the place of the one that was read. The status may change meanwhile.
pub(super) fn operations(object: &Value, revision: &Revision) -> Value {
    json!([
        { "op": "test", "path": "/metadata/generation", "value": meta::generation(object) },
        { "op": "replace", "path": "/spec/template", "value": revision.template },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(image: &str) -> Value {
        json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "image": image }] } })
    }

    fn replica_set(number: i64, owner: &str, image: &str) -> Value {
        let mut template = template(image);
        template["metadata"]["labels"]["pod-template-hash"] = json!(format!("h{number}"));
        json!({
            "metadata": {
                "name": format!("web-{number}"),
                "annotations": { "deployment.kubernetes.io/revision": number.to_string(), "kubernetes.io/change-cause": image },
                "ownerReferences": [{ "uid": owner, "controller": true, "kind": "Deployment", "name": "web", "apiVersion": "apps/v1" }],
            },
            "spec": { "template": template },
        })
    }

    fn deployment(image: &str) -> Value {
        json!({ "metadata": { "uid": "d", "generation": 9 }, "spec": { "template": template(image) } })
    }

    fn some() -> Vec<Revision> {
        let holders = [
            replica_set(10, "d", "c"),
            replica_set(2, "d", "a"),
            replica_set(3, "d", "b"),
            replica_set(4, "other", "x"),
        ];
        revisions(Kind::Deployment, &deployment("c"), holders)
    }

    #[test]
    fn revisions_are_those_of_the_workload_in_their_order() {
        let some = some();
        let shown: Vec<_> = some
            .iter()
            .map(|one| (one.number, one.cause.as_deref().unwrap()))
            .collect();
        assert_eq!(shown, [(2, "a"), (3, "b"), (10, "c")]);
        assert_eq!(some[0].template, template("a"));
        let mut kept = template("a");
        kept["$patch"] = json!("replace");
        let revision = json!({
            "metadata": { "ownerReferences": [{ "uid": "d", "controller": true, "kind": "DaemonSet", "name": "x", "apiVersion": "apps/v1" }] },
            "revision": 7, "data": { "spec": { "template": kept } },
        });
        let of_set = revisions(Kind::DaemonSet, &deployment("c"), [revision]);
        assert_eq!((of_set[0].number, &of_set[0].template), (7, &template("a")));
    }

    #[test]
    fn undo_goes_to_the_one_before_or_to_the_one_that_is_named() {
        let object = deployment("c");
        let number = |undo| match undo {
            Ok(Undo::To(revision)) => revision.number,
            other => panic!("{other:?}"),
        };
        assert_eq!(number(undo(&object, &some(), 0)), 3);
        assert_eq!(number(undo(&object, &some(), 2)), 2);
        assert_eq!(undo(&object, &some(), 10).unwrap(), Undo::Already(10));
        let failure = undo(&object, &some(), 5).unwrap_err();
        assert_eq!(failure.message(), "there is no revision 5");
        assert!(undo(&object, &some()[..1], 0).is_err());
    }

    #[test]
    fn a_template_is_replaced_whole_and_only_in_what_was_read() {
        let revision = some().remove(0);
        assert_eq!(
            operations(&deployment("c"), &revision),
            json!([
                { "op": "test", "path": "/metadata/generation", "value": 9 },
                { "op": "replace", "path": "/spec/template", "value": template("a") },
            ])
        );
    }
}
