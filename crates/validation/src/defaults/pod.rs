//! Defaults of pods and pod templates.

use serde_json::{Map, Value};

use super::{Fields, each, ensure, is_blank, object, quantities, set, set_number, set_text, text};

/// Permission bits of files from secrets, config maps and the downward API: 0644.
const DEFAULT_MODE: i64 = 0o644;
/// The lists of containers of a pod.
pub(super) const CONTAINER_LISTS: [&str; 3] =
    ["containers", "initContainers", "ephemeralContainers"];

/// Defaults of a `Pod`: those of its spec, and what only real pods get.
pub(crate) fn pod(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    pod_spec(spec);
    for list in ["containers", "initContainers"] {
        for container in each(spec, list) {
            if let Some(resources) = object(container, "resources") {
                requests_from_limits(resources);
            }
        }
    }
    set(spec, "enableServiceLinks", true);
    if spec.get("hostNetwork").and_then(Value::as_bool) == Some(true) {
        for list in ["containers", "initContainers"] {
            for container in each(spec, list) {
                each(container, "ports").for_each(host_port);
            }
        }
    }
    pod_level_requests(spec);
}

/// Defaults of a `PodTemplate`.
pub(crate) fn pod_template_object(fields: &mut Fields) {
    template(fields);
}

/// Defaults of the pod template under `template`.
pub(super) fn template(owner: &mut Fields) {
    if let Some(spec) = object(owner, "template").and_then(|t| object(t, "spec")) {
        pod_spec(spec);
    }
}

/// Defaults of a pod's spec.
fn pod_spec(spec: &mut Fields) {
    set_text(spec, "dnsPolicy", "ClusterFirst");
    set_text(spec, "restartPolicy", "Always");
    set_text(spec, "schedulerName", "default-scheduler");
    set(spec, "securityContext", Fields::new());
    set(spec, "terminationGracePeriodSeconds", 30);
    for list in CONTAINER_LISTS {
        each(spec, list).for_each(container);
    }
    each(spec, "volumes").for_each(volume);
    quantities::requirements(spec);
    quantities::list(spec, "overhead");
}

fn container(fields: &mut Fields) {
    if is_blank(fields, "imagePullPolicy") {
        let policy = pull_policy(text(fields, "image"));
        fields.insert("imagePullPolicy".to_owned(), policy.into());
    }
    set_text(fields, "terminationMessagePath", "/dev/termination-log");
    set_text(fields, "terminationMessagePolicy", "File");
    set(fields, "resources", Fields::new());
    quantities::requirements(fields);
    for port in each(fields, "ports") {
        set_text(port, "protocol", "TCP");
    }
    for variable in each(fields, "env") {
        if let Some(source) = object(variable, "valueFrom") {
            value_reference(source);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = object(fields, name) {
            set_number(probe, "timeoutSeconds", 1);
            set_number(probe, "periodSeconds", 10);
            set_number(probe, "successThreshold", 1);
            set_number(probe, "failureThreshold", 3);
            http_get(probe);
            if let Some(grpc) = object(probe, "grpc") {
                set(grpc, "service", "");
            }
        }
    }
    if let Some(lifecycle) = object(fields, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(handler) = object(lifecycle, hook) {
                http_get(handler);
            }
        }
    }
}

fn http_get(handler: &mut Fields) {
    if let Some(get) = object(handler, "httpGet") {
        set_text(get, "path", "/");
        set_text(get, "scheme", "HTTP");
    }
}

fn value_reference(holder: &mut Fields) {
    if let Some(reference) = object(holder, "fieldRef") {
        set_text(reference, "apiVersion", "v1");
    }
    if let Some(reference) = object(holder, "resourceFieldRef") {
        set(reference, "divisor", "0");
        quantities::amount(reference, "divisor");
    }
}

/// `Always` for images without a tag or digest or tagged `latest`, as the tag may move.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    match last.split_once(':') {
        Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
        None if digest => "IfNotPresent",
        None => "Always",
    }
}

