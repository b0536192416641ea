//! The life of a pod on a host, as a state machine that decides and does nothing.
//!
//! ```text
//!    API ──── Pod ────┐                              ┌──▶ Action ──▶ Runtime (containers, or a simulation)
//!                     ▼                              │                  │
//!              State::step(pod, now) ── Step ────────┼──▶ Patch ──▶ API (status)
//!                     ▲                              │                  │
//!                     │                              └──▶ wake: when to step again
//!                     └──────────── Observation ◀───────────────────────┘
//! ```
//!
//! Whoever drives it keeps a [`State`] a pod, tells it what was observed ([`State::observe`]), and asks for a
//! [`Step`] after each observation, after each change of the pod's object and at the moment that the last
//! step named. Steps are monotonic: an action that was begun is not asked for again until its outcome was
//! observed, so stepping twice is as good as stepping once.
//!
//! # What survives the agent
//!
//! Nothing of a state need be written down. [`State::resume`] makes it anew from the object's status (restart
//! counts, last exits, times of conditions) and from what the runtime still has. For that, a runtime keeps
//! three marks beside each container: which attempt it is, which definition it was started from
//! ([`Container::definition`]), and whether its post-start hook has ended. What is lost is harmless: back-off
//! starts over, probes count from zero, and a pre-stop hook that was under way runs again.
//!
//! # The order of things
//!
//! ```text
//!   sandbox ─▶ init containers, one after another ─▶ main containers, at once ─▶ ended
//!              └ sidecars stay, and the next waits            │
//!                until they have started                      ▼
//!                       stop: main containers, then sidecars from the last to the first, all within one
//!                       grace period: pre-stop hook, signal, kill; then the sandbox; then the last status;
//!                       then the object
//! ```

mod observe;
mod pod;
mod probes;
mod reported;
mod resize;
mod restart;
mod resume;
mod runtime;
mod start;
mod state;
mod status;
mod step;
mod stop;

pub use pod::{
    Container, Deletion, Object, Pod, Policy, Probe, Resources, Role, Spec, Termination,
};
pub use runtime::{
    Action, Hook, ImageFailure, Observation, Observed, ObservedContainer, ObservedState, ProbeKind,
    Runtime, StartFailure,
};
pub use state::{Settings, State, Verdict};
pub use status::{Patch, Phase};
pub use step::{Notice, Step};
