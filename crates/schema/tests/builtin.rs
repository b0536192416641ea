//! Types of built-in kinds: every kind has one, and the known merge rules hold.

use mosaic_schema::{
    ListKind, PatchStrategy, Shape, StringFormat, Type, builtin, builtin_names, definition,
    definitions,
};
use serde_json::{Value, json};

/// The type at a path; `[]` steps into a list's items, `{}` into a map's values.
fn at(kind: &str, path: &str) -> (Type, PatchStrategy, Option<Value>) {
    let mut ty = builtin(kind).unwrap_or_else(|| panic!("no type for {kind}"));
    let (mut patch, mut default) = (PatchStrategy::default(), None);
    for step in path.split('.').filter(|step| !step.is_empty()) {
        ty = match (step, &ty.shape) {
            ("[]", Shape::List(list)) => list.items.clone(),
            ("{}", Shape::Map(map)) => map.values.clone(),
            (name, _) => {
                let field = ty
                    .field(name)
                    .unwrap_or_else(|| panic!("{kind} has no {path} (at {name})"));
                (patch, default) = (field.patch.clone(), field.default.clone());
                field.ty.clone()
            }
        };
    }
    ((*ty).clone(), patch, default)
}

fn list_kind(kind: &str, path: &str) -> ListKind {
    match at(kind, path).0.shape {
        Shape::List(list) => list.kind,
        other => panic!("{kind}.{path} is no list: {other:?}"),
    }
}

fn keys(names: &[&str]) -> ListKind {
    ListKind::Map(names.iter().map(|name| (*name).into()).collect())
}

const POD: &str = "io.k8s.api.core.v1.Pod";
const SERVICE: &str = "io.k8s.api.core.v1.Service";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

#[test]
fn every_served_kind_has_a_type() {
    let core = "Namespace Node Pod Service Endpoints ConfigMap Secret ServiceAccount Event PersistentVolume \
        PersistentVolumeClaim ResourceQuota LimitRange Binding PodTemplate ReplicationController ComponentStatus";
    let groups = [
        ("api.core.v1", core),
        ("api.discovery.v1", "EndpointSlice"),
        ("api.events.v1", "Event"),
        ("api.coordination.v1", "Lease"),
        (
            "api.apps.v1",
            "Deployment ReplicaSet StatefulSet DaemonSet ControllerRevision",
        ),
        ("api.batch.v1", "Job CronJob"),
        ("api.autoscaling.v1", "Scale HorizontalPodAutoscaler"),
        ("api.autoscaling.v2", "HorizontalPodAutoscaler"),
        ("api.policy.v1", "PodDisruptionBudget Eviction"),
        ("api.networking.v1", "NetworkPolicy Ingress IngressClass"),
        (
            "api.storage.v1",
            "StorageClass VolumeAttributesClass CSIDriver CSINode VolumeAttachment CSIStorageCapacity",
        ),
        ("api.scheduling.v1", "PriorityClass"),
        ("api.node.v1", "RuntimeClass"),
        (
            "api.rbac.v1",
            "Role ClusterRole RoleBinding ClusterRoleBinding",
        ),
        (
            "api.authorization.v1",
            "SelfSubjectAccessReview SubjectAccessReview LocalSubjectAccessReview SelfSubjectRulesReview",
        ),
        (
            "api.authentication.v1",
            "SelfSubjectReview TokenReview TokenRequest",
        ),
        ("api.certificates.v1", "CertificateSigningRequest"),
        (
            "api.flowcontrol.v1",
            "FlowSchema PriorityLevelConfiguration",
        ),
        (
            "api.admissionregistration.v1",
            "MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy \
             ValidatingAdmissionPolicyBinding",
        ),
        (
            "apiextensions-apiserver.pkg.apis.apiextensions.v1",
            "CustomResourceDefinition",
        ),
        ("kube-aggregator.pkg.apis.apiregistration.v1", "APIService"),
        ("apimachinery.pkg.apis.meta.v1", "DeleteOptions Status"),
    ];
    for (group, kinds) in groups {
        for kind in kinds.split_whitespace() {
            let name = format!("io.k8s.{group}.{kind}");
            let ty = builtin(&name).unwrap_or_else(|| panic!("no type for {name}"));
            assert_eq!(ty.name.as_deref(), Some(name.as_str()));
            for field in ["apiVersion", "kind"] {
                assert!(ty.field(field).is_some(), "{name} has no {field}");
            }
        }
    }
    assert!(builtin("io.k8s.api.core.v1.Nothing").is_none());
    assert!(builtin("io.k8s.api.core.v1.PodSpec").is_some());
}

