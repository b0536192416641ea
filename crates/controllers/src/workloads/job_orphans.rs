//! Pods of jobs that are gone.
//!
//! A job's pods have a finalizer until they are counted. Where the job goes first there is no plan any more that
//! would count them, and they would stay for ever:
//!
//! ```text
//!   job deleted ──▶ its pods are garbage ──▶ deletionTimestamp, but the finalizer holds them ──▶ taken away here
//! ```
//!
//! The same is true of pods whose owner was taken from them.

use std::sync::Arc;

use k8s_openapi::{
    Resource,
    api::{batch::v1::Job, core::v1},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use mosaic_workloads::{Action, Pod, job};

use super::Caches;
use crate::{
    caches::follow,
    context::Context,
    error::{Absent, Result},
    informer::{Key, controller_of, key_of},
    runner::{self, Next},
};

/// How many pods are let go at the same time.
const CONCURRENCY: usize = 16;

/// Whose plans a tracked pod waits for.
#[derive(Debug, PartialEq, Eq)]
enum Waits<'a> {
    /// Nobody's: it is not tracked, or not a job's to track.
    ForNone,
    /// Those of a job, by name and UID.
    For(&'a str, &'a str),
    /// It belongs to nobody, so nobody will ever count it.
    InVain,
}

fn waits(pod: &Pod) -> Waits<'_> {
    if !pod.has_finalizer(job::TRACKING) {
        return Waits::ForNone;
    }
    let Some(owner) = controller_of(&pod.metadata) else {
        return Waits::InVain;
    };
    if owner.kind == Job::KIND && owner.api_version.starts_with("batch/") {
        Waits::For(&owner.name, &owner.uid)
    } else {
        Waits::ForNone
    }
}

/// Lets go of pods of jobs that are gone, for as long as it is polled.
pub(super) async fn run(context: &Context, caches: &Arc<Caches>) {
    let (queue, requests) = runner::queue::<Key>();
    let (known, to) = (caches.clone(), queue.clone());
    follow(&caches.pods, move |change| {
        if let Some(pod) = change.new.as_deref()
            && may_be_orphan(&known, pod)
        {
            to.add(key_of(&pod.metadata));
        }
    });
    let (known, to) = (caches.clone(), queue.clone());
    caches.jobs.listen(move |change| {
        let uid = |job: &Arc<Job>| job.metadata.uid.clone();
        let (old, new) = (
            change.old.as_ref().and_then(uid),
            change.new.as_ref().and_then(uid),
        );
        let namespace = change
            .both()
            .find_map(|job| job.metadata.namespace.as_deref());
        if let Some(gone) = old.filter(|old| Some(old) != new.as_ref()) {
            let pods = known
                .pods
                .controlled_by(namespace.unwrap_or_default(), &gone);
            pods.iter().for_each(|pod| to.add(key_of(&pod.metadata)));
        }
    });
    // A job that is not read yet is not gone.
    caches.ready().await;
    runner::work("job-controller", CONCURRENCY, &queue, requests, |key| {
        release(&context.client, caches, key)
    })
    .await;
}

/// Whether a pod waits for a job that is not in memory.
fn may_be_orphan(caches: &Caches, pod: &Pod) -> bool {
    match waits(pod) {
        Waits::ForNone => false,
        Waits::InVain => true,
        Waits::For(name, uid) => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let job = caches.jobs.get(&(namespace.into(), name.into()));
            job.is_none_or(|job| job.metadata.uid.as_deref() != Some(uid))
        }
    }
}

async fn release(client: &Client, caches: &Caches, key: Key) -> Result<Next> {
    let Some(pod) = caches.pods.get(&key) else {
        return Ok(Next::Done);
    };
    if !may_be_orphan(caches, &pod) {
        return Ok(Next::Done);
    }
    // Pods may be in memory before their job is: what is stored decides.
    if let Waits::For(name, uid) = waits(&pod) {
        let jobs: Api<Job> = Api::namespaced(client.clone(), &key.0);
        let job = jobs.get(name).await.or_absent()?;
        if job.is_some_and(|job| job.metadata.uid.as_deref() == Some(uid)) {
            return Ok(Next::Done);
        }
    }
    let Some(Action::Patch { target, change, .. }) = job::plan_orphan(&pod) else {
        return Ok(Next::Done);
    };
    let pods: Api<v1::Pod> = Api::namespaced(client.clone(), &key.0);
    let patch = Patch::Strategic(change.patch(&target));
    pods.patch(&key.1, &PatchParams::default(), &patch)
        .await
        .or_absent()?;
    Ok(Next::Done)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(finalizer: &str, owner: &Value) -> Pod {
        let metadata = json!({"name": "p", "namespace": "n", "uid": "p",
            "finalizers": [finalizer], "ownerReferences": [owner]});
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[test]
    fn only_what_is_tracked_for_a_job_waits_for_it() {
        let owner = |api_version: &str, kind: &str, controller: bool| {
            json!({"apiVersion": api_version, "kind": kind, "name": "j", "uid": "1",
                "controller": controller})
        };
        let job = owner("batch/v1", "Job", true);
        for (finalizer, owner, expected) in [
            (job::TRACKING, &job, Waits::For("j", "1")),
            ("example.com/other", &job, Waits::ForNone),
            (
                job::TRACKING,
                &owner("batch/v1", "Job", false),
                Waits::InVain,
            ),
            (
                job::TRACKING,
                &owner("example.com/v1", "Job", true),
                Waits::ForNone,
            ),
            (
                job::TRACKING,
                &owner("apps/v1", "ReplicaSet", true),
                Waits::ForNone,
            ),
        ] {
            assert_eq!(waits(&pod(finalizer, owner)), expected, "{owner}");
        }
    }
}
