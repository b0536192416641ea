//! Structural types of API objects: which fields exist, how lists merge, what is valid.
//!
//! Built-in kinds get theirs from `k8s-openapi`'s JSON schemas together with a table of merge keys;
//! custom kinds get theirs from the schema in their `CustomResourceDefinition`.

pub mod crd;
mod error;
mod types;

pub use crd::Structural;
pub use error::{FieldError, FieldErrorKind};
pub use types::{Field, List, ListKind, Map, Object, PatchStrategy, Shape, StringFormat, Type};
