//! What a pod refers to.

use mosaic_api::meta;
use serde_json::Value;

use crate::values::{at, items, text};

/// The kinds that a pod can refer to, all in its own namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RefKind {
    Secret,
    ConfigMap,
    Claim,
    ServiceAccount,
}

pub(crate) type Reference = (RefKind, String);

/// Volumes that hold the name of a Secret: the volume's kind and where the name stands.
const SECRET_VOLUMES: [(&str, &[&str]); 10] = [
    ("secret", &["secretName"]),
    ("azureFile", &["secretName"]),
    ("cephfs", &["secretRef", "name"]),
    ("cinder", &["secretRef", "name"]),
    ("csi", &["nodePublishSecretRef", "name"]),
    ("flexVolume", &["secretRef", "name"]),
    ("iscsi", &["secretRef", "name"]),
    ("rbd", &["secretRef", "name"]),
    ("scaleIO", &["secretRef", "name"]),
    ("storageos", &["secretRef", "name"]),
];

/// Everything that a pod refers to, sorted, nothing twice.
pub(crate) fn of_pod(pod: &Value) -> Vec<Reference> {
    let mut found = Found::default();
    let spec = at(pod, &["spec"]);
    found.add(RefKind::ServiceAccount, text(spec, &["serviceAccountName"]));
    for secret in items(spec, &["imagePullSecrets"]) {
        found.add(RefKind::Secret, text(secret, &["name"]));
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in items(spec, &[list]) {
            found.container(container);
        }
    }
    let pod_name = meta::name(pod);
    for volume in items(spec, &["volumes"]) {
        found.volume(volume, pod_name);
    }
    found.0.sort();
    found.0.dedup();
    found.0
}

#[derive(Default)]
struct Found(Vec<Reference>);

impl Found {
    fn add(&mut self, kind: RefKind, name: &str) {
        if !name.is_empty() {
            self.0.push((kind, name.to_owned()));
        }
    }

    fn container(&mut self, container: &Value) {
        for from in items(container, &["envFrom"]) {
            self.add(RefKind::Secret, text(from, &["secretRef", "name"]));
            self.add(RefKind::ConfigMap, text(from, &["configMapRef", "name"]));
        }
        for variable in items(container, &["env"]) {
            self.add(
                RefKind::Secret,
                text(variable, &["valueFrom", "secretKeyRef", "name"]),
            );
            self.add(
                RefKind::ConfigMap,
                text(variable, &["valueFrom", "configMapKeyRef", "name"]),
            );
        }
    }

    fn volume(&mut self, volume: &Value, pod_name: &str) {
        for (kind, path) in SECRET_VOLUMES {
            self.add(RefKind::Secret, text(at(volume, &[kind]), path));
        }
        self.add(RefKind::ConfigMap, text(volume, &["configMap", "name"]));
        for source in items(volume, &["projected", "sources"]) {
            self.add(RefKind::Secret, text(source, &["secret", "name"]));
            self.add(RefKind::ConfigMap, text(source, &["configMap", "name"]));
        }
        self.add(
            RefKind::Claim,
            text(volume, &["persistentVolumeClaim", "claimName"]),
        );
        if at(volume, &["ephemeral"]).is_object() {
            self.add(
                RefKind::Claim,
                &format!("{pod_name}-{}", text(volume, &["name"])),
            );
        }
    }
}

/// The Secrets that a PersistentVolume refers to, as namespace and name. One that names no namespace
/// is in the claim's.
pub(crate) fn secrets_of_volume(volume: &Value, claim_namespace: &str) -> Vec<(String, String)> {
    let spec = at(volume, &["spec"]);
    let mut secrets = Vec::new();
    let mut add = |reference: &Value, name: &str, namespace: &str| {
        let name = text(reference, &[name]);
        let namespace = text(reference, &[namespace]);
        if !name.is_empty() {
            let namespace = if namespace.is_empty() {
                claim_namespace
            } else {
                namespace
            };
            secrets.push((namespace.to_owned(), name.to_owned()));
        }
    };
    for (kind, path) in SECRET_VOLUMES {
        if let [field, "name"] = path {
            add(at(spec, &[kind, field]), "name", "namespace");
        }
    }
    add(at(spec, &["azureFile"]), "secretName", "secretNamespace");
    for field in ["nodeStageSecretRef", "nodeExpandSecretRef"] {
        add(at(spec, &["csi", field]), "name", "namespace");
    }
    secrets.sort();
    secrets.dedup();
    secrets
}
