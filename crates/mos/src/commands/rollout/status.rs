//! `mos rollout status`.

use serde_json::{Value, json};

use super::{Kind, StatusArgs, Workload, revision_of, text, workloads};
use crate::client::{Client, Discovery};
use crate::commands::wait::{self, Seen};
use crate::commands::{Outcome, read};
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use crate::readiness::{Readiness, readiness};

/// Runs the command.
pub(super) async fn run(
    client: &Client,
    discovery: &Discovery,
    args: StatusArgs,
) -> Result<(), Failure> {
    let workloads = workloads(client, discovery, &args.selected).await?;
    if args.revision.is_some() && workloads.iter().any(|one| one.kind != Kind::Deployment) {
        return Err(Failure::usage("--revision is for deployments only"));
    }
    let mut outcome = Outcome::default();
    let mut printed = Vec::new();
    for workload in &workloads {
        let mut last = Value::Null;
        let result = follow(client, workload, &args, &mut last).await;
        if args.output.is_some() && !last.is_null() {
            printed.push(as_data(&last));
        }
        outcome.record(result)?;
    }
    if let Some(format) = args.output {
        let single = workloads.len() == 1;
        let document = printed.pop().filter(|_| single);
        format.print(&document.unwrap_or_else(|| output::list_of(printed)))?;
    }
    outcome.finish()
}

async fn follow(
    client: &Client,
    workload: &Workload,
    args: &StatusArgs,
    last: &mut Value,
) -> Result<(), Failure> {
    let name = workload.target.object_name();
    if !args.watch {
        let object = read(client, &workload.target).await?;
        let state = state(workload.kind, &name, &object, args.revision);
        *last = object;
        return match state? {
            Readiness::Ready => tell(args, &done(&name)),
            Readiness::Waiting(what) => tell(args, &format!("{name}: {what}")),
            Readiness::Failed(why) => Err(failed(&name, &why)),
        };
    }
    // Who is not there at all will not be waited for.
    read(client, &workload.target).await?;
    let progress = Progress::new(1, "rolled out");
    let mut told = String::new();
    let mut waits_for = String::new();
    let wait = wait::until(client, &workload.target, |seen| {
        let Seen::Present(object) = seen else {
            return Some(Err(Failure::new(format!("{name} is gone"))));
        };
        let state = state(workload.kind, &name, object, args.revision);
        *last = object.clone();
        match state {
            Err(failure) => Some(Err(failure)),
            Ok(Readiness::Ready) => Some(Ok(())),
            Ok(Readiness::Failed(why)) => Some(Err(failed(&name, &why))),
            Ok(Readiness::Waiting(what)) => {
                let counts = Counts::of(object);
                progress.set(counts.serving_new(), counts.wanted);
                progress.message(&what);
                if progress.is_hidden() && told != what {
                    eprintln!("waiting for {name}: {what}");
                    told.clone_from(&what);
                }
                waits_for = what;
                None
            }
        }
    });
    match args.timeout {
        None => wait.await?,
        Some(limit) => match tokio::time::timeout(limit, wait).await {
            Ok(result) => result?,
            Err(_) => {
                let failure = Failure::new(format!(
                    "{name} was not rolled out after {limit:?} ({waits_for})"
                ));
                return Err(failure.hint(format!(
                    "`mos describe {name}` and `mos why POD` show more; --timeout waits longer"
                )));
            }
        },
    }
    drop(progress);
    tell(args, &done(&name))
}

fn tell(args: &StatusArgs, line: &str) -> Result<(), Failure> {
    match args.output {
        None => output::line(line),
        Some(_) => Ok(()),
    }
}

fn done(name: &str) -> String {
    format!("{name} successfully rolled out")
}

fn failed(name: &str, why: &str) -> Failure {
    Failure::new(format!("{name} is not rolled out: {why}")).hint(format!(
        "`mos rollout undo {name}` goes back; `mos describe {name}` shows more"
    ))
}

