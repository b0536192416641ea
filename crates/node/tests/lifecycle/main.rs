//! The life of a pod, as its object shows it and as a runtime sees it.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod probes;
mod properties;
mod resize;
mod restart;
mod resume;
mod start;
mod stop;
mod support;
