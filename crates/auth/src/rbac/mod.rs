//! Rights by role: `Role`, `ClusterRole`, `RoleBinding`, `ClusterRoleBinding`.
//!
//! [`Rbac`] holds what these objects say, indexed by whom the bindings name, so that a decision
//! looks only at bindings of the asker. It is a plain value: whoever watches the objects calls
//! [`Rbac::upsert`] and [`Rbac::remove`], and [`Authorizer`](crate::Authorizer) guards it.

mod bindings;
mod bootstrap;
mod bootstrap_controllers;
mod build;
mod escalation;
mod roles;
mod rule;

pub use bootstrap::{bootstrap_roles, node_rules};
pub use escalation::{EscalationError, check_binding, check_role, covers};
pub use rule::Rule;

use std::{collections::HashSet, sync::Arc};

use mosaic_api::meta;
use serde_json::{Value, json};

use self::{
    bindings::{Bindings, Granted},
    roles::Roles,
};
use crate::{Attributes, Decision, Reason, User};

/// The four kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RbacKind {
    /// A Role.
    Role,
    /// A ClusterRole.
    ClusterRole,
    /// A RoleBinding.
    RoleBinding,
    /// A ClusterRoleBinding.
    ClusterRoleBinding,
}

impl RbacKind {
    /// The kind of that name.
    pub fn from_kind(kind: &str) -> Option<Self> {
        match kind {
            "Role" => Some(Self::Role),
            "ClusterRole" => Some(Self::ClusterRole),
            "RoleBinding" => Some(Self::RoleBinding),
            "ClusterRoleBinding" => Some(Self::ClusterRoleBinding),
            _ => None,
        }
    }
}

/// The rules that somebody has, for `SelfSubjectRulesReview`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserRules {
    /// The rules, in the order of bindings; none twice.
    pub rules: Vec<Rule>,
    /// Roles that bindings name and that are not there.
    pub missing_roles: Vec<String>,
}

impl UserRules {
    /// The `status` of a `SelfSubjectRulesReview`.
    pub fn to_status(&self) -> Value {
        let mut resource = Vec::new();
        let mut non_resource = Vec::new();
        for rule in &self.rules {
            if !rule.resources.is_empty() {
                resource.push(
                    Rule {
                        non_resource_urls: Vec::new(),
                        ..rule.clone()
                    }
                    .to_value(),
                );
            }
            if !rule.non_resource_urls.is_empty() {
                non_resource.push(
                    json!({ "verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls }),
                );
            }
        }
        let mut status = json!({
            "resourceRules": resource,
            "nonResourceRules": non_resource,
            "incomplete": !self.missing_roles.is_empty(),
        });
        if !self.missing_roles.is_empty()
            && let Some(status) = status.as_object_mut()
        {
            status.insert(
                "evaluationError".to_owned(),
                json!(self.missing_roles.join(", ")),
            );
        }
        status
    }
}

/// Roles and bindings, indexed.
#[derive(Debug, Default)]
pub struct Rbac {
    roles: Roles,
    bindings: Bindings,
}

impl Rbac {
    /// Nobody may do anything but `system:masters`, who may do everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an object of one of the four kinds, new or changed. Objects of other kinds are ignored.
    pub fn upsert(&mut self, object: &Value) {
        let (namespace, name) = (meta::namespace(object), meta::name(object));
        match RbacKind::from_kind(meta::kind(object)) {
            Some(RbacKind::Role) => self.roles.upsert_role(namespace, name, object),
            Some(RbacKind::ClusterRole) => self.roles.upsert_cluster_role(name, object),
            Some(RbacKind::RoleBinding) => self.bindings.upsert(namespace, name, object),
            Some(RbacKind::ClusterRoleBinding) => self.bindings.upsert("", name, object),
            None => {}
        }
    }

    /// Forgets an object. The namespace of cluster roles and their bindings is empty.
    pub fn remove(&mut self, kind: RbacKind, namespace: &str, name: &str) {
        match kind {
            RbacKind::Role => self.roles.remove_role(namespace, name),
            RbacKind::ClusterRole => self.roles.remove_cluster_role(name),
            RbacKind::RoleBinding => self.bindings.remove(namespace, name),
            RbacKind::ClusterRoleBinding => self.bindings.remove("", name),
        }
    }

    /// Whether the request may go on.
    pub fn authorize(&self, request: &Attributes<'_>) -> Decision {
        if request.user.is_master() {
            return Decision::allow(Reason::Masters);
        }
        // A role of a namespace says nothing about paths.
        let namespace = if request.is_resource() {
            request.namespace
        } else {
            ""
        };
        let mut missing: Vec<String> = Vec::new();
        let allowed = self.bindings.find(request.user, namespace, |granted| {
            let Some(rules) = self.rules_of(granted) else {
                missing.push(granted.role_missing());
                return false;
            };
            rules.iter().any(|rule| rule.allows(request))
        });
        match allowed {
            Some(granted) => Decision::allow(Reason::Binding(Arc::clone(&granted.reason))),
            None if missing.is_empty() => Decision::deny(Reason::None),
            None => {
                missing.sort();
                missing.dedup();
                let text = match missing.as_slice() {
                    [one] => format!("RBAC: {one}"),
                    many => format!("RBAC: [{}]", many.join(", ")),
                };
                Decision::deny(Reason::Text(text))
            }
        }
    }

    /// The rules that a user has in a namespace, those of the whole cluster included; with an empty
    /// namespace only the latter.
    pub fn rules_for(&self, user: &User, namespace: &str) -> UserRules {
        let mut found = UserRules::default();
        if user.is_master() {
            found.rules.extend(Rule::everything());
        }
        let mut seen: HashSet<Rule> = HashSet::new();
        self.bindings.find(user, namespace, |granted| {
            match self.rules_of(granted) {
                Some(rules) => {
                    found.rules.extend(
                        rules
                            .iter()
                            .filter(|rule| seen.insert((*rule).clone()))
                            .cloned(),
                    );
                }
                None => found.missing_roles.push(granted.role_missing()),
            }
            false
        });
        found
    }

    /// The rules of the role that a binding of a namespace (empty for the cluster) refers to.
    pub(crate) fn referenced_rules(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
    ) -> Option<&[Rule]> {
        match kind {
            "Role" if !namespace.is_empty() => self.roles.role(namespace, name),
            "ClusterRole" => self.roles.cluster_role(name),
            _ => None,
        }
    }

    fn rules_of(&self, granted: &Granted) -> Option<&[Rule]> {
        if granted.is_cluster_role {
            self.roles.cluster_role(&granted.role)
        } else {
            self.roles.role(&granted.namespace, &granted.role)
        }
    }
}
