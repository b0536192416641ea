//! The binding of a pod to a host: one member of its spec, and one condition.
//!
//! Each pod is bound once, thousands of them in a second when a service grows, so it is done to the stored text: of the
//! pod only the outermost members are looked at, and all else is copied. As in Kubernetes, a binding is the
//! server's own write: it owns no fields, and what is admitted is the pod, when it is created.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use mosaic_api::{Status, meta};
use mosaic_store::{Expect, StoreError};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{TRIES, WriteOptions, reread, store_bytes};
use crate::{admission, app::App, codec, error, verbs::Call};

/// The members of an object, sorted by name; what they hold is not parsed.
type Members<'a> = BTreeMap<&'a str, &'a RawValue>;

/// Puts the pod that a call names on a host, as a binding asks that was read and found to be one.
///
/// # Errors
/// 404 if there is no such pod; 409 if it is another one than the binding means, has a host, is held back by
/// gates or is being deleted; 403 for hosts, which bind nothing.
pub async fn bind(
    app: &App,
    call: &Call,
    options: &WriteOptions,
    binding: &Value,
    host: &str,
) -> Result<(), Status> {
    admission::check_binding(app, call, binding)?;
    let kind = &call.kind;
    let key: Arc<str> = call.key().into();
    let mut current = app.cache.get(&key);
    if current.is_none() && !app.store.exclusive() {
        current = reread(app, kind, &key).await?;
    }
    for _ in 0..TRIES {
        let Some(pod) = current else {
            return Err(call.not_found());
        };
        let bound = bound(&pod.wire, binding, host, Timestamp::now())
            .map_err(|refusal| refusal.status(call))?;
        if options.dry_run {
            return Ok(());
        }
        let expect = Expect::At(pod.revision);
        match store_bytes(app, pod.key.clone(), expect, bound).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => current = reread(app, kind, &key).await?,
            Err(other) => return Err(error::from_store(&other)),
        }
    }
    Err(Status::conflict(
        &kind.group,
        &kind.plural,
        &call.path.name,
        "it changes too often; try again",
    ))
}

/// Why a pod is not bound.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// It is being deleted.
    Leaving,
    /// It has this host.
    Bound(String),
    /// It has scheduling gates.
    Gated,
    /// It is another pod of that name: the UID that was asked for, and its own.
    Another(String, String),
    /// It has changed since the revision that was asked for.
    Stale,
    /// An annotation of the binding is no text.
    Annotation(String),
    /// The stored pod cannot be read.
    Unreadable(String),
}

