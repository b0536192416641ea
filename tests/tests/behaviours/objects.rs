//! What tests read from objects, and how they tell single pods how to behave.

use mosaic_tests::{Kubectl, wait_until};
use serde_json::Value;

use crate::{get, until};

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
    !leaves(pod) && is(pod, "Ready")
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

/// Whether a condition of an object is true.
pub fn is(object: &Value, type_: &str) -> bool {
    condition(object, type_)["status"] == "True"
}

/// The names of the objects of a list, in order.
pub fn names(list: &Value) -> Vec<String> {
    let mut names: Vec<_> = items(list).iter().map(|o| name(o).to_owned()).collect();
    names.sort();
    names
}

/// The hosts that the pods of a list are on, in order and each as often as it has pods.
pub fn hosts(pods: &Value) -> Vec<String> {
    let on = items(pods)
        .iter()
        .filter_map(|p| p["spec"]["nodeName"].as_str());
    let mut hosts: Vec<_> = on.map(str::to_owned).collect();
    hosts.sort();
    hosts
}

/// The messages of an object's events of a reason. One that came several times is there as often.
pub fn events(kubectl: &Kubectl, object: &str, reason: &str) -> Vec<String> {
    let selector = format!("involvedObject.name={object},reason={reason}");
    let events = get(kubectl, &format!("events --field-selector {selector}"));
    let told = |event: &Value| {
        let times = event["count"].as_u64().unwrap_or(1).max(1);
        let message = event["message"].as_str().unwrap_or_default().to_owned();
        (0..times).map(move |_| message.clone())
    };
    items(&events).iter().flat_map(told).collect()
}

/// Waits for an event, and returns its message.
pub fn event(kubectl: &Kubectl, object: &str, reason: &str) -> String {
    let mut seen = Vec::new();
    wait_until(&format!("event {reason} of {object}"), || {
        seen = events(kubectl, object, reason);
        !seen.is_empty()
    });
    seen.swap_remove(0)
}

/// Waits until there are so many pods, and returns them.
pub fn pods(kubectl: &Kubectl, selector: &str, count: usize) -> Value {
    let what = format!("pods -l {selector}");
    until(kubectl, &what, |pods| items(pods).len() == count)
}

/// Lets a pod whose template has the scheduling gate `test` run, with these annotations.
pub fn release(kubectl: &Kubectl, pod: &str, annotations: &str) {
    kubectl
        .run(&format!("annotate pod {pod} {annotations}"))
        .ok();
    let patch = r#"[{"op":"remove","path":"/spec/schedulingGates"}]"#;
    kubectl
        .run(&format!("patch pod {pod} --type=json -p '{patch}'"))
        .ok();
}
