//! Repositories that are another registry's: fetched when they are asked for, and kept.

/// The mirrors of a registry.
#[derive(Default)]
pub(crate) struct Mirrors;
