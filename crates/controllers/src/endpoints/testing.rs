//! Services, pods and slices for tests.

use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use serde_json::{Value, json};

use super::{endpoint::Hosts, service::ServiceView, slices::Action};
use crate::views::PodView;

/// A service of pods with the label `app=web`, with this specification beside its selector.
pub(super) fn service(spec: Value) -> ServiceView {
    let mut object = json!({
        "metadata": { "name": "web", "namespace": "default", "uid": "service", "labels": { "team": "a" } },
        "spec": {
            "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "selector": { "app": "web" },
            "ports": [{ "port": 80, "targetPort": 8080 }],
        },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

/// A ready pod, changed by a merge patch.
pub(super) fn pod(number: usize, patch: Value) -> Arc<PodView> {
    let mut object = json!({
        "metadata": { "name": format!("p{number:05}"), "namespace": "default", "uid": format!("u{number}"),
            "labels": { "app": "web" } },
        "spec": { "nodeName": format!("host-{}", number % 4), "containers": [] },
        "status": {
            "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
            "podIPs": [{ "ip": format!("10.1.{}.{}", number / 250, number % 250 + 1) },
                { "ip": format!("fd00::{number:x}") }],
        },
    });
    merge(&mut object, &patch);
    Arc::new(serde_json::from_value(object).unwrap())
}

/// As many pods.
pub(super) fn pods(numbers: impl IntoIterator<Item = usize>) -> Vec<Arc<PodView>> {
    numbers
        .into_iter()
        .map(|number| pod(number, json!({})))
        .collect()
}

/// What makes a pod unready.
pub(super) fn unready() -> Value {
    json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } })
}

fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, patch) => *object = patch.clone(),
    }
}

/// Hosts in two zones, and one in none.
pub(super) fn hosts() -> Hosts {
    let zones = [Some("a"), Some("b"), Some("a"), None];
    let host =
        |(number, zone): (usize, Option<&str>)| (format!("host-{number}"), zone.map(str::to_owned));
    zones.into_iter().enumerate().map(host).collect()
}

/// What there is after these actions.
pub(super) fn carry_out(slices: &[EndpointSlice], actions: &[Action]) -> Vec<EndpointSlice> {
    let mut slices = slices.to_vec();
    let highest = slices.iter().filter_map(|slice| {
        let number = slice.metadata.name.as_deref()?.rsplit('-').next()?;
        number.parse::<u32>().ok()
    });
    let mut next = highest.max().map_or(0, |number| number + 1);
    let mut last_turn = 0;
    for action in actions {
        assert!(
            action.turn() >= last_turn,
            "what grows comes first, what is deleted last"
        );
        last_turn = action.turn();
        match action {
            Action::Create(slice) => {
                let mut slice = slice.clone();
                let prefix = slice.metadata.generate_name.clone().unwrap();
                slice.metadata.name = Some(format!("{prefix}{next:05}"));
                next += 1;
                slices.push(slice);
            }
            Action::Update { slice, .. } => {
                let named = |old: &&mut EndpointSlice| old.metadata.name == slice.metadata.name;
                *slices.iter_mut().find(named).unwrap() = slice.clone();
            }
            Action::Delete(metadata) => slices.retain(|slice| slice.metadata.name != metadata.name),
        }
    }
    slices
}

/// All endpoints.
pub(super) fn endpoints(slices: &[EndpointSlice]) -> Vec<&Endpoint> {
    slices
        .iter()
        .flat_map(|slice| slice.endpoints.iter().flatten())
        .collect()
}