/// Fields of a volume that come from its source, by the source's name.
fn volume(fields: &mut Fields) {
    let has_source = fields.iter().any(|(key, v)| key != "name" && !v.is_null());
    if !has_source {
        set(fields, "emptyDir", Fields::new());
        return;
    }
    for (key, value) in fields.iter_mut() {
        let Some(source) = value.as_object_mut() else {
            continue;
        };
        match key.as_str() {
            "secret" | "configMap" => set(source, "defaultMode", DEFAULT_MODE),
            "downwardAPI" => {
                set(source, "defaultMode", DEFAULT_MODE);
                each(source, "items").for_each(value_reference);
            }
            "projected" => projected(source),
            "emptyDir" => quantities::amount(source, "sizeLimit"),
            "image" => {
                if is_blank(source, "pullPolicy") {
                    let policy = pull_policy(text(source, "reference"));
                    source.insert("pullPolicy".to_owned(), policy.into());
                }
            }
            "ephemeral" => {
                if let Some(spec) = object(source, "volumeClaimTemplate")
                    .and_then(|template| object(template, "spec"))
                {
                    set(spec, "volumeMode", "Filesystem");
                    set(spec, "resources", Fields::new());
                    quantities::requirements(spec);
                }
            }
            _ => legacy_source(key, source),
        }
    }
}

fn projected(source: &mut Fields) {
    set(source, "defaultMode", DEFAULT_MODE);
    for item in each(source, "sources") {
        if let Some(token) = object(item, "serviceAccountToken") {
            set(token, "expirationSeconds", 3600);
        }
        if let Some(downward) = object(item, "downwardAPI") {
            each(downward, "items").for_each(value_reference);
        }
    }
}

/// Texts of volume sources that pods and persistent volumes share.
pub(super) fn legacy_source(name: &str, source: &mut Fields) {
    let texts: &[(&str, &str)] = match name {
        "hostPath" => {
            set(source, "type", "");
            return;
        }
        "iscsi" => &[("iscsiInterface", "default")],
        "rbd" => &[
            ("pool", "rbd"),
            ("user", "admin"),
            ("keyring", "/etc/ceph/keyring"),
        ],
        "scaleIO" => &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")],
        "azureDisk" => {
            set(source, "readOnly", false);
            &[
                ("cachingMode", "ReadWrite"),
                ("fsType", "ext4"),
                ("kind", "Shared"),
            ]
        }
        _ => return,
    };
    for (key, default) in texts {
        set_text(source, key, default);
    }
}

/// A request that is not given is the limit.
fn requests_from_limits(resources: &mut Fields) {
    let Some(limits) = resources.get("limits").and_then(Value::as_object) else {
        return;
    };
    let requests = resources.get("requests").and_then(Value::as_object);
    let missing: Map<String, Value> = limits
        .iter()
        .filter(|(name, _)| requests.is_none_or(|r| !r.contains_key(*name)))
        .map(|(name, limit)| (name.clone(), limit.clone()))
        .collect();
    if missing.is_empty() {
        return;
    }
    if let Some(requests) = ensure(resources, "requests") {
        requests.extend(missing);
    }
}

/// Requests of the pod as a whole are its limits where no container requests the resource.
fn pod_level_requests(spec: &mut Fields) {
    let Some(limits) = spec
        .get("resources")
        .and_then(|r| r.get("limits"))
        .and_then(Value::as_object)
    else {
        return;
    };
    let requested = |name: &str| {
        ["containers", "initContainers"].iter().any(|list| {
            spec.get(*list)
                .and_then(Value::as_array)
                .is_some_and(|containers| {
                    containers.iter().any(|c| {
                        c.pointer("/resources/requests")
                            .and_then(|r| r.get(name))
                            .is_some()
                    })
                })
        })
    };
    let missing: Map<String, Value> = limits
        .iter()
        .filter(|(name, _)| !requested(name))
        .map(|(name, limit)| (name.clone(), limit.clone()))
        .collect();
    let Some(resources) = object(spec, "resources") else {
        return;
    };
    if missing.is_empty() {
        return;
    }
    if let Some(requests) = ensure(resources, "requests") {
        for (name, limit) in missing {
            requests.entry(name).or_insert(limit);
        }
    }
}

/// On the host's network a container's port is the host's.
fn host_port(port: &mut Fields) {
    if let Some(number) = port.get("containerPort").and_then(Value::as_i64) {
        set_number(port, "hostPort", number);
    }
}

#[cfg(test)]
mod tests {
    use super::pull_policy;

    #[test]
    fn images_whose_tag_may_move_are_always_pulled() {
        let cases = [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("registry:5000/nginx", "Always"),
            ("registry:5000/nginx:1.2", "IfNotPresent"),
            ("nginx@sha256:abc", "IfNotPresent"),
            ("nginx:latest@sha256:abc", "Always"),
        ];
        for (image, policy) in cases {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
