//! CronJobs.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus};
use mosaic_workloads::{Plan, cron_job};

use super::{Caches, Controller, Look, Workload};
use crate::informer::Informer;

/// CronJobs.
pub(super) struct CronJobs;

impl Workload for CronJobs {
    type Object = CronJob;
    type Status = CronJobStatus;

    const CONTROLLER: &'static str = "cronjob-controller";

    fn objects(caches: &Caches) -> &Arc<Informer<CronJob>> {
        &caches.cron_jobs
    }

    fn listen(controller: &Arc<Controller<Self>>) {
        let this = controller.clone();
        let jobs = &controller.caches.jobs;
        jobs.listen(move |change| this.child_changed(change));
    }

    fn plan(look: &Look<'_, Self>) -> Plan<CronJobStatus> {
        let uid = look.object.metadata.uid.as_deref().unwrap_or_default();
        cron_job::plan(&cron_job::Snapshot {
            cron_job: look.object,
            jobs: &look.caches.jobs.controlled_by(look.namespace(), uid),
            now: look.now,
        })
    }
}