/// How far a rollout is, or why there is none to wait for.
fn state(
    kind: Kind,
    name: &str,
    object: &Value,
    revision: Option<i64>,
) -> Result<Readiness, Failure> {
    if kind != Kind::Deployment && text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Err(Failure::new(format!(
            "{name} has no rollout to follow: its pods are replaced only when somebody deletes them (strategy OnDelete)"
        ))
        .hint("`mos delete pod POD` has one replaced"));
    }
    if let Some(wanted) = revision {
        let running = revision_of(object).unwrap_or_default();
        if running != wanted {
            return Err(Failure::new(format!(
                "{name} is not at revision {wanted}: revision {running} is being rolled out"
            ))
            .hint(format!(
                "`mos rollout history {name}` lists its revisions; without --revision the newest is followed"
            )));
        }
    }
    let state = readiness(object);
    if kind == Kind::Deployment
        && super::is_paused(object)
        && let Readiness::Waiting(what) = state
    {
        return Ok(Readiness::Waiting(format!("{what}; it is paused")));
    }
    Ok(state)
}

/// How many pods of which kind a workload has.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    wanted: u64,
    updated: u64,
    ready: u64,
    available: u64,
}

impl Counts {
    fn of(object: &Value) -> Self {
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
        let some = |one: &str, other: &str| number(one).or_else(|| number(other)).unwrap_or(0);
        Self {
            wanted: number("/status/desiredNumberScheduled")
                .unwrap_or_else(|| number("/spec/replicas").unwrap_or(1)),
            updated: some("/status/updatedReplicas", "/status/updatedNumberScheduled"),
            ready: some("/status/readyReplicas", "/status/numberReady"),
            available: some("/status/availableReplicas", "/status/numberAvailable"),
        }
    }

    /// At most so many of the new pods serve.
    fn serving_new(&self) -> u64 {
        self.updated.min(self.available)
    }
}

/// How far it is, for scripts.
fn as_data(object: &Value) -> Value {
    let (state, message) = match readiness(object) {
        Readiness::Ready => ("Complete", String::new()),
        Readiness::Waiting(what) => ("Progressing", what),
        Readiness::Failed(why) => ("Failed", why),
    };
    let counts = Counts::of(object);
    json!({
        "kind": text(object, "/kind"),
        "namespace": text(object, "/metadata/namespace"),
        "name": text(object, "/metadata/name"),
        "revision": revision_of(object),
        "state": state,
        "message": message,
        "replicas": {
            "wanted": counts.wanted, "updated": counts.updated,
            "ready": counts.ready, "available": counts.available,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(status: Value) -> Value {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "web", "namespace": "shop", "generation": 1,
                "annotations": { "deployment.kubernetes.io/revision": "3" } },
            "spec": { "replicas": 3 }, "status": status })
    }

    #[test]
    fn data_says_how_far_it_is() {
        let object = deployment(json!({
            "observedGeneration": 1, "replicas": 4, "updatedReplicas": 2, "readyReplicas": 3, "availableReplicas": 1,
        }));
        assert_eq!(
            as_data(&object),
            json!({
                "kind": "Deployment", "namespace": "shop", "name": "web", "revision": 3,
                "state": "Progressing", "message": "2 of 3 updated",
                "replicas": { "wanted": 3, "updated": 2, "ready": 3, "available": 1 },
            })
        );
        assert_eq!(Counts::of(&object).serving_new(), 1);
        let set = json!({ "status": { "desiredNumberScheduled": 5, "updatedNumberScheduled": 4,
            "numberReady": 3, "numberAvailable": 2 } });
        let counts = Counts {
            wanted: 5,
            updated: 4,
            ready: 3,
            available: 2,
        };
        assert_eq!(Counts::of(&set), counts);
    }

    #[test]
    fn what_will_not_be_rolled_out_is_not_waited_for() {
        let object = deployment(json!({ "conditions": [
            { "type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "too slow" },
        ] }));
        let found = state(Kind::Deployment, "deployment/a", &object, None).unwrap();
        assert_eq!(found, Readiness::Failed("too slow".into()));
        assert!(state(Kind::Deployment, "deployment/a", &object, Some(3)).is_ok());
        let failure = state(Kind::Deployment, "deployment/a", &object, Some(2)).unwrap_err();
        assert!(failure.message().contains("revision 3 is being rolled out"));
        let on_delete = json!({ "spec": { "updateStrategy": { "type": "OnDelete" } } });
        let failure = state(Kind::DaemonSet, "daemonset/a", &on_delete, None).unwrap_err();
        let message = failure.message();
        assert!(
            message.starts_with("daemonset/a has no rollout"),
            "{message}"
        );
    }
}
