//! Pods, and the pod templates of others.

use jiff::Timestamp;
use mosaic_api::{meta, time};
use serde_json::Value;

use super::text::Report;
use super::{field, join, list, metadata, number, or_none, pairs, plain, text_at};

/// Describes a pod.
pub(super) fn describe(report: &mut Report, pod: &Value, now: Timestamp) {
    metadata(report, pod);
    report.field_if_any("Priority Class", text_at(pod, "/spec/priorityClassName"));
    report.field(
        "Service Account",
        &or_none(text_at(pod, "/spec/serviceAccountName")),
    );
    let node = text_at(pod, "/spec/nodeName");
    let host = text_at(pod, "/status/hostIP");
    report.field(
        "Node",
        &or_none(&if host.is_empty() {
            node.to_owned()
        } else {
            format!("{node}/{host}")
        }),
    );
    let started = text_at(pod, "/status/startTime");
    if !started.is_empty() {
        let age = time::age(Some(started), now);
        report.field("Start Time", &format!("{started} ({age} ago)"));
    }
    report.field(
        "Status",
        if meta::is_being_deleted(pod) {
            "Terminating"
        } else {
            text_at(pod, "/status/phase")
        },
    );
    report.field_if_any("Reason", text_at(pod, "/status/reason"));
    report.field_if_any("Message", text_at(pod, "/status/message"));
    let addresses: Vec<String> = list(pod, "/status/podIPs")
        .map(|ip| text_at(ip, "/ip").to_owned())
        .collect();
    report.values("IPs", &addresses);
    containers(
        report,
        "Init Containers",
        field(pod, "spec"),
        "/initContainers",
        pod.pointer("/status/initContainerStatuses"),
        now,
    );
    containers(
        report,
        "Containers",
        field(pod, "spec"),
        "/containers",
        pod.pointer("/status/containerStatuses"),
        now,
    );
    let rows: Vec<Vec<String>> = list(pod, "/status/conditions")
        .map(|condition| {
            let message = [
                text_at(condition, "/reason"),
                text_at(condition, "/message"),
            ];
            let message = message
                .iter()
                .filter(|text| !text.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join(": ");
            vec![
                text_at(condition, "/type").to_owned(),
                text_at(condition, "/status").to_owned(),
                message,
            ]
        })
        .collect();
    if !rows.is_empty() {
        report.heading("Conditions");
        report.table(&["Type", "Status", "Reason"], rows);
    }
    volumes(report, field(pod, "spec"));
    report.field_if_any("QoS Class", text_at(pod, "/status/qosClass"));
    placement(report, field(pod, "spec"));
}

/// Describes a pod template.
pub(super) fn template(report: &mut Report, template: &Value, now: Timestamp) {
    report.map("Labels", template.pointer("/metadata/labels"), "=");
    if template.pointer("/metadata/annotations").is_some() {
        report.map(
            "Annotations",
            template.pointer("/metadata/annotations"),
            ": ",
        );
    }
    report.field_if_any(
        "Service Account",
        text_at(template, "/spec/serviceAccountName"),
    );
    containers(
        report,
        "Init Containers",
        field(template, "spec"),
        "/initContainers",
        None,
        now,
    );
    containers(
        report,
        "Containers",
        field(template, "spec"),
        "/containers",
        None,
        now,
    );
    volumes(report, field(template, "spec"));
    placement(report, field(template, "spec"));
}

fn placement(report: &mut Report, spec: &Value) {
    report.field("Node Selectors", &pairs(spec.get("nodeSelector")));
    let tolerations: Vec<String> = list(spec, "/tolerations")
        .map(|toleration| {
            let mut text = text_at(toleration, "/key").to_owned();
            let value = text_at(toleration, "/value");
            if !value.is_empty() {
                text.push_str(&format!("={value}"));
            }
            let effect = text_at(toleration, "/effect");
            if !effect.is_empty() {
                text.push_str(&format!(":{effect}"));
            }
            if text_at(toleration, "/operator") == "Exists" {
                text.push_str(" op=Exists");
            }
            let seconds = plain(toleration.get("tolerationSeconds"));
            if !seconds.is_empty() {
                text.push_str(&format!(" for {seconds}s"));
            }
            text.trim().to_owned()
        })
        .collect();
    report.values("Tolerations", &tolerations);
}

fn containers(
    report: &mut Report,
    label: &str,
    spec: &Value,
    at: &str,
    statuses: Option<&Value>,
    now: Timestamp,
) {
    if list(spec, at).next().is_none() {
        return;
    }
    report.section(label, |report| {
        for container in list(spec, at) {
            let name = text_at(container, "/name");
            let status = statuses.and_then(Value::as_array).and_then(|statuses| {
                statuses
                    .iter()
                    .find(|status| text_at(status, "/name") == name)
            });
            report.section(name, |report| one(report, container, status, now));
        }
    });
}

fn one(report: &mut Report, container: &Value, status: Option<&Value>, now: Timestamp) {
    if let Some(status) = status {
        report.field_if_any("Container ID", text_at(status, "/containerID"));
    }
    report.field("Image", text_at(container, "/image"));
    report.field_if_any(
        "Image ID",
        status
            .map(|status| text_at(status, "/imageID"))
            .unwrap_or_default(),
    );
    let ports: Vec<String> = list(container, "/ports")
        .map(|port| {
            format!(
                "{}/{}",
                number(port, "/containerPort"),
                text_at(port, "/protocol")
            )
        })
        .collect();
    if !ports.is_empty() {
        report.field("Ports", &ports.join(", "));
    }
    report.field_if_any("Command", &join(container.get("command"), " "));
    report.field_if_any("Args", &join(container.get("args"), " "));
    if let Some(status) = status {
        state(report, "State", status.get("state"), now);
        state(report, "Last State", status.get("lastState"), now);
        let ready = status
            .get("ready")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        report.field("Ready", if ready { "True" } else { "False" });
        report.field(
            "Restart Count",
            &number(status, "/restartCount").to_string(),
        );
    }
    for (label, key) in [("Limits", "limits"), ("Requests", "requests")] {
        if let Some(resources) = container.pointer(&format!("/resources/{key}")) {
            report.map(label, Some(resources), ": ");
        }
    }
    for (label, key) in [
        ("Liveness", "livenessProbe"),
        ("Readiness", "readinessProbe"),
        ("Startup", "startupProbe"),
    ] {
        if let Some(probe) = container.get(key) {
            report.field(label, &self::probe(probe));
        }
    }
    let environment: Vec<String> = list(container, "/envFrom")
        .map(source)
        .chain(list(container, "/env").map(variable))
        .collect();
    if !environment.is_empty() {
        report.values("Environment", &environment);
    }
    let mounts: Vec<String> = list(container, "/volumeMounts")
        .map(|mount| {
            let read_only = mount
                .get("readOnly")
                .and_then(Value::as_bool)
                .unwrap_or_default();
            let access = if read_only { "ro" } else { "rw" };
            format!(
                "{} from {} ({access})",
                text_at(mount, "/mountPath"),
                text_at(mount, "/name")
            )
        })
        .collect();
    report.values("Mounts", &mounts);
}

fn state(report: &mut Report, label: &str, state: Option<&Value>, now: Timestamp) {
    let entry = state
        .and_then(Value::as_object)
        .and_then(|state| state.iter().next());
    let Some((kind, state)) = entry else { return };
    let word = match kind.as_str() {
        "running" => "Running",
        "waiting" => "Waiting",
        "terminated" => "Terminated",
        other => other,
    };
    report.field(label, word);
    report.nested(|report| {
        report.field_if_any("Reason", text_at(state, "/reason"));
        report.field_if_any("Message", text_at(state, "/message"));
        if kind == "terminated" {
            report.field("Exit Code", &number(state, "/exitCode").to_string());
        }
        let started = text_at(state, "/startedAt");
        if !started.is_empty() {
            let age = time::age(Some(started), now);
            report.field("Started", &format!("{started} ({age} ago)"));
        }
        report.field_if_any("Finished", text_at(state, "/finishedAt"));
    });
}

fn probe(probe: &Value) -> String {
    let action = if let Some(http) = probe.get("httpGet") {
        let scheme = text_at(http, "/scheme").to_lowercase();
        let scheme = if scheme.is_empty() {
            "http".to_owned()
        } else {
            scheme
        };
        format!(
            "{scheme}-get {}:{}{}",
            text_at(http, "/host"),
            plain(http.get("port")),
            text_at(http, "/path")
        )
    } else if let Some(exec) = probe.get("exec") {
        format!("exec [{}]", join(exec.get("command"), " "))
    } else if let Some(tcp) = probe.get("tcpSocket") {
        format!(
            "tcp-socket {}:{}",
            text_at(tcp, "/host"),
            plain(tcp.get("port"))
        )
    } else if let Some(grpc) = probe.get("grpc") {
        format!("grpc {}", plain(grpc.get("port")))
    } else {
        "unknown".into()
    };
    format!(
        "{action} delay={}s timeout={}s period={}s success={} failure={}",
        number(probe, "/initialDelaySeconds"),
        number(probe, "/timeoutSeconds"),
        number(probe, "/periodSeconds"),
        number(probe, "/successThreshold"),
        number(probe, "/failureThreshold")
    )
}

fn source(source: &Value) -> String {
    for (key, word) in [("configMapRef", "config map"), ("secretRef", "secret")] {
        if let Some(reference) = source.get(key) {
            return format!("all of {word} {}", text_at(reference, "/name"));
        }
    }
    "unknown source".into()
}

fn variable(variable: &Value) -> String {
    let name = text_at(variable, "/name");
    let Some(from) = variable.get("valueFrom") else {
        return format!("{name}={}", text_at(variable, "/value"));
    };
    for (key, word) in [
        ("configMapKeyRef", "config map"),
        ("secretKeyRef", "secret"),
    ] {
        if let Some(reference) = from.get(key) {
            return format!(
                "{name}=<key {} of {word} {}>",
                text_at(reference, "/key"),
                text_at(reference, "/name")
            );
        }
    }
    if let Some(field) = from.get("fieldRef") {
        return format!("{name}=<field {}>", text_at(field, "/fieldPath"));
    }
    match from.get("resourceFieldRef") {
        Some(field) => format!("{name}=<resource {}>", text_at(field, "/resource")),
        None => format!("{name}=<unknown source>"),
    }
}

fn volumes(report: &mut Report, spec: &Value) {
    if list(spec, "/volumes").next().is_none() {
        return;
    }
    report.section("Volumes", |report| {
        for volume in list(spec, "/volumes") {
            let kind = volume
                .as_object()
                .into_iter()
                .flatten()
                .find(|(key, _)| key.as_str() != "name");
            let (kind, details) = kind.map_or(("unknown", &Value::Null), |(kind, details)| {
                (kind.as_str(), details)
            });
            let name = ["/name", "/claimName", "/secretName", "/path", "/driver"]
                .iter()
                .map(|at| text_at(details, at))
                .find(|text| !text.is_empty());
            let text = match name {
                Some(name) => format!("{} {name}", super::generic::label(kind)),
                None => super::generic::label(kind),
            };
            report.field(text_at(volume, "/name"), &text);
        }
    });
}
