//! Moves pods to where the scheduler would put them now, as `Rebalance` objects ask for: the loop around
//! [`mosaic_scheduler::rebalance`], which plans.
//!
//! ```text
//!   due ─▶ snapshot ─▶ plan ─▶ status: first round, Evicting ─▶ evict ─▶ Replacing ─▶ Moved
//!              ▲                                                                        │
//!              └─────────────── next round, while the run may move more ◀───────────────┘
//! ```
//!
//! What is about to be done is written into the status first, so that whoever takes over the lease goes on from
//! there. Evictions go through the API, which counts disruption budgets. A run ends early if a pod may not be evicted or its
//! replacement does not come; the next one begins when its time has come. One object at a time moves pods: each makes
//! its plan of what is there.
//!
//! Without a `Rebalance` object nothing is read and nothing happens.

mod object;
mod plan;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::{ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, Preconditions},
    runtime::watcher,
};
use mosaic_scheduler::rebalance::{self, Options, Plan};
use serde_json::json;

use crate::{
    context::Context,
    error::{self, Absent, Error, Result},
    events::{self, Events},
    readable::Readable,
    runner::{self, Next},
    scheduling, watch,
};
use object::{MoveState, MoveStatus, Rebalance, Status};
use plan::{Candidate, Course, Task};

const NAME: &str = "rebalance-controller";
/// How long changes are gathered: plans are made of many objects.
const GATHER: Duration = Duration::from_millis(100);

struct Controller {
    context: Context,
    events: Events,
    /// Whether moves are under way, so that changes of pods matter.
    moving: Arc<AtomicBool>,
}

/// Carries out what `Rebalance` objects ask for, for as long as it is polled.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<()>();
    let moving = Arc::<AtomicBool>::default();
    let (to_queue, is_moving) = (queue.clone(), moving.clone());
    context.pods.listen(move |_| {
        if is_moving.load(Ordering::Relaxed) {
            to_queue.add_after((), GATHER);
        }
    });
    let client = context.client.clone();
    let (events, writer) = events::events(client.clone(), NAME, &context.options.identity);
    let objects: Api<Readable<Rebalance>> = Api::all(client);
    let controller = Controller {
        context,
        events,
        moving,
    };
    controller.context.pods.ready().await;
    tokio::join!(
        writer.run(),
        watch::objects(objects, watcher::Config::default(), |_| queue
            .add_after((), GATHER)),
        runner::work("rebalance", 1, &queue, requests, |()| controller
            .reconcile()),
    );
}

impl Controller {
    async fn reconcile(&self) -> Result<Next> {
        let api: Api<Rebalance> = Api::all(self.context.client.clone());
        let mut objects = api.list(&ListParams::default()).await?.items;
        let now = Timestamp::now();
        let task = plan::next(&objects, now);
        let is_following = matches!(task, Task::Follow(_));
        self.moving.store(is_following, Ordering::Relaxed);
        let (index, fresh) = match task {
            Task::Wait(None) => return Ok(Next::Done),
            Task::Wait(Some(left)) => return Ok(after(left)),
            Task::Follow(index) => (index, false),
            Task::Begin(index) => (index, true),
            Task::GoOn(index) => (index, false),
        };
        if index >= objects.len() {
            return Ok(Next::Done);
        }
        let object = objects.swap_remove(index);
        let next = if is_following {
            after(plan::follow_again())
        } else {
            Next::After(Duration::ZERO)
        };
        let status = if is_following {
            self.follow(&object).await?
        } else {
            self.plan(&object, fresh, now).await?
        };
        if status != object.status {
            self.write(&object, &status).await?;
            self.tell(&object, &status);
            return Ok(Next::After(Duration::ZERO));
        }
        Ok(next)
    }

    /// Makes a plan, and puts the first round of it under way.
    async fn plan(&self, object: &Rebalance, fresh: bool, now: Timestamp) -> Result<Status> {
        let mut options = match Options::from_object(&json!({ "spec": object.spec })) {
            Ok(options) => options,
            Err(error) => {
                let course = Course::invalid(error.to_string());
                return Ok(plan::ended(object, &course, now));
            }
        };
        if !fresh {
            options.most_moves = plan::left_to_move(object, options.most_moves);
            if options.most_moves == 0 {
                return Ok(plan::ended(object, &Course::Limit, now));
            }
        }
        let plan = self.make(options).await?;
        Ok(plan::planned(object, &plan, fresh, Timestamp::now()))
    }

    async fn make(&self, options: Options) -> Result<Plan> {
        let cluster = scheduling::snapshot(&self.context.client).await;
        // It takes up to seconds on large clusters.
        let plan = tokio::task::spawn_blocking(move || rebalance::plan(&cluster, &options));
        plan.await
            .map_err(|error| Error::Other(format!("no plan was made: {error}")))
    }

