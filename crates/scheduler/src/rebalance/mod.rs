//! Which pods are better moved: a plan that undoes what time did to good decisions.
//!
//! ```text
//!   Cluster ─ copy ─► simulation ─ goal: which pod? ─► try it ─ where would the scheduler put
//!                         ▲                              │       its replacement, surely?
//!                         └──── as if it was done ◄──────┴─ accepted
//! ```
//!
//! A move is planned if every host that the scheduler may choose for the pod's replacement is another than the pod's own
//! and serves the goal. The scheduler is asked twice: with the pod gone, and with the pod still there and leaving, for a
//! controller may make the replacement before or after the pod is gone. So what is evicted has a place and does
//! not come back. Each goal has a number that every move makes smaller, and a plan goes on until no move does: a
//! second plan, made of the outcome of the first, is empty.
//!
//! Moves come in rounds. Those of one round are carried out at the same time, so none of them relies on the room that
//! another one leaves; and together they keep within the disruption budgets. The next round begins when all
//! replacements serve.

mod goals;
mod measure;
mod movable;
mod nothing;
mod options;
mod simulation;

use std::{fmt, sync::Arc};

pub use self::{
    measure::Measure,
    nothing::why_nothing,
    options::{Goal, Options, OptionsError},
};
use crate::{cluster::Cluster, filter::Failure, model::PodKey};
use simulation::Simulation;

/// Moves, and what they do to the hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The moves, round by round.
    pub moves: Vec<Move>,
    /// The hosts as they are.
    pub before: Measure,
    /// The hosts when all moves are done.
    pub after: Measure,
}

/// A pod that is better elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// Which pod.
    pub pod: PodKey,
    /// Its UID.
    pub uid: Arc<str>,
    /// The UID of its controller.
    pub controller: Box<str>,
    /// Where it is.
    pub from: Arc<str>,
    /// Where the scheduler would put its replacement, or onto another host that is as good.
    pub to: Arc<str>,
    /// Why.
    pub reason: Reason,
    /// The round that it belongs to; the first is 0.
    pub round: usize,
}

/// Why a pod is better elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// It would not be allowed where it is.
    Misplaced(Failure),
    /// More is requested of its host than of others.
    Relieved {
        /// The share that is requested, of processor or memory, whichever is more.
        share: f32,
        /// The average of all hosts.
        average: f32,
    },
    /// Its host is emptied.
    Emptied {
        /// The share that is requested, of processor or memory, whichever is more.
        share: f32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: &f32| (share * 100.0).round();
        match self {
            Self::Misplaced(failure) => write!(f, "its host {failure}"),
            Self::Relieved { share, average } => write!(
                f,
                "its host is {}% full, hosts are {}% on average",
                percent(share),
                percent(average)
            ),
            Self::Emptied { share } => {
                write!(f, "its host is {}% full and can be emptied", percent(share))
            }
        }
    }
}

/// Plans a run: rounds of moves until nothing is left to be won, or as many as there may be. The cluster itself is not
/// changed.
pub fn plan(cluster: &Cluster, options: &Options) -> Plan {
    let mut simulation = Simulation::new(cluster, options);
    let before = simulation.measure();
    simulation.run();
    let moved = !simulation.moves.is_empty();
    let after = if moved {
        simulation.end_round();
        simulation.measure()
    } else {
        before.clone()
    };
    Plan {
        moves: simulation.moves,
        before,
        after,
    }
}
