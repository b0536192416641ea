//! Smaller kinds: disruption budgets, priority classes, runtime classes, leases and signing requests.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    apps,
    node::{Errors, Node},
    pods, rules,
};

/// The highest priority that users can give.
const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;
/// The classes of the system's own pods.
const SYSTEM_CLASSES: [(&str, i64); 2] = [
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];
const MIN_CERTIFICATE_SECONDS: i64 = 600;
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// A disruption budget.
pub(crate) fn disruption_budget(budget: &Node, e: &mut Errors) {
    let spec = budget.get("spec");
    let (min, max) = (spec.get("minAvailable"), spec.get("maxUnavailable"));
    if min.is_set() && max.is_set() {
        e.invalid(&spec, "minAvailable and maxUnavailable cannot be both set");
    }
    for field in [min, max] {
        apps::int_or_percent(&field, e);
        if rules::percent(field.str()).is_some_and(|p| p > 100) {
            e.invalid(&field, "must not be greater than 100%");
        }
    }
    pods::label_selector(&spec.get("selector"), e);
    e.one_of_if_set(
        &spec.get("unhealthyPodEvictionPolicy"),
        &["AlwaysAllow", "IfHealthyBudget"],
    );
}

/// The status of a disruption budget.
pub(crate) fn disruption_budget_status(new: &Node, _: &Node, e: &mut Errors) {
    let status = new.get("status");
    for field in [
        "disruptionsAllowed",
        "currentHealthy",
        "desiredHealthy",
        "expectedPods",
    ] {
        e.not_negative(&status.get(field));
    }
}

/// A priority class.
pub(crate) fn priority_class(class: &Node, e: &mut Errors) {
    let metadata = class.get("metadata");
    let name = metadata.get("name");
    let value = class.get("value");
    if name.str().starts_with("system-") {
        let known = SYSTEM_CLASSES.contains(&(name.str(), value.int_or_zero()));
        if !known {
            e.forbidden(
                &name,
                format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: {} is not a known system priority class",
                    name.str()
                ),
            );
        }
    } else if value.int_or_zero() > HIGHEST_USER_PRIORITY {
        e.forbidden(
            &value,
            format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"),
        );
    }
    e.one_of_if_set(
        &class.get("preemptionPolicy"),
        &["Never", "PreemptLowerPriority"],
    );
}

/// An update of a priority class: pods have its value already.
pub(crate) fn priority_class_update(new: &Node, old: &Node, e: &mut Errors) {
    let (value, old_value) = (new.get("value"), old.get("value"));
    if value.int_or_zero() != old_value.int_or_zero() {
        e.forbidden(&value, "may not be changed in an update.");
    }
    e.immutable(&new.get("preemptionPolicy"), &old.get("preemptionPolicy"));
}

/// A runtime class.
pub(crate) fn runtime_class(class: &Node, e: &mut Errors) {
    let handler = class.get("handler");
    e.invalid_text(&handler, handler.str(), rules::label(handler.str()));
    let overhead = class.get("overhead");
    let fixed = overhead.get("podFixed");
    pods::resource_list(&fixed, pods::RESOURCE_NAME, e);
    let scheduling = class.get("scheduling");
    crate::meta::labels(&scheduling.get("nodeSelector"), e);
    pods::tolerations(&scheduling.get("tolerations"), e);
}

/// An update of a runtime class.
pub(crate) fn runtime_class_update(new: &Node, old: &Node, e: &mut Errors) {
    e.immutable(&new.get("handler"), &old.get("handler"));
}

