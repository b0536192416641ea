//! `mos apply`: server-side apply of files, with or without waiting for what comes of it.

use std::time::Duration;

use clap::Args;
use mosaic_api::meta;
use serde_json::Value;

use super::{DryRun, Outcome, wait};
use crate::client::{ApiError, Client, ConnectionArgs, Discovery, Form, PatchKind, Query};
use crate::failure::Failure;
use crate::manifest::{self, Manifest};
use crate::output::{self, DataFormat};
use crate::selection::{self, Target};

/// How long a new kind may take to be served before objects of it are applied.
const NEW_KIND_LIMIT: Duration = Duration::from_secs(30);

/// Make objects as files say, by server-side apply
///
/// Objects that are not there are created, others are changed. Only the fields in the file are set;
/// fields that another manager set are conflicts unless --force-conflicts is given. Namespaces and
/// custom kinds go first, the others in the files' order.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos apply -f app.yaml
  mos apply -f manifests/ -R --wait --timeout 5m
  mos apply -f app.yaml --dry-run=server -o yaml
  generate-manifests | mos apply -f -")]
pub(crate) struct ApplyArgs {
    /// File or directory; - is standard input. May be given several times
    #[arg(short, long, value_name = "FILE", required = true)]
    filename: Vec<String>,
    /// Also files in directories below
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Always on, and here because other tools have the flag
    #[arg(long, hide = true)]
    server_side: bool,
    /// Name under which the fields are managed
    #[arg(long, value_name = "NAME", default_value = "mos")]
    field_manager: String,
    /// Take over fields that others manage
    #[arg(long)]
    force_conflicts: bool,
    /// `server`: check everything on the server, but store nothing
    #[arg(long, value_name = "HOW", value_enum, default_value_t = DryRun::None)]
    dry_run: DryRun,
    /// What happens with fields that the server does not know: Strict refuses, Warn warns, Ignore does nothing
    #[arg(long, value_name = "HOW", value_parser = ["Strict", "Warn", "Ignore"], default_value = "Strict")]
    validate: String,
    /// Wait until everything is rolled out, ready or established
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::client::duration)]
    timeout: Duration,
    /// Print the objects as they are then, instead of a line each
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Created,
    Configured,
    Unchanged,
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: ApplyArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let manifests = manifest::in_order_of_need(manifest::read(&args.filename, args.recursive)?);
    let client = Client::connect(connection).await?;
    let mut run = Run {
        discovery: client.discover().await?,
        client,
        args,
        connection,
        pending: Vec::new(),
    };
    let mut outcome = Outcome::default();
    let mut applied = Vec::new();
    let mut objects = Vec::new();
    for manifest in &manifests {
        match run.apply(manifest).await {
            Ok((target, object)) => {
                applied.push(target);
                objects.push(output::without_managed_fields(object));
            }
            Err(failure) => outcome.record(Err(failure))?,
        }
    }
    if let Some(format) = run.args.output {
        let single = objects.len() == 1;
        let document = objects.pop().filter(|_| single);
        format.print(&document.unwrap_or_else(|| output::list_of(objects)))?;
    }
    outcome.finish()?;
    if run.args.wait && run.args.dry_run == DryRun::None {
        wait::until_ready(&run.client, &applied, run.args.timeout).await?;
    }
    Ok(())
}

struct Run<'a> {
    args: ApplyArgs,
    connection: &'a ConnectionArgs,
    client: Client,
    discovery: Discovery,
    /// Custom kinds that were applied and have not been waited for.
    pending: Vec<Target>,
}

