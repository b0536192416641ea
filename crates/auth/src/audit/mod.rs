//! Who did what: the policy that chooses, the event, and the file that it goes to.

mod event;
mod log;
mod policy;

pub use event::{AuditEvent, Stage, new_audit_id};
pub use log::{AuditLog, AuditLogOptions, AuditLogStats};
pub use policy::{AuditDecision, AuditPolicy, Level, PolicyError};
