//! Builds roles and bindings from words: lists are texts with spaces between, and `core` is the core
//! group.

use serde_json::{Value, json};

use super::rule::Rule;

pub(super) const KUBE_SYSTEM: &str = "kube-system";

/// Someone that a binding names.
pub(super) enum Who<'a> {
    User(&'a str),
    Group(&'a str),
    Account(&'a str),
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|word| {
            if word == "core" {
                String::new()
            } else {
                word.to_owned()
            }
        })
        .collect()
}

pub(super) fn rule(verbs: &str, groups: &str, resources: &str) -> Rule {
    Rule {
        api_groups: words(groups),
        resources: words(resources),
        verbs: words(verbs),
        ..Rule::default()
    }
}

pub(super) fn named(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
    Rule {
        resource_names: words(names),
        ..rule(verbs, groups, resources)
    }
}

pub(super) fn urls(paths: &str) -> Rule {
    Rule {
        non_resource_urls: words(paths),
        verbs: words("get"),
        ..Rule::default()
    }
}

pub(super) fn events() -> Rule {
    rule("create patch update", "core events.k8s.io", "events")
}

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    let mut metadata = json!({
        "name": name,
        "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
        "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
    });
    if !namespace.is_empty() {
        set(&mut metadata, "namespace", json!(namespace));
    }
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata })
}

fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(field.to_owned(), value);
    }
}

fn with_rules(mut object: Value, rules: &[Rule]) -> Value {
    let rules: Vec<Value> = rules.iter().map(Rule::to_value).collect();
    set(&mut object, "rules", Value::Array(rules));
    object
}

pub(super) fn cluster_role(name: &str, rules: &[Rule]) -> Value {
    with_rules(object("ClusterRole", "", name), rules)
}

pub(super) fn role(namespace: &str, name: &str, rules: &[Rule]) -> Value {
    with_rules(object("Role", namespace, name), rules)
}

fn aggregate_label(name: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{name}")
}

fn label(role: &mut Value, key: &str) {
    if let Some(labels) = role.pointer_mut("/metadata/labels") {
        set(labels, key, json!("true"));
    }
}

/// A role whose rules are gathered from others; it may be gathered itself.
pub(super) fn gathering(name: &str, into: Option<&str>) -> Value {
    let mut role = cluster_role(name, &[]);
    let labels = json!({ aggregate_label(name): "true" });
    set(
        &mut role,
        "aggregationRule",
        json!({ "clusterRoleSelectors": [{ "matchLabels": labels }] }),
    );
    if let Some(into) = into {
        label(&mut role, &aggregate_label(into));
    }
    role
}

/// A role that is gathered into another.
pub(super) fn aggregate(into: &str, rules: &[Rule]) -> Value {
    let mut role = cluster_role(&format!("system:aggregate-to-{into}"), rules);
    label(&mut role, &aggregate_label(into));
    role
}

fn subjects(who: &[Who<'_>]) -> Value {
    let group = "rbac.authorization.k8s.io";
    who.iter()
        .map(|who| match who {
            Who::User(name) => json!({ "kind": "User", "apiGroup": group, "name": name }),
            Who::Group(name) => json!({ "kind": "Group", "apiGroup": group, "name": name }),
            Who::Account(name) => {
                json!({ "kind": "ServiceAccount", "name": name, "namespace": KUBE_SYSTEM })
            }
        })
        .collect()
}

fn binding(mut binding: Value, role_kind: &str, role: &str, who: &[Who<'_>]) -> Value {
    let reference =
        json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role });
    set(&mut binding, "roleRef", reference);
    if !who.is_empty() {
        set(&mut binding, "subjects", subjects(who));
    }
    binding
}

/// A ClusterRoleBinding of the role's name.
pub(super) fn cluster_binding(role: &str, who: &[Who<'_>]) -> Value {
    binding(
        object("ClusterRoleBinding", "", role),
        "ClusterRole",
        role,
        who,
    )
}

pub(super) fn role_binding(namespace: &str, name: &str, role: &str, who: &[Who<'_>]) -> Value {
    binding(object("RoleBinding", namespace, name), "Role", role, who)
}
