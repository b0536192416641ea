//! The kind table of the API: names, scopes, columns, selectors, quantities and `Status` errors.

pub mod columns;
pub mod kind;
pub mod status;

pub use kind::{GroupKind, Resource};
pub use status::{Reason, Status};
