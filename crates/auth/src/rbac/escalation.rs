//! Nobody hands out rights that they do not hold.

use std::collections::{BTreeMap, BTreeSet};

use mosaic_api::meta;
use serde_json::Value;

use super::{
    Rbac,
    rule::{Quoted, Rule},
};
use crate::{Attributes, User, values};

const GROUP: &str = "rbac.authorization.k8s.io";
/// A rule that falls into more single rights than this must be covered by one rule as a whole: a
/// hostile role must not cost more than it is worth.
const MAX_SINGLE_RIGHTS: usize = 5_000;
/// Single rights of one whole write, over all its rules.
const MAX_ALL_RIGHTS: usize = 20_000;

/// Why the write of a role or binding is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EscalationError {
    /// It would give rights that the writer does not hold. The text is that of the `Forbidden`
    /// status after `<resource> "<name>" is forbidden: `.
    #[error("{0}")]
    NotHeld(String),
    /// A binding refers to a role that is not there (`NotFound`).
    #[error("{resource}.rbac.authorization.k8s.io {name:?} not found")]
    RoleNotFound {
        /// `roles` or `clusterroles`.
        resource: &'static str,
        /// The role's name.
        name: String,
    },
}

/// What of `wanted` is not covered by `held`. Where nothing is returned, whatever `wanted` allows,
/// `held` allows.
pub fn covers(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let mut missing = Vec::new();
    let mut budget = MAX_ALL_RIGHTS;
    for rule in wanted {
        if held.iter().any(|held| held.covers(rule)) {
            continue;
        }
        let rights = number_of_rights(rule);
        if rights > MAX_SINGLE_RIGHTS || rights > budget {
            missing.push(rule.clone());
            continue;
        }
        budget -= rights;
        let single = single_rights(rule);
        missing.extend(
            single
                .into_iter()
                .filter(|right| !held.iter().any(|held| held.covers(right))),
        );
    }
    missing
}

fn number_of_rights(rule: &Rule) -> usize {
    let names = rule.resource_names.len().max(1);
    let resources = rule
        .api_groups
        .len()
        .saturating_mul(rule.resources.len())
        .saturating_mul(names);
    resources
        .saturating_add(rule.non_resource_urls.len())
        .saturating_mul(rule.verbs.len())
}

/// A rule as rules of one verb on one thing each.
fn single_rights(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let names: Vec<Vec<String>> = if rule.resource_names.is_empty() {
        vec![Vec::new()]
    } else {
        rule.resource_names.iter().map(one).collect()
    };
    let mut single = Vec::new();
    for verb in &rule.verbs {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                single.extend(names.iter().map(|names| Rule {
                    api_groups: one(group),
                    resources: one(resource),
                    resource_names: names.clone(),
                    verbs: one(verb),
                    ..Rule::default()
                }));
            }
        }
        single.extend(rule.non_resource_urls.iter().map(|url| Rule {
            non_resource_urls: one(url),
            verbs: one(verb),
            ..Rule::default()
        }));
    }
    single
}

/// Joins rights that differ in their verbs only.
fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut by_thing: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for mut rule in rules {
        let verbs = std::mem::take(&mut rule.verbs);
        let joined = by_thing.entry(rule).or_default();
        for verb in verbs {
            if !joined.contains(&verb) {
                joined.push(verb);
            }
        }
    }
    by_thing
        .into_iter()
        .map(|(rule, verbs)| Rule { verbs, ..rule })
        .collect()
}

fn confirm(
    rbac: &Rbac,
    user: &User,
    namespace: &str,
    wanted: &[Rule],
) -> Result<(), EscalationError> {
    let held = rbac.rules_for(user, namespace);
    let missing = covers(&held.rules, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let lines: BTreeSet<String> = compact(missing).iter().map(Rule::to_string).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    let mut text = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        Quoted(&user.groups),
        lines.join("\n")
    );
    if !held.missing_roles.is_empty() {
        text.push_str(&format!(
            "; resolution errors: [{}]",
            held.missing_roles.join(", ")
        ));
    }
    Err(EscalationError::NotHeld(text))
}

fn may(rbac: &Rbac, user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let request = Attributes {
        namespace,
        name,
        ..Attributes::resource(user, verb, GROUP, resource)
    };
    rbac.authorize(&request).allowed
}

/// Whether a user may write this Role or ClusterRole: it holds every right of it, or may
/// `escalate` it. A ClusterRole that gathers rules from others may hold anything one day, so its
/// writer must hold everything. `old` is the object before an update: rules that are the same need
/// no right.
pub fn check_role(
    rbac: &Rbac,
    user: &User,
    role: &Value,
    old: Option<&Value>,
) -> Result<(), EscalationError> {
    let is_cluster_role = meta::kind(role) == "ClusterRole";
    let resource = if is_cluster_role {
        "clusterroles"
    } else {
        "roles"
    };
    let namespace = if is_cluster_role {
        ""
    } else {
        meta::namespace(role)
    };
    if user.is_master()
        || may(
            rbac,
            user,
            "escalate",
            resource,
            namespace,
            meta::name(role),
        )
    {
        return Ok(());
    }
    let aggregates = |role: &Value| values::at(role, &["aggregationRule"]).is_object();
    let unchanged = old.is_some_and(|old| {
        old.get("rules") == role.get("rules")
            && old.get("aggregationRule") == role.get("aggregationRule")
    });
    if unchanged {
        return Ok(());
    }
    confirm(rbac, user, namespace, &Rule::all_of(role))?;
    if is_cluster_role && (aggregates(role) || old.is_some_and(aggregates)) {
        confirm(rbac, user, namespace, &Rule::everything())?;
    }
    Ok(())
}

/// Whether a user may write this RoleBinding or ClusterRoleBinding: it may `bind` the role, or holds
/// every right of it where the binding gives them. `old` is the object before an update: a binding
/// whose role and subjects stay needs no right.
pub fn check_binding(
    rbac: &Rbac,
    user: &User,
    binding: &Value,
    old: Option<&Value>,
) -> Result<(), EscalationError> {
    if user.is_master() {
        return Ok(());
    }
    let namespace = if meta::kind(binding) == "ClusterRoleBinding" {
        ""
    } else {
        meta::namespace(binding)
    };
    let unchanged = old.is_some_and(|old| {
        old.get("roleRef") == binding.get("roleRef")
            && old.get("subjects") == binding.get("subjects")
    });
    if unchanged {
        return Ok(());
    }
    let kind = values::text(binding, &["roleRef", "kind"]);
    let name = values::text(binding, &["roleRef", "name"]);
    let resource = if kind == "ClusterRole" {
        "clusterroles"
    } else {
        "roles"
    };
    if may(rbac, user, "bind", resource, namespace, name) {
        return Ok(());
    }
    match rbac.referenced_rules(namespace, kind, name) {
        Some(rules) => confirm(rbac, user, namespace, rules),
        None => Err(EscalationError::RoleNotFound {
            resource,
            name: name.to_owned(),
        }),
    }
}
