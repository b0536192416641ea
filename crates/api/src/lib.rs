//! The kind table of the API: names, scopes, columns, selectors, quantities and `Status` errors.

pub mod builtin;
pub mod columns;
pub mod events;
pub mod kind;
pub mod status;

pub use kind::{GroupKind, Resource};
pub use status::{Reason, Status};
