//! What is to be done next, and what the status says of it. Pure.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use mosaic_scheduler::rebalance::{Move, Plan};

use super::object::{MoveState, MoveStatus, Rebalance, Status};

/// How long after the last replacement serves the next round begins: budgets are counted anew by then.
pub(super) const SETTLE: SignedDuration = SignedDuration::from_secs(2);
/// How often moves are looked after without a reason.
const FOLLOW: SignedDuration = SignedDuration::from_secs(1);

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Look after the moves of this object.
    Follow(usize),
    /// Begin a run of this object.
    Begin(usize),
    /// Plan the next round of this object's run.
    GoOn(usize),
    /// Nothing before this time has passed, or anything changes.
    Wait(Option<SignedDuration>),
}

/// What is to be done next: one object after the other, as each makes its plan of what is there.
pub(super) fn next(objects: &[Rebalance], now: Timestamp) -> Task {
    if let Some(moving) = objects.iter().position(Rebalance::is_moving) {
        return Task::Follow(moving);
    }
    if let Some(running) = objects
        .iter()
        .position(|object| is_true(&object.status, PROGRESSING))
    {
        let ends = objects
            .get(running)
            .into_iter()
            .flat_map(|object| &object.status.moves);
        let settled = ends
            .map(|step| step.time)
            .max()
            .map(|last| SETTLE - now.duration_since(last));
        return match settled.filter(|left| left.is_positive()) {
            Some(left) => Task::Wait(Some(left)),
            None => Task::GoOn(running),
        };
    }
    let due = objects
        .iter()
        .enumerate()
        .filter_map(|(index, object)| Some((left(object, now)?, index)));
    match due.min() {
        None => Task::Wait(None),
        Some((left, _)) if left.is_positive() => Task::Wait(Some(left)),
        Some((_, index)) => Task::Begin(index),
    }
}

/// How long until the next run of an object begins; none if it never does.
fn left(object: &Rebalance, now: Timestamp) -> Option<SignedDuration> {
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = &object.status;
    let same = status.observed_generation == object.metadata.generation;
    let Some(last) = status.last_run_time.filter(|_| same) else {
        return Some(SignedDuration::ZERO);
    };
    if object.asked() != status.last_handled_run_at.as_ref() {
        return Some(SignedDuration::ZERO);
    }
    // What cannot be understood is not tried again before it changes.
    let understood = condition(status, STALLED).is_none_or(|stalled| stalled.reason != INVALID);
    understood.then(|| object.interval() - now.duration_since(last))
}

/// How long until the moves of an object are looked after again.
pub(super) fn follow_again() -> SignedDuration {
    FOLLOW
}

const PROGRESSING: &str = "Progressing";
const BALANCED: &str = "Balanced";
const STALLED: &str = "Stalled";
const INVALID: &str = "InvalidSpec";

/// How a run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Course {
    /// Pods are being moved.
    Moving,
    /// It is over: nothing is left to be won.
    Done,
    /// It is over: it has moved as many pods as it may.
    Limit,
    /// It would move pods.
    DryRun { planned: usize },
    /// It ended before it should have.
    Stopped { reason: &'static str, why: String },
}

impl Course {
    /// It cannot be understood what is asked for.
    pub(super) fn invalid(why: String) -> Self {
        Self::Stopped {
            reason: INVALID,
            why,
        }
    }
}

fn condition<'a>(status: &'a Status, kind: &str) -> Option<&'a Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
}

fn is_true(status: &Status, kind: &str) -> bool {
    condition(status, kind).is_some_and(|condition| condition.status == "True")
}

/// The moves of a round as the status shows them.
fn shown(moves: &[Move], state: MoveState, now: Timestamp) -> impl Iterator<Item = MoveStatus> {
    moves.iter().map(move |step| MoveStatus {
        namespace: step.pod.namespace().to_owned(),
        pod: step.pod.name().to_owned(),
        uid: step.uid.to_string(),
        controller: step.controller.to_string(),
        from: step.from.to_string(),
        to: step.to.to_string(),
        reason: step.reason.to_string(),
        state,
        time: now,
        replacement: None,
    })
}

/// The status after a plan: its first round is under way, or none of it if it is only to be told.
pub(super) fn planned(object: &Rebalance, plan: &Plan, fresh: bool, now: Timestamp) -> Status {
    let mut status = object.status.clone();
    if fresh {
        status = Status {
            observed_generation: object.metadata.generation,
            last_run_time: Some(now),
            last_handled_run_at: object.asked().cloned(),
            before: Some(plan.before.to_json()),
            conditions: status.conditions,
            ..Status::default()
        };
    }
    status.after = Some(plan.after.to_json());
    let course = if object.is_dry_run() {
        status.moves = shown(&plan.moves, MoveState::Planned, now).collect();
        Course::DryRun {
            planned: plan.moves.len(),
        }
    } else {
        let first = plan.moves.iter().take_while(|step| step.round == 0).count();
        let moves = plan.moves.get(..first).unwrap_or_default();
        status.moves.extend(shown(moves, MoveState::Evicting, now));
        if first > 0 {
            Course::Moving
        } else {
            Course::Done
        }
    };
    conclude(&mut status, object.metadata.generation, &course, now);
    status
}

/// The status when a run ends, or cannot begin.
pub(super) fn ended(object: &Rebalance, course: &Course, now: Timestamp) -> Status {
    let mut status = object.status.clone();
    if status.observed_generation != object.metadata.generation {
        status = Status {
            observed_generation: object.metadata.generation,
            conditions: status.conditions,
            ..Status::default()
        };
    }
    status.last_run_time.get_or_insert(now);
    if matches!(course, Course::Stopped { .. }) {
        status.last_handled_run_at = object.asked().cloned();
    }
    conclude(&mut status, object.metadata.generation, course, now);
    status
}

