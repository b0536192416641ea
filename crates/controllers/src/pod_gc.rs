//! Pods that nobody else would ever remove: those of hosts that are gone, those that were to be deleted before they had a
//! host, those of hosts that an administrator has declared out of service, and those that ended long ago when there
//! are very many.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, core::PartialObjectMeta};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    caches::{self, PodsByNode},
    context::Context,
    ending::{self, How, Why},
    error::Result,
    informer::{Change, Informer, Key, key_of},
    runner::{self, Next, Queue},
    views::{NodeView, PodView},
};

/// How many pods are ended at a time.
const CONCURRENCY: usize = 64;
/// How long pods that have ended are gathered before those that are too many are removed.
const GATHER: Duration = Duration::from_secs(1);
/// How long a host has to be gone before its pods are ended: it may be registered anew. Kubernetes' time.
const QUARANTINE: Duration = Duration::from_secs(40);
/// The taint by which an administrator says that a host is off and will not come back with what it ran.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

const NODE_IS_GONE: Why = Why {
    reason: "DeletionByPodGC",
    message: "PodGC: node no longer exists",
};
const NODE_IS_OUT_OF_SERVICE: Why = Why {
    reason: "DeletionByPodGC",
    message: "PodGC: node is out of service",
};

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Work {
    /// A host that is gone.
    Node(Arc<str>),
    /// A pod.
    Pod(Key),
    /// The pods that have ended and are too many.
    Ended,
}

/// Whether there is a host, and in what state, as far as its pods are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    InService,
    OutOfService,
    GoneSince(Instant),
}

impl Host {
    fn of(node: &NodeView) -> Self {
        let mut taints = node.spec.taints.iter();
        let declared = taints.any(|taint| &*taint.key == OUT_OF_SERVICE);
        // As long as a host says that it is well, it can end its pods itself.
        if declared && node.says("Ready") != Some("True") {
            Self::OutOfService
        } else {
            Self::InService
        }
    }
}

/// The pods that have ended, those first that are removed first: evicted ones, then old ones. As in Kubernetes.
#[derive(Debug, Default)]
struct Ended {
    order: BTreeSet<(bool, Option<Timestamp>, Key)>,
    places: HashMap<Key, (bool, Option<Timestamp>)>,
}

impl Ended {
    fn take(&mut self, change: &Change<PodView>) {
        let Some(pod) = change.both().last() else {
            return;
        };
        let key = key_of(&pod.metadata);
        if let Some((evicted, created)) = self.places.remove(&key) {
            self.order.remove(&(evicted, created, key.clone()));
        }
        let ended = change
            .new
            .as_ref()
            .is_some_and(|pod| pod.has_ended() && !pod.is_terminating());
        if ended {
            let evicted = pod.status.reason.as_deref() == Some("Evicted");
            let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
            self.places.insert(key.clone(), (!evicted, created));
            self.order.insert((!evicted, created, key));
        }
    }

    /// Those beyond so many.
    fn excess(&self, kept: usize) -> impl Iterator<Item = &Key> {
        let excess = self.order.len().saturating_sub(kept);
        self.order.iter().take(excess).map(|(_, _, key)| key)
    }
}

/// What listeners share.
#[derive(Default)]
struct Seen {
    hosts: Mutex<HashMap<Arc<str>, Host>>,
    ended: Mutex<Ended>,
}

/// What to do about a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Keep,
    End(Option<Why>),
}

/// What to do about a pod on such a host (none if it has no host).
fn step(pod: &PodView, host: Option<Host>) -> Step {
    match host {
        _ if is_forced(pod) => Step::Keep,
        None if pod.is_terminating() => Step::End(None),
        Some(Host::OutOfService) if pod.is_terminating() => Step::End(Some(NODE_IS_OUT_OF_SERVICE)),
        _ => Step::Keep,
    }
}

/// Whether a pod was ended by force before: it waits for finalizers, and for nothing that could be done here.
fn is_forced(pod: &PodView) -> bool {
    pod.is_terminating() && pod.metadata.deletion_grace_period_seconds == Some(0)
}

struct Collector {
    client: Client,
    pods: Arc<Informer<PodView>>,
    by_node: Arc<PodsByNode>,
    seen: Arc<Seen>,
    kept: usize,
}

