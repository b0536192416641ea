//! Resource quotas and limit ranges.

use std::collections::HashSet;

use mosaic_api::quantity::Quantity;

use crate::{
    node::{Errors, Node},
    pods::{RESOURCE_NAME, quantity, resource_list},
    rules::{self, Problems},
};

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

fn quota_name(name: &str) -> Problems {
    if let Some(counted) = name.strip_prefix("count/") {
        return rules::subdomain(counted);
    }
    // `class.storageclass.storage.k8s.io/requests.storage` and extended resources have a domain.
    if name.contains('/') {
        return rules::qualified_name(name);
    }
    let problems = RESOURCE_NAME(name);
    if problems.is_empty() {
        problems
    } else {
        vec!["must be a standard resource for quota".to_owned()]
    }
}

/// A resource quota.
pub(crate) fn quota(quota: &Node, e: &mut Errors) {
    let spec = quota.get("spec");
    resource_list(&spec.get("hard"), quota_name, e);
    scopes(&spec, e);
}

fn scopes(spec: &Node, e: &mut Errors) {
    let list = spec.get("scopes");
    let mut seen = HashSet::new();
    for scope in list.items() {
        if !SCOPES.contains(&scope.str()) {
            e.invalid_as(
                &list,
                list.value().cloned().unwrap_or_default(),
                "unsupported scope",
            );
        }
        seen.insert(scope.str());
        unsupported(scope.str(), &list, spec, e);
    }
    for (a, b) in [
        ("BestEffort", "NotBestEffort"),
        ("Terminating", "NotTerminating"),
    ] {
        if seen.contains(a) && seen.contains(b) {
            e.invalid(&list, "conflicting scopes");
        }
    }
    let selector = spec.get("scopeSelector");
    let expressions = selector.get("matchExpressions");
    for expression in expressions.items() {
        let (name, operator, values) = (
            expression.get("scopeName"),
            expression.get("operator"),
            expression.get("values"),
        );
        if !SCOPES.contains(&name.str()) {
            e.invalid_as(&name, name.str(), "unsupported scope");
        }
        match operator.str() {
            "In" | "NotIn" => {
                e.require(
                    &values,
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                );
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    e.invalid(
                        &values,
                        "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
                    );
                }
            }
            _ => e.invalid_as(&operator, operator.str(), "not a valid selector operator"),
        }
        let exists_only = matches!(
            name.str(),
            "BestEffort"
                | "NotBestEffort"
                | "Terminating"
                | "NotTerminating"
                | "CrossNamespacePodAffinity"
        );
        if exists_only && operator.str() != "Exists" {
            e.invalid_as(
                &operator,
                operator.str(),
                "must be 'Exist' only operator when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        unsupported(name.str(), &expressions, spec, e);
    }
}

/// Best-effort pods have nothing that could be counted but themselves.
fn unsupported(scope: &str, at: &Node, spec: &Node, e: &mut Errors) {
    let hard = spec.get("hard");
    let wrong = hard.entries().any(|(name, _)| match scope {
        "BestEffort" => !matches!(name, "pods" | "count/pods"),
        "VolumeAttributesClass" => {
            !name.contains("persistentvolumeclaims") && !name.contains("storage")
        }
        "PriorityClass"
        | "CrossNamespacePodAffinity"
        | "Terminating"
        | "NotTerminating"
        | "NotBestEffort" => {
            matches!(
                name,
                "services"
                    | "services.nodeports"
                    | "services.loadbalancers"
                    | "persistentvolumeclaims"
                    | "configmaps"
                    | "secrets"
                    | "replicationcontrollers"
                    | "resourcequotas"
                    | "requests.storage"
            )
        }
        _ => false,
    });
    if wrong {
        e.invalid(at, "unsupported scope applied to resource");
    }
}

/// An update of a resource quota.
pub(crate) fn quota_update(new: &Node, old: &Node, e: &mut Errors) {
    let (new, old) = (new.get("spec"), old.get("spec"));
    if !new.get("scopes").same(&old.get("scopes")) {
        e.invalid(&new.get("scopes"), crate::node::IMMUTABLE);
    }
}

/// The status of a resource quota.
pub(crate) fn quota_status(new: &Node, _: &Node, e: &mut Errors) {
    let status = new.get("status");
    resource_list(&status.get("hard"), quota_name, e);
    resource_list(&status.get("used"), quota_name, e);
}

/// A limit range.
pub(crate) fn limit_range(range: &Node, e: &mut Errors) {
    let spec = range.get("spec");
    let limits = spec.get("limits");
    let mut types = HashSet::new();
    for item in limits.items() {
        let ty = item.get("type");
        e.invalid_text(&ty, ty.str(), rules::qualified_name(ty.str()));
        if !types.insert(ty.str()) {
            e.duplicate(&ty, ty.str());
        }
        limit_item(&item, ty.str(), e);
    }
}

fn limit_item(item: &Node, ty: &str, e: &mut Errors) {
    let lists = [
        "max",
        "min",
        "default",
        "defaultRequest",
        "maxLimitRequestRatio",
    ];
    if ty == "Pod" {
        for field in ["default", "defaultRequest"] {
            let field = item.get(field);
            if !field.is_empty() {
                e.forbidden(&field, "may not be specified when `type` is 'Pod'");
            }
        }
    }
    if ty == "PersistentVolumeClaim" {
        let (min, max) = (item.get("min"), item.get("max"));
        if !min.get("storage").is_set() && !max.get("storage").is_set() {
            e.required(
                item,
                "either minimum or maximum storage value is required, but neither was provided",
            );
        }
    }
    let mut names = HashSet::new();
    for list in lists {
        let list = item.get(list);
        for (name, node) in list.entries() {
            e.invalid_text(&node, name, RESOURCE_NAME(name));
            quantity(&node, e);
            names.insert(name);
        }
    }
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    for name in names {
        ordered(item, name, e);
    }
}

fn ordered(item: &Node, name: &str, e: &mut Errors) {
    let amount = |list: &str| {
        item.get(list)
            .get(name)
            .value()
            .and_then(|v| Quantity::from_value(v).ok())
    };
    let mut not_above = |low: &str, high: &str, low_words: &str, high_words: &str| {
        if let (Some(low_amount), Some(high_amount)) = (amount(low), amount(high))
            && low_amount > high_amount
        {
            e.invalid_as(
                &item.get(low).key(name),
                low_amount.to_string(),
                format!(
                    "{low_words} value {low_amount} is greater than {high_words} value {high_amount}"
                ),
            );
        }
    };
    not_above("min", "max", "min", "max");
    not_above("defaultRequest", "max", "default request", "max");
    not_above(
        "defaultRequest",
        "default",
        "default request",
        "default limit",
    );
    not_above("default", "max", "default", "max");
    if let (Some(min), Some(request)) = (amount("min"), amount("defaultRequest"))
        && request < min
    {
        e.invalid_as(
            &item.get("defaultRequest").key(name),
            request.to_string(),
            format!("min value {min} is greater than default request value {request}"),
        );
    }
    if let (Some(min), Some(default)) = (amount("min"), amount("default"))
        && default < min
    {
        e.invalid_as(
            &item.get("default").key(name),
            min.to_string(),
            format!("min value {min} is greater than default value {default}"),
        );
    }
    let one = Quantity::from_units(1, Default::default());
    if let Some(ratio) = amount("maxLimitRequestRatio")
        && ratio < one
    {
        e.invalid_as(
            &item.get("maxLimitRequestRatio").key(name),
            ratio.to_string(),
            format!("ratio {ratio} is less than 1"),
        );
    }
}