/// A pod that may have taken another's place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) host: String,
    pub(super) created: Timestamp,
}

/// The status after its moves were looked after. `candidates` are the pods of a controller that serve.
pub(super) fn followed(
    object: &Rebalance,
    candidates: impl Fn(&MoveStatus) -> Vec<Candidate>,
    now: Timestamp,
) -> Status {
    let mut status = object.status.clone();
    let moves = &status.moves;
    let mut taken: BTreeSet<String> = moves.iter().map(|step| step.uid.clone()).collect();
    // A pod takes the place of one only.
    let mut named: BTreeSet<(String, String)> = moves
        .iter()
        .filter(|step| step.state == MoveState::Moved)
        .filter_map(|step| Some((step.namespace.clone(), step.replacement.clone()?)))
        .collect();
    for step in &mut status.moves {
        if step.state != MoveState::Replacing {
            continue;
        }
        // Creation times are whole seconds.
        let earliest = step.time.as_second();
        let mut found = candidates(step);
        found.retain(|pod| {
            pod.created.as_second() >= earliest
                && !taken.contains(&pod.uid)
                && (pod.name == step.pod
                    || !named.contains(&(step.namespace.clone(), pod.name.clone())))
        });
        // The one that is where it was expected, if there is a choice.
        found.sort_by_key(|pod| (pod.host != step.to, pod.created, pod.name.clone()));
        if let Some(pod) = found.into_iter().next() {
            taken.insert(pod.uid);
            named.insert((step.namespace.clone(), pod.name.clone()));
            step.state = MoveState::Moved;
            step.to = pod.host;
            step.replacement = Some(pod.name);
            step.time = now;
            status.moved += 1;
        } else if now.duration_since(step.time) > object.timeout() {
            step.state = MoveState::Unreplaced;
            step.time = now;
        }
    }
    if !status.moves.iter().any(|step| step.state.is_under_way())
        && let Some(course) = failure(&status.moves)
    {
        conclude(&mut status, object.metadata.generation, &course, now);
    }
    status
}

/// Why a run does not go on, if a move failed.
fn failure(moves: &[MoveStatus]) -> Option<Course> {
    let failed = |state: MoveState| moves.iter().find(move |step| step.state == state);
    let refused = failed(MoveState::Refused).map(|step| Course::Stopped {
        reason: "EvictionRefused",
        why: format!("pod {}/{} may not be evicted", step.namespace, step.pod),
    });
    let unreplaced = failed(MoveState::Unreplaced).map(|step| Course::Stopped {
        reason: "NoReplacement",
        why: format!(
            "no replacement of pod {}/{} was ready in time",
            step.namespace, step.pod
        ),
    });
    unreplaced.or(refused)
}

fn conclude(status: &mut Status, generation: Option<i64>, course: &Course, now: Timestamp) {
    let moved = format!("{} pods were moved", status.moved);
    let nothing = "nothing is left to be won".to_owned();
    let (progressing, balanced, stalled) = match course {
        Course::Moving => {
            let moving = status
                .moves
                .iter()
                .filter(|step| step.state.is_under_way())
                .count();
            let left = "pods are better elsewhere".to_owned();
            (
                (true, "Moving", format!("{moving} pods are being moved")),
                ("False", "Moving", left),
                None,
            )
        }
        Course::Done => (
            (false, "Idle", moved),
            ("True", "NothingToMove", nothing),
            None,
        ),
        Course::Limit => {
            let left = "the run moved as many pods as it may".to_owned();
            (
                (false, "Idle", moved),
                ("Unknown", "LimitReached", left),
                None,
            )
        }
        Course::DryRun { planned } => {
            let dry = "it is only told what would be moved".to_owned();
            let balanced = match planned {
                0 => ("True", "NothingToMove", nothing),
                _ => ("False", "DryRun", format!("{planned} pods would be moved")),
            };
            ((false, "DryRun", dry), balanced, None)
        }
        Course::Stopped { reason, why } => {
            let unknown = "the last run did not come to its end".to_owned();
            (
                (false, "Stopped", moved),
                ("Unknown", "Stopped", unknown),
                Some((*reason, why.clone())),
            )
        }
    };
    let word = |holds: bool| if holds { "True" } else { "False" };
    let (is_stalled, (reason, why)) = match stalled {
        Some(stalled) => (true, stalled),
        None => (
            false,
            ("AsPlanned", "nothing stopped the last run".to_owned()),
        ),
    };
    let all = [
        (
            PROGRESSING,
            word(progressing.0),
            progressing.1,
            progressing.2,
        ),
        (BALANCED, balanced.0, balanced.1, balanced.2),
        (STALLED, word(is_stalled), reason, why),
    ];
    let conditions = all.into_iter().map(|(kind, word, reason, message)| {
        let since = condition(status, kind)
            .filter(|old| old.status == word)
            .map_or(Time(now), |old| old.last_transition_time.clone());
        Condition {
            type_: kind.to_owned(),
            status: word.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: generation,
            last_transition_time: since,
        }
    });
    status.conditions = conditions.collect();
}

/// How many more pods the run of an object may move.
pub(super) fn left_to_move(object: &Rebalance, most: usize) -> usize {
    most.saturating_sub(object.status.moves.len())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
