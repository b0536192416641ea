//! Structural schemas of custom kinds.
//!
//! ```text
//!  openAPIV3Schema ── compile ──┬──► Type   what fields exist, defaults, how lists merge
//!                               └──► Node   what values may be (validate, then rules in CEL)
//! ```
//!
//! A schema comes from whoever may create a `CustomResourceDefinition`, so that its size, its depth
//! and the work of checking an object against it are bounded.

mod cel;
mod compile;
mod format;
mod lists;
mod node;
mod pattern;
mod props;
mod rules;
mod validate;

use std::sync::Arc;

use serde_json::Value;

use crate::{FieldError, TooMuchFilledIn, Type, Unknown};

use node::Node;
use props::Patterns;

/// The compiled `openAPIV3Schema` of one version of a custom kind.
#[derive(Debug)]
pub struct Structural {
    /// The structural type of the objects; `apiVersion`, `kind` and `metadata` are always part of it.
    pub ty: Arc<Type>,
    node: Node,
}

impl Structural {
    /// Compiles a schema. Paths of errors start with `openAPIV3Schema`.
    ///
    /// # Errors
    ///
    /// Every place where the schema is not structural or not valid in itself.
    pub fn compile(schema: &Value) -> Result<Self, Vec<FieldError>> {
        Self::compile_at(schema, "openAPIV3Schema")
    }

    /// Compiles the schema that stands at `path`, such as
    /// `spec.versions[0].schema.openAPIV3Schema`.
    ///
    /// # Errors
    ///
    /// Every place where the schema is not structural or not valid in itself.
    pub fn compile_at(schema: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        let (ty, node) = compile::root(schema, path, Patterns::Try)?;
        Ok(Self { ty, node })
    }

    /// Compiles a schema that was compiled before, when its definition was stored. Takes a fraction of
    /// the time: patterns wait until they are used.
    ///
    /// # Errors
    ///
    /// Every place where the schema is not structural, or not valid in itself but for its patterns.
    pub fn recompile(schema: &Value) -> Result<Self, Vec<FieldError>> {
        let (ty, node) = compile::root(schema, "openAPIV3Schema", Patterns::Trust)?;
        Ok(Self { ty, node })
    }

    /// Drops the fields that the schema does not have, and tells them.
    pub fn prune(&self, value: &mut Value) -> Vec<Unknown> {
        crate::prune(&self.ty, value)
    }

    /// Fills in absent fields that have a default, and drops `null`s that are not values.
    ///
    /// # Errors
    /// If that would make the value too large.
    pub fn apply_defaults(&self, value: &mut Value) -> Result<(), TooMuchFilledIn> {
        crate::apply_defaults(&self.ty, value)
    }

    /// What is wrong with a value; empty if it is valid. On an update, `old` is the stored object:
    /// what has not changed is not held against the new one, as in Kubernetes.
    pub fn validate(&self, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let errors = validate::validate(&self.node, value, old);
        // Rules may rely on values being of their types.
        if errors.is_empty() && self.node.has_rules {
            rules::check(&self.node, value, old)
        } else {
            errors
        }
    }
}
