//! What stands in the way of an apply.

use std::{collections::BTreeMap, fmt};

use super::entry::{Entry, Operation};

/// A field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The manager that owns the field.
    pub manager: String,
    /// Whether it owns the field by an update, rather than by an apply of its own.
    pub by_update: bool,
    /// The version it last wrote in, such as `apps/v1`.
    pub api_version: String,
    /// The subresource it wrote; empty for the object itself.
    pub subresource: String,
    /// The field, such as `.spec.replicas`.
    pub field: String,
}

impl Conflict {
    pub(super) fn new(entry: &Entry, field: String) -> Self {
        Self {
            manager: entry.manager().to_owned(),
            by_update: entry.operation == Operation::Update,
            api_version: entry.api_version().to_owned(),
            subresource: entry.subresource().to_owned(),
            field,
        }
    }

    /// The manager in words: `"kubectl-edit" with subresource "scale" using apps/v1`.
    fn owner(&self) -> String {
        let mut owner = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            owner.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.by_update {
            owner.push_str(" using ");
            owner.push_str(&self.api_version);
        }
        owner
    }

    /// The `message` of the cause. Its `reason` is `FieldManagerConflict`, its `field` is [`Self::field`].
    pub fn message(&self) -> String {
        format!("conflict with {}", self.owner())
    }
}

/// Every conflict of an apply. The text is the message of the `Status`, whose code is 409.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [conflict] = self.0.as_slice() {
            return write!(
                f,
                "Apply failed with 1 conflict: {}: {}",
                conflict.message(),
                conflict.field
            );
        }
        let mut by_owner: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for conflict in &self.0 {
            by_owner
                .entry(conflict.owner())
                .or_default()
                .push(&conflict.field);
        }
        let mut lines = Vec::with_capacity(self.0.len() + by_owner.len());
        for (owner, fields) in by_owner {
            lines.push(format!("conflicts with {owner}:"));
            lines.extend(fields.into_iter().map(|field| format!("- {field}")));
        }
        write!(
            f,
            "Apply failed with {} conflicts: {}",
            self.0.len(),
            lines.join("\n")
        )
    }
}

impl std::error::Error for Conflicts {}
