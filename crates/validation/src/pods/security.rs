//! Security contexts of pods and containers.

use crate::node::{Errors, Node};

const ID_RANGE: &str = "must be between 0 and 2147483647, inclusive";

fn id(node: &Node, e: &mut Errors) {
    if node
        .int()
        .is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id))
    {
        e.invalid(node, ID_RANGE);
    }
}

fn seccomp(profile: &Node, e: &mut Errors) {
    if !profile.is_set() {
        return;
    }
    let ty = profile.get("type");
    let local = profile.get("localhostProfile");
    e.one_of(&ty, &["Localhost", "RuntimeDefault", "Unconfined"]);
    if ty.str() == "Localhost" {
        if e.require(&local, "must be set when seccomp type is Localhost") {
            super::mounts::descending_path(&local, e);
        }
    } else if local.is_set() {
        e.invalid(&local, "can only be set when seccomp type is Localhost");
    }
}

fn app_armor(profile: &Node, e: &mut Errors) {
    if !profile.is_set() {
        return;
    }
    let ty = profile.get("type");
    let local = profile.get("localhostProfile");
    e.one_of(&ty, &["Localhost", "RuntimeDefault", "Unconfined"]);
    if ty.str() == "Localhost" {
        e.require(&local, "must be set when AppArmor type is Localhost");
    } else if local.is_set() {
        e.invalid(&local, "can only be set when AppArmor type is Localhost");
    }
}

/// The security context of a container.
pub(super) fn container(context: &Node, e: &mut Errors) {
    if !context.is_set() {
        return;
    }
    id(&context.get("runAsUser"), e);
    id(&context.get("runAsGroup"), e);
    seccomp(&context.get("seccompProfile"), e);
    app_armor(&context.get("appArmorProfile"), e);
    e.one_of_if_set(&context.get("procMount"), &["Default", "Unmasked"]);
    let escalation = context.get("allowPrivilegeEscalation");
    if escalation.is_set() && !escalation.is_true() {
        if context.get("privileged").is_true() {
            e.invalid(
                context,
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            );
        }
        let admin = context
            .get("capabilities")
            .get("add")
            .items()
            .any(|c| c.str() == "CAP_SYS_ADMIN");
        if admin {
            e.invalid(
                context,
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            );
        }
    }
}

/// The security context of a pod.
pub(super) fn pod(spec: &Node, e: &mut Errors) {
    let context = spec.get("securityContext");
    if !context.is_empty() {
        for field in ["runAsUser", "runAsGroup", "fsGroup"] {
            id(&context.get(field), e);
        }
        for group in context.get("supplementalGroups").items() {
            id(&group, e);
        }
        e.one_of_if_set(
            &context.get("fsGroupChangePolicy"),
            &["Always", "OnRootMismatch"],
        );
        e.one_of_if_set(
            &context.get("supplementalGroupsPolicy"),
            &["Merge", "Strict"],
        );
        seccomp(&context.get("seccompProfile"), e);
        app_armor(&context.get("appArmorProfile"), e);
        sysctls(&context.get("sysctls"), spec, e);
    }
    if spec.get("hostPID").is_true() && spec.get("shareProcessNamespace").is_true() {
        e.invalid(
            &spec.get("shareProcessNamespace"),
            "ShareProcessNamespace and HostPID cannot both be enabled",
        );
    }
}

fn sysctls(list: &Node, spec: &Node, e: &mut Errors) {
    let mut names = std::collections::HashSet::new();
    for sysctl in list.items() {
        let name = sysctl.get("name");
        let text = name.str();
        let fits = text.len() <= 253
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_./".contains(&b));
        if text.is_empty() {
            e.required(&name, "");
        } else if !fits {
            e.invalid(
                &name,
                "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            );
        } else if !names.insert(text) {
            e.duplicate(&name, text);
        }
        for (prefix, field) in [("net", "hostNetwork"), ("kernel.shm", "hostIPC")] {
            if text.starts_with(prefix) && spec.get(field).is_true() {
                e.invalid(
                    &name,
                    format!("may not be specified when '{field}' is true"),
                );
            }
        }
    }
}
