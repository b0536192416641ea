//! The columns of nodes, namespaces, events, and of what configures pods.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::read::{
    AGE, NAME, NONE, Spec, age, age_at, condition, flag, has, int, list, map, name, scalar, text,
    text_or,
};

pub(super) const NAMESPACE: &[Spec] = &[
    NAME,
    ("Status", "string", 0, "The status of the namespace"),
    AGE,
];

pub(super) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/status/phase").into(),
        age(object, now),
    ]
}

pub(super) const NODE: &[Spec] = &[
    NAME,
    ("Status", "string", 0, "The status of the node"),
    ("Roles", "string", 0, "The roles of the node"),
    AGE,
    ("Version", "string", 0, "The version of the node's agent."),
    ("Internal-IP", "string", 1, "The node's address inside."),
    ("External-IP", "string", 1, "The node's address outside."),
    ("OS-Image", "string", 1, "The operating system."),
    ("Kernel-Version", "string", 1, "The kernel."),
    (
        "Container-Runtime",
        "string",
        1,
        "What runs the containers.",
    ),
];

pub(super) fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    const UNKNOWN: &str = "<unknown>";
    let ready = match condition(object, "Ready") {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let status = if flag(object, "/spec/unschedulable") == Some(true) {
        format!("{ready},SchedulingDisabled")
    } else {
        ready.to_owned()
    };
    let address = |kind: &str| -> Value {
        list(object, "/status/addresses")
            .iter()
            .find(|address| text(address, "/type") == kind)
            .map_or(NONE, |address| text(address, "/address"))
            .into()
    };
    let info = |field: &str| text_or(object, &format!("/status/nodeInfo/{field}"), UNKNOWN);
    vec![
        name(object),
        status.into(),
        roles(object).into(),
        age(object, now),
        text(object, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage").into(),
        info("kernelVersion").into(),
        info("containerRuntimeVersion").into(),
    ]
}

fn roles(node: &Value) -> String {
    let mut roles = BTreeSet::new();
    for (key, value) in map(node, "/metadata/labels").into_iter().flatten() {
        let role = match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => role,
            None if key == "kubernetes.io/role" => value.as_str().unwrap_or_default(),
            None => continue,
        };
        if !role.is_empty() {
            roles.insert(role);
        }
    }
    if roles.is_empty() {
        return NONE.to_owned();
    }
    roles.into_iter().collect::<Vec<_>>().join(",")
}

pub(super) const EVENT: &[Spec] = &[
    ("Last Seen", "string", 0, "When it happened last."),
    ("Type", "string", 0, "Normal or Warning."),
    ("Reason", "string", 0, "Why, in one word."),
    ("Object", "string", 0, "What it happened to."),
    ("Subobject", "string", 1, "What part of it."),
    ("Source", "string", 1, "Who says so."),
    ("Message", "string", 0, "What happened."),
    ("First Seen", "string", 1, "When it happened first."),
    ("Count", "string", 1, "How often it happened."),
    ("Name", "string", 1, NAME.3),
];

/// Reads either form of an event: names of the newer one stand in for the older ones'.
pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let either = |core: &'static str, new: &'static str| if has(object, core) { core } else { new };
    let first_at = either("/firstTimestamp", "/deprecatedFirstTimestamp");
    let first = if has(object, first_at) {
        age_at(object, first_at, now)
    } else {
        age_at(object, "/eventTime", now)
    };
    let last_at = either("/lastTimestamp", "/deprecatedLastTimestamp");
    let (last, count) = if has(object, "/series") {
        (
            age_at(object, "/series/lastObservedTime", now),
            int(object, "/series/count"),
        )
    } else {
        let last = if has(object, last_at) {
            age_at(object, last_at, now)
        } else {
            first.clone()
        };
        // An event that says no count happened once.
        let count = int(object, either("/count", "/deprecatedCount")).max(1);
        (last, count)
    };
    let involved = object
        .pointer(either("/involvedObject", "/regarding"))
        .unwrap_or(&Value::Null);
    let kind = text(involved, "/kind").to_lowercase();
    let target = match text(involved, "/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = object
        .pointer(either("/source", "/deprecatedSource"))
        .unwrap_or(&Value::Null);
    let reporter = text(
        object,
        either("/reportingComponent", "/reportingController"),
    );
    let component = text_or(source, "/component", reporter);
    let instance = text_or(source, "/host", text(object, "/reportingInstance"));
    let source = if instance.is_empty() {
        component.to_owned()
    } else {
        format!("{component}, {instance}")
    };
    vec![
        last.into(),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        target.into(),
        text(involved, "/fieldPath").into(),
        source.into(),
        text(object, either("/message", "/note")).trim().into(),
        first.into(),
        count.into(),
        name(object),
    ]
}

