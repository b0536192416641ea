//! The levels of the Pod Security Standards, which a namespace's labels ask for.
//!
//! `privileged` allows everything, `baseline` what cannot take over the host, and `restricted` what
//! follows the current rules of hardening.

use serde_json::Value;

use crate::node::Node;

/// A level, from the widest to the narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything goes.
    Privileged,
    /// Nothing that is known to lead to the host.
    Baseline,
    /// The rules of hardening.
    Restricted,
}

impl Level {
    /// Reads the value of a label such as `pod-security.kubernetes.io/enforce`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// One rule that a pod breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What is wrong, such as `host namespaces`.
    pub reason: String,
    /// Where, such as `hostNetwork=true`.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.detail.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{} ({})", self.reason, self.detail)
        }
    }
}

const BASELINE_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const RESTRICTED_VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
];
const SAFE_SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];

/// The rules of a level that a pod's spec breaks; none if it may run.
pub fn check(level: Level, spec: &Value) -> Vec<Violation> {
    let spec = Node::root(spec);
    let mut violations = Vec::new();
    if level >= Level::Baseline {
        baseline(&spec, level, &mut violations);
    }
    if level == Level::Restricted {
        restricted(&spec, &mut violations);
    }
    violations
}

/// Asks something of every container, and of what is wrong makes one violation with their names.
fn containers(
    spec: &Node,
    violations: &mut Vec<Violation>,
    reason: &str,
    what: &str,
    wrong: impl Fn(&Node) -> bool,
) {
    let mut names = Vec::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.get(list).items() {
            if wrong(&container) {
                names.push(format!("{:?}", container.get("name").str()));
            }
        }
    }
    if let Some(first) = names.first() {
        let subject = if names.len() == 1 {
            format!("container {first}")
        } else {
            format!("containers {}", names.join(", "))
        };
        violations.push(Violation {
            reason: reason.to_owned(),
            detail: format!("{subject} {what}"),
        });
    }
}

fn list(violations: &mut Vec<Violation>, reason: &str, found: Vec<String>) {
    if !found.is_empty() {
        violations.push(Violation {
            reason: reason.to_owned(),
            detail: found.join(", "),
        });
    }
}

fn baseline(spec: &Node, level: Level, violations: &mut Vec<Violation>) {
    let namespaces = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|field| spec.get(field).is_true())
        .map(|field| format!("{field}=true"))
        .collect();
    list(violations, "host namespaces", namespaces);
    containers(
        spec,
        violations,
        "privileged",
        "must not set securityContext.privileged=true",
        |c| c.get("securityContext").get("privileged").is_true(),
    );
    // The narrower level has a narrower rule of its own.
    if level == Level::Baseline {
        containers(
            spec,
            violations,
            "non-default capabilities",
            "must not include capabilities beyond the default set in securityContext.capabilities.add",
            |c| {
                let context = c.get("securityContext");
                let capabilities = context.get("capabilities");
                let added = capabilities.get("add");
                added
                    .items()
                    .any(|a| !BASELINE_CAPABILITIES.contains(&a.str()))
            },
        );
        let host_paths = spec
            .get("volumes")
            .items()
            .filter(|v| v.get("hostPath").is_set())
            .map(|v| format!("volume {:?}", v.get("name").str()))
            .collect();
        list(violations, "hostPath volumes", host_paths);
    }
    containers(spec, violations, "hostPort", "uses hostPort", |c| {
        c.get("ports")
            .items()
            .any(|p| p.get("hostPort").int_or_zero() != 0)
    });
    containers(
        spec,
        violations,
        "procMount",
        "must not set securityContext.procMount to other than \"Default\"",
        |c| {
            let context = c.get("securityContext");
            let mount = context.get("procMount");
            mount.is_set() && mount.str() != "Default"
        },
    );
    let unsafe_sysctls = spec
        .get("securityContext")
        .get("sysctls")
        .items()
        .map(|s| s.get("name").str().to_owned())
        .filter(|name| !SAFE_SYSCTLS.contains(&name.as_str()))
        .collect();
    list(violations, "forbidden sysctls", unsafe_sysctls);
    if level == Level::Baseline {
        let unconfined = |holder: &Node| {
            let context = holder.get("securityContext");
            let profile = context.get("seccompProfile");
            profile.get("type").str() == "Unconfined"
        };
        if unconfined(spec) {
            violations.push(Violation {
                reason: "seccompProfile".to_owned(),
                detail: "pod must not set securityContext.seccompProfile.type to \"Unconfined\""
                    .to_owned(),
            });
        }
        containers(
            spec,
            violations,
            "seccompProfile",
            "must not set securityContext.seccompProfile.type to \"Unconfined\"",
            unconfined,
        );
    }
}

fn restricted(spec: &Node, violations: &mut Vec<Violation>) {
    let mut volumes = Vec::new();
    for volume in spec.get("volumes").items() {
        for (source, _) in volume.fields() {
            if source != "name" && !RESTRICTED_VOLUMES.contains(&source) {
                volumes.push(format!(
                    "volume {:?} uses restricted volume type {source:?}",
                    volume.get("name").str()
                ));
            }
        }
    }
    list(violations, "restricted volume types", volumes);
    containers(
        spec,
        violations,
        "allowPrivilegeEscalation != false",
        "must set securityContext.allowPrivilegeEscalation=false",
        |c| {
            let context = c.get("securityContext");
            let escalation = context.get("allowPrivilegeEscalation");
            !escalation.is_set() || escalation.is_true()
        },
    );
    containers(
        spec,
        violations,
        "unrestricted capabilities",
        "must set securityContext.capabilities.drop=[\"ALL\"]",
        |c| {
            let context = c.get("securityContext");
            let capabilities = context.get("capabilities");
            let (drop, add) = (capabilities.get("drop"), capabilities.get("add"));
            !drop.items().any(|d| d.str() == "ALL")
                || add.items().any(|a| a.str() != "NET_BIND_SERVICE")
        },
    );
    let pod_context = spec.get("securityContext");
    let pod_non_root = pod_context.get("runAsNonRoot").is_true();
    containers(
        spec,
        violations,
        "runAsNonRoot != true",
        "must set securityContext.runAsNonRoot=true",
        |c| {
            let context = c.get("securityContext");
            let own = context.get("runAsNonRoot");
            if own.is_set() {
                !own.is_true()
            } else {
                !pod_non_root
            }
        },
    );
    let root = |holder: &Node| holder.get("securityContext").get("runAsUser").int() == Some(0);
    if root(spec) {
        violations.push(Violation {
            reason: "runAsUser=0".to_owned(),
            detail: "pod must not set runAsUser=0".to_owned(),
        });
    }
    containers(
        spec,
        violations,
        "runAsUser=0",
        "must not set runAsUser=0",
        root,
    );
    let allowed = |ty: &str| matches!(ty, "RuntimeDefault" | "Localhost");
    let profile = pod_context.get("seccompProfile");
    let pod_profile = allowed(profile.get("type").str());
    containers(
        spec,
        violations,
        "seccompProfile",
        "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        |c| {
            let context = c.get("securityContext");
            let own = context.get("seccompProfile");
            if own.is_set() {
                !allowed(own.get("type").str())
            } else {
                !pod_profile
            }
        },
    );
}
