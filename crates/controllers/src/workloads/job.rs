//! Jobs.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::batch::v1::{Job, JobStatus};
use mosaic_api::LabelSelector;
use mosaic_workloads::{Plan, job, owner};

use super::{Caches, Controller, Look, Workload};
use crate::{caches::follow, informer::Informer};

/// Jobs.
pub(super) struct Jobs;

impl Workload for Jobs {
    type Object = Job;
    type Status = JobStatus;

    const CONTROLLER: &'static str = "job-controller";

    fn objects(caches: &Caches) -> &Arc<Informer<Job>> {
        &caches.jobs
    }

    fn selector(job: &Job) -> Option<LabelSelector> {
        let selector = job.spec.as_ref()?.selector.as_ref()?;
        Some(owner::selector(selector))
    }

    fn gather(caches: &Caches, uid: &str) -> Duration {
        caches.gather_pods(uid)
    }

    fn listen(controller: &Arc<Controller<Self>>) {
        let this = controller.clone();
        let pods = &controller.caches.pods;
        follow(pods, move |change| this.child_changed(change));
    }

    fn plan(look: &Look<'_, Self>) -> Plan<JobStatus> {
        let mut pods = look.pods();
        pods.extend(look.taken_pods());
        job::plan(&job::Snapshot {
            job: look.object,
            pods: &pods,
            now: look.now,
        })
    }
}
