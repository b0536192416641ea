//! Pods whose job went before it had counted them. Each has a finalizer that waits for the count, and that nobody else
//! would ever take away.

use std::sync::Arc;

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod as PodObject};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use mosaic_workloads::{Action, Pod, job};

use super::Caches;
use crate::{
    context::Context,
    error::{Absent, Result},
    informer::{Change, Key, controller_of, key_of},
    runner::{self, Next, Queue},
};

/// How many pods are let go at the same time.
const CONCURRENCY: usize = 64;

/// Lets such pods go, for as long as it is polled.
pub(super) async fn run(context: &Context, caches: &Arc<Caches>) {
    let (queue, requests) = runner::queue::<Key>();
    let (known, to_queue) = (caches.clone(), queue.clone());
    caches.pods.listen(move |change| {
        if let Some(pod) = &change.new
            && waits(pod)
            && !is_known(&known, pod)
        {
            to_queue.add(key_of(&pod.metadata));
        }
    });
    let (known, to_queue) = (caches.clone(), queue.clone());
    caches
        .jobs
        .listen(move |change| job_changed(&known, change, &to_queue));
    caches.ready().await;
    runner::work("job orphans", CONCURRENCY, &queue, requests, |key| {
        reconcile(&context.client, caches, key)
    })
    .await;
}

/// Whether a pod waits to be counted.
fn waits(pod: &Pod) -> bool {
    job::plan_orphan(pod).is_some()
}

/// The name and the UID of the job that a pod belongs to.
fn job_of(pod: &Pod) -> Option<(&str, &str)> {
    let owner = controller_of(&pod.metadata)?;
    let is_job = owner.kind == "Job" && owner.api_version.starts_with("batch/");
    is_job.then_some((owner.name.as_str(), owner.uid.as_str()))
}

/// Whether the job of a pod is in memory, as one that will count it.
fn is_known(caches: &Caches, pod: &Pod) -> bool {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    job_of(pod).is_some_and(|(name, uid)| {
        let job = caches.jobs.get(&(namespace.into(), name.into()));
        job.is_some_and(|job| job.metadata.uid.as_deref() == Some(uid))
    })
}

/// The pods of a job that is gone may be orphans now.
fn job_changed(caches: &Caches, change: &Change<Job>, queue: &Queue<Key>) {
    let uid = |job: &Option<Arc<Job>>| job.as_ref().and_then(|job| job.metadata.uid.clone());
    let (Some(old), new) = (uid(&change.old), uid(&change.new)) else {
        return;
    };
    if new.as_ref() == Some(&old) {
        return;
    }
    for pod in caches.pods.controlled_by(&old) {
        if waits(&pod) {
            queue.add(key_of(&pod.metadata));
        }
    }
}

async fn reconcile(client: &Client, caches: &Caches, key: Key) -> Result<Next> {
    let Some(pod) = caches.pods.get(&key) else {
        return Ok(Next::Done);
    };
    let Some(Action::Patch { target, change, .. }) = job::plan_orphan(&pod) else {
        return Ok(Next::Done);
    };
    // Jobs in memory may be older than the pod: the API knows.
    if let Some((name, uid)) = job_of(&pod) {
        let jobs: Api<Job> = Api::namespaced(client.clone(), &key.0);
        let job = jobs.get_metadata(name).await.or_absent()?;
        if job.is_some_and(|job| job.metadata.uid.as_deref() == Some(uid)) {
            return Ok(Next::Done);
        }
    }
    let pods: Api<PodObject> = Api::namespaced(client.clone(), &key.0);
    let patch = Patch::Strategic(change.patch(&target));
    pods.patch_metadata(&target.name, &PatchParams::default(), &patch)
        .await
        .or_absent()?;
    Ok(Next::Done)
}
