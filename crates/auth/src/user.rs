//! The identity that a request carries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Groups that have a meaning of their own.
pub mod groups {
    /// May do everything.
    pub const MASTERS: &str = "system:masters";
    /// Everyone who proved who they are.
    pub const AUTHENTICATED: &str = "system:authenticated";
    /// Everyone who did not.
    pub const UNAUTHENTICATED: &str = "system:unauthenticated";
    /// All hosts.
    pub const NODES: &str = "system:nodes";
    /// All service accounts.
    pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
    /// Whoever came with a bootstrap token.
    pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
    /// May read the server's health and metrics.
    pub const MONITORING: &str = "system:monitoring";
}

/// User names that have a meaning of their own.
pub mod users {
    /// Whoever did not say who they are.
    pub const ANONYMOUS: &str = "system:anonymous";
    /// The administrator that a new cluster starts with.
    pub const ADMIN: &str = "kubernetes-admin";
    /// What the names of hosts' users start with.
    pub const NODE_PREFIX: &str = "system:node:";
    /// What the names of service accounts' users start with.
    pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
    /// What the names of bootstrap tokens' users start with.
    pub const BOOTSTRAP_PREFIX: &str = "system:bootstrap:";
    /// The controllers.
    pub const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
    /// The scheduler.
    pub const SCHEDULER: &str = "system:kube-scheduler";
    /// A service proxy outside the node agent.
    pub const PROXY: &str = "system:kube-proxy";
}

/// Who makes a request. The JSON form is `UserInfo` of `authentication.k8s.io/v1`, but for `name`,
/// which is `username` there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name, unique in the cluster.
    #[serde(rename = "username", default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Tells two users of one name apart that exist one after the other; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Anything else that an authenticator knows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user of that name in those groups.
    pub fn new<G: Into<String>>(
        name: impl Into<String>,
        groups: impl IntoIterator<Item = G>,
    ) -> Self {
        Self {
            name: name.into(),
            groups: groups.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// The user of a request without credentials.
    pub fn anonymous() -> Self {
        Self::new(users::ANONYMOUS, [groups::UNAUTHENTICATED])
    }

    /// The user of a service account, without a uid.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::new(
            service_account_user_name(namespace, name),
            [
                groups::SERVICE_ACCOUNTS.to_owned(),
                format!("{}:{namespace}", groups::SERVICE_ACCOUNTS),
                groups::AUTHENTICATED.to_owned(),
            ],
        )
    }

    /// Whether the user is in that group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|held| held == group)
    }

    /// Whether the user may do everything.
    pub fn is_master(&self) -> bool {
        self.in_group(groups::MASTERS)
    }

    /// The host's name, where the user is a host: in group `system:nodes` and named
    /// `system:node:<name>`.
    pub fn node_name(&self) -> Option<&str> {
        let name = self.name.strip_prefix(users::NODE_PREFIX)?;
        (!name.is_empty() && self.in_group(groups::NODES)).then_some(name)
    }
}

/// The name of a service account's user.
pub(crate) fn service_account_user_name(namespace: &str, name: &str) -> String {
    format!("{}{namespace}:{name}", users::SERVICE_ACCOUNT_PREFIX)
}

/// Namespace and name of the service account whose user has this name.
pub(crate) fn split_service_account(user_name: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user_name
        .strip_prefix(users::SERVICE_ACCOUNT_PREFIX)?
        .split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}