impl Run<'_> {
    async fn apply(&mut self, manifest: &Manifest) -> Result<(Target, Value), Failure> {
        if !self.pending.is_empty() && manifest.kind() != "CustomResourceDefinition" {
            self.serve_new_kinds(manifest).await?;
        }
        let target = selection::of_manifest(
            manifest,
            &self.discovery,
            &self.client,
            self.connection.namespace.as_deref(),
        )?;
        let (object, change) = self.patch(manifest, &target).await.map_err(|error| {
            Failure::from(error).at(format!("{}: {}", manifest.source, target.object_name()))
        })?;
        if manifest.kind() == "CustomResourceDefinition" && self.args.dry_run == DryRun::None {
            self.pending.push(target.clone());
        }
        if self.args.output.is_none() {
            let suffix = self.args.dry_run.suffix();
            output::line(&format!(
                "{} {}{suffix}",
                target.object_name(),
                change.word()
            ))?;
        }
        Ok((target, object))
    }

    /// Waits for new kinds if the next object is of a kind that is not served yet.
    async fn serve_new_kinds(&mut self, next: &Manifest) -> Result<(), Failure> {
        if self
            .discovery
            .of_object(next.api_version(), next.kind())
            .is_ok()
        {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        wait::until_ready(&self.client, &pending, NEW_KIND_LIMIT).await?;
        let deadline = tokio::time::Instant::now() + NEW_KIND_LIMIT;
        loop {
            self.discovery = self.client.discover().await?;
            let is_known = self
                .discovery
                .of_object(next.api_version(), next.kind())
                .is_ok();
            // An established kind is in discovery a moment later; an unknown one never is.
            let is_pending = pending.iter().any(|target| declares(&target.name, next));
            if is_known || !is_pending || tokio::time::Instant::now() > deadline {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn patch(
        &self,
        manifest: &Manifest,
        target: &Target,
    ) -> Result<(Value, Change), ApiError> {
        let Target {
            resource,
            namespace,
            name,
        } = target;
        let namespace = namespace.as_deref();
        let before = match self
            .client
            .get(resource, namespace, name, Form::Objects, &Query::new())
            .await
        {
            Ok(object) => Some(object),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let mut query: Query = vec![
            ("fieldManager", self.args.field_manager.clone()),
            ("fieldValidation", self.args.validate.clone()),
        ];
        if self.args.force_conflicts {
            query.push(("force", "true".into()));
        }
        self.args.dry_run.add_to(&mut query);
        let patch = appliable(&manifest.object, namespace);
        let after = self
            .client
            .patch(resource, namespace, name, PatchKind::Apply, &patch, &query)
            .await?;
        let change = change(before.as_ref(), &after);
        Ok((after, change))
    }
}

/// Whether a definition, by its name `PLURAL.GROUP`, may declare an object's kind.
fn declares(definition: &str, manifest: &Manifest) -> bool {
    let group = meta::group_of(manifest.api_version());
    definition
        .split_once('.')
        .is_some_and(|(_, of)| of == group)
}

/// The object as it is sent: with its namespace, and without what a server would refuse in an apply.
fn appliable(object: &Value, namespace: Option<&str>) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(namespace) = namespace {
            metadata.insert("namespace".into(), namespace.into());
        }
    }
    object
}

/// What an apply did. Apart from bookkeeping, so that it also holds for a dry run, which has none.
fn change(before: Option<&Value>, after: &Value) -> Change {
    let Some(before) = before else {
        return Change::Created;
    };
    let essence = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for key in ["managedFields", "resourceVersion", "generation"] {
                metadata.remove(key);
            }
        }
        object
    };
    let is_same_version =
        before.pointer("/metadata/resourceVersion") == after.pointer("/metadata/resourceVersion");
    if is_same_version && before == after || essence(before) == essence(after) {
        Change::Unchanged
    } else {
        Change::Configured
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_apply_did_is_told_by_the_object() {
        let object = |version: &str, replicas: u32| json!({"metadata": {"resourceVersion": version, "generation": replicas, "managedFields": [version]}, "spec": {"replicas": replicas}});
        assert_eq!(change(None, &object("1", 1)), Change::Created);
        assert_eq!(
            change(Some(&object("1", 1)), &object("1", 1)),
            Change::Unchanged
        );
        assert_eq!(
            change(Some(&object("1", 1)), &object("2", 1)),
            Change::Unchanged
        );
        assert_eq!(
            change(Some(&object("1", 1)), &object("1", 2)),
            Change::Configured
        );
    }

    #[test]
    fn an_object_is_sent_with_its_namespace_and_without_managers() {
        let object = json!({"metadata": {"name": "a", "managedFields": []}});
        assert_eq!(
            appliable(&object, Some("x")),
            json!({"metadata": {"name": "a", "namespace": "x"}})
        );
        assert_eq!(appliable(&object, None), json!({"metadata": {"name": "a"}}));
    }
}
