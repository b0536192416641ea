//! Managed fields: who owns which field of an object.
//!
//! `metadata.managedFields` is a ledger with an entry for each manager, operation, version and
//! subresource. [`track_update`] keeps it after every write that is not an apply; [`apply`] is
//! server-side apply, which uses it to tell what to merge, what to remove and what to refuse.

mod apply;
mod conflict;
mod entry;
mod last_applied;
mod ledger;
mod merge;
mod track;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use apply::{ApplyError, apply};
pub use conflict::{Conflict, Conflicts};
pub use ledger::Ledger;
pub use track::track_update;

/// Who writes, through which door, and when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The field manager: what the client calls itself.
    pub manager: &'a str,
    /// The version the object is written in, such as `apps/v1`.
    pub api_version: &'a str,
    /// The subresource that is written, such as `status`; empty for the object itself.
    pub subresource: &'a str,
    /// The time of the write.
    pub now: Timestamp,
}

impl Writer<'_> {
    /// The time as an entry records it: RFC 3339, whole seconds.
    fn time(&self) -> String {
        Timestamp::from_second(self.now.as_second())
            .unwrap_or(self.now)
            .to_string()
    }
}
