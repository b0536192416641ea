//! Hosts that fall silent, and whose pods have to be replaced.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use http::Method;
use parking_lot::Mutex;

use super::Bench;
use super::cluster::Cluster;
use super::follow::{Change, Watch};
use super::objects::{self, DEPLOYMENTS};
use crate::bench::objects::PODS;
use crate::failure::Failure;

/// What the server puts on a host that it calls dead.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// How many pods a Deployment has.
const REPLICAS: usize = 100;

/// Which pods are where, and what happened since some hosts fell silent.
#[derive(Debug, Default)]
struct Placement {
    /// The host of each pod that is not on its way out; empty if it has none.
    pods: HashMap<Box<str>, Pod>,
    /// The hosts that are to fall silent.
    silent: HashSet<Box<str>>,
    /// When each of them was called dead.
    dead: HashMap<Box<str>, Instant>,
    /// When a pod had to be replaced: one for each that was on a host when that was called dead.
    due: Vec<Instant>,
    /// When a pod that was made since then was placed on a host that lives.
    placed: Vec<Instant>,
    /// Whether what happens counts.
    counts: bool,
}

#[derive(Debug, Default)]
struct Pod {
    host: Box<str>,
    runs: bool,
}

impl Placement {
    fn pod_seen(&mut self, change: &Change<'_>, now: Instant) {
        let object = &change.object;
        let name = &*object.metadata.name;
        if change.kind == "DELETED" || object.metadata.deletion_timestamp.is_some() {
            self.pods.remove(name);
            return;
        }
        let host = &*object.spec.node_name;
        let runs = object.status.phase == "Running";
        let pod = self.pods.entry(name.into()).or_default();
        pod.runs = runs;
        if !host.is_empty() && pod.host.is_empty() {
            pod.host = host.into();
            if self.counts {
                self.placed.push(now);
                if let Some(dead) = self.dead.get(host) {
                    // Who decided had not heard of it yet: it has to be replaced once more.
                    self.due.push(*dead);
                }
            }
        }
    }

    fn node_seen(&mut self, change: &Change<'_>, now: Instant) {
        let object = &change.object;
        let name = &*object.metadata.name;
        let taints = &object.spec.taints;
        if self.silent.contains(name)
            && !self.dead.contains_key(name)
            && taints.iter().any(|taint| taint.key == UNREACHABLE)
        {
            self.dead.insert(name.into(), now);
            let lost = self.pods.values().filter(|pod| &*pod.host == name).count();
            self.due.extend(std::iter::repeat_n(now, lost));
        }
    }

    /// How many of so many pods run on hosts that are not to fall silent.
    fn well(&self) -> usize {
        let well = |pod: &&Pod| pod.runs && !self.silent.contains(&pod.host);
        self.pods.values().filter(well).count()
    }

    /// How many pods have a host that is not to fall silent.
    fn safe(&self) -> usize {
        let safe = |pod: &&Pod| !pod.host.is_empty() && !self.silent.contains(&pod.host);
        self.pods.values().filter(safe).count()
    }
}

/// How long pods had to wait for their replacement, in seconds, the shortest first: whoever has to be
/// replaced first is first.
fn waits(mut due: Vec<Instant>, mut placed: Vec<Instant>) -> Vec<f64> {
    due.sort();
    placed.sort();
    let waits = due.iter().zip(&placed);
    let mut waits: Vec<f64> = waits
        .map(|(due, placed)| placed.saturating_duration_since(*due).as_secs_f64())
        .collect();
    waits.sort_by(f64::total_cmp);
    waits
}

impl Bench {
    /// A tenth of the hosts falls silent.
    pub(super) async fn lost(&mut self) -> Result<(), Failure> {
        let sizes = self.sizes;
        let deployments = sizes.pods.div_ceil(REPLICAS);
        let pods = deployments * REPLICAS;
        self.progress.message("starting a server and hosts");
        let directory = self.directory.path().join("lost");
        let mut cluster = Cluster::start(&directory, sizes).await?;
        let placement = Arc::new(Mutex::new(Placement::default()));
        let follows = placement.clone();
        let mut watch = Watch::open(&cluster.endpoint, PODS, move |change, now| {
            follows.lock().pod_seen(change, now);
        })
        .await?;
        let follows = placement.clone();
        let mut nodes = Watch::open(&cluster.endpoint, "/api/v1/nodes", move |change, now| {
            follows.lock().node_seen(change, now);
        })
        .await?;
        self.progress
            .message(&format!("creating {deployments} Deployments"));
        let mut connection = cluster.endpoint.connect().await?;
        for number in 0..deployments {
            let body = objects::deployment(&format!("lost-{number}"), REPLICAS);
            connection.create(DEPLOYMENTS, body).await?;
        }
        cluster
            .wait("all pods run", || {
                watch.check()?;
                let well = placement.lock().well();
                Ok((well == pods, well))
            })
            .await?;
        tokio::time::sleep(sizes.settle).await;

        let silent: Vec<String> = (1..=sizes.hosts / 10)
            .map(|number| format!("sim-{number}"))
            .collect();
        self.progress
            .message(&format!("{} hosts fall silent", silent.len()));
        {
            let mut placement = placement.lock();
            placement.silent = silent.iter().map(|name| name.as_str().into()).collect();
            placement.counts = true;
        }
        let began = Instant::now();
        let before = cluster.server.cpu()?;
        for name in &silent {
            let path = format!("/api/v1/nodes/{name}");
            let patch = "application/merge-patch+json";
            connection
                .call(Method::PATCH, &path, patch, objects::silence())
                .await?;
        }
        cluster
            .wait("the pods of silent hosts are replaced", || {
                watch.check()?;
                nodes.check()?;
                let placement = placement.lock();
                let all_dead = placement.dead.len() == silent.len();
                let safe = placement.safe();
                Ok((
                    all_dead && safe == pods,
                    placement.dead.len() + placement.placed.len(),
                ))
            })
            .await?;
        let cpu = cluster.server.cpu()?.saturating_sub(before);
        {
            let mut placement = placement.lock();
            let (due, placed) = (
                std::mem::take(&mut placement.due),
                std::mem::take(&mut placement.placed),
            );
            let last_dead = placement.dead.values().max().copied();
            let declared = last_dead.map_or(0.0, |at| at.duration_since(began).as_secs_f64());
            if due.len() != placed.len() {
                let (due, placed) = (due.len(), placed.len());
                return Err(Failure::new(format!(
                    "{due} pods had to be replaced, and {placed} were placed"
                )));
            }
            let replaced = due.len();
            let waits = waits(due, placed);
            let figures = &mut self.figures;
            let at = |share: usize| waits.get(waits.len().saturating_sub(1) * share / 100);
            figures.add(
                "lost_hosts",
                crate::bench::load::as_float(silent.len() as u64),
            );
            figures.add("lost_hosts_declared_seconds", declared);
            figures.add(
                "lost_hosts_pods",
                crate::bench::load::as_float(replaced as u64),
            );
            figures.add(
                "lost_hosts_replaced_p50_seconds",
                at(50).copied().unwrap_or(0.0),
            );
            figures.add(
                "lost_hosts_replaced_seconds",
                at(100).copied().unwrap_or(0.0),
            );
            figures.add("lost_hosts_server_cpu_seconds", cpu.as_secs_f64());
        }
        drop(connection);
        self.progress.step();
        cluster.stop().await
    }
}
