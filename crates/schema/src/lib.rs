//! Structural types of API objects: which fields exist, how lists merge, what is valid.
//!
//! Built-in kinds get theirs from `k8s-openapi`'s JSON schemas together with a table of merge keys;
//! custom kinds get theirs from the schema in their `CustomResourceDefinition`.
//!
//! A write of a built-in kind goes through [`parse`] and [`decode`]; one of a custom kind through
//! [`parse`] and [`Structural`].

mod builtin;
pub mod crd;
mod decode;
mod defaults;
mod error;
mod parse;
mod path;
mod scalar;
mod types;

pub use builtin::{builtin, builtin_names, definition, definitions, reference_to};
pub use crd::Structural;
pub use decode::{DecodeOptions, MAX_COMPLAINTS, TypeError, Unknown, decode};
pub use defaults::{TooMuchFilledIn, apply_defaults, prune};
pub use error::{FieldError, FieldErrorKind};
pub use parse::{Duplicate, Parsed, parse};
pub use types::{Field, List, ListKind, Map, Object, PatchStrategy, Shape, StringFormat, Type};
