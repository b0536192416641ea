//! Roles and their bindings.

use crate::{
    node::{Errors, Node},
    rules,
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A role of a namespace.
pub(crate) fn role(role: &Node, e: &mut Errors) {
    for rule in role.get("rules").items() {
        policy_rule(&rule, true, e);
    }
}

/// A role of the whole cluster.
pub(crate) fn cluster_role(role: &Node, e: &mut Errors) {
    for rule in role.get("rules").items() {
        policy_rule(&rule, false, e);
    }
    let aggregation = role.get("aggregationRule");
    if aggregation.is_set() {
        let selectors = aggregation.get("clusterRoleSelectors");
        e.require(
            &selectors,
            "at least one clusterRoleSelector required if aggregationRule is non-nil",
        );
        for selector in selectors.items() {
            crate::pods::label_selector(&selector, e);
        }
    }
}

fn policy_rule(rule: &Node, namespaced: bool, e: &mut Errors) {
    e.require(&rule.get("verbs"), "verbs must contain at least one value");
    let urls = rule.get("nonResourceURLs");
    if !urls.is_empty() {
        if namespaced {
            e.invalid(&urls, "namespaced rules cannot apply to non-resource URLs");
        }
        let resources = ["apiGroups", "resources", "resourceNames"]
            .iter()
            .any(|field| !rule.get(field).is_empty());
        if resources {
            e.invalid(
                &urls,
                "rules cannot apply to both regular resources and non-resource URLs",
            );
        }
        return;
    }
    e.require(
        &rule.get("apiGroups"),
        "resource rules must supply at least one api group",
    );
    e.require(
        &rule.get("resources"),
        "resource rules must supply at least one resource",
    );
}

/// A binding in a namespace.
pub(crate) fn role_binding(binding: &Node, e: &mut Errors) {
    self::binding(binding, &["Role", "ClusterRole"], e);
}

/// A binding for the whole cluster.
pub(crate) fn cluster_role_binding(binding: &Node, e: &mut Errors) {
    self::binding(binding, &["ClusterRole"], e);
}

fn binding(binding: &Node, kinds: &[&str], e: &mut Errors) {
    let role = binding.get("roleRef");
    let group = role.get("apiGroup");
    if group.str() != GROUP {
        e.not_supported(&group, &[GROUP]);
    }
    let kind = role.get("kind");
    if !kinds.contains(&kind.str()) {
        e.not_supported(&kind, kinds);
    }
    e.require_and_check(&role.get("name"), rules::path_segment);
    for subject in binding.get("subjects").items() {
        self::subject(&subject, e);
    }
}

fn subject(subject: &Node, e: &mut Errors) {
    let name = subject.get("name");
    e.require(&name, "");
    let (kind, group) = (subject.get("kind"), subject.get("apiGroup"));
    let expected = match kind.str() {
        "ServiceAccount" => {
            if !name.is_empty() {
                e.check(&name, rules::subdomain);
            }
            e.require(&subject.get("namespace"), "");
            ""
        }
        "User" | "Group" => GROUP,
        _ => {
            e.not_supported(&kind, &["ServiceAccount", "User", "Group"]);
            return;
        }
    };
    if group.str() != expected {
        e.not_supported(&group, &[expected]);
    }
}

/// An update of a binding: whom it binds may change, to what may not.
pub(crate) fn binding_update(new: &Node, old: &Node, e: &mut Errors) {
    let (role, old_role) = (new.get("roleRef"), old.get("roleRef"));
    if !role.same(&old_role) {
        e.invalid(&role, "cannot change roleRef");
    }
}
