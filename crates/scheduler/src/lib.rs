//! Decides where pods run. Everything here is a pure function of the cluster's state: no clock, no socket,
//! no randomness. Who reads objects, binds pods and writes events is the loop around it.
//!
//! ```text
//! JSON ─ model ─► Cluster ──────────── one state, kept up to date by events
//!                   │
//!                   ├─ decide ───────── feasible (filter) ─ scores ─ best ─► assume
//!                   │     └ none will do: explain
//!                   ├─ decide_group ─── all of a group, or none
//!                   ├─ preempt ──────── whom to evict so that a pod fits
//!                   ├─ explain_placement, explain
//!                   ├─ rebalance::plan ─ which pods are better moved
//!                   └─ requeue ──────── which waiting pods an event may help
//! ```
//!
//! Every test of a host is Kubernetes', as its documentation describes it; where something differs, the
//! item says so.

mod anchors;
mod bits;
mod cluster;
mod decide;
mod explain;
mod filter;
mod group;
mod memo;
pub mod model;
mod preempt;
mod profile;
pub mod rebalance;
mod requeue;
mod score;
mod slab;

pub use self::{
    cluster::{AssumeError, Cluster},
    decide::{Decision, Placement, decide},
    explain::{Explanation, NearMiss, PlacementReport, ScoredHost, explain, explain_placement},
    filter::{Failure, Test},
    group::{GroupDecision, decide_group},
    model::{Pod, PodKey},
    preempt::{Preemption, preempt},
    profile::{DEFAULT_SCHEDULER, Profile, Strategy, Weights},
    requeue::{Event, could_help},
    score::Part,
};