pub(super) const SECRET: &[Spec] = &[
    NAME,
    ("Type", "string", 0, "What the secret is for."),
    ("Data", "string", 0, "How many entries it has."),
    AGE,
];

pub(super) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/type").into(),
        size(object, "/data").into(),
        age(object, now),
    ]
}

pub(super) const CONFIG_MAP: &[Spec] =
    &[NAME, ("Data", "string", 0, "How many entries it has."), AGE];

pub(super) fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    let entries = size(object, "/data") + size(object, "/binaryData");
    vec![name(object), entries.into(), age(object, now)]
}

fn size(object: &Value, pointer: &str) -> usize {
    map(object, pointer).map_or(0, serde_json::Map::len)
}

pub(super) const SERVICE_ACCOUNT: &[Spec] = &[
    NAME,
    ("Secrets", "string", 0, "How many secrets it may use."),
    AGE,
];

pub(super) fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    let secrets = list(object, "/secrets").len();
    vec![name(object), secrets.into(), age(object, now)]
}

pub(super) const RESOURCE_QUOTA: &[Spec] = &[
    NAME,
    (
        "Request",
        "string",
        0,
        "What is used, and may be used, of what pods request.",
    ),
    (
        "Limit",
        "string",
        0,
        "What is used, and may be used, of what limits pods.",
    ),
    AGE,
];

pub(super) fn resource_quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut requests = Vec::new();
    let mut limits = Vec::new();
    let used = map(object, "/status/used");
    for (resource, hard) in map(object, "/status/hard").into_iter().flatten() {
        let used = used
            .and_then(|used| used.get(resource))
            .map_or_else(|| "0".to_owned(), |used| scalar(used, "", "0"));
        let text = format!("{resource}: {used}/{}", scalar(hard, "", "0"));
        if resource.starts_with("limits.") {
            limits.push(text);
        } else {
            requests.push(text);
        }
    }
    vec![
        name(object),
        requests.join(", ").into(),
        limits.join(", ").into(),
        age(object, now),
    ]
}

pub(super) const PRIORITY_CLASS: &[Spec] = &[
    NAME,
    ("Value", "integer", 0, "The priority."),
    (
        "Global-Default",
        "boolean",
        0,
        "Whether pods without a class have this one.",
    ),
    AGE,
    (
        "PreemptionPolicy",
        "string",
        0,
        "Whether others make room for its pods.",
    ),
];

pub(super) fn priority_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        int(object, "/value").into(),
        flag(object, "/globalDefault").unwrap_or_default().into(),
        age(object, now),
        text(object, "/preemptionPolicy").into(),
    ]
}

pub(super) const RUNTIME_CLASS: &[Spec] =
    &[NAME, ("Handler", "string", 0, "What runs its pods."), AGE];

pub(super) fn runtime_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/handler").into(),
        age(object, now),
    ]
}

pub(super) const LEASE: &[Spec] = &[NAME, ("Holder", "string", 0, "Who holds it."), AGE];

pub(super) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/spec/holderIdentity").into(),
        age(object, now),
    ]
}
