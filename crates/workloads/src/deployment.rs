//! Deployments: a replica set for each template, and the way from one to the next.
//!
//! ```text
//!   template ──hash──▶ new set      paused ──▶ sizes only
//!                                   replicas changed ──▶ every set by its share
//!   old sets, new set ──────────▶   Recreate: old down, their pods gone, new up
//!                                   RollingUpdate: new up as far as maxSurge allows,
//!                                   then old down as far as maxUnavailable allows
//! ```
//!
//! A plan makes one step. The change of the sets' status that follows is the reason for the next. Sets are scaled with
//! the version that the plan was made from, so that a plan made from an old state is a conflict.

mod annotations;
mod conditions;
mod new_set;
mod progress;
mod proportion;
mod rolling;
mod status;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet};

use crate::{
    counts::length,
    owner::{self, Owner, claim},
    plan::{Action, Change, Event, Failure, Kind, Plan, Propagation, Target},
    pod::Pod,
    scaled::surge_and_unavailable,
};

pub use annotations::{DESIRED_REPLICAS, MAX_REPLICAS, REVISION, REVISION_HISTORY};
pub use new_set::TEMPLATE_HASH;

/// A deployment, and what is to be known for a plan.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The deployment.
    pub deployment: &'a Deployment,
    /// Replica sets of its namespace: all that it controls, and those that nobody controls. If a set could
    /// not be created because its name is taken, the one that has the name belongs to them, too.
    pub sets: &'a [Arc<ReplicaSet>],
    /// The pods of these sets. Only with the strategy `Recreate` are they looked at.
    pub pods: &'a [Arc<Pod>],
    /// Why the last plan failed, if it did.
    pub failure: Option<&'a Failure>,
    /// The present moment.
    pub now: Timestamp,
}

/// A replica set during planning: its size may have been planned to change.
#[derive(Debug, Clone)]
struct Member<'a> {
    set: &'a ReplicaSet,
    /// How many pods it wants, after what is planned.
    replicas: i32,
}

impl<'a> Member<'a> {
    fn new(set: &'a ReplicaSet) -> Self {
        Self {
            set,
            replicas: wanted(set),
        }
    }

    fn name(&self) -> &'a str {
        owner::name(&self.set.metadata)
    }

    /// How many of its pods are available, of those that are to stay.
    fn available(&self) -> i32 {
        let status = self.set.status.as_ref();
        let available = status.and_then(|status| status.available_replicas);
        available.unwrap_or(0).clamp(0, self.replicas.max(0))
    }

    /// Whether its status tells of the size that it was given last.
    fn is_observed(&self) -> bool {
        let status = self.set.status.as_ref();
        status.and_then(|status| status.observed_generation) >= self.set.metadata.generation
    }

    /// How many pods it may have at this moment: those that it wants, and those that have yet to go.
    fn present(&self) -> i32 {
        self.replicas.max(exists(self.set))
    }
}

/// How many pods a set wants.
fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1).max(0)
}

/// How many pods a set has, as far as it says.
fn exists(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

/// Everything that a plan is made in.
struct Planner<'a> {
    snapshot: Snapshot<'a>,
    owner: Owner<'a>,
    spec: &'a DeploymentSpec,
    /// The set of the present template, if there is one.
    new: Option<Member<'a>>,
    /// All others, oldest first.
    old: Vec<Member<'a>>,
    status: DeploymentStatus,
    plan: Plan<DeploymentStatus>,
}

/// What is to be done, so that the pods of the present template take over.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan<DeploymentStatus> {
    let deployment = snapshot.deployment;
    let owner = Owner::of(deployment);
    let spec = &deployment.spec;
    let mut plan = Plan::default();
    let selector = owner::selector(&spec.selector);
    if selector.is_everything() {
        if observed(deployment) < deployment.metadata.generation {
            plan.event(Event::warning(
                "SelectingAll",
                "This deployment is selecting all pods. A non-empty selector is required.",
            ));
            plan.status = Some(DeploymentStatus {
                observed_generation: deployment.metadata.generation,
                ..deployment.status.clone().unwrap_or_default()
            });
        }
        return plan;
    }
    let claimed = claim(
        &owner,
        &selector,
        Kind::ReplicaSet,
        None,
        snapshot.sets,
        |_| true,
    );
    plan.actions = claimed.actions;
    let mut sets: Vec<&ReplicaSet> = claimed.owned.iter().map(|set| &***set).collect();
    sets.sort_by_key(|set| (owner::created(&set.metadata), owner::name(&set.metadata)));
    let new = sets
        .iter()
        .position(|set| new_set::is_of_template(set, &spec.template));
    let new = new.map(|position| Member::new(sets.remove(position)));
    let mut planner = Planner {
        snapshot: *snapshot,
        owner,
        spec,
        new,
        old: sets.into_iter().map(Member::new).collect(),
        status: deployment.status.clone().unwrap_or_default(),
        plan,
    };
    planner.make();
    planner.plan
}

fn observed(deployment: &Deployment) -> Option<i64> {
    deployment.status.as_ref()?.observed_generation
}

impl<'a> Planner<'a> {
    fn make(&mut self) {
        if self.owner.is_terminating() {
            self.finish_status(false);
            return;
        }
        let paused = self.spec.paused == Some(true);
        self.note_pause(paused);
        if paused {
            self.keep_annotations();
            self.resize();
            self.clean_up();
            self.finish_status(false);
            return;
        }
        if self.is_resized() {
            self.keep_annotations();
            self.resize();
            self.finish_status(false);
            return;
        }
        if self.recreates() {
            self.recreate();
        } else {
            self.keep_annotations();
            if self.new.is_some() {
                self.roll();
            } else {
                self.create_new();
            }
        }
        if self.is_complete() {
            self.clean_up();
        }
        self.finish_status(true);
    }

