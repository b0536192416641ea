//! The structural schema of a custom kind.

use std::sync::Arc;

use crate::Type;

/// A compiled structural schema.
#[derive(Debug)]
pub struct Structural {
    /// The type of the objects.
    pub ty: Arc<Type>,
}