#[test]
fn lists_merge_by_their_keys() {
    let rows: &[(&str, &str, &[&str], &str)] = &[
        (POD, "spec.containers", &["name"], "name"),
        (
            POD,
            "spec.containers.[].ports",
            &["containerPort", "protocol"],
            "containerPort",
        ),
        (POD, "spec.containers.[].env", &["name"], "name"),
        (
            POD,
            "spec.containers.[].volumeMounts",
            &["mountPath"],
            "mountPath",
        ),
        (
            POD,
            "spec.topologySpreadConstraints",
            &["topologyKey", "whenUnsatisfiable"],
            "topologyKey",
        ),
        (POD, "status.conditions", &["type"], "type"),
        (POD, "metadata.ownerReferences", &["uid"], "uid"),
        (SERVICE, "spec.ports", &["port", "protocol"], "port"),
        (
            DEPLOYMENT,
            "spec.template.spec.initContainers",
            &["name"],
            "name",
        ),
    ];
    for (kind, path, list_keys, patch_key) in rows {
        assert_eq!(list_kind(kind, path), keys(list_keys), "{kind}.{path}");
        let patch = at(kind, path).1;
        assert!(
            patch.merge && patch.merge_key.as_deref() == Some(*patch_key),
            "{kind}.{path}: {patch:?}"
        );
    }
}

#[test]
fn lists_without_a_patch_key_are_replaced_by_patches() {
    let csr = "io.k8s.api.certificates.v1.CertificateSigningRequest";
    assert_eq!(list_kind(csr, "status.conditions"), keys(&["type"]));
    assert_eq!(at(csr, "status.conditions").1, PatchStrategy::default());
    assert_eq!(
        list_kind(POD, "spec.containers.[].resources.claims"),
        keys(&["name"])
    );
    assert!(!at(POD, "spec.containers.[].resources.claims").1.merge);
    assert_eq!(list_kind(POD, "spec.tolerations"), ListKind::Atomic);
    assert_eq!(list_kind(POD, "metadata.managedFields"), ListKind::Atomic);
}

#[test]
fn strategies_and_sets() {
    assert_eq!(list_kind(POD, "metadata.finalizers"), ListKind::Set);
    assert!(at(POD, "metadata.finalizers").1.merge);
    let volumes = at(POD, "spec.volumes").1;
    assert!(volumes.merge && volumes.retain_keys && volumes.merge_key.as_deref() == Some("name"));
    assert!(at(DEPLOYMENT, "spec.strategy").1.retain_keys);
    assert!(
        at("io.k8s.api.policy.v1.PodDisruptionBudget", "spec.selector")
            .1
            .replace
    );
    // Kept by patches, owned as a whole by server-side apply.
    assert_eq!(list_kind(POD, "status.hostIPs"), ListKind::Atomic);
    assert_eq!(at(POD, "status.hostIPs").1.merge_key.as_deref(), Some("ip"));
    assert_eq!(
        list_kind("io.k8s.api.batch.v1.Job", "status.conditions"),
        ListKind::Atomic
    );
}

#[test]
fn what_is_owned_as_a_whole() {
    let atomic = |kind: &str, path: &str| match at(kind, path).0.shape {
        Shape::Object(object) => object.atomic,
        Shape::Map(map) => map.atomic,
        other => panic!("{other:?}"),
    };
    assert!(atomic(DEPLOYMENT, "spec.selector"));
    assert!(atomic(SERVICE, "spec.selector"));
    assert!(atomic(POD, "spec.nodeSelector"));
    assert!(atomic(POD, "spec.imagePullSecrets.[]"));
    assert!(atomic("io.k8s.api.rbac.v1.RoleBinding", "roleRef"));
    assert!(!atomic(POD, "metadata.labels"));
    assert!(!atomic(POD, "spec"));
}

