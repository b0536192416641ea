//! Label selectors and field selectors.

mod field;
mod label;
mod parse;
#[cfg(test)]
mod tests;

pub use field::{FieldRequirement, FieldSelector};
pub use label::{LabelSelector, Labels, Operator, Requirement};

/// The most bytes that the text of a selector may have.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why a selector cannot be used. The texts are Kubernetes'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

impl SelectorError {
    fn too_long() -> Self {
        Self(format!(
            "invalid selector: must be no more than {MAX_BYTES} bytes"
        ))
    }
}
