//! Bindings by whom they name.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use crate::{User, attributes::BindingReason, user::service_account_user_name, values};

/// What one binding gives to one subject.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The binding's name.
    binding: Arc<str>,
    /// The binding's namespace; empty for the whole cluster.
    pub(crate) namespace: Arc<str>,
    pub(crate) role: Arc<str>,
    pub(crate) is_cluster_role: bool,
    pub(crate) reason: Arc<BindingReason>,
}

impl Granted {
    /// What to say of a role that is not there.
    pub(crate) fn role_missing(&self) -> String {
        let kind = if self.is_cluster_role {
            "clusterrole"
        } else {
            "role"
        };
        format!("{kind}.rbac.authorization.k8s.io {:?} not found", self.role)
    }
}

/// What the bindings of one namespace, or of the cluster, give.
#[derive(Debug, Default)]
struct Scope {
    users: HashMap<Arc<str>, Vec<Granted>>,
    groups: HashMap<Arc<str>, Vec<Granted>>,
    /// Whom each binding names, to find what it gave when it changes.
    subjects: HashMap<Arc<str>, Vec<Subject>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    User(Arc<str>),
    Group(Arc<str>),
}

#[derive(Debug, Default)]
pub(crate) struct Bindings {
    /// By namespace; that of cluster role bindings is empty.
    scopes: HashMap<Arc<str>, Scope>,
}

impl Bindings {
    pub(crate) fn upsert(&mut self, namespace: &str, name: &str, object: &Value) {
        self.remove(namespace, name);
        let role_kind = values::text(object, &["roleRef", "kind"]);
        let is_cluster_role = match role_kind {
            "ClusterRole" => true,
            "Role" if !namespace.is_empty() => false,
            // Validation refuses anything else; if it comes in nevertheless, it gives nothing.
            _ => return,
        };
        let role: Arc<str> = values::text(object, &["roleRef", "name"]).into();
        let name: Arc<str> = name.into();
        let namespace: Arc<str> = namespace.into();
        let binding_text = if namespace.is_empty() {
            format!("ClusterRoleBinding {name:?}")
        } else {
            format!("RoleBinding \"{name}/{namespace}\"")
        };
        let role_text = if is_cluster_role {
            format!("ClusterRole {role:?}")
        } else {
            format!("Role \"{role}/{namespace}\"")
        };
        let scope = self.scopes.entry(Arc::clone(&namespace)).or_default();
        let mut subjects = Vec::new();
        for value in values::items(object, &["subjects"]) {
            let Some((subject, subject_text)) = subject(value, &namespace) else {
                continue;
            };
            if subjects.contains(&subject) {
                continue;
            }
            let granted = Granted {
                binding: Arc::clone(&name),
                namespace: Arc::clone(&namespace),
                role: Arc::clone(&role),
                is_cluster_role,
                reason: Arc::new(BindingReason {
                    binding: binding_text.clone(),
                    role: role_text.clone(),
                    subject: subject_text,
                }),
            };
            let (map, key) = match &subject {
                Subject::User(name) => (&mut scope.users, name),
                Subject::Group(name) => (&mut scope.groups, name),
            };
            map.entry(Arc::clone(key)).or_default().push(granted);
            subjects.push(subject);
        }
        scope.subjects.insert(name, subjects);
    }

    pub(crate) fn remove(&mut self, namespace: &str, name: &str) {
        let Some(scope) = self.scopes.get_mut(namespace) else {
            return;
        };
        for subject in scope.subjects.remove(name).unwrap_or_default() {
            let (map, key) = match &subject {
                Subject::User(name) => (&mut scope.users, name),
                Subject::Group(name) => (&mut scope.groups, name),
            };
            if let Some(granted) = map.get_mut(key) {
                granted.retain(|granted| &*granted.binding != name);
                if granted.is_empty() {
                    map.remove(key);
                }
            }
        }
        if scope.subjects.is_empty() {
            self.scopes.remove(namespace);
        }
    }

    /// The first of what a user has been given, in the cluster and then in the namespace (where one
    /// is named), that `wanted` takes.
    pub(crate) fn find<'a>(
        &'a self,
        user: &User,
        namespace: &str,
        mut wanted: impl FnMut(&'a Granted) -> bool,
    ) -> Option<&'a Granted> {
        for scope in ["", namespace]
            .iter()
            .take(if namespace.is_empty() { 1 } else { 2 })
        {
            let Some(scope) = self.scopes.get(*scope) else {
                continue;
            };
            let by_group = user
                .groups
                .iter()
                .filter_map(|group| scope.groups.get(group.as_str()));
            for granted in scope
                .users
                .get(user.name.as_str())
                .into_iter()
                .chain(by_group)
                .flatten()
            {
                if wanted(granted) {
                    return Some(granted);
                }
            }
        }
        None
    }
}

/// Whom a subject names, and how it is written.
fn subject(value: &Value, binding_namespace: &str) -> Option<(Subject, String)> {
    let name = values::text(value, &["name"]);
    if name.is_empty() {
        return None;
    }
    match values::text(value, &["kind"]) {
        "User" => Some((Subject::User(name.into()), format!("User {name:?}"))),
        "Group" => Some((Subject::Group(name.into()), format!("Group {name:?}"))),
        "ServiceAccount" => {
            let own = values::text(value, &["namespace"]);
            let namespace = if own.is_empty() {
                binding_namespace
            } else {
                own
            };
            if namespace.is_empty() {
                return None;
            }
            let user = service_account_user_name(namespace, name);
            Some((
                Subject::User(user.into()),
                format!("ServiceAccount \"{name}/{namespace}\""),
            ))
        }
        _ => None,
    }
}
