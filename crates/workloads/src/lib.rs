//! What the controllers of the workload kinds decide, as pure functions.
//!
//! ```text
//!             snapshot                        plan
//!   the object, its children,   plan()   actions in order, the status to write,
//!   now                       ─────────▶ and when to look again
//!        ▲                                      │
//!        └──── watches ◀──── API ◀──── a loop carries it out
//! ```
//!
//! There is one module a kind, each with a `Snapshot` and a function `plan`. A plan is made from nothing but
//! its snapshot, so it can be made again at any time: when it was carried out, the next one is empty; when it
//! was carried out in part, the next one has the rest.
//!
//! Snapshots are stale: what a plan asked for may be done and not yet visible. Four things keep that from
//! doing harm, and each is enough for most cases (`docs/decisions/0011-workloads.md` weighs them):
//!
//! - The planner chooses the names of all children. What is created a second time is there already.
//! - Whatever is deleted or changed is named with its UID, and with its version where the new state depends
//!   on the old one.
//! - The next plan for an object waits until what the last one wrote is in the snapshot.
//! - A snapshot may lag, but never goes back, and a new leader begins with a consistent list.

pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod hash;
pub mod job;
pub mod node;
pub mod owner;
pub mod plan;
pub mod pod;
pub mod replica_set;
pub mod revision;
pub mod scaled;
pub mod stateful_set;
pub mod template;

mod counts;

pub use node::Node;
pub use plan::{Action, Batch, Change, Event, Failure, Kind, Object, Plan, Target};
pub use pod::{Phase, Pod};
