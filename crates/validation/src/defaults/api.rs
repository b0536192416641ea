//! Defaults of the smaller groups: autoscaling, networking, discovery, storage, scheduling, RBAC and
//! custom resource definitions.

use serde_json::{Value, json};

use super::{Fields, each, ensure, object, quantities, set, set_text, text};

/// The group of RBAC's own kinds and of its users and groups.
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// Defaults of a `HorizontalPodAutoscaler`.
pub(crate) fn autoscaler(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    set(spec, "minReplicas", 1);
    let no_metrics = spec
        .get("metrics")
        .is_none_or(|m| m.is_null() || m.as_array().is_some_and(Vec::is_empty));
    if no_metrics {
        let cpu = json!([{
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 80},
            },
        }]);
        spec.insert("metrics".to_owned(), cpu);
    }
    quantities::metrics(spec);
    let Some(behavior) = object(spec, "behavior") else {
        return;
    };
    if let Some(up) = ensure(behavior, "scaleUp") {
        set(up, "stabilizationWindowSeconds", 0);
        set(up, "selectPolicy", "Max");
        // An explicit empty list is an error that validation reports.
        set(
            up,
            "policies",
            json!([
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]),
        );
    }
    if let Some(down) = ensure(behavior, "scaleDown") {
        set(down, "selectPolicy", "Max");
        set(
            down,
            "policies",
            json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]),
        );
    }
}

/// Defaults of a `NetworkPolicy`.
pub(crate) fn network_policy(fields: &mut Fields) {
    let Some(spec) = ensure(fields, "spec") else {
        return;
    };
    for direction in ["ingress", "egress"] {
        for rule in each(spec, direction) {
            for port in each(rule, "ports") {
                set_text(port, "protocol", "TCP");
            }
        }
    }
    let length =
        |spec: &Fields, key: &str| spec.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    if length(spec, "policyTypes") == 0 {
        let types = if length(spec, "egress") == 0 {
            json!(["Ingress"])
        } else {
            json!(["Ingress", "Egress"])
        };
        spec.insert("policyTypes".to_owned(), types);
    }
}

/// Defaults of an `EndpointSlice`.
pub(crate) fn endpoint_slice(fields: &mut Fields) {
    for port in each(fields, "ports") {
        set(port, "name", "");
        set(port, "protocol", "TCP");
    }
}

/// Defaults of a `StorageClass`.
pub(crate) fn storage_class(fields: &mut Fields) {
    set(fields, "reclaimPolicy", "Delete");
    set(fields, "volumeBindingMode", "Immediate");
}

/// Defaults of a `CSIDriver`.
pub(crate) fn csi_driver(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    set(spec, "attachRequired", true);
    for key in [
        "podInfoOnMount",
        "storageCapacity",
        "requiresRepublish",
        "seLinuxMount",
    ] {
        set(spec, key, false);
    }
    set_text(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    set(spec, "volumeLifecycleModes", json!(["Persistent"]));
}

/// Defaults of a `PriorityClass`.
pub(crate) fn priority_class(fields: &mut Fields) {
    set(fields, "preemptionPolicy", "PreemptLowerPriority");
}

/// Defaults of a `RoleBinding` and `ClusterRoleBinding`.
pub(crate) fn role_binding(fields: &mut Fields) {
    if let Some(role) = object(fields, "roleRef") {
        set_text(role, "apiGroup", RBAC_GROUP);
    }
    for subject in each(fields, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            set_text(subject, "apiGroup", RBAC_GROUP);
        }
    }
}

/// Defaults of a `CustomResourceDefinition`.
pub(crate) fn custom_resource_definition(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    if let Some(names) = object(spec, "names") {
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() {
            set_text(names, "singular", &kind.to_lowercase());
            set_text(names, "listKind", &format!("{kind}List"));
        }
    }
    if let Some(conversion) = ensure(spec, "conversion") {
        set_text(conversion, "strategy", "None");
        if let Some(service) = object(conversion, "webhook")
            .and_then(|w| object(w, "clientConfig"))
            .and_then(|c| object(c, "service"))
        {
            set(service, "port", 443);
        }
    }
}