#[test]
fn defaults_of_list_keys() {
    assert_eq!(
        at(POD, "spec.containers.[].ports.[].protocol").2,
        Some(json!("TCP"))
    );
    assert_eq!(at(SERVICE, "spec.ports.[].protocol").2, Some(json!("TCP")));
    assert_eq!(
        at(
            "io.k8s.api.core.v1.Endpoints",
            "subsets.[].ports.[].protocol"
        )
        .2,
        None
    );
}

#[test]
fn scalars_are_what_kubernetes_has() {
    let shape = |kind: &str, path: &str| at(kind, path).0.shape;
    assert!(matches!(shape(DEPLOYMENT, "spec.replicas"), Shape::Int32));
    assert!(matches!(shape(POD, "metadata.generation"), Shape::Int64));
    assert!(matches!(
        shape(POD, "metadata.creationTimestamp"),
        Shape::String(StringFormat::DateTime)
    ));
    assert!(matches!(
        shape("io.k8s.api.coordination.v1.Lease", "spec.renewTime"),
        Shape::String(StringFormat::DateTime)
    ));
    assert!(matches!(
        shape("io.k8s.api.core.v1.Secret", "data.{}"),
        Shape::String(StringFormat::Byte)
    ));
    assert!(matches!(
        shape(POD, "spec.containers.[].resources.limits.{}"),
        Shape::Quantity
    ));
    assert!(matches!(
        shape(SERVICE, "spec.ports.[].targetPort"),
        Shape::IntOrString
    ));
    assert!(matches!(
        shape(POD, "metadata.managedFields.[].fieldsV1"),
        Shape::Any
    ));
    let crd = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";
    assert!(matches!(
        shape(crd, "spec.versions.[].schema.openAPIV3Schema"),
        Shape::Any
    ));
    assert!(matches!(
        shape("io.k8s.api.apps.v1.ControllerRevision", "data"),
        Shape::Any
    ));
}

#[test]
fn shared_definitions_are_one_in_memory() {
    let inner = |kind: &str| {
        let ty = builtin(kind).unwrap();
        let spec = ty.field("spec").unwrap().ty.clone();
        spec.field("template").unwrap().ty.clone()
    };
    assert!(std::sync::Arc::ptr_eq(
        &inner(DEPLOYMENT),
        &inner("io.k8s.api.apps.v1.DaemonSet")
    ));
}

#[test]
fn definitions_carry_kubernetes_extensions() {
    let all = definitions([POD]);
    let pod_spec = &all["io.k8s.api.core.v1.PodSpec"]["properties"];
    assert_eq!(
        pod_spec["containers"]["x-kubernetes-list-map-keys"],
        json!(["name"])
    );
    assert_eq!(
        pod_spec["containers"]["x-kubernetes-patch-merge-key"],
        "name"
    );
    assert_eq!(
        pod_spec["volumes"]["x-kubernetes-patch-strategy"],
        "merge,retainKeys"
    );
    assert_eq!(pod_spec["tolerations"]["x-kubernetes-list-type"], "atomic");
    assert_eq!(
        all["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"]["default"],
        "TCP"
    );
    assert_eq!(
        all["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"]["x-kubernetes-map-type"],
        "atomic"
    );
    let reference = &pod_spec["securityContext"]["allOf"][0]["$ref"];
    assert_eq!(
        reference,
        "#/components/schemas/io.k8s.api.core.v1.PodSecurityContext"
    );
    assert!(!all.contains_key(SERVICE));
    assert!(definition(SERVICE).is_some());
    assert!(definition("io.k8s.api.core.v1.PodSpec").is_some());
    assert!(definition("no.such.Definition").is_none());
}

#[test]
fn every_reference_leads_somewhere() {
    let names: Vec<String> = builtin_names().collect();
    let all = definitions(names.iter().map(String::as_str));
    let text = serde_json::to_string(&all).unwrap();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(all.contains_key(name), "{name}");
    }
    assert!(all.len() > 500, "{}", all.len());
}
