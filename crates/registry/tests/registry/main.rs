//! The registry as its clients and operators see it: over HTTP, with the engines that are in use.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod blobs;
mod common;
mod conformance;
mod full_disk;
mod limits;
mod mirror;
mod namespaces;
mod users;