/// Removes pods that nobody else removes.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<Work>();
    let kept = match context.options.settings.ended_pods {
        0 => usize::MAX,
        kept => kept,
    };
    let seen: Arc<Seen> = Arc::default();
    let (of_nodes, to_queue, index) = (seen.clone(), queue.clone(), context.pods_by_node.clone());
    caches::follow(&context.nodes, move |change| {
        saw_node(change, &of_nodes, &index, &to_queue);
    });
    // Until all hosts are known, every pod looks like one of a host that is gone.
    context.nodes.ready().await;
    let (of_pods, to_queue) = (seen.clone(), queue.clone());
    caches::follow(&context.pods, move |change| {
        saw_pod(change, &of_pods, kept, &to_queue)
    });
    let collector = Collector {
        client: context.client.clone(),
        pods: context.pods.clone(),
        by_node: context.pods_by_node.clone(),
        seen,
        kept,
    };
    runner::work("pod garbage", CONCURRENCY, &queue, requests, |work| {
        collector.reconcile(work)
    })
    .await;
}

fn saw_node(change: &Change<NodeView>, seen: &Seen, index: &PodsByNode, queue: &Queue<Work>) {
    let Some(node) = change.both().last() else {
        return;
    };
    let name: Arc<str> = node.name().into();
    let host = match &change.new {
        Some(node) => Host::of(node),
        None => Host::GoneSince(Instant::now()),
    };
    let old = seen.hosts.lock().insert(name.clone(), host);
    match host {
        Host::InService => {}
        Host::OutOfService if old == Some(host) => {}
        Host::OutOfService => {
            index
                .on(&name)
                .into_iter()
                .for_each(|pod| queue.add(Work::Pod(pod)));
        }
        Host::GoneSince(_) => queue.add_after(Work::Node(name), QUARANTINE),
    }
}

fn saw_pod(change: &Change<PodView>, seen: &Seen, kept: usize, queue: &Queue<Work>) {
    let has_ended = |pod: &Option<Arc<PodView>>| pod.as_ref().is_some_and(|pod| pod.has_ended());
    if has_ended(&change.old) || has_ended(&change.new) {
        let mut ended = seen.ended.lock();
        ended.take(change);
        if ended.excess(kept).next().is_some() {
            queue.add_after(Work::Ended, GATHER);
        }
    }
    let Some(pod) = &change.new else {
        return;
    };
    match &pod.node {
        None if pod.is_terminating() => queue.add(Work::Pod(key_of(&pod.metadata))),
        None => {}
        Some(node) => {
            let mut hosts = seen.hosts.lock();
            let host = hosts
                .entry(node.clone())
                .or_insert_with(|| Host::GoneSince(Instant::now()));
            match *host {
                Host::InService => {}
                Host::OutOfService if pod.is_terminating() => {
                    queue.add(Work::Pod(key_of(&pod.metadata)));
                }
                Host::OutOfService => {}
                // Of several times the queue keeps the first; whether it is time is worked out then.
                Host::GoneSince(_) => queue.add_after(Work::Node(node.clone()), QUARANTINE),
            }
        }
    }
}

impl Collector {
    async fn reconcile(&self, work: Work) -> Result<Next> {
        match work {
            Work::Node(name) => self.collect_node(name).await,
            Work::Ended => {
                let excess: Vec<Key> = {
                    let ended = self.seen.ended.lock();
                    ended.excess(self.kept).cloned().collect()
                };
                self.end_all(excess, None).await?;
                Ok(Next::Done)
            }
            Work::Pod(key) => {
                let Some(pod) = self.pods.get(&key) else {
                    return Ok(Next::Done);
                };
                let host = pod.node.as_ref();
                let host = host.and_then(|name| self.seen.hosts.lock().get(name).copied());
                let host = if pod.node.is_some() {
                    host.or(Some(Host::InService))
                } else {
                    None
                };
                if let Step::End(why) = step(&pod, host) {
                    tracing::debug!(namespace = &*key.0, pod = &*key.1, ?why, "a pod is removed");
                    ending::end(&self.client, &key, &pod, why, How::ByForce).await?;
                }
                Ok(Next::Done)
            }
        }
    }

