//! What the fuzz targets do with their bytes.
//!
//! Each body is a plain function that panics when something is wrong, so that it also runs as an ordinary
//! test on made-up bytes.

pub mod bodies;
pub mod images;
pub mod objects;
pub mod patches;
pub mod texts;
