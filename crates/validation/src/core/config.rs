//! Config maps and secrets.

use crate::{
    node::{Errors, Node},
    rules,
};

/// The most bytes that the data of a config map or secret may take.
const MAX_BYTES: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";
const ACCOUNT_ANNOTATION: &str = "kubernetes.io/service-account.name";

/// Keys that secrets of a type must have.
const REQUIRED_KEYS: [(&str, &[&str]); 4] = [
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

/// The bytes that base64 text stands for.
fn decoded_len(text: &str) -> usize {
    let trimmed = text.trim_end_matches('=');
    trimmed.len() / 4 * 3 + (trimmed.len() % 4).saturating_sub(1)
}

/// A config map.
pub(crate) fn config_map(map: &Node, e: &mut Errors) {
    let (data, binary) = (map.get("data"), map.get("binaryData"));
    let mut size = 0usize;
    for (key, value) in data.entries() {
        e.invalid_text(&value, key, rules::data_key(key));
        if binary.get(key).is_set() {
            e.invalid_as(&value, key, "duplicate of key present in binaryData");
        }
        size = size.saturating_add(value.str().len());
    }
    for (key, value) in binary.entries() {
        e.invalid_text(&value, key, rules::data_key(key));
        size = size.saturating_add(decoded_len(value.str()));
    }
    if size > MAX_BYTES {
        e.too_long(map, MAX_BYTES);
    }
}

/// An update of a config map.
pub(crate) fn config_map_update(new: &Node, old: &Node, e: &mut Errors) {
    frozen(new, old, &["data", "binaryData"], e);
}

fn frozen(new: &Node, old: &Node, fields: &[&str], e: &mut Errors) {
    if !old.get("immutable").is_true() {
        return;
    }
    if !new.get("immutable").is_true() {
        e.forbidden(&new.get("immutable"), FROZEN);
    }
    for field in fields {
        if !new.get(field).same(&old.get(field)) {
            e.forbidden(&new.get(field), FROZEN);
        }
    }
}

/// A secret.
pub(crate) fn secret(secret: &Node, e: &mut Errors) {
    let data = secret.get("data");
    let mut size = 0usize;
    for (key, value) in data.entries() {
        e.invalid_text(&value, key, rules::data_key(key));
        size = size.saturating_add(decoded_len(value.str()));
    }
    if size > MAX_BYTES {
        e.too_long(&data, MAX_BYTES);
    }
    let ty = secret.get("type").str();
    match ty {
        "kubernetes.io/service-account-token" => {
            let metadata = secret.get("metadata");
            let annotations = metadata.get("annotations");
            e.require(&annotations.key(ACCOUNT_ANNOTATION), "");
        }
        "kubernetes.io/basic-auth" => {
            let (user, password) = (data.key("username"), data.key("password"));
            if !user.is_set() && !password.is_set() {
                e.required(&user, "");
                e.required(&password, "");
            }
        }
        _ => {}
    }
    let required = REQUIRED_KEYS.iter().find(|(known, _)| *known == ty);
    for key in required.into_iter().flat_map(|(_, keys)| *keys) {
        let entry = data.key(key);
        if !entry.is_set() {
            e.required(&entry, "");
        }
    }
}

/// An update of a secret.
pub(crate) fn secret_update(new: &Node, old: &Node, e: &mut Errors) {
    e.immutable(&new.get("type"), &old.get("type"));
    frozen(new, old, &["data"], e);
}
