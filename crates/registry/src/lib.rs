//! A registry of container images: the OCI distribution-spec, over blobs in a directory or in object storage and
//! records in a store.
//!
//! ```text
//!  requests ─► serve ─► server ─► metadata ─► store (records: one compare-and-write each)
//!                          │          │
//!                          └──────────┴─────► blobs (bytes: disk or objects)
//!              collect ────┘
//! ```
//!
//! A [`Registry`] answers requests with [`serve::answer`]; who asks and what they may is said by an [`Access`], from
//! outside.

pub mod access;
pub mod blobs;
mod clear;
mod clock;
mod collect;
pub mod images;
#[cfg(test)]
mod interleave;
mod metadata;
pub mod mirror;
mod prune;
mod quota;
mod registry;
pub mod serve;
mod server;
pub mod signature;

pub use access::{Access, Action, AllowAll, Decision, Identity, Owner};
pub use blobs::{Blobs, Disk, Objects};
pub use collect::Report;
pub use metadata::MetadataError;
pub use mirror::Mirror;
pub use registry::{Registry, Settings};
pub use server::{Body, RequestBody};
