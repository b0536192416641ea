//! A registry of container images.

pub mod blobs;
pub mod clock;
pub mod collect;
#[cfg(test)]
mod interleave;
pub mod metadata;
