//! Who is asking, and what they may do.
//!
//! A request passes through this crate three times, and each pass is a function of what is handed in:
//!
//! ```text
//!  TLS, Authorization header          Attributes                      what happened
//!          │                              │                                │
//!  ┌───────▼────────┐  User   ┌───────────▼───────────┐           ┌────────▼────────┐
//!  │ authn          ├────────►│ Authorizer            │           │ audit           │
//!  │  certificate   │         │  masters → node → rbac│           │  policy → event │
//!  │  token         │         └───────────────────────┘           │  → log          │
//!  └────────────────┘                                             └─────────────────┘
//! ```
//!
//! * [`pki`]: the authority that signs certificates and service-account tokens, and TLS made of it.
//! * [`authn`]: certificates, service-account and bootstrap tokens, impersonation to a [`User`].
//! * [`rbac`]: roles and bindings, the roles that every cluster starts with, and the rule that
//!   nobody hands out rights that they do not hold.
//! * [`node`]: what a host may touch, found in the pods that are bound to it.
//! * [`audit`]: who did what, as a policy asks for it.
//!
//! Nothing here does input or output, except that [`pki`] keeps keys in a directory and
//! [`audit::AuditLog`] appends to a file. Times are seconds since 1970 and are given by the caller.
//! Secrets never reach `Debug`, an error or a log: types that hold one hide it.

mod attributes;
pub mod audit;
pub mod authn;
mod authorizer;
mod files;
pub mod node;
pub mod pki;
pub mod rbac;
mod user;
mod values;

pub use attributes::{Attributes, Decision, Reason};
pub use authorizer::Authorizer;
pub use files::write_private;
pub use user::{User, groups, users};
