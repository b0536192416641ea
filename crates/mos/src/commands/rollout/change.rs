//! Pause, resume, restart, undo.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::history::{self, Undo};
use super::{ChangeArgs, Kind, UndoArgs, Workload, is_paused, workloads};
use crate::client::{Client, Discovery, PatchKind, Query};
use crate::commands::{DryRun, Outcome, read};
use crate::failure::Failure;
use crate::output::{self, DataFormat};

/// A change that is the same for each workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Pause,
    Resume,
    Restart,
}

impl Step {
    fn done(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Restart => "restarted",
        }
    }

    /// The merge patch, or why there is none.
    fn patch(self, kind: Kind, object: &Value, now: Timestamp) -> Result<Value, Failure> {
        let paused = is_paused(object);
        match (self, kind) {
            (Self::Pause | Self::Resume, Kind::StatefulSet | Kind::DaemonSet) => {
                Err(Failure::new("only the rollout of a deployment can be held"))
            }
            (Self::Pause, _) if paused => Err(Failure::new("it is paused already")),
            (Self::Resume, _) if !paused => Err(Failure::new("it is not paused")),
            (Self::Pause, _) => Ok(json!({ "spec": { "paused": true } })),
            (Self::Resume, _) => Ok(json!({ "spec": { "paused": false } })),
            (Self::Restart, Kind::Deployment) if paused => {
                let failure = Failure::new("it is paused: new pods would not come");
                Err(failure.hint("`mos rollout resume` goes on with it"))
            }
            (Self::Restart, _) => {
                // The annotation that kubectl uses: a template that differs is rolled out.
                let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
                let annotations =
                    json!({ "kubectl.kubernetes.io/restartedAt": seconds.to_string() });
                let template = json!({ "metadata": { "annotations": annotations } });
                Ok(json!({ "spec": { "template": template } }))
            }
        }
    }
}

/// Carries out one of the simple changes.
pub(super) async fn run(
    client: &Client,
    discovery: &Discovery,
    args: ChangeArgs,
    step: Step,
) -> Result<(), Failure> {
    let mut report = Report::new(args.output, args.dry_run);
    for workload in workloads(client, discovery, &args.selected).await? {
        let result = change(client, &workload, step, args.dry_run).await;
        report.add(
            &workload,
            result.map(|object| (object, step.done().to_owned())),
        )?;
    }
    report.finish()
}

async fn change(
    client: &Client,
    workload: &Workload,
    step: Step,
    dry_run: DryRun,
) -> Result<Value, Failure> {
    let object = read(client, &workload.target).await?;
    let patch = step.patch(workload.kind, &object, Timestamp::now())?;
    send(client, workload, PatchKind::Merge, &patch, dry_run).await
}

/// Carries out `mos rollout undo`.
pub(super) async fn undo(
    client: &Client,
    discovery: &Discovery,
    args: UndoArgs,
) -> Result<(), Failure> {
    let mut report = Report::new(args.output, args.dry_run);
    for workload in workloads(client, discovery, &args.selected).await? {
        let result = undo_one(client, discovery, &workload, &args).await;
        report.add(&workload, result)?;
    }
    report.finish()
}

async fn undo_one(
    client: &Client,
    discovery: &Discovery,
    workload: &Workload,
    args: &UndoArgs,
) -> Result<(Value, String), Failure> {
    let object = read(client, &workload.target).await?;
    if workload.kind == Kind::Deployment && is_paused(&object) {
        let failure = Failure::new("it is paused: it would not go back");
        return Err(failure.hint("`mos rollout resume` goes on with it"));
    }
    let revisions = history::of_workload(client, discovery, workload, &object).await?;
    match history::undo(&object, &revisions, args.to_revision)? {
        Undo::Already(number) => Ok((
            object,
            format!("not rolled back: its template is that of revision {number}"),
        )),
        Undo::To(revision) => {
            let operations = history::operations(&object, &revision);
            let written = send(
                client,
                workload,
                PatchKind::Operations,
                &operations,
                args.dry_run,
            );
            let line = format!("rolled back to revision {}", revision.number);
            Ok((written.await?, line))
        }
    }
}

async fn send(
    client: &Client,
    workload: &Workload,
    kind: PatchKind,
    patch: &Value,
    dry_run: DryRun,
) -> Result<Value, Failure> {
    let target = &workload.target;
    let mut query: Query = vec![("fieldManager", "mos".into())];
    dry_run.add_to(&mut query);
    let namespace = target.namespace.as_deref();
    let patched = client.patch(
        &target.resource,
        namespace,
        &target.name,
        kind,
        patch,
        &query,
    );
    Ok(patched.await?)
}

/// What is printed of several changes.
struct Report {
    output: Option<DataFormat>,
    dry_run: DryRun,
    objects: Vec<Value>,
    outcome: Outcome,
}

impl Report {
    fn new(output: Option<DataFormat>, dry_run: DryRun) -> Self {
        Self {
            output,
            dry_run,
            objects: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    fn add(
        &mut self,
        workload: &Workload,
        result: Result<(Value, String), Failure>,
    ) -> Result<(), Failure> {
        let name = workload.target.object_name();
        match result {
            Ok((object, done)) => {
                if self.output.is_none() {
                    output::line(&format!("{name} {done}{}", self.dry_run.suffix()))?;
                }
                self.objects.push(output::without_managed_fields(object));
                Ok(())
            }
            Err(failure) => self.outcome.record(Err(failure.at(name))),
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        if let Some(format) = self.output {
            let single = self.objects.len() == 1;
            let document = self.objects.pop().filter(|_| single);
            format.print(&document.unwrap_or_else(|| output::list_of(self.objects)))?;
        }
        self.outcome.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_patch_or_says_why_not() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let running = json!({});
        let paused = json!({ "spec": { "paused": true } });
        let patch = |step: Step, kind, object: &Value| step.patch(kind, object, now);
        let pause = patch(Step::Pause, Kind::Deployment, &running).unwrap();
        assert_eq!(pause, paused);
        let resume = patch(Step::Resume, Kind::Deployment, &paused).unwrap();
        assert_eq!(resume, json!({ "spec": { "paused": false } }));
        let restart = patch(Step::Restart, Kind::DaemonSet, &running).unwrap();
        let annotation = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
        assert_eq!(
            restart.pointer(annotation),
            Some(&json!("2026-09-21T14:13:20Z"))
        );
        for (step, kind, object) in [
            (Step::Pause, Kind::Deployment, &paused),
            (Step::Resume, Kind::Deployment, &running),
            (Step::Restart, Kind::Deployment, &paused),
            (Step::Pause, Kind::StatefulSet, &running),
        ] {
            assert!(patch(step, kind, object).is_err(), "{step:?} {kind:?}");
        }
    }
}
