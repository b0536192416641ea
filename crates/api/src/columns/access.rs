//! The columns of who may do what.

use jiff::Timestamp;
use serde_json::Value;

use super::read::{AGE, NAME, NONE, Spec, age, has, int, list, name, text, text_or};
use crate::time;

pub(super) const BINDING: &[Spec] = &[
    NAME,
    ("Role", "string", 0, "The role that is given."),
    AGE,
    ("Users", "string", 1, "The users it is given to."),
    ("Groups", "string", 1, "The groups it is given to."),
    (
        "ServiceAccounts",
        "string",
        1,
        "The service accounts it is given to.",
    ),
];

pub(super) fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!(
        "{}/{}",
        text(object, "/roleRef/kind"),
        text(object, "/roleRef/name")
    );
    let subjects = |kind: &str| -> Value {
        let names: Vec<String> = list(object, "/subjects")
            .iter()
            .filter(|subject| text(subject, "/kind") == kind)
            .map(|subject| match kind {
                "ServiceAccount" => {
                    format!("{}/{}", text(subject, "/namespace"), text(subject, "/name"))
                }
                _ => text(subject, "/name").to_owned(),
            })
            .collect();
        names.join(", ").into()
    };
    vec![
        name(object),
        role.into(),
        age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

pub(super) const SIGNING_REQUEST: &[Spec] = &[
    NAME,
    AGE,
    ("SignerName", "string", 0, "Who is to sign."),
    ("Requestor", "string", 0, "Who asks."),
    (
        "RequestedDuration",
        "string",
        0,
        "For how long the certificate is to be valid.",
    ),
    ("Condition", "string", 0, "What has become of it."),
];

pub(super) fn signing_request(object: &Value, now: Timestamp) -> Vec<Value> {
    let has_condition = |kind: &str| {
        list(object, "/status/conditions")
            .iter()
            .any(|condition| text(condition, "/type") == kind)
    };
    let mut state = if has_condition("Denied") {
        "Denied"
    } else if has_condition("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has_condition("Failed") {
        state.push_str(",Failed");
    }
    if !text(object, "/status/certificate").is_empty() {
        state.push_str(",Issued");
    }
    let duration = if has(object, "/spec/expirationSeconds") {
        time::human_duration(int(object, "/spec/expirationSeconds"))
    } else {
        NONE.to_owned()
    };
    vec![
        name(object),
        age(object, now),
        text_or(object, "/spec/signerName", NONE).into(),
        text(object, "/spec/username").into(),
        duration.into(),
        state.into(),
    ]
}
