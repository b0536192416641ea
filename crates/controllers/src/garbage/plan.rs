//! What is done about an object whose owners, or whose own deletion, call for something.

use super::graph::{FOREGROUND, ORPHAN};

/// What became of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OwnerState {
    /// It is there.
    Present,
    /// It is being deleted and waits for what it owns.
    Waiting,
    /// It is gone.
    Absent,
    /// Nobody can say: its kind is not served, or it cannot own this object.
    Unknown,
}

/// An object, and what is to be known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Whether it is being deleted.
    pub(crate) deleting: bool,
    /// Its finalizers.
    pub(crate) finalizers: Vec<String>,
    /// Its owners' UIDs, and what became of them.
    pub(crate) owners: Vec<(String, OwnerState)>,
    /// Whether it owns something.
    pub(crate) has_dependents: bool,
    /// Whether it owns something that it has to wait for.
    pub(crate) has_blocking_dependents: bool,
    /// Whether it owns something that itself waits for what it owns.
    pub(crate) has_waiting_dependents: bool,
}

/// What becomes of the objects that a deleted object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They stay.
    Orphan,
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take the object out of the owner references of what it owns.
    OrphanDependents,
    /// Look at those that it waits for.
    LookAtBlockingDependents,
    /// Let it no longer be waited for by what it owns: there is a circle.
    UnblockDependents,
    /// Remove one of its finalizers.
    RemoveFinalizer(&'static str),
    /// Remove the owner references with these UIDs.
    RemoveOwnerReferences(Vec<String>),
    /// Delete it.
    Delete(Propagation),
    /// Look again later.
    LookAgain,
}

/// What is to be done about an object, in this order.
pub(crate) fn plan(object: &Snapshot) -> Vec<Action> {
    let has = |finalizer: &str| object.finalizers.iter().any(|name| name == finalizer);
    if object.deleting {
        // Its owners do not matter any more.
        return if has(ORPHAN) {
            vec![Action::OrphanDependents, Action::RemoveFinalizer(ORPHAN)]
        } else if !has(FOREGROUND) {
            Vec::new()
        } else if object.has_blocking_dependents {
            vec![Action::LookAtBlockingDependents]
        } else {
            vec![Action::RemoveFinalizer(FOREGROUND)]
        };
    }
    let in_state = |wanted: OwnerState| {
        object
            .owners
            .iter()
            .filter(move |(_, state)| *state == wanted)
    };
    let is_any = |wanted: OwnerState| in_state(wanted).next().is_some();
    if is_any(OwnerState::Present) {
        let gone = in_state(OwnerState::Absent).chain(in_state(OwnerState::Waiting));
        let gone: Vec<String> = gone.map(|(uid, _)| uid.clone()).collect();
        return if gone.is_empty() {
            Vec::new()
        } else {
            vec![Action::RemoveOwnerReferences(gone)]
        };
    }
    if is_any(OwnerState::Unknown) {
        // It may be there: nothing is deleted on a guess.
        return vec![Action::LookAgain];
    }
    if is_any(OwnerState::Waiting) && object.has_dependents {
        let mut actions = Vec::new();
        if object.has_waiting_dependents {
            actions.push(Action::UnblockDependents);
        }
        actions.push(Action::Delete(Propagation::Foreground));
        return actions;
    }
    if object.owners.is_empty() {
        return Vec::new();
    }
    vec![Action::Delete(if has(ORPHAN) {
        Propagation::Orphan
    } else if has(FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    })]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(states: &[OwnerState]) -> Snapshot {
        let owners = states
            .iter()
            .enumerate()
            .map(|(index, state)| (index.to_string(), *state))
            .collect();
        Snapshot {
            owners,
            ..Snapshot::default()
        }
    }

    fn deleting(finalizer: &str) -> Snapshot {
        Snapshot {
            deleting: true,
            finalizers: vec![finalizer.to_owned()],
            ..Snapshot::default()
        }
    }

    #[test]
    fn an_object_goes_with_the_last_of_its_owners() {
        use OwnerState::{Absent, Present};
        assert_eq!(
            plan(&owned(&[Absent, Absent])),
            [Action::Delete(Propagation::Background)]
        );
        assert_eq!(
            plan(&owned(&[Absent, Present])),
            [Action::RemoveOwnerReferences(vec!["0".into()])]
        );
        assert_eq!(plan(&owned(&[Present])), []);
        assert_eq!(plan(&owned(&[])), []);
    }

    #[test]
    fn foreground_deletion_waits_for_the_dependents() {
        let mut owner = deleting(FOREGROUND);
        owner.has_blocking_dependents = true;
        assert_eq!(plan(&owner), [Action::LookAtBlockingDependents]);
        owner.has_blocking_dependents = false;
        assert_eq!(plan(&owner), [Action::RemoveFinalizer(FOREGROUND)]);
        let mut dependent = owned(&[OwnerState::Waiting]);
        assert_eq!(plan(&dependent), [Action::Delete(Propagation::Background)]);
        dependent.has_dependents = true;
        assert_eq!(plan(&dependent), [Action::Delete(Propagation::Foreground)]);
        dependent.has_waiting_dependents = true;
        assert_eq!(
            plan(&dependent),
            [
                Action::UnblockDependents,
                Action::Delete(Propagation::Foreground)
            ]
        );
    }

    #[test]
    fn orphans_are_released_before_their_owner_goes() {
        assert_eq!(
            plan(&deleting(ORPHAN)),
            [Action::OrphanDependents, Action::RemoveFinalizer(ORPHAN)]
        );
        assert_eq!(plan(&deleting("example.com/other")), []);
    }

    fn states() -> impl Strategy<Value = Vec<OwnerState>> {
        use OwnerState::{Absent, Present, Unknown, Waiting};
        prop::collection::vec(
            prop::sample::select(vec![Present, Waiting, Absent, Unknown]),
            0..4,
        )
    }

    proptest! {
        #[test]
        fn nothing_is_deleted_while_an_owner_may_be_there(
            states in states(), deleting: bool, dependents: bool, blocking: bool, waiting: bool,
            finalizers in prop::collection::vec(prop::sample::select(vec![ORPHAN, FOREGROUND, "a/b"]), 0..3),
        ) {
            let snapshot = Snapshot {
                deleting,
                finalizers: finalizers.into_iter().map(str::to_owned).collect(),
                has_dependents: dependents,
                has_blocking_dependents: blocking,
                has_waiting_dependents: waiting,
                ..owned(&states)
            };
            let actions = plan(&snapshot);
            let may_be_there = states.iter().any(|s| matches!(s, OwnerState::Present | OwnerState::Unknown));
            let deletes = actions.iter().any(|action| matches!(action, Action::Delete(_)));
            prop_assert_eq!(deletes, !deleting && !states.is_empty() && !may_be_there);
            let removes = actions.iter().any(|action| matches!(action, Action::RemoveFinalizer(_)));
            prop_assert!(!removes || deleting);
            // Every action is taken at most once.
            for (index, action) in actions.iter().enumerate() {
                prop_assert!(!actions.iter().skip(index + 1).any(|other| other == action));
            }
        }
    }
}
