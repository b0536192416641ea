//! Structural schemas of custom kinds.

use std::sync::Arc;

use crate::Type;

/// A compiled `openAPIV3Schema`.
#[derive(Debug)]
pub struct Structural {
    /// The structural type of the objects.
    pub ty: Arc<Type>,
}
