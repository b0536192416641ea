//! What tests ask of objects.

use serde_json::Value;

/// The objects of a list.
pub fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// An object's name.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// An object's UID.
pub fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// The names of a list's objects, sorted.
pub fn names(list: &Value) -> Vec<&str> {
    let mut names: Vec<_> = items(list).iter().map(name).collect();
    names.sort_unstable();
    names
}

/// The UIDs of a list's objects, sorted.
pub fn uids(list: &Value) -> Vec<&str> {
    let mut uids: Vec<_> = items(list).iter().map(uid).collect();
    uids.sort_unstable();
    uids
}

/// The UID of the owner that controls an object.
pub fn controller(object: &Value) -> Option<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)?["uid"].as_str()
}

/// The image of the first container of a pod, or of a template's.
pub fn image(object: &Value) -> &str {
    let spec = &object["spec"];
    let template = &spec["template"]["spec"];
    let pod = if template.is_null() { spec } else { template };
    pod["containers"][0]["image"].as_str().unwrap_or_default()
}

/// A condition of an object; null if it has none of that type.
pub fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|c| c["type"] == type_));
    found.unwrap_or(&Value::Null)
}

/// Whether an object was asked to go.
pub fn leaves(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Whether a pod is ready and stays.
pub fn is_ready(pod: &Value) -> bool {
    !leaves(pod) && condition(pod, "Ready")["status"] == "True"
}

/// Whether all containers of a pod have ended for good.
pub fn has_ended(pod: &Value) -> bool {
    pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
}

/// Whether a controller has seen an object as it was last written.
pub fn is_observed(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// The number at the end of a pod's name.
pub fn ordinal(pod: &Value) -> Option<usize> {
    name(pod).rsplit('-').next()?.parse().ok()
}
