//! Images in places: a local directory, an archive, a registry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod archives;
mod common;
mod debians;
mod fake;
mod imports;
mod layouts;
mod registries;
