//! The controllers of workloads: the loops around the planners of `mosaic-workloads`.
//!
//! ```text
//!   watches ──▶ caches ──▶ snapshot ──▶ plan (pure, mosaic-workloads) ──▶ carry out ──▶ API
//!                 │           ▲                                              │
//!                 └ triggers ─┴── not before the last plan's writes ◀── pending
//! ```
//!
//! One loop serves all kinds ([`Controller`]); what differs is which objects a plan is made from ([`Workload`]). An
//! object whose last plan has written something waits until those writes are in memory ([`Pending`]), so that no plan is
//! made from a state without them.

mod caches;
mod carry_out;
mod controller;
mod cron_job;
mod daemon_set;
mod deployment;
mod job;
mod job_orphans;
mod pending;
mod replica_set;
mod rest;
mod stateful_set;
mod triggers;

use std::sync::Arc;

use crate::context::Context;

use caches::Caches;
use controller::{Controller, Look, Workload};
use pending::Pending;

/// Runs the controllers of all kinds of workloads.
pub(crate) async fn run(context: Context) {
    let caches = Arc::new(Caches::new(context.pods.clone()));
    tokio::join!(
        Controller::<deployment::Deployments>::run(&context, &caches),
        Controller::<replica_set::ReplicaSets>::run(&context, &caches),
        Controller::<stateful_set::StatefulSets>::run(&context, &caches),
        Controller::<daemon_set::DaemonSets>::run(&context, &caches),
        Controller::<job::Jobs>::run(&context, &caches),
        job_orphans::run(&context, &caches),
        Controller::<cron_job::CronJobs>::run(&context, &caches),
        caches.run(&context.client),
    );
}