impl Refusal {
    fn status(self, call: &Call) -> Status {
        let name = &call.path.name;
        let binding = |why: String| Status::conflict("", "pods/binding", name, &why);
        match self {
            Self::Leaving => binding(format!(
                "pod {name} is being deleted, cannot be assigned to a host"
            )),
            Self::Bound(host) => {
                binding(format!("pod {name} is already assigned to node {host:?}"))
            }
            Self::Gated => binding(format!("pod {name} has non-empty .spec.schedulingGates")),
            Self::Another(asked, is) => Status::conflict(
                "",
                "pods",
                name,
                &format!(
                    "Precondition failed: UID in precondition: {asked}, UID in object meta: {is}"
                ),
            ),
            Self::Stale => Status::stale("", "pods", name),
            Self::Annotation(key) => {
                Status::bad_request(format!("the annotation {key} of the binding is no string"))
            }
            Self::Unreadable(why) => {
                Status::internal(format!("the stored pod cannot be read: {why}"))
            }
        }
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a RawValue) -> Result<T, Refusal> {
    serde_json::from_str(text.get()).map_err(|error| Refusal::Unreadable(error.to_string()))
}

fn raw(value: &impl serde::Serialize) -> Result<Box<RawValue>, Refusal> {
    serde_json::value::to_raw_value(value).map_err(|error| Refusal::Unreadable(error.to_string()))
}

/// Whether a member is there and says something.
fn is_set(members: &Members<'_>, key: &str) -> bool {
    members.get(key).is_some_and(|value| value.get() != "null")
}

fn text(members: &Members<'_>, key: &str) -> Result<String, Refusal> {
    match members.get(key).filter(|value| value.get() != "null") {
        Some(value) => read(value),
        None => Ok(String::new()),
    }
}

/// The stored form of a pod, given as clients see it, with a host.
fn bound(pod: &[u8], binding: &Value, host: &str, now: Timestamp) -> Result<Bytes, Refusal> {
    let mut members: Members<'_> =
        serde_json::from_slice(pod).map_err(|error| Refusal::Unreadable(error.to_string()))?;
    let part = |key| members.get(key).copied().map_or(Ok(Members::new()), read);
    let mut metadata: Members<'_> = part("metadata")?;
    let mut spec: Members<'_> = part("spec")?;
    let mut status: Members<'_> = part("status")?;

    if is_set(&metadata, "deletionTimestamp") {
        return Err(Refusal::Leaving);
    }
    let on = text(&spec, "nodeName")?;
    if !on.is_empty() {
        return Err(Refusal::Bound(on));
    }
    if let Some(gates) = spec.get("schedulingGates")
        && read::<Option<Vec<&RawValue>>>(gates)?.is_some_and(|gates| !gates.is_empty())
    {
        return Err(Refusal::Gated);
    }
    let (asked, is) = (meta::uid(binding), text(&metadata, "uid")?);
    if !asked.is_empty() && asked != is {
        return Err(Refusal::Another(asked.to_owned(), is));
    }
    let revision = meta::resource_version(binding);
    if !revision.is_empty() && revision != text(&metadata, "resourceVersion")? {
        return Err(Refusal::Stale);
    }

    let annotations = annotated(&metadata, binding)?;
    if let Some(annotations) = &annotations {
        metadata.insert("annotations", annotations);
    }
    // The revision of the write itself takes its place.
    metadata.remove("resourceVersion");
    let host = raw(&host)?;
    spec.insert("nodeName", &host);
    let conditions = scheduled(&status, now)?;
    status.insert("conditions", &conditions);
    // Whoever has a host needs no room made on another.
    status.remove("nominatedNodeName");

    let (metadata, spec, status) = (raw(&metadata)?, raw(&spec)?, raw(&status)?);
    members.insert("metadata", &metadata);
    members.insert("spec", &spec);
    members.insert("status", &status);
    Ok(codec::encode_members(&members))
}

/// The pod's annotations with those of the binding; none if that has none.
fn annotated(metadata: &Members<'_>, binding: &Value) -> Result<Option<Box<RawValue>>, Refusal> {
    let added = binding.pointer("/metadata/annotations");
    let Some(added) = added
        .and_then(Value::as_object)
        .filter(|map| !map.is_empty())
    else {
        return Ok(None);
    };
    let mut all = match metadata.get("annotations") {
        Some(there) => read::<Option<Map<String, Value>>>(there)?.unwrap_or_default(),
        None => Map::new(),
    };
    for (key, value) in added {
        if !value.is_string() {
            return Err(Refusal::Annotation(key.clone()));
        }
        all.insert(key.clone(), value.clone());
    }
    raw(&all).map(Some)
}

/// The pod's conditions, with `PodScheduled` being true since now.
fn scheduled(status: &Members<'_>, now: Timestamp) -> Result<Box<RawValue>, Refusal> {
    #[derive(Deserialize)]
    struct Condition {
        #[serde(rename = "type", default)]
        ty: String,
    }
    let mut conditions = match status.get("conditions") {
        Some(conditions) => read::<Option<Vec<&RawValue>>>(conditions)?.unwrap_or_default(),
        None => Vec::new(),
    };
    // What is no condition is left as it is.
    conditions.retain(|condition| {
        !read::<Condition>(condition).is_ok_and(|condition| condition.ty == "PodScheduled")
    });
    let condition = raw(&json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null,
        "lastTransitionTime": mosaic_api::time::format(now),
    }))?;
    conditions.push(&condition);
    raw(&conditions)
}

#[cfg(test)]
mod tests {
    use mosaic_patch::managed::Ledger;
    use proptest::prelude::*;

    use super::*;

    const REVISION: u64 = 7;

    fn wire(pod: &Value) -> Bytes {
        codec::with_revision(&codec::encode(pod, &Ledger::default()).unwrap(), REVISION)
    }

    fn binding(metadata: Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": { "name": "h" } })
    }

    fn refused(pod: &Value, metadata: Value) -> Refusal {
        bound(&wire(pod), &binding(metadata), "h", Timestamp::UNIX_EPOCH).unwrap_err()
    }

