//! The spec of a pod and of a pod template.

use std::collections::HashSet;

use super::{container, resources, scheduling, security, volumes};
use crate::{
    meta,
    node::{Errors, Node},
    rules,
};

const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCH_PATHS: usize = 32;

/// The pod template of a workload.
pub(crate) fn template(template: &Node, e: &mut Errors) {
    template_with_claims(template, &[], e);
}

/// The pod template of a workload whose pods get volumes beside those of the template: claims of these names.
pub(crate) fn template_with_claims<'v>(
    template: &Node<'v, '_>,
    claims: &[&'v str],
    e: &mut Errors,
) {
    let metadata = template.get("metadata");
    meta::labels(&metadata.get("labels"), e);
    meta::annotations(&metadata.get("annotations"), e);
    spec(&template.get("spec"), &metadata, claims, e);
    let ephemeral = template.get("spec");
    let ephemeral = ephemeral.get("ephemeralContainers");
    if !ephemeral.is_empty() {
        e.forbidden(
            &ephemeral,
            "ephemeral containers not allowed in pod template",
        );
    }
}

/// A `PodTemplate` object.
pub(crate) fn template_object(object: &Node, e: &mut Errors) {
    template(&object.get("template"), e);
}

/// A pod's spec, with the metadata of the pod or template that it belongs to, and the names of claims that its
/// containers can mount although it does not list them.
pub(super) fn spec<'v>(spec: &Node<'v, '_>, metadata: &Node, claims: &[&'v str], e: &mut Errors) {
    mirror(metadata, spec, e);
    let mut volumes = volumes::volumes(&spec.get("volumes"), e);
    volumes.extend(claims.iter().map(|name| (*name, true)));
    container::containers(spec, &volumes, e);
    e.one_of(&spec.get("restartPolicy"), &RESTART_POLICIES);
    e.one_of(&spec.get("dnsPolicy"), &DNS_POLICIES);
    dns_config(spec, e);
    meta::labels(&spec.get("nodeSelector"), e);
    security::pod(spec, e);
    host_network(spec, e);
    scheduling::affinity(&spec.get("affinity"), e);
    scheduling::tolerations(&spec.get("tolerations"), e);
    scheduling::topology_spread(&spec.get("topologySpreadConstraints"), e);
    scheduling::gates(&spec.get("schedulingGates"), e);
    for gate in spec.get("readinessGates").items() {
        e.check(&gate.get("conditionType"), rules::qualified_name);
    }
    for (field, rule) in [
        (
            "serviceAccountName",
            rules::subdomain as fn(&str) -> Vec<String>,
        ),
        ("nodeName", rules::subdomain),
        ("hostname", rules::label),
        ("subdomain", rules::label),
        ("priorityClassName", rules::subdomain),
        ("runtimeClassName", rules::subdomain),
    ] {
        let field = spec.get(field);
        if !field.is_empty() {
            e.check(&field, rule);
        }
    }
    let deadline = spec.get("activeDeadlineSeconds");
    if deadline
        .int()
        .is_some_and(|n| !(1..=i64::from(i32::MAX)).contains(&n))
    {
        e.invalid(&deadline, "must be between 1 and 2147483647, inclusive");
    }
    e.one_of_if_set(
        &spec.get("preemptionPolicy"),
        &["Never", "PreemptLowerPriority"],
    );
    for alias in spec.get("hostAliases").items() {
        e.check(&alias.get("ip"), rules::ip);
        for host in alias.get("hostnames").items() {
            e.check(&host, rules::subdomain);
        }
    }
    resources::resource_list(&spec.get("overhead"), resources::NAME_IN_CONTAINER, e);
    pod_level(&spec.get("resources"), e);
    let os = spec.get("os").get("name").str();
    if spec.get("os").is_set() && !matches!(os, "linux" | "windows") {
        e.one_of(&spec.get("os").get("name"), &["linux", "windows"]);
    }
    resource_claims(&spec.get("resourceClaims"), e);
}

fn pod_level(requirements: &Node, e: &mut Errors) {
    if !requirements.is_set() {
        return;
    }
    for list in ["limits", "requests"] {
        for (name, entry) in requirements.get(list).entries() {
            let known = matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
            if !known {
                e.push(mosaic_schema::FieldError::not_supported(
                    entry.path(),
                    name,
                    &["cpu", "hugepages-", "memory"],
                ));
            }
        }
    }
    resources::requirements(requirements, e);
}

fn resource_claims(claims: &Node, e: &mut Errors) {
    let mut names = HashSet::new();
    for claim in claims.items() {
        let name = claim.get("name");
        e.require_and_check(&name, rules::label);
        if !names.insert(name.str()) {
            e.duplicate(&name, name.str());
        }
    }
}

fn mirror(metadata: &Node, spec: &Node, e: &mut Errors) {
    let annotations = metadata.get("annotations");
    let mirror = annotations.key("kubernetes.io/config.mirror");
    if mirror.is_set() && spec.get("nodeName").is_empty() {
        e.invalid(
            &mirror,
            "must set spec.nodeName if mirror pod annotation is set",
        );
    }
}

fn dns_config(spec: &Node, e: &mut Errors) {
    let config = spec.get("dnsConfig");
    let nameservers = config.get("nameservers");
    if spec.get("dnsPolicy").str() == "None" {
        if !config.is_set() {
            e.required(&config, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        e.require(
            &nameservers,
            "must provide at least one DNS nameserver when `dnsPolicy` is None",
        );
    }
    if !config.is_set() {
        return;
    }
    if nameservers.len() > MAX_NAMESERVERS {
        e.invalid(&nameservers, "must not have more than 3 nameservers");
    }
    for server in nameservers.items() {
        e.check(&server, rules::ip);
    }
    let searches = config.get("searches");
    if searches.len() > MAX_SEARCH_PATHS {
        e.invalid(&searches, "must not have more than 32 search paths");
    }
    for search in searches.items() {
        let text = search.str();
        let trimmed = text.strip_suffix('.').unwrap_or(text);
        // Underscores stand in the names of service records, and a lone dot is the root.
        if text != "." {
            e.invalid_text(&search, text, rules::subdomain(&trimmed.replace('_', "-")));
        }
    }
    for option in config.get("options").items() {
        e.require(&option.get("name"), "must not be empty");
    }
}

fn host_network(spec: &Node, e: &mut Errors) {
    if !spec.get("hostNetwork").is_true() {
        return;
    }
    for list in ["containers", "initContainers"] {
        let containers = spec.get(list);
        for container in containers.items() {
            let ports = container.get("ports");
            for port in ports.items() {
                let host = port.get("hostPort");
                if host.int_or_zero() != 0
                    && host.int_or_zero() != port.get("containerPort").int_or_zero()
                {
                    e.invalid(
                        &host,
                        "must match `containerPort` when `hostNetwork` is true",
                    );
                }
            }
        }
    }
}
