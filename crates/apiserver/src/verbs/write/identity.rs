//! Which object is meant, and the metadata that the server alone decides.

use jiff::Timestamp;
use mosaic_api::{Status, meta};
use serde_json::{Value, json};

use crate::verbs::Call;

/// Fills in what the server alone decides about a new object.
pub fn begin(object: &mut Value, now: Timestamp) {
    for gone in [
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
    ] {
        meta::remove(object, gone);
    }
    meta::set(object, "uid", json!(uuid::Uuid::new_v4().to_string()));
    meta::set(
        object,
        "creationTimestamp",
        json!(mosaic_api::time::format(now)),
    );
}

/// Metadata that no update changes.
pub fn keep_system_metadata(new: &mut Value, old: &Value) {
    for key in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "generateName",
    ] {
        match meta::metadata(old).and_then(|metadata| metadata.get(key)) {
            Some(value) => meta::set(new, key, value.clone()),
            None => {
                meta::remove(new, key);
            }
        }
    }
}

pub fn check_identity(call: &Call, new: &Value, old: &Value) -> Result<(), Status> {
    let kind = &call.kind;
    let name = meta::name(new);
    if name != call.path.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.path.name
        )));
    }
    let namespace = meta::namespace(new);
    if kind.namespaced && namespace != call.path.namespace {
        return Err(wrong_namespace(namespace, &call.path.namespace));
    }
    let (asked, is) = (meta::uid(new), meta::uid(old));
    if !asked.is_empty() && asked != is {
        let why =
            format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {is}");
        return Err(Status::conflict(
            &kind.group,
            &kind.plural,
            &call.path.name,
            &why,
        ));
    }
    Ok(())
}

fn wrong_namespace(object: &str, url: &str) -> Status {
    Status::bad_request(format!(
        "the namespace of the provided object does not match the namespace sent on the request ({object:?} is not {url:?})"
    ))
}

/// An object without a name gets that of the path; another name is refused.
pub fn check_name(call: &Call, object: &mut Value) -> Result<(), Status> {
    match meta::name(object) {
        "" => {
            meta::set(object, "name", call.path.name.as_str());
            Ok(())
        }
        name if name == call.path.name => Ok(()),
        name => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.path.name
        ))),
    }
}

/// An object without a namespace gets that of the path; another namespace is refused.
pub fn place_in_namespace(call: &Call, object: &mut Value) -> Result<(), Status> {
    let kind = &call.kind;
    let namespace = meta::namespace(object);
    if kind.namespaced {
        if namespace.is_empty() {
            meta::set(object, "namespace", call.path.namespace.as_str());
        } else if namespace != call.path.namespace {
            return Err(wrong_namespace(namespace, &call.path.namespace));
        }
        return Ok(());
    }
    if !namespace.is_empty() && !kind.is("", "Namespace") {
        return Err(Status::bad_request(format!(
            "namespace {namespace:?} is set on a {}, which lives in no namespace",
            kind.kind
        )));
    }
    meta::remove(object, "namespace");
    Ok(())
}