    #[test]
    fn pods_are_bound_only_if_they_may_be() {
        let pod = json!({ "metadata": { "name": "p", "uid": "u" }, "spec": {} });
        let with = |path: &str, value: Value| {
            let mut pod = pod.clone();
            let (part, key) = path.split_once('.').unwrap();
            pod[part][key] = value;
            pod
        };
        let leaving = with("metadata.deletionTimestamp", json!("2026-01-01T00:00:00Z"));
        assert_eq!(refused(&leaving, json!({})), Refusal::Leaving);
        let there = with("spec.nodeName", json!("a"));
        assert_eq!(refused(&there, json!({})), Refusal::Bound("a".to_owned()));
        let gated = with("spec.schedulingGates", json!([{ "name": "g" }]));
        assert_eq!(refused(&gated, json!({})), Refusal::Gated);
        let another = Refusal::Another("v".to_owned(), "u".to_owned());
        assert_eq!(refused(&pod, json!({ "uid": "v" })), another);
        assert_eq!(
            refused(&pod, json!({ "resourceVersion": "6" })),
            Refusal::Stale
        );
        let annotation = Refusal::Annotation("a".to_owned());
        assert_eq!(
            refused(&pod, json!({ "annotations": { "a": 1 } })),
            annotation
        );
        let nominated = json!({ "metadata": { "name": "p", "uid": "u" }, "spec": {},
            "status": { "nominatedNodeName": "a", "phase": "Pending" } });
        let asked = binding(json!({}));
        let written = bound(&wire(&nominated), &asked, "h", Timestamp::UNIX_EPOCH).unwrap();
        let written = String::from_utf8_lossy(&written).into_owned();
        assert!(
            written.contains("Pending") && !written.contains("nominatedNodeName"),
            "{written}"
        );
        for pod in [
            with("spec.schedulingGates", json!([])),
            with("spec.nodeName", json!("")),
            with("metadata.deletionTimestamp", Value::Null),
        ] {
            let asked = binding(json!({ "uid": "u", "resourceVersion": "7" }));
            bound(&wire(&pod), &asked, "h", Timestamp::UNIX_EPOCH).unwrap();
        }
    }

    #[test]
    fn what_is_no_pod_is_not_written() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"metadata":1}"#,
            r#"{"spec":{"nodeName":{}}}"#,
        ] {
            let bound = bound(
                text.as_bytes(),
                &binding(json!({})),
                "h",
                Timestamp::UNIX_EPOCH,
            );
            assert!(matches!(bound, Err(Refusal::Unreadable(_))), "{text}");
        }
    }

    /// The same, done to the parsed pod.
    fn model(pod: &Value, annotations: &Map<String, Value>) -> Value {
        let mut pod = pod.clone();
        for (key, value) in annotations {
            pod["metadata"]["annotations"][key] = value.clone();
        }
        pod["spec"]["nodeName"] = json!("h");
        let conditions = pod["status"]["conditions"].as_array().cloned();
        let mut conditions = conditions.unwrap_or_default();
        conditions.retain(|condition| condition["type"] != "PodScheduled");
        conditions.push(json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null,
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }));
        pod["status"]["conditions"] = json!(conditions);
        pod
    }

    fn conditions() -> impl Strategy<Value = Value> {
        let one = prop_oneof![
            Just(json!({ "type": "PodScheduled", "status": "False", "message": "\"no\"" })),
            Just(json!({ "type": "Ready", "status": "False" })),
            Just(json!({ "type": "x\ty" })),
        ];
        prop_oneof![
            Just(Value::Null),
            prop::collection::vec(one, 0..4).prop_map(Value::from),
        ]
    }

    proptest! {
        /// Nothing but what a binding changes is changed, and the text is what the codec writes.
        #[test]
        fn the_text_is_that_of_the_changed_pod(
            conditions in conditions(),
            value in any::<String>(),
            annotations in prop::collection::btree_map("[a-c]", any::<String>(), 0..3),
            labels in prop::collection::btree_map(any::<String>(), any::<String>(), 0..3),
        ) {
            let annotations: Map<String, Value> =
                annotations.into_iter().map(|(key, value)| (key, value.into())).collect();
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": "p", "uid": "u", "labels": labels, "annotations": { "a": value } },
                "spec": { "containers": [{ "name": "c", "command": [value] }], "priority": 0 },
                "status": { "conditions": conditions, "phase": "Pending" },
            });
            let asked = binding(json!({ "annotations": annotations.clone() }));
            let text = bound(&wire(&pod), &asked, "h", Timestamp::UNIX_EPOCH).unwrap();
            let wanted = codec::encode(&model(&pod, &annotations), &Ledger::default()).unwrap();
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), std::str::from_utf8(&wanted).unwrap());
        }
    }
}
