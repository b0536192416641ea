//! How a write changes an object: patches, and who owns which field afterwards.
//!
//! ```text
//!   json_patch ┐
//!  merge_patch ┼─▶ the patched object ─▶ managed::track_update ─▶ metadata.managedFields
//! strategic_…  ┘
//!  managed::apply(live, config) ─▶ the merged object, managed fields included, or its conflicts
//! ```
//!
//! Everything here is a pure function over [`serde_json::Value`] and a [`mosaic_schema::Type`]; nothing
//! reads a clock or does io. What comes from outside is bounded: patches in operations, depth and the
//! growth that they may cause, field sets in depth and size.

mod equality;
mod error;
pub mod fields;
mod json_patch;
pub mod limits;
pub mod managed;
mod merge_patch;
mod strategic;

pub use error::PatchError;
pub use fields::{FieldSet, FieldSetError};
pub use json_patch::json_patch;
pub use merge_patch::merge_patch;
pub use strategic::strategic_merge;
