//! Containers: names, images, ports, environment, mounts, probes.

use std::collections::HashSet;

use super::{
    environment, handler,
    mounts::{self, Mountable},
    resources, security,
};
use crate::{
    node::{Errors, Node},
    rules,
};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
/// Fields of ordinary containers that make no sense for a container that someone looks in with.
const NOT_EPHEMERAL: [&str; 6] = [
    "ports",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resizePolicy",
];

/// All containers of a pod's spec. Names are unique over all three lists.
pub(super) fn containers<'v>(spec: &Node<'v, '_>, volumes: &Mountable<'v>, e: &mut Errors) {
    let mut names: HashSet<&'v str> = HashSet::new();
    let list = spec.get("containers");
    if list.is_empty() {
        e.required(&list, "");
    }
    for container in list.items() {
        name(&container, &mut names, e);
        common(&container, volumes, e);
        probes(&container, e);
    }
    host_port_conflicts(&list, e);
    for container in spec.get("initContainers").items() {
        name(&container, &mut names, e);
        common(&container, volumes, e);
        if container.get("restartPolicy").str() == "Always" {
            probes(&container, e);
        } else {
            for field in [
                "lifecycle",
                "livenessProbe",
                "readinessProbe",
                "startupProbe",
            ] {
                let field = container.get(field);
                if field.is_set() {
                    e.forbidden(
                        &field,
                        "may not be set for init containers without restartPolicy=Always",
                    );
                }
            }
        }
    }
    let targets: HashSet<&'v str> = list.items().map(|c| c.get("name").str()).collect();
    for container in spec.get("ephemeralContainers").items() {
        name(&container, &mut names, e);
        common(&container, volumes, e);
        for field in NOT_EPHEMERAL {
            let field = container.get(field);
            if !field.is_empty() {
                e.forbidden(&field, "cannot be set for an Ephemeral Container");
            }
        }
        let resources = container.get("resources");
        if !resources.is_empty() {
            e.forbidden(&resources, "cannot be set for an Ephemeral Container");
        }
        let target = container.get("targetContainerName");
        if !target.is_empty() && !targets.contains(target.str()) {
            e.not_found(&target, target.str());
        }
    }
}

fn name<'v>(container: &Node<'v, '_>, names: &mut HashSet<&'v str>, e: &mut Errors) {
    let name = container.get("name");
    e.require_and_check(&name, rules::label);
    if !name.is_empty() && !names.insert(name.str()) {
        e.duplicate(&name, name.str());
    }
}

fn common<'v>(container: &Node<'v, '_>, volumes: &Mountable<'v>, e: &mut Errors) {
    let image = container.get("image");
    if e.require(&image, "") && image.str().trim().len() != image.str().len() {
        e.invalid(&image, "must not have leading or trailing whitespace");
    }
    e.one_of(
        &container.get("terminationMessagePolicy"),
        &["FallbackToLogsOnError", "File"],
    );
    e.one_of(&container.get("imagePullPolicy"), &PULL_POLICIES);
    e.one_of_if_set(&container.get("restartPolicy"), &RESTART_POLICIES);
    ports(&container.get("ports"), e);
    environment::variables(&container.get("env"), e);
    environment::sources(&container.get("envFrom"), e);
    let privileged = container.get("securityContext").get("privileged").is_true();
    mounts::mounts(container, volumes, privileged, e);
    resources::requirements(&container.get("resources"), e);
    security::container(&container.get("securityContext"), e);
    resize_policy(&container.get("resizePolicy"), e);
}

fn ports(ports: &Node, e: &mut Errors) {
    let mut names = HashSet::new();
    for port in ports.items() {
        let name = port.get("name");
        if !name.is_empty() {
            let problems = rules::port_name(name.str());
            if problems.is_empty() {
                if !names.insert(name.str()) {
                    e.duplicate(&name, name.str());
                }
            } else {
                e.invalid_text(&name, name.str(), problems);
            }
        }
        let number = port.get("containerPort");
        match number.int_or_zero() {
            0 => e.required(&number, ""),
            n if !rules::is_port(n) => e.invalid(&number, rules::PORT_RANGE),
            _ => {}
        }
        let host = port.get("hostPort");
        if host.int().is_some_and(|n| n != 0 && !rules::is_port(n)) {
            e.invalid(&host, rules::PORT_RANGE);
        }
        e.one_of(&port.get("protocol"), &PROTOCOLS);
        let address = port.get("hostIP");
        if !address.is_empty() {
            e.check(&address, rules::ip);
        }
    }
}

fn host_port_conflicts(containers: &Node, e: &mut Errors) {
    let mut taken: Vec<(&str, &str, i64)> = Vec::new();
    for container in containers.items() {
        for port in container.get("ports").items() {
            let host = port.get("hostPort");
            let number = host.int_or_zero();
            if number == 0 {
                continue;
            }
            let key = (port.get("protocol").str(), port.get("hostIP").str(), number);
            if taken.contains(&key) {
                e.duplicate(&host, format!("{}/{}/{number}", key.0, key.1));
            } else {
                taken.push(key);
            }
        }
    }
}

fn probes(container: &Node, e: &mut Errors) {
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.get(kind);
        if !probe.is_set() {
            continue;
        }
        handler::probe_handler(&probe, e);
        for field in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            e.not_negative(&probe.get(field));
        }
        let success = probe.get("successThreshold");
        let grace = probe.get("terminationGracePeriodSeconds");
        if kind == "readinessProbe" {
            if grace.is_set() {
                e.invalid(&grace, "must not be set for readinessProbes");
            }
            continue;
        }
        if success.int().is_some_and(|n| n != 1) {
            e.invalid(&success, "must be 1");
        }
        if grace.int().is_some_and(|n| n <= 0) {
            e.invalid(&grace, "must be greater than 0");
        }
    }
    handler::lifecycle(&container.get("lifecycle"), e);
}

fn resize_policy(policies: &Node, e: &mut Errors) {
    let mut seen = HashSet::new();
    for policy in policies.items() {
        let resource = policy.get("resourceName");
        e.one_of(&resource, &["cpu", "memory"]);
        if !seen.insert(resource.str()) {
            e.duplicate(policies, resource.str());
        }
        e.one_of(
            &policy.get("restartPolicy"),
            &["NotRequired", "RestartContainer"],
        );
    }
}
