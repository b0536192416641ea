//! A row of the kind table: everything that the server needs to know to serve a kind.
//!
//! Built-in and custom kinds are rows of the same table. Adding a built-in kind is adding a row in
//! [`crate::builtin`]; a `CustomResourceDefinition` adds one row for each version that it serves. Mosaic's own
//! kinds ([`crate::own`]) are such definitions that are compiled in.

use std::sync::Arc;

use mosaic_schema::Type;

use crate::columns::Columns;

/// Group and kind, without a version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKind {
    /// The API group; empty for the core group.
    pub group: Arc<str>,
    /// The kind, such as `Deployment`.
    pub kind: Arc<str>,
}

/// A kind in one version, as it is served.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: Arc<str>,
    /// The version, such as `v1`.
    pub version: Arc<str>,
    /// The kind, such as `Deployment`.
    pub kind: Arc<str>,
    /// The kind of a list, such as `DeploymentList`.
    pub list_kind: Arc<str>,
    /// The plural that stands in paths, such as `deployments`.
    pub plural: Arc<str>,
    /// The singular, such as `deployment`.
    pub singular: Arc<str>,
    /// Short names, such as `deploy`.
    pub short_names: Vec<Arc<str>>,
    /// Categories, such as `all`.
    pub categories: Vec<Arc<str>>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it: a subset of [`VERBS`].
    pub verbs: Vec<&'static str>,
    /// The one user who can do every verb with it, if others cannot.
    pub keeper: Option<Arc<str>>,
    /// The structural type of its objects.
    pub ty: Arc<Type>,
    /// Whether `status` is written by itself under `/status`.
    pub status: bool,
    /// How it is scaled under `/scale`, if it is.
    pub scale: Option<Scale>,
    /// Its other subresources.
    pub subresources: Vec<Subresource>,
    /// The columns of its tables.
    pub columns: Columns,
    /// Fields that a field selector may name besides `metadata.name` and `metadata.namespace`.
    pub selectable_fields: Vec<SelectableField>,
    /// The group whose key the objects are stored under; differs from `group` only for kinds that are
    /// served under two groups (`Event`).
    pub storage_group: Arc<str>,
    /// Where the kind comes from.
    pub source: Source,
}

/// Where a row comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Compiled in.
    BuiltIn,
    /// A `CustomResourceDefinition`, stored or compiled in, with the compiled schema of this version.
    Custom(Arc<CustomVersion>),
}

/// What a `CustomResourceDefinition` adds to a row.
#[derive(Debug)]
pub struct CustomVersion {
    /// The name of the `CustomResourceDefinition`; empty for a definition that is compiled in.
    pub definition: Arc<str>,
    /// The version that is stored.
    pub storage_version: Arc<str>,
    /// Validates objects against the version's schema; none if it has no schema.
    pub structural: Option<mosaic_schema::Structural>,
    /// What users of this version are told, if it is deprecated.
    pub deprecation: Option<String>,
    /// The version's `openAPIV3Schema`, for the OpenAPI documents.
    pub schema: serde_json::Value,
}

/// A field that a field selector may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectableField {
    /// The path without a leading dot, such as `spec.nodeName`.
    pub path: Arc<str>,
    /// Where its value stands in a stored object, where that is elsewhere: the first of these paths that
    /// is not empty counts. The names of some fields are older than where their values stand.
    pub stored_at: &'static [&'static str],
    /// What an absent field counts as, such as `Pending` for a pod's `status.phase`.
    pub default: &'static str,
}

/// Where `/scale` finds its numbers in an object; paths without a leading dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Such as `spec.replicas`.
    pub spec_replicas: Arc<str>,
    /// Such as `status.replicas`.
    pub status_replicas: Arc<str>,
    /// A string or a label selector, such as `spec.selector`.
    pub selector: Option<Arc<str>>,
}

/// A subresource other than `status` and `scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subresource {
    /// The last part of the path, such as `eviction`.
    pub name: &'static str,
    /// The kind of its body, such as `Eviction`.
    pub kind: &'static str,
    /// The group of that kind; empty for core.
    pub group: &'static str,
    /// The version of that kind.
    pub version: &'static str,
    /// What can be done with it.
    pub verbs: &'static [&'static str],
}

/// Every verb that a kind can have.
pub const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

impl Resource {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Group and kind.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind {
            group: self.group.clone(),
            kind: self.kind.clone(),
        }
    }

    /// Whether it can do a verb.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }

    /// Whether this user can do a verb with it, whatever rights they have.
    pub fn can_by(&self, verb: &str, user: &str) -> bool {
        self.can(verb) || self.keeper.as_deref() == Some(user)
    }

    /// The prefix of its objects' keys in the store: `/apps/deployments/`.
    pub fn storage_prefix(&self) -> String {
        format!(
            "/{}/{}/",
            if self.storage_group.is_empty() {
                "core"
            } else {
                &self.storage_group
            },
            self.plural
        )
    }

    /// The key of an object in the store; `namespace` is empty for cluster-wide kinds.
    pub fn storage_key(&self, namespace: &str, name: &str) -> String {
        let prefix = self.storage_prefix();
        if self.namespaced {
            format!("{prefix}{namespace}/{name}")
        } else {
            format!("{prefix}{name}")
        }
    }
}