    /// Ends the pods of a host that is gone for long enough, if the API says so too.
    async fn collect_node(&self, name: Arc<str>) -> Result<Next> {
        let host = self.seen.hosts.lock().get(&name).copied();
        let Some(Host::GoneSince(since)) = host else {
            return Ok(Next::Done);
        };
        let left = QUARANTINE.saturating_sub(since.elapsed());
        if !left.is_zero() {
            return Ok(Next::After(left));
        }
        let nodes: Api<PartialObjectMeta<Node>> = Api::all(self.client.clone());
        if nodes.get_metadata_opt(&name).await?.is_some() {
            return Ok(Next::After(QUARANTINE));
        }
        let pods = self.by_node.on(&name);
        if !pods.is_empty() {
            tracing::info!(
                node = &*name,
                pods = pods.len(),
                "the pods of a host that is gone are removed"
            );
            self.end_all(pods, Some(NODE_IS_GONE)).await?;
        }
        let mut hosts = self.seen.hosts.lock();
        if !self.by_node.is_empty(&name) {
            return Ok(Next::After(QUARANTINE));
        }
        if hosts.get(&name) == host.as_ref() {
            hosts.remove(&name);
        }
        Ok(Next::Done)
    }

    /// Ends pods, several at a time, except for those that were ended before.
    async fn end_all(&self, pods: Vec<Key>, why: Option<Why>) -> Result<()> {
        let mut ends = stream::iter(pods)
            .map(async |key| match self.pods.get(&key) {
                Some(pod) if !is_forced(&pod) => {
                    ending::end(&self.client, &key, &pod, why, How::ByForce).await
                }
                _ => Ok(()),
            })
            .buffer_unordered(CONCURRENCY);
        let mut failed = Ok(());
        while let Some(ended) = ends.next().await {
            failed = failed.and(ended);
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(value: Value) -> PodView {
        serde_json::from_value(value).unwrap()
    }

    fn ended(name: &str, created: &str, reason: &str) -> Change<PodView> {
        let pod = json!({ "metadata": { "namespace": "d", "name": name, "creationTimestamp": created },
            "status": { "phase": "Failed", "reason": reason } });
        Change {
            old: None,
            new: Some(Arc::new(serde_json::from_value(pod).unwrap())),
        }
    }

    #[test]
    fn of_pods_that_ended_evicted_and_old_ones_go_first() {
        let mut all = Ended::default();
        all.take(&ended("young", "2020-01-03T00:00:00Z", ""));
        all.take(&ended("old", "2020-01-01T00:00:00Z", ""));
        all.take(&ended("evicted", "2020-01-04T00:00:00Z", "Evicted"));
        // Told twice is there once.
        all.take(&ended("old", "2020-01-01T00:00:00Z", ""));
        let names = |kept| {
            all.excess(kept)
                .map(|key| key.1.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(3), [""; 0]);
        assert_eq!(names(1), ["evicted", "old"]);
        assert_eq!(names(0), ["evicted", "old", "young"]);
        let old = ended("old", "2020-01-01T00:00:00Z", "").new;
        all.take(&Change { old, new: None });
        assert_eq!(all.excess(0).count(), 2);
    }

    #[test]
    fn pods_are_ended_where_nobody_else_would() {
        let going = json!({ "metadata": { "deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30 } });
        let mut forced = going.clone();
        forced["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        let (well, off) = (Some(Host::InService), Some(Host::OutOfService));
        let out = Step::End(Some(NODE_IS_OUT_OF_SERVICE));
        for (value, host, expected) in [
            (json!({}), None, Step::Keep),
            (going.clone(), None, Step::End(None)),
            (forced.clone(), None, Step::Keep),
            (going.clone(), well, Step::Keep),
            (going, off, out),
            (forced, off, Step::Keep),
            (json!({}), off, Step::Keep),
        ] {
            assert_eq!(
                step(&pod(value.clone()), host),
                expected,
                "{value} on {host:?}"
            );
        }
    }

    #[test]
    fn a_host_is_out_of_service_when_it_is_declared_so_and_does_not_say_otherwise() {
        let host = |ready: &str, taint: &str| {
            let node = json!({ "spec": { "taints": [{ "key": taint, "effect": "NoExecute" }] },
                "status": { "conditions": [{ "type": "Ready", "status": ready }] } });
            Host::of(&serde_json::from_value(node).unwrap())
        };
        assert_eq!(host("Unknown", OUT_OF_SERVICE), Host::OutOfService);
        assert_eq!(host("True", OUT_OF_SERVICE), Host::InService);
        assert_eq!(host("Unknown", "other"), Host::InService);
    }
}
