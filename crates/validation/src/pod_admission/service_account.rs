//! Every pod acts as a service account, and finds its token where clients look for it.

use serde_json::{Value, json};

use crate::defaults::{Fields, each, is_blank, object, text};

/// Where clients inside of a pod look for their token.
pub const ACCOUNT_MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How the names of the volumes that hold tokens begin; something random follows.
pub const TOKEN_VOLUME_PREFIX: &str = "kube-api-access-";
const DEFAULT_ACCOUNT: &str = "default";
/// An hour and some seconds, so that a token can be told from one that someone asked an hour for.
const TOKEN_SECONDS: i64 = 3607;

/// The name of the account that a pod acts as.
pub fn service_account_name(pod: &Value) -> &str {
    ["/spec/serviceAccountName", "/spec/serviceAccount"]
        .iter()
        .filter_map(|path| pod.pointer(path).and_then(Value::as_str))
        .find(|name| !name.is_empty())
        .unwrap_or(DEFAULT_ACCOUNT)
}

fn is_mirror(fields: &Fields) -> bool {
    fields
        .get("metadata")
        .and_then(|m| m.get("annotations"))
        .is_some_and(|a| a.get("kubernetes.io/config.mirror").is_some())
}

/// Makes a new pod act as its service account: sets its name and image pull secrets, and mounts its
/// token unless the pod or the account says otherwise.
///
/// `suffix` makes the name of the volume unique within the pod; five random letters or digits.
///
/// # Errors
///
/// The text of the refusal: the account does not exist, or the pod is one that a node made itself and
/// cannot act as an account.
pub fn set_service_account(
    pod: &mut Value,
    account: Option<&Value>,
    suffix: &str,
) -> Result<(), String> {
    let name = service_account_name(pod).to_owned();
    let Some(fields) = pod.as_object_mut() else {
        return Ok(());
    };
    let mirror = is_mirror(fields);
    let namespace = object(fields, "metadata")
        .map(|m| text(m, "namespace").to_owned())
        .unwrap_or_default();
    let Some(spec) = object(fields, "spec") else {
        return Ok(());
    };
    if mirror {
        return if is_blank(spec, "serviceAccountName") {
            Ok(())
        } else {
            Err("a mirror pod may not reference service accounts".to_owned())
        };
    }
    let Some(account) = account else {
        return Err(format!(
            "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
        ));
    };
    // The older name of the field is still what some clients read.
    for key in ["serviceAccountName", "serviceAccount"] {
        spec.insert(key.to_owned(), name.clone().into());
    }
    let automount = |holder: Option<&Value>| holder.and_then(Value::as_bool);
    let mounts = automount(spec.get("automountServiceAccountToken"))
        .or_else(|| automount(account.get("automountServiceAccountToken")))
        .unwrap_or(true);
    if mounts {
        mount_token(spec, suffix);
    }
    let has_secrets = spec
        .get("imagePullSecrets")
        .and_then(Value::as_array)
        .is_some_and(|l| !l.is_empty());
    if !has_secrets
        && let Some(Value::Array(secrets)) = account.get("imagePullSecrets")
        && !secrets.is_empty()
    {
        spec.insert("imagePullSecrets".to_owned(), Value::Array(secrets.clone()));
    }
    Ok(())
}

fn mount_token(spec: &mut Fields, suffix: &str) {
    let existing = spec
        .get("volumes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|v| v.get("name").and_then(Value::as_str))
        .find(|name| name.starts_with(TOKEN_VOLUME_PREFIX))
        .map(str::to_owned);
    let volume = existing
        .clone()
        .unwrap_or_else(|| format!("{TOKEN_VOLUME_PREFIX}{suffix}"));
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for container in each(spec, list) {
            let mounted =
                each(container, "volumeMounts").any(|m| text(m, "mountPath") == ACCOUNT_MOUNT_PATH);
            if mounted {
                continue;
            }
            push(
                container,
                "volumeMounts",
                json!({"name": volume, "mountPath": ACCOUNT_MOUNT_PATH, "readOnly": true}),
            );
            used = true;
        }
    }
    if used && existing.is_none() {
        push(spec, "volumes", token_volume(&volume));
    }
}

fn push(fields: &mut Fields, key: &str, item: Value) {
    crate::defaults::set(fields, key, json!([]));
    if let Some(list) = fields.get_mut(key).and_then(Value::as_array_mut) {
        list.push(item);
    }
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
        },
    })
}
