//! Why a patch was refused.

use thiserror::Error;

/// Why a patch was refused. The text is the message of the `Status`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatchError {
    /// The patch is not one: not JSON, not of the right form.
    #[error("{0}")]
    Malformed(String),
    /// The patch is well formed but does not fit the document: a test failed, a path or a merge key is
    /// missing.
    #[error("{0}")]
    Inapplicable(String),
    /// The patch has too many operations or makes the document grow too much.
    #[error("{0}")]
    TooLarge(String),
}

impl PatchError {
    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Inapplicable(_) => 422,
            Self::TooLarge(_) => 413,
        }
    }

    /// The `reason` of the `Status`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "BadRequest",
            Self::Inapplicable(_) => "Invalid",
            Self::TooLarge(_) => "RequestEntityTooLarge",
        }
    }
}
