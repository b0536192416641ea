//! What can be done with objects.

pub mod body;
pub mod change;
mod conditions;
pub mod delete;
pub mod read;
mod registry_token;
pub mod review;
pub mod select;
pub mod subresource;
pub mod token;
pub mod watch;
pub mod write;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use mosaic_auth::User;

use crate::{
    http::{accept::Accept, path::ResourcePath, query::Query},
    kinds::Kind,
    render::{IncludeObject, Look},
};

/// A request about objects: who asks, for what, and how to answer.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks.
    pub user: Arc<User>,
    /// What the path names.
    pub path: ResourcePath,
    /// The parameters.
    pub query: Query,
    /// The kind.
    pub kind: Arc<Kind>,
    /// How to answer.
    pub accept: Accept,
    /// The method.
    pub method: http::Method,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty if there is none.
    pub body: Bytes,
    /// The connection and the unread body, for requests to hosts.
    pub wire: crate::streams::Wire,
}

impl Call {
    /// How much of an object the rows of a table carry.
    pub fn include(&self) -> IncludeObject {
        let asked = self
            .query
            .others
            .iter()
            .find(|(key, _)| key == "includeObject")
            .map_or("", |(_, value)| value);
        IncludeObject::parse(asked).unwrap_or_default()
    }

    /// How the call wants to see objects.
    pub fn look(&self) -> Look {
        Look {
            form: self.accept.form,
            include: self.include(),
            lean: self.query.omit_managed_fields,
        }
    }

    /// The key of the object that the path names.
    pub fn key(&self) -> String {
        self.kind.storage_key(&self.path.namespace, &self.path.name)
    }

    /// Whether the call replaces an object, rather than patching it.
    pub fn method_is_update(&self) -> bool {
        self.method == http::Method::PUT
    }

    /// The call for a change that it entails of another object in the same namespace. Such a change is
    /// made of the object as it is, as a patch is, whatever the method of the call.
    pub fn beside(&self, kind: &Arc<Kind>, name: &str) -> Self {
        let path = ResourcePath {
            group: kind.group.to_string(),
            version: kind.version.to_string(),
            namespace: self.path.namespace.clone(),
            plural: kind.plural.to_string(),
            name: name.to_owned(),
            ..ResourcePath::default()
        };
        Self {
            path,
            kind: Arc::clone(kind),
            method: http::Method::PATCH,
            ..self.clone()
        }
    }

    /// 404 for the object that the path names.
    pub fn not_found(&self) -> mosaic_api::Status {
        mosaic_api::Status::not_found(&self.kind.group, &self.kind.plural, &self.path.name)
    }
}
