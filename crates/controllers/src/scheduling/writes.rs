//! What the scheduler writes: bindings, what it tells of pods that are stuck, and evictions for more
//! important pods.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaim, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use mosaic_scheduler::PodKey;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::error::{Absent, Result};

/// Names the host for which a claim's volume is to be made.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// A pod as writes name it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) key: PodKey,
    pub(super) uid: String,
}

impl Target {
    fn pods(&self, client: &Client) -> Api<Pod> {
        Api::namespaced(client.clone(), self.key.namespace())
    }

    /// What events about the pod are about.
    pub(super) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(self.key.namespace().to_owned()),
            name: Some(self.key.name().to_owned()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

/// Binds a pod to a host. Fails if the pod is another by now, or is bound already.
pub(super) async fn bind(client: &Client, pod: &Target, host: &str) -> Result<()> {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": { "name": pod.key.name(), "namespace": pod.key.namespace(), "uid": pod.uid },
        "target": { "apiVersion": "v1", "kind": "Node", "name": host },
    });
    let parameters = PostParams::default();
    let _: IgnoredAny = pod
        .pods(client)
        .create_subresource("binding", pod.key.name(), &parameters, &binding)
        .await?;
    Ok(())
}

/// Asks for the volume of a claim to be made where a host can reach it.
pub(super) async fn select_node(
    client: &Client,
    namespace: &str,
    claim: &str,
    host: &str,
) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let patch = json!({ "metadata": { "annotations": { SELECTED_NODE: host } } });
    claims
        .patch(claim, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

/// Says in a pod's status why it has no host.
pub(super) async fn tell_stuck(
    client: &Client,
    pod: &Target,
    reason: &str,
    why: &str,
) -> Result<()> {
    let condition = condition("PodScheduled", "False", reason, why);
    patch_status(client, pod, json!({ "conditions": [condition] })).await
}

/// Says in a pod's status on which host room is made for it.
pub(super) async fn nominate(client: &Client, pod: &Target, host: &str) -> Result<()> {
    patch_status(client, pod, json!({ "nominatedNodeName": host })).await
}

/// Deletes a pod so that a more important one has room.
pub(super) async fn evict(client: &Client, victim: &Target, by: &PodKey) -> Result<()> {
    let why = format!("preempted by pod {by}, which has a higher priority");
    let condition = condition("DisruptionTarget", "True", "PreemptionByScheduler", &why);
    patch_status(client, victim, json!({ "conditions": [condition] })).await?;
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(victim.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let deleted = victim
        .pods(client)
        .delete(victim.key.name(), &parameters)
        .await;
    deleted.or_absent()?;
    Ok(())
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": mosaic_api::time::format(Timestamp::now()),
    })
}

/// The pod is not there any more: there is nobody to tell.
async fn patch_status(client: &Client, pod: &Target, status: Value) -> Result<()> {
    let patch = json!({ "metadata": { "uid": pod.uid }, "status": status });
    let patched = pod
        .pods(client)
        .patch_status(
            pod.key.name(),
            &PatchParams::default(),
            &Patch::Strategic(patch),
        )
        .await;
    patched.or_absent()?;
    Ok(())
}
