//! What tests read from objects, and how they tell single pods how to behave.

use mosaic_tests::{Kubectl, wait_until};
use serde_json::Value;

use crate::{get, until};

/// The objects of a list.
pub fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// The name of an object.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// What tells an object from a later one of its name.
pub fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
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

/// A condition of an object, whatever its status.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut all = object["status"]["conditions"].as_array()?.iter();
    all.find(|c| c["type"] == kind)
}

/// Whether a condition of an object is true.
pub fn is(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| c["status"] == "True")
}

/// Whether a pod was asked to go.
pub fn is_leaving(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
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
