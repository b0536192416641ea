//! What is to be done next, and what the status says, from objects alone.

use mosaic_scheduler::{
    PodKey,
    rebalance::{Measure, Reason},
};
use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn object(name: &str, spec: Value) -> Rebalance {
    let mut object = Rebalance {
        spec,
        ..Rebalance::default()
    };
    object.metadata.name = Some(name.to_owned());
    object.metadata.generation = Some(1);
    object
}

fn packing() -> Rebalance {
    object("a", json!({ "goal": "Packing", "intervalSeconds": 100 }))
}

/// A plan of moves, by their rounds.
fn plan(rounds: &[usize]) -> Plan {
    let moves = rounds.iter().enumerate().map(|(index, round)| Move {
        pod: PodKey::new("shop", &format!("p{index}")),
        uid: format!("old{index}").into(),
        controller: "set".into(),
        from: "h1".into(),
        to: "h2".into(),
        reason: Reason::Emptied { share: 0.1 },
        round: *round,
    });
    Plan {
        moves: moves.collect(),
        before: Measure::default(),
        after: Measure {
            empty_hosts: 1,
            ..Measure::default()
        },
    }
}

fn says(status: &Status, kind: &str) -> (String, String) {
    let condition = condition(status, kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

fn states(status: &Status) -> Vec<MoveState> {
    status.moves.iter().map(|step| step.state).collect()
}

fn pod(name: &str, host: &str, created: i64) -> Candidate {
    Candidate {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        host: host.to_owned(),
        created: at(created),
    }
}

/// An object whose first round, of so many pods, is evicted.
fn replacing(count: usize) -> Rebalance {
    let mut object = packing();
    object.status = planned(&object, &plan(&vec![0; count]), true, at(0));
    for step in &mut object.status.moves {
        step.state = MoveState::Replacing;
    }
    object
}

#[test]
fn a_run_begins_at_once_and_then_by_the_interval() {
    let mut object = packing();
    assert_eq!(next(&[], at(0)), Task::Wait(None));
    assert_eq!(next(&[object.clone()], at(0)), Task::Begin(0));
    object.status = planned(&object, &plan(&[]), true, at(0));
    assert_eq!(
        says(&object.status, BALANCED),
        ("True".into(), "NothingToMove".into())
    );
    let left = SignedDuration::from_secs(70);
    assert_eq!(next(&[object.clone()], at(30)), Task::Wait(Some(left)));
    assert_eq!(next(&[object.clone()], at(100)), Task::Begin(0));
    // Somebody asks for it, or for something else.
    let mut asked = object.clone();
    asked.metadata.annotations = Some([("mosaic/run-at".to_owned(), "now".to_owned())].into());
    assert_eq!(next(&[asked.clone()], at(30)), Task::Begin(0));
    asked.status = planned(&asked, &plan(&[]), true, at(30));
    let left = SignedDuration::from_secs(90);
    assert_eq!(next(&[asked], at(40)), Task::Wait(Some(left)));
    object.metadata.generation = Some(2);
    assert_eq!(next(&[object.clone()], at(30)), Task::Begin(0));
    object.metadata.deletion_timestamp = Some(Time(at(0)));
    assert_eq!(next(&[object], at(300)), Task::Wait(None));
}

#[test]
fn only_the_first_round_is_put_under_way_and_the_next_waits_for_budgets() {
    let mut object = packing();
    object.status = planned(&object, &plan(&[0, 0, 1]), true, at(0));
    assert_eq!(states(&object.status), [MoveState::Evicting; 2]);
    assert_eq!(
        says(&object.status, PROGRESSING),
        ("True".into(), "Moving".into())
    );
    let other = super::super::object::Rebalance {
        status: Status::default(),
        ..packing()
    };
    assert_eq!(
        next(&[other.clone(), object.clone()], at(1)),
        Task::Follow(1)
    );
    for step in &mut object.status.moves {
        step.state = MoveState::Replacing;
    }
    let pods = [pod("new1", "h2", 1), pod("new2", "h3", 1)];
    object.status = followed(&object, |_| pods.to_vec(), at(3));
    assert_eq!(states(&object.status), [MoveState::Moved; 2]);
    assert_eq!(object.status.moved, 2);
    let places: Vec<_> = object
        .status
        .moves
        .iter()
        .map(|step| (step.replacement.as_deref(), &*step.to))
        .collect();
    assert_eq!(places, [(Some("new1"), "h2"), (Some("new2"), "h3")]);
    assert_eq!(
        next(&[other.clone(), object.clone()], at(4)),
        Task::Wait(Some(SignedDuration::from_secs(1)))
    );
    assert_eq!(next(&[other, object.clone()], at(5)), Task::GoOn(1));
    // A second round keeps what the first one did.
    let status = planned(&object, &plan(&[0]), false, at(5));
    assert_eq!(
        states(&status),
        [MoveState::Moved, MoveState::Moved, MoveState::Evicting]
    );
    assert_eq!(
        (left_to_move(&object, 2), left_to_move(&object, 20)),
        (0, 18)
    );
    let status = planned(&object, &plan(&[]), false, at(5));
    assert_eq!(says(&status, PROGRESSING), ("False".into(), "Idle".into()));
    assert_eq!(status.last_run_time, Some(at(0)));
}

#[test]
fn a_replacement_is_new_and_stands_for_one_pod_only() {
    let object = replacing(2);
    let found = |pods: &[Candidate]| states(&followed(&object, |_| pods.to_vec(), at(9)));
    use MoveState::{Moved, Replacing};
    assert_eq!(found(&[]), [Replacing, Replacing]);
    assert_eq!(found(&[pod("older", "h2", -1)]), [Replacing, Replacing]);
    assert_eq!(found(&[pod("new", "h2", 0)]), [Moved, Replacing]);
    // One of those that leave.
    let mut itself = pod("p1", "h2", 0);
    itself.uid = "old1".into();
    assert_eq!(found(&[itself]), [Replacing, Replacing]);
    // A pod of a stateful set has the name of the one before.
    assert_eq!(
        found(&[pod("p0", "h2", 1), pod("p1", "h2", 1)]),
        [Moved, Moved]
    );
    // It took the place of the first already.
    let mut later = object.clone();
    later.status = followed(&object, |_| vec![pod("new", "h2", 0)], at(9));
    let again = followed(&later, |_| vec![pod("new", "h2", 0)], at(10));
    assert_eq!(states(&again), [Moved, Replacing]);
}

#[test]
fn a_run_ends_when_a_move_fails() {
    let mut object = replacing(2);
    let late = followed(&object, |_| vec![pod("new", "h2", 1)], at(301));
    assert_eq!(states(&late), [MoveState::Moved, MoveState::Unreplaced]);
    assert_eq!(
        says(&late, STALLED),
        ("True".into(), "NoReplacement".into())
    );
    assert_eq!(says(&late, PROGRESSING), ("False".into(), "Stopped".into()));
    // While one is under way, nothing ends.
    object.status.moves[0].state = MoveState::Refused;
    let waiting = followed(&object, |_| Vec::new(), at(2));
    assert_eq!(says(&waiting, PROGRESSING).0, "True");
    let refused = followed(&object, |_| vec![pod("new", "h2", 1)], at(2));
    assert_eq!(
        says(&refused, STALLED),
        ("True".into(), "EvictionRefused".into())
    );
    object.status = refused;
    assert_eq!(
        next(&[object.clone()], at(10)),
        Task::Wait(Some(SignedDuration::from_secs(90)))
    );
    let again = planned(&object, &plan(&[]), true, at(100));
    assert_eq!(says(&again, STALLED).0, "False");
    assert_eq!(states(&again), []);
}

#[test]
fn a_dry_run_moves_nothing() {
    let mut object = object("a", json!({ "goal": "Packing", "dryRun": true }));
    object.status = planned(&object, &plan(&[0, 1, 2]), true, at(0));
    assert_eq!(states(&object.status), [MoveState::Planned; 3]);
    assert!(!object.is_moving());
    assert_eq!(
        says(&object.status, BALANCED),
        ("False".into(), "DryRun".into())
    );
    assert_eq!(object.status.after.as_ref().unwrap()["emptyHosts"], 1);
    assert_eq!(
        next(&[object], at(10)),
        Task::Wait(Some(SignedDuration::from_secs(590)))
    );
}

#[test]
fn what_cannot_be_understood_waits_until_it_changes() {
    let mut object = packing();
    object.status = ended(&object, &Course::invalid("spec.goal".into()), at(0));
    assert_eq!(
        says(&object.status, STALLED),
        ("True".into(), "InvalidSpec".into())
    );
    assert_eq!(next(&[object.clone()], at(1000)), Task::Wait(None));
    object.metadata.generation = Some(2);
    assert_eq!(next(&[object], at(1000)), Task::Begin(0));
}

#[test]
fn conditions_keep_the_moment_at_which_they_changed() {
    let mut object = packing();
    object.status = planned(&object, &plan(&[]), true, at(0));
    let later = planned(&object, &plan(&[]), true, at(100));
    assert_eq!(
        condition(&later, BALANCED).unwrap().last_transition_time,
        Time(at(0))
    );
    let moving = planned(&object, &plan(&[0]), true, at(100));
    assert_eq!(
        condition(&moving, BALANCED).unwrap().last_transition_time,
        Time(at(100))
    );
}
