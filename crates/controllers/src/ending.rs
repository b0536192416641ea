//! Ending pods that did not end by themselves: with a condition that says why, so that jobs can tell this from a
//! failure of their own.

use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};

use crate::{
    error::{Absent, Error, Result},
    informer::Key,
    views::PodView,
};

/// Why a pod is ended: the reason and the message of its condition `DisruptionTarget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Why {
    pub(crate) reason: &'static str,
    pub(crate) message: &'static str,
}

/// How a pod is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Its host is asked to end it, with the pod's own grace period.
    Gracefully,
    /// It is failed and removed: there is nobody to ask.
    ByForce,
}

/// What to change in the status of a pod before it is deleted; nothing if that is told already.
fn status(pod: &PodView, why: Option<Why>, how: How, now: Timestamp) -> Option<Value> {
    let mut status = json!({});
    if let Some(why) = why
        && !pod.has_ended()
        && !pod.status.is_disrupted
    {
        let condition = json!({ "type": "DisruptionTarget", "status": "True", "reason": why.reason,
            "message": why.message, "lastTransitionTime": mosaic_api::time::format(now) });
        merge(&mut status, "conditions", json!([condition]));
    }
    if how == How::ByForce && !pod.has_ended() {
        merge(&mut status, "phase", json!("Failed"));
    }
    status
        .as_object()
        .is_some_and(|status| !status.is_empty())
        .then_some(status)
}

fn merge(status: &mut Value, key: &str, value: Value) {
    if let Some(status) = status.as_object_mut() {
        status.insert(key.to_owned(), value);
    }
}

/// Ends a pod, if it is still this one, and says why before.
pub(crate) async fn end(
    client: &Client,
    key: &Key,
    pod: &PodView,
    why: Option<Why>,
    how: How,
) -> Result<()> {
    if tell(client, key, pod, why, how).await? {
        delete(client, key, pod, how).await?;
    }
    Ok(())
}

/// Says in a pod's status why it ends, if that is not said already. False if the pod is gone.
pub(crate) async fn tell(
    client: &Client,
    key: &Key,
    pod: &PodView,
    why: Option<Why>,
    how: How,
) -> Result<bool> {
    let Some(status) = status(pod, why, how, Timestamp::now()) else {
        return Ok(true);
    };
    let pods: Api<PodView> = Api::namespaced(client.clone(), &key.0);
    let patch = json!({ "metadata": { "uid": pod.metadata.uid }, "status": status });
    let patched = pods
        .patch_status(&key.1, &PatchParams::default(), &Patch::Strategic(patch))
        .await;
    is_there(patched.or_absent())
}

/// Deletes a pod, if it is still this one.
pub(crate) async fn delete(client: &Client, key: &Key, pod: &PodView, how: How) -> Result<()> {
    let pods: Api<PodView> = Api::namespaced(client.clone(), &key.0);
    let preconditions = Preconditions {
        uid: pod.metadata.uid.clone(),
        resource_version: None,
    };
    let params = match how {
        How::Gracefully => DeleteParams::default(),
        How::ByForce => DeleteParams::default().grace_period(0),
    };
    let deleted = pods
        .delete(&key.1, &params.preconditions(preconditions))
        .await;
    is_there(deleted.or_absent())?;
    Ok(())
}

/// Whether the pod is still there; another one of its name is not it.
fn is_there<T>(answer: Result<Option<T>>) -> Result<bool> {
    match answer {
        Ok(answer) => Ok(answer.is_some()),
        Err(error) if is_another(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_another(error: &Error) -> bool {
    let Error::Api(kube::Error::Api(status)) = error else {
        return false;
    };
    status.code == 409 && status.message.contains("UID in precondition")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_why_it_ends_and_failed_only_where_nobody_else_can_end_it() {
        let why = Some(Why {
            reason: "DeletionByTest",
            message: "for a test",
        });
        let pod =
            |value: Value| serde_json::from_value::<PodView>(json!({ "status": value })).unwrap();
        let told = json!({ "conditions": [{ "type": "DisruptionTarget", "status": "True" }] });
        let now = Timestamp::UNIX_EPOCH;
        let running = pod(json!({ "phase": "Running" }));
        let gracefully = status(&running, why, How::Gracefully, now).unwrap();
        assert_eq!(gracefully["conditions"][0]["reason"], "DeletionByTest");
        assert_eq!(gracefully.get("phase"), None);
        assert_eq!(
            status(&running, why, How::ByForce, now).unwrap()["phase"],
            "Failed"
        );
        assert_eq!(status(&pod(told), why, How::Gracefully, now), None);
        let ended = pod(json!({ "phase": "Succeeded" }));
        assert_eq!(status(&ended, why, How::ByForce, now), None);
    }
}