    /// Evicts what is to be evicted, and looks for replacements.
    async fn follow(&self, object: &Rebalance) -> Result<Status> {
        let mut followed = object.clone();
        let may_evict = !object.is_dry_run();
        for step in &mut followed.status.moves {
            if step.state == MoveState::Evicting {
                step.state = if may_evict {
                    self.evict(&about(&object.metadata), step).await?
                } else {
                    MoveState::Refused
                };
            }
        }
        let candidates = |step: &MoveStatus| self.candidates(step);
        Ok(plan::followed(&followed, candidates, Timestamp::now()))
    }

    async fn evict(&self, rebalance: &ObjectReference, step: &MoveStatus) -> Result<MoveState> {
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &step.namespace);
        let pod = pods.get_opt(&step.pod).await?;
        let is_there = pod.is_some_and(|pod| {
            pod.metadata.uid.as_deref() == Some(&step.uid)
                && pod.metadata.deletion_timestamp.is_none()
        });
        if !is_there {
            return Ok(MoveState::Replacing);
        }
        let parameters = EvictParams {
            delete_options: Some(DeleteParams {
                preconditions: Some(Preconditions {
                    uid: Some(step.uid.clone()),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            }),
            ..EvictParams::default()
        };
        match pods.evict(&step.pod, &parameters).await {
            Err(error) if matches!(error::code(&error), Some(403 | 429)) => Ok(MoveState::Refused),
            // It is gone, or another pod of that name is there.
            Err(error) if error::code(&error) == Some(409) => Ok(MoveState::Replacing),
            result => {
                if result.or_absent()?.is_some() {
                    let about = ObjectReference {
                        api_version: Some("v1".to_owned()),
                        kind: Some("Pod".to_owned()),
                        namespace: Some(step.namespace.clone()),
                        name: Some(step.pod.clone()),
                        uid: Some(step.uid.clone()),
                        ..ObjectReference::default()
                    };
                    let note = format!("Evicted from {}: {}", step.from, step.reason);
                    self.events.tell(about, "Rebalanced", "Evicting", note);
                    let pod = format!("{}/{}", step.namespace, step.pod);
                    let note = format!("pod {pod} leaves {}: {}", step.from, step.reason);
                    self.events
                        .tell(rebalance.clone(), "Moving", "Evicting", note);
                }
                Ok(MoveState::Replacing)
            }
        }
    }

    /// The pods of the same controller that serve.
    fn candidates(&self, step: &MoveStatus) -> Vec<Candidate> {
        let pods = &self.context.pods;
        let pods = pods.controlled_by(&step.namespace, &step.controller);
        let serving = pods.iter().filter(|pod| pod.ready && !pod.is_terminating());
        let candidates = serving.filter_map(|pod| {
            Some(Candidate {
                name: pod.metadata.name.clone()?,
                uid: pod.metadata.uid.clone()?,
                host: pod.node.as_ref()?.to_string(),
                created: pod.metadata.creation_timestamp.as_ref()?.0,
            })
        });
        candidates.collect()
    }

    /// Nobody else may have written meanwhile.
    async fn write(&self, object: &Rebalance, status: &Status) -> Result<()> {
        let api: Api<Rebalance> = Api::all(self.context.client.clone());
        let version = &object.metadata.resource_version;
        let patch = json!({ "metadata": { "resourceVersion": version }, "status": status });
        api.patch_status(object.name(), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .or_absent()?;
        Ok(())
    }

    /// Tells what became of moves.
    fn tell(&self, object: &Rebalance, status: &Status) {
        let about = || about(&object.metadata);
        let before = &object.status.moves;
        for (index, step) in status.moves.iter().enumerate() {
            let old = before.get(index).filter(|old| old.uid == step.uid);
            if old.is_some_and(|old| old.state == step.state) {
                continue;
            }
            let pod = format!("pod {}/{}", step.namespace, step.pod);
            match step.state {
                // An eviction is told when it is done.
                MoveState::Planned | MoveState::Evicting | MoveState::Replacing => {}
                MoveState::Moved => {
                    let name = step.replacement.as_deref().unwrap_or_default();
                    let note = format!(
                        "{pod} of {} is replaced by {name} on {}",
                        step.from, step.to
                    );
                    self.events.tell(about(), "Moved", "Evicting", note);
                }
                MoveState::Refused => {
                    let note = format!("{pod} may not be evicted");
                    self.events
                        .warn(about(), "EvictionRefused", "Evicting", note);
                }
                MoveState::Unreplaced => {
                    let note = format!("no replacement of {pod} was ready in time");
                    self.events.warn(about(), "NoReplacement", "Evicting", note);
                }
            }
        }
    }
}

/// What events about a `Rebalance` are about.
fn about(metadata: &ObjectMeta) -> ObjectReference {
    events::about("mosaic/v1", "Rebalance", metadata)
}

fn after(left: SignedDuration) -> Next {
    Next::After(Duration::try_from(left).unwrap_or_default())
}
