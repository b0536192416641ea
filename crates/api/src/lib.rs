//! The kind table of the API: names, scopes, columns, selectors, quantities, cron schedules, rules of pods
//! that several crates go by, and `Status` errors.
//!
//! Everything here is pure: functions of the objects they are given, without a clock or a socket
//! (but for [`time::now`]). Objects are [`serde_json::Value`]s, and whatever they hold may be wrong.

pub mod builtin;
pub mod columns;
pub mod cron;
pub mod custom;
pub mod events;
pub mod indexes;
pub mod jsonpath;
pub mod kind;
pub mod meta;
pub mod names;
pub mod openapi;
pub mod own;
pub mod peak;
pub mod quantity;
pub mod recorder;
pub mod scale;
pub mod selector;
pub mod status;
pub mod taints;
pub mod time;

pub use kind::{GroupKind, Resource};
pub use quantity::Quantity;
pub use selector::{FieldSelector, LabelSelector};
pub use status::{Reason, Status};