    /// How many pods are desired.
    fn desired(&self) -> i32 {
        self.spec.replicas.unwrap_or(1).max(0)
    }

    fn recreates(&self) -> bool {
        let strategy = self.spec.strategy.as_ref();
        strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate")
    }

    /// How many pods there may be beyond those desired, and how many of those desired may be unavailable.
    fn bounds(&self) -> (i32, i32) {
        if self.recreates() {
            return (0, 0);
        }
        let strategy = self.spec.strategy.as_ref();
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        let (surge, unavailable) = surge_and_unavailable(
            rolling.and_then(|r| r.max_surge.as_ref()),
            rolling.and_then(|r| r.max_unavailable.as_ref()),
            self.desired(),
        );
        (surge, unavailable.min(self.desired()))
    }

    /// All sets, the oldest first and the new one last.
    fn all(&self) -> impl Iterator<Item = &Member<'a>> {
        self.old.iter().chain(&self.new)
    }

    /// Old pods first, and new ones only when those are gone.
    fn recreate(&mut self) {
        self.keep_annotations();
        let mut scaled = false;
        for index in 0..self.old.len() {
            scaled |= self.scale(Which::Old(index), 0);
        }
        if scaled || self.old_pods_run() {
            return;
        }
        if self.new.is_some() {
            self.scale(Which::New, self.desired());
        } else {
            self.create_new();
        }
    }

    /// Whether a pod of an old set may still be at work.
    fn old_pods_run(&self) -> bool {
        let is_old = |pod: &Pod| {
            let owner = owner::controller(&pod.metadata);
            let uid = owner.map(|owner| owner.uid.as_str());
            uid.is_some()
                && self
                    .old
                    .iter()
                    .any(|old| old.set.metadata.uid.as_deref() == uid)
        };
        self.old.iter().any(|old| exists(old.set) > 0)
            || self
                .snapshot
                .pods
                .iter()
                .any(|pod| !pod.has_ended() && is_old(pod))
    }

    /// Plans another size for a set, and tells whether it is another one.
    fn scale(&mut self, which: Which, replicas: i32) -> bool {
        let annotations = self.size_annotations();
        let Some(sized) = self.get(which) else {
            return false;
        };
        let before = sized.replicas;
        let set = sized.set;
        sized.replicas = replicas;
        let changed: BTreeMap<String, Option<String>> = annotations
            .into_iter()
            .filter(|(key, value)| owner::annotation(&set.metadata, key) != value.as_deref())
            .collect();
        if before == replicas && changed.is_empty() {
            return false;
        }
        let resized = before != replicas;
        let event = resized.then(|| {
            let direction = if replicas > before { "up" } else { "down" };
            let name = owner::name(&set.metadata);
            Event::normal(
                "ScalingReplicaSet",
                format!("Scaled {direction} replica set {name} from {before} to {replicas}"),
            )
        });
        self.change_set(set, resized.then_some(replicas), None, changed, event);
        resized
    }

    /// Adds to the change of a set that is planned already, or plans one: two changes of one version would conflict.
    fn change_set(
        &mut self,
        set: &ReplicaSet,
        size: Option<i32>,
        ready_after: Option<i32>,
        more: BTreeMap<String, Option<String>>,
        told: Option<Event>,
    ) {
        let target = Target::unchanged(Kind::ReplicaSet, &set.metadata);
        for action in &mut self.plan.actions {
            if let Action::Patch {
                target: known,
                change:
                    Change::ReplicaSet {
                        replicas,
                        min_ready_seconds,
                        annotations,
                    },
                event,
            } = action
                && *known == target
            {
                *replicas = size.or(*replicas);
                *min_ready_seconds = ready_after.or(*min_ready_seconds);
                annotations.extend(more);
                *event = told.or(event.take());
                return;
            }
        }
        self.plan.actions.push(Action::Patch {
            target,
            change: Change::ReplicaSet {
                replicas: size,
                min_ready_seconds: ready_after,
                annotations: more,
            },
            event: told,
        });
    }

    fn get(&mut self, which: Which) -> Option<&mut Member<'a>> {
        match which {
            Which::New => self.new.as_mut(),
            Which::Old(index) => self.old.get_mut(index),
        }
    }

    /// Whether everything is as asked for, as far as the sets say.
    fn is_complete(&self) -> bool {
        progress::is_complete(self.desired(), &self.counted())
    }

    /// Deletes old sets without pods, the oldest first, beyond as many as are to be kept.
    fn clean_up(&mut self) {
        let limit = length(self.spec.revision_history_limit.unwrap_or(10));
        let mut alive: Vec<&Member<'a>> = self
            .old
            .iter()
            .filter(|old| old.set.metadata.deletion_timestamp.is_none())
            .collect();
        alive.sort_by_key(|old| annotations::revision(&old.set.metadata));
        let excess = alive.len().saturating_sub(limit);
        let mut actions = Vec::new();
        for old in alive.into_iter().take(excess) {
            let seen = old.set.status.as_ref().and_then(|s| s.observed_generation);
            if old.replicas != 0 || exists(old.set) != 0 || seen < old.set.metadata.generation {
                continue;
            }
            actions.push(Action::Delete {
                target: Target::unchanged(Kind::ReplicaSet, &old.set.metadata),
                propagation: Propagation::Background,
                why: "beyond the limit of the history",
                event: None,
            });
        }
        self.plan.actions.extend(actions);
    }
}

/// One of a deployment's sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    New,
    Old(usize),
}
