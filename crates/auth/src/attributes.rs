//! What a request wants to do, and the answer to it.

use std::{fmt, sync::Arc};

use crate::User;

/// What a request wants to do. A request is about a resource, or, where `path` is not empty, about
/// a path that is none.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, a verb of
    /// its own such as `impersonate`; for paths the HTTP method in lower case.
    pub verb: &'a str,
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The resource, such as `pods`.
    pub resource: &'a str,
    /// The subresource, such as `log`; may be empty.
    pub subresource: &'a str,
    /// The namespace; empty at the scope of the cluster, and for all namespaces.
    pub namespace: &'a str,
    /// The object's name; empty where the request names none. A list or watch whose field selector
    /// demands one `metadata.name` names that object.
    pub name: &'a str,
    /// The path of a request that is not about a resource.
    pub path: &'a str,
    /// The host that the field selector of a list or watch demands (`spec.nodeName=…` of pods), where
    /// it demands one.
    pub selected_node: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    /// A request for a resource. Subresource, namespace and name are set by field.
    pub fn resource(user: &'a User, verb: &'a str, group: &'a str, resource: &'a str) -> Self {
        Self {
            user,
            verb,
            group,
            resource,
            subresource: "",
            namespace: "",
            name: "",
            path: "",
            selected_node: None,
        }
    }

    /// A request for a path that is no resource.
    pub fn path(user: &'a User, verb: &'a str, path: &'a str) -> Self {
        Self {
            path,
            ..Self::resource(user, verb, "", "")
        }
    }

    /// Whether the request is about a resource.
    pub fn is_resource(&self) -> bool {
        self.path.is_empty()
    }

    /// What Kubernetes says when the request is refused; the message of a `Forbidden` status follows
    /// it after `<resource> is forbidden: `.
    pub fn forbidden_message(&self, reason: &Reason) -> String {
        let user = &self.user.name;
        let verb = self.verb;
        let mut text = if !self.is_resource() {
            format!("User {user:?} cannot {verb} path {:?}", self.path)
        } else {
            let mut resource = self.resource.to_owned();
            if !self.subresource.is_empty() {
                resource.push('/');
                resource.push_str(self.subresource);
            }
            let group = self.group;
            let scope = if self.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {:?}", self.namespace)
            };
            format!(
                "User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}"
            )
        };
        let reason = reason.to_string();
        if !reason.is_empty() {
            text.push_str(": ");
            text.push_str(&reason);
        }
        text
    }
}

/// The answer to [`Attributes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request may go on.
    pub allowed: bool,
    /// Why; says nothing where no rule had anything to say.
    pub reason: Reason,
}

impl Decision {
    /// The request may go on.
    pub fn allow(reason: Reason) -> Self {
        Self {
            allowed: true,
            reason,
        }
    }

    /// The request may not go on.
    pub fn deny(reason: Reason) -> Self {
        Self {
            allowed: false,
            reason,
        }
    }
}

/// Why a [`Decision`] is as it is. Put into words only when somebody reads it: most are dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reason {
    /// Nothing to say.
    #[default]
    None,
    /// The user is in `system:masters`.
    Masters,
    /// A binding gives the right.
    Binding(Arc<BindingReason>),
    /// Words.
    Text(String),
}

/// The binding that gave a right.
#[derive(Debug, PartialEq, Eq)]
pub struct BindingReason {
    /// `RoleBinding "a/b"` or `ClusterRoleBinding "b"`.
    pub(crate) binding: String,
    /// `Role "c/d"` or `ClusterRole "d"`.
    pub(crate) role: String,
    /// `User "x"`, `Group "x"` or `ServiceAccount "x/ns"`.
    pub(crate) subject: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None | Self::Masters => Ok(()),
            Self::Binding(reason) => {
                write!(
                    f,
                    "RBAC: allowed by {} of {} to {}",
                    reason.binding, reason.role, reason.subject
                )
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}