/// A lease; renewed every few seconds by every node.
pub(crate) fn lease(lease: &Node, e: &mut Errors) {
    let spec = lease.get("spec");
    let duration = spec.get("leaseDurationSeconds");
    if duration.int().is_some_and(|n| n <= 0) {
        e.invalid(&duration, "must be greater than 0");
    }
    e.not_negative(&spec.get("leaseTransitions"));
    let holder = spec.get("holderIdentity");
    if spec.get("strategy").is_set() {
        let strategy = spec.get("strategy");
        e.one_of(&strategy, &["OldestEmulationVersion"]);
    } else if spec.get("preferredHolder").is_set() {
        e.forbidden(
            &spec.get("preferredHolder"),
            "may only be specified if `strategy` is defined",
        );
    }
    if holder.is_set() && holder.is_empty() {
        e.invalid(&holder, "must not be empty");
    }
}

/// A request for a certificate.
pub(crate) fn signing_request(request: &Node, e: &mut Errors) {
    let spec = request.get("spec");
    let pem = spec.get("request");
    let decoded = STANDARD.decode(pem.str()).unwrap_or_default();
    let text = String::from_utf8_lossy(&decoded);
    if !text.contains("-----BEGIN CERTIFICATE REQUEST-----") {
        e.invalid_as(
            &pem,
            pem.str(),
            "PEM block type must be CERTIFICATE REQUEST",
        );
    }
    let usages = spec.get("usages");
    e.require(&usages, "usages must contain at least one value");
    let mut seen = std::collections::HashSet::new();
    for usage in usages.items() {
        e.one_of(&usage, &USAGES);
        if !seen.insert(usage.str()) {
            e.duplicate(&usage, usage.str());
        }
    }
    signer(&spec.get("signerName"), e);
    let seconds = spec.get("expirationSeconds");
    if seconds.int().is_some_and(|n| n < MIN_CERTIFICATE_SECONDS) {
        e.invalid(
            &seconds,
            "may not specify a duration less than 600 seconds (10 minutes)",
        );
    }
}

fn signer(name: &Node, e: &mut Errors) {
    if !e.require(name, "") {
        return;
    }
    match name.str().split_once('/') {
        None => e.invalid(
            name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
        Some((domain, path)) => {
            e.invalid_text(name, domain, rules::subdomain(domain));
            if !domain.contains('.') {
                e.invalid_as(
                    name,
                    domain,
                    "should be a domain with at least two segments separated by dots",
                );
            }
            if path.is_empty() {
                e.invalid_as(
                    name,
                    path,
                    "must be a fully qualified domain and path of the form 'example.com/signer-name'",
                );
            }
            for part in path.split('.') {
                e.invalid_text(name, path, rules::label(part));
            }
        }
    }
}

/// The conditions of a request: approval and denial are final, and exclude each other.
pub(crate) fn signing_request_status(new: &Node, old: &Node, e: &mut Errors) {
    let (new, old) = (new.get("status"), old.get("status"));
    let (conditions, old_conditions) = (new.get("conditions"), old.get("conditions"));
    let has = |list: &Node, ty: &str| list.items().any(|c| c.get("type").str() == ty);
    for ty in ["Approved", "Denied", "Failed"] {
        if has(&old_conditions, ty) && !has(&conditions, ty) {
            e.forbidden(
                &conditions,
                format!("updates may not remove a condition of type {ty:?}"),
            );
        }
    }
    if has(&conditions, "Approved") && has(&conditions, "Denied") {
        e.invalid_as(
            &conditions,
            "Denied",
            "Approved and Denied conditions are mutually exclusive",
        );
    }
    for condition in conditions.items() {
        e.require(&condition.get("type"), "");
        let status = condition.get("status");
        let ty = condition.get("type").str();
        if matches!(ty, "Approved" | "Denied" | "Failed") {
            e.one_of(&status, &["True"]);
        } else {
            e.one_of(&status, &["False", "True", "Unknown"]);
        }
    }
    let (certificate, old_certificate) = (new.get("certificate"), old.get("certificate"));
    if !old_certificate.is_empty() && !certificate.same(&old_certificate) {
        e.forbidden(
            &certificate,
            "updates may not modify existing certificate content",
        );
    }
}
