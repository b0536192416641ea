//! How many jobs that have ended are kept.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;

use super::{Planner, ended};
use crate::{counts::length, owner};

/// When a job began.
fn began(job: &Job) -> Timestamp {
    let start = job
        .status
        .as_ref()
        .and_then(|status| status.start_time.as_ref());
    start.map_or_else(|| owner::created(&job.metadata), |time| time.0)
}

impl<'a> Planner<'a> {
    /// Deletes the oldest jobs beyond the limits, of which there is one for those that did well and one for those
    /// that failed.
    pub(super) fn forget_old(&mut self) {
        let limits = [
            (true, self.spec.successful_jobs_history_limit.unwrap_or(3)),
            (false, self.spec.failed_jobs_history_limit.unwrap_or(1)),
        ];
        for (successful, limit) in limits {
            let mut old: Vec<&'a Arc<Job>> = self
                .jobs
                .iter()
                .copied()
                .filter(|job| ended(job).is_some_and(|(is_success, _)| is_success == successful))
                .filter(|job| job.metadata.deletion_timestamp.is_none())
                .collect();
            old.sort_by_key(|job| (began(job), owner::name(&job.metadata)));
            let excess = old.len().saturating_sub(length(limit));
            for job in old.into_iter().take(excess) {
                self.delete(job, "beyond the limit of the history");
            }
        }
    }
}
