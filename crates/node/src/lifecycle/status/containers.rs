//! `containerStatuses` and `initContainerStatuses`.

use serde_json::{Map, Value, json};

use super::{is_backing_off, time};
use crate::lifecycle::{
    Container, Pod, Resources, Role, StartFailure, State, Termination,
    runtime::ImageFailure,
    state::{ContainerState, Image, Run},
};

/// The statuses of the containers of some parts; null if there are none.
pub(super) fn statuses(pod: &Pod, state: &State, roles: &[Role]) -> Value {
    let pairs = pod.spec.containers.iter().zip(&state.containers);
    let statuses: Vec<Value> = pairs
        .enumerate()
        .filter(|(_, (container, _))| roles.contains(&container.role))
        .map(|(index, (container, own))| status(pod, state, index, container, own))
        .collect();
    if statuses.is_empty() {
        Value::Null
    } else {
        Value::Array(statuses)
    }
}

fn status(
    pod: &Pod,
    state: &State,
    index: usize,
    container: &Container,
    own: &ContainerState,
) -> Value {
    let (now, last) = states(pod, state, index, container, own);
    let ready = match (container.role, &own.run) {
        (Role::Init, Run::Exited(end)) => end.code == 0,
        (Role::Init, _) => false,
        (_, Run::Running { .. }) => own.started && own.ready,
        _ => false,
    };
    let mut status = json!({
        "name": &*container.name,
        "image": &*container.image,
        "imageID": "",
        "ready": ready,
        "started": own.started,
        "restartCount": own.attempt,
        "state": now,
        "lastState": last,
    });
    if let Some(status) = status.as_object_mut() {
        if !own.id.is_empty() {
            status.insert("containerID".to_owned(), (&*own.id).into());
        }
        if let Some(allocated) = &own.allocated
            && !allocated.requests.is_empty()
        {
            status.insert(
                "allocatedResources".to_owned(),
                amounts(&allocated.requests),
            );
        }
        if let Some(resources) = own.actual.as_deref().and_then(resources) {
            status.insert("resources".to_owned(), resources);
        }
    }
    status
}

fn amounts(list: &std::collections::BTreeMap<Box<str>, Box<str>>) -> Value {
    list.iter()
        .map(|(name, amount)| (name.to_string(), Value::from(&**amount)))
        .collect::<Map<_, _>>()
        .into()
}

fn resources(resources: &Resources) -> Option<Value> {
    let mut shown = Map::new();
    for (field, list) in [
        ("limits", &resources.limits),
        ("requests", &resources.requests),
    ] {
        if !list.is_empty() {
            shown.insert(field.to_owned(), amounts(list));
        }
    }
    (!shown.is_empty()).then(|| shown.into())
}

/// What a container does now, and how it ended before.
fn states(
    pod: &Pod,
    state: &State,
    index: usize,
    container: &Container,
    own: &ContainerState,
) -> (Value, Value) {
    let last = own.last.as_deref().map_or_else(|| json!({}), terminated);
    if let Run::Running { since } = own.run {
        return (json!({ "running": { "startedAt": time(since) } }), last);
    }
    let ended = match &own.run {
        Run::Exited(end) => Some(terminated(end)),
        _ => None,
    };
    let restarts = state.stopping.is_none();
    if restarts && let Some((reason, message)) = trouble(pod, state, index, container, own) {
        let waiting = json!({ "waiting": { "reason": reason, "message": message } });
        return (waiting, ended.unwrap_or(last));
    }
    if let Some(ended) = ended {
        return (ended, last);
    }
    let has_init = pod.spec.containers.iter().any(|c| c.role != Role::Main);
    let reason = if has_init {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    (json!({ "waiting": { "reason": reason } }), last)
}

/// Why a container that is to run does not.
fn trouble(
    pod: &Pod,
    state: &State,
    index: usize,
    container: &Container,
    own: &ContainerState,
) -> Option<(&'static str, String)> {
    if matches!(own.run, Run::Hooked { .. }) {
        return None;
    }
    if let Image::Failed(failed) = &own.image {
        return Some(match failed.failure {
            ImageFailure::NeverPull => ("ErrImageNeverPull", failed.message.to_string()),
            ImageFailure::InvalidName => ("InvalidImageName", failed.message.to_string()),
            ImageFailure::Pull if failed.failures > 1 => (
                "ImagePullBackOff",
                format!(
                    "Back-off pulling image \"{}\": {}",
                    container.image, failed.message
                ),
            ),
            ImageFailure::Pull => ("ErrImagePull", failed.message.to_string()),
        });
    }
    if let Some(failure) = &own.start_failure {
        let reason = match failure.0 {
            StartFailure::Config => "CreateContainerConfigError",
            StartFailure::Create => "CreateContainerError",
            StartFailure::Run | StartFailure::Cancelled => "RunContainerError",
        };
        return Some((reason, failure.1.to_string()));
    }
    is_backing_off(pod, state, index).then(|| {
        let message = format!(
            "back-off restarting failed container={} pod={}_{}({})",
            container.name, pod.name, pod.namespace, pod.uid
        );
        ("CrashLoopBackOff", message)
    })
}

fn terminated(end: &Termination) -> Value {
    let mut terminated = json!({ "exitCode": end.code, "reason": end.reason() });
    if let Some(fields) = terminated.as_object_mut() {
        // Kubernetes' clients want both times, whatever they say.
        fields.insert(
            "startedAt".to_owned(),
            end.started.map_or(Value::Null, time),
        );
        fields.insert(
            "finishedAt".to_owned(),
            end.finished.map_or(Value::Null, time),
        );
        if let Some(message) = &end.message {
            fields.insert("message".to_owned(), (&**message).into());
        }
        if !end.id.is_empty() {
            fields.insert("containerID".to_owned(), (&*end.id).into());
        }
    }
    json!({ "terminated": terminated })
}
