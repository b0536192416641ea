//! What the planners of workloads read, in memory once for all of them.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::ResourceQuota,
};
use kube::{Api, Client, runtime::watcher};
use mosaic_workloads::{Kind, Node, Pod, stateful_set::Claim};

use crate::{
    informer::{Fence, Informer, Key},
    views::PodView,
};

/// The longest that changes of pods are gathered.
const LONGEST_GATHER: Duration = Duration::from_millis(250);

/// Workloads and what they own.
pub(super) struct Caches {
    /// Those of all controllers, which somebody else keeps up to date.
    pub(super) pods: Arc<Informer<PodView>>,
    pub(super) nodes: Arc<Informer<Node>>,
    pub(super) deployments: Arc<Informer<Deployment>>,
    pub(super) replica_sets: Arc<Informer<ReplicaSet>>,
    pub(super) stateful_sets: Arc<Informer<StatefulSet>>,
    pub(super) daemon_sets: Arc<Informer<DaemonSet>>,
    pub(super) revisions: Arc<Informer<ControllerRevision>>,
    pub(super) claims: Arc<Informer<Claim>>,
    pub(super) jobs: Arc<Informer<Job>>,
    pub(super) cron_jobs: Arc<Informer<CronJob>>,
    /// Plans do not look at them; they say when it is worth to try again what was refused.
    pub(super) quotas: Arc<Informer<ResourceQuota>>,
}

/// Does the same with the informer of a kind that plans write.
macro_rules! of_kind {
    ($caches:expr, $kind:expr, $informer:ident => $what:expr) => {
        match $kind {
            Kind::Pod => {
                let $informer = &$caches.pods;
                $what
            }
            Kind::ReplicaSet => {
                let $informer = &$caches.replica_sets;
                $what
            }
            Kind::Deployment => {
                let $informer = &$caches.deployments;
                $what
            }
            Kind::ControllerRevision => {
                let $informer = &$caches.revisions;
                $what
            }
            Kind::PersistentVolumeClaim => {
                let $informer = &$caches.claims;
                $what
            }
            Kind::Job => {
                let $informer = &$caches.jobs;
                $what
            }
        }
    };
}

impl Caches {
    /// Caches that know nothing until they run, beside the pods.
    pub(super) fn new(pods: Arc<Informer<PodView>>) -> Self {
        Self {
            pods,
            nodes: Informer::new(),
            deployments: Informer::new(),
            replica_sets: Informer::new(),
            stateful_sets: Informer::new(),
            daemon_sets: Informer::new(),
            revisions: Informer::new(),
            claims: Informer::new(),
            jobs: Informer::new(),
            cron_jobs: Informer::new(),
            quotas: Informer::new(),
        }
    }

    /// Keeps them up to date, for as long as it is polled.
    pub(super) async fn run(&self, client: &Client) {
        let config = watcher::Config::default;
        tokio::join!(
            self.nodes.run(Api::all(client.clone()), config()),
            self.deployments.run(Api::all(client.clone()), config()),
            self.replica_sets.run(Api::all(client.clone()), config()),
            self.stateful_sets.run(Api::all(client.clone()), config()),
            self.daemon_sets.run(Api::all(client.clone()), config()),
            self.revisions.run(Api::all(client.clone()), config()),
            self.claims.run(Api::all(client.clone()), config()),
            self.jobs.run(Api::all(client.clone()), config()),
            self.cron_jobs.run(Api::all(client.clone()), config()),
            self.quotas.run(Api::all(client.clone()), config()),
        );
    }

    /// Returns once everything was read for the first time: a plan that misses what is there would make it again.
    pub(super) async fn ready(&self) {
        tokio::join!(
            self.pods.ready(),
            self.nodes.ready(),
            self.deployments.ready(),
            self.replica_sets.ready(),
            self.stateful_sets.ready(),
            self.daemon_sets.ready(),
            self.revisions.ready(),
            self.claims.ready(),
            self.jobs.ready(),
            self.cron_jobs.ready(),
        );
    }

    /// The pods in a namespace that the owner there with this UID controls.
    pub(super) fn pods_of(&self, namespace: &str, uid: &str) -> Vec<Arc<Pod>> {
        planned(self.pods.controlled_by(namespace, uid))
    }

    /// How long changes of the pods of an owner are gathered: the more there are, the dearer is a plan. A set of ten
    /// thousand is looked at ten times a second at most, one of thirty at once.
    pub(super) fn gather_pods(&self, owner: &str) -> Duration {
        let pods = u64::try_from(self.pods.count_controlled_by(owner)).unwrap_or(u64::MAX);
        Duration::from_micros(pods.saturating_mul(10)).min(LONGEST_GATHER)
    }

    /// The fence after a write whose answer had this version; after one without an answer, if there is none.
    pub(super) fn fence(&self, kind: Kind, version: Option<&str>) -> Fence {
        of_kind!(self, kind, informer => match version {
            Some(version) => informer.wrote(version),
            None => informer.may_have_written(),
        })
    }

    /// Returns once what was written before the fence is shown.
    pub(super) async fn reach(&self, kind: Kind, fence: Fence) {
        of_kind!(self, kind, informer => informer.reach(fence).await);
    }

    /// Returns once none of these objects, by key and UID, is shown as one that stays.
    pub(super) async fn left(&self, kind: Kind, objects: &[(Key, String)]) {
        of_kind!(self, kind, informer => informer.left(objects).await);
    }
}

/// What plans look at of pods.
pub(super) fn planned(pods: Vec<Arc<PodView>>) -> Vec<Arc<Pod>> {
    pods.into_iter().map(|pod| pod.planned.clone()).collect()
}
