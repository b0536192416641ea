//! Pods leave hosts with taints of the effect `NoExecute` that they do not tolerate, or not for that long.
//!
//! A host's taint, or a pod that comes to such a host, makes one key to look at. Looking at it means to work out
//! anew how long the pod may stay, from the taints as they are at that moment: so a taint that goes away cancels what was
//! planned, and nothing has to be found and taken out of a queue.
//!
//! Why a pod is deleted is said in its status before. On a silent host nobody can end the pod in between, and
//! replacing it is urgent: there it is deleted first, and told after.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::Client;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    caches,
    context::Context,
    ending::{self, How, Why},
    error::Result,
    events::{self, Events},
    informer::{Change, Informer, Key, key_of},
    nodes::UNREACHABLE,
    runner::{self, Next, Queue},
    views::{Endures, NO_EXECUTE, NodeView, PodView, TaintView},
};

/// How many pods are deleted at a time.
const CONCURRENCY: usize = 64;
/// How many pods of silent hosts are told at a time why they were deleted, and how long after that.
const TOLD_CONCURRENCY: usize = 4;
const TOLD_AFTER: Duration = Duration::from_secs(1);

const WHY: Why = Why {
    reason: "DeletionByTaintManager",
    message: "Taint manager: deleting due to NoExecute taint",
};

/// The taints that drive pods away, by host: of those hosts that have any.
type Tainted = HashMap<Arc<str>, Vec<TaintView>>;

/// Since when pods have to leave in some time.
#[derive(Debug, Default)]
struct Leaving(HashMap<Key, Since>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Since {
    uid: Option<String>,
    at: Instant,
}

/// What to do about a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing.
    Stay,
    /// Nothing; it was to leave before.
    Cancel,
    /// Look again after this time.
    Wait(Duration),
    /// It leaves now.
    Leave,
}

impl Leaving {
    /// What to do about a pod that endures what its host is like for so long. The time begins when a pod is
    /// first seen to have to leave, and goes on while the taints change, as in Kubernetes.
    fn step(&mut self, key: &Key, uid: Option<&String>, endures: Endures, now: Instant) -> Step {
        let is_it = |since: &Since| since.uid.as_ref() == uid;
        let Endures::For(time) = endures else {
            let known = self.0.remove(key);
            return if known.as_ref().is_some_and(is_it) {
                Step::Cancel
            } else {
                Step::Stay
            };
        };
        let since = match self.0.get(key) {
            Some(known) if is_it(known) => known.at,
            _ => {
                let at = now;
                let uid = uid.cloned();
                self.0.insert(key.clone(), Since { uid, at });
                at
            }
        };
        match time.checked_sub(now.saturating_duration_since(since)) {
            Some(left) if !left.is_zero() => Step::Wait(left),
            _ => Step::Leave,
        }
    }
}

struct Evictions {
    client: Client,
    pods: Arc<Informer<PodView>>,
    tainted: Arc<Mutex<Tainted>>,
    leaving: Mutex<Leaving>,
    /// Pods that were deleted and have not been told why.
    untold: Queue<Key>,
    events: Events,
}

/// Deletes pods that do not tolerate the taints of their hosts.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<Key>();
    let (untold, to_tell) = runner::queue::<Key>();
    let tainted: Arc<Mutex<Tainted>> = Arc::default();
    let (of_pods, to_queue) = (tainted.clone(), queue.clone());
    caches::follow(&context.pods, move |change| {
        came(change, &of_pods.lock(), &to_queue)
    });
    let (of_nodes, to_queue, index) =
        (tainted.clone(), queue.clone(), context.pods_by_node.clone());
    caches::follow(&context.nodes, move |change| {
        if let Some(node) = take_taints(change, &mut of_nodes.lock()) {
            index
                .on(&node)
                .into_iter()
                .for_each(|pod| to_queue.add(pod));
        }
    });
    let (client, identity) = (context.client.clone(), &context.options.identity);
    let (events, writer) = events::events(client.clone(), "taint-eviction-controller", identity);
    let evictions = Evictions {
        pods: context.pods.clone(),
        leaving: Mutex::default(),
        untold: untold.clone(),
        client,
        tainted,
        events,
    };
    tokio::join!(
        runner::work("taint eviction", CONCURRENCY, &queue, requests, |key| {
            evictions.reconcile(key)
        }),
        runner::work(
            "reasons of taint eviction",
            TOLD_CONCURRENCY,
            &untold,
            to_tell,
            |key| { evictions.tell(key) }
        ),
        writer.run(),
    );
}

/// Takes in the taints of a host; its name, if they changed.
fn take_taints(change: &Change<NodeView>, tainted: &mut Tainted) -> Option<Arc<str>> {
    let name: Arc<str> = change.both().next()?.name().into();
    let node = change.new.as_ref();
    let taints = node.map_or(&[][..], |node| &node.spec.taints);
    let drives_away = |taint: &&TaintView| &*taint.effect == NO_EXECUTE;
    let taints: Vec<TaintView> = taints.iter().filter(drives_away).cloned().collect();
    let old = if taints.is_empty() {
        tainted.remove(&name).unwrap_or_default()
    } else {
        tainted
            .insert(name.clone(), taints.clone())
            .unwrap_or_default()
    };
    (old != taints).then_some(name)
}

/// Adds a pod that came to a host with such taints, or changed what it tolerates there, or went.
fn came(change: &Change<PodView>, tainted: &Tainted, queue: &Queue<Key>) {
    if tainted.is_empty() {
        return;
    }
    let is_tainted = |pod: &PodView| {
        let node = pod.node.as_deref();
        node.is_some_and(|node| tainted.contains_key(node))
    };
    fn bears(pod: &PodView) -> impl PartialEq + '_ {
        (&pod.metadata.uid, &pod.node, &pod.spec.tolerations)
    }
    let bears = |pod| Option::<&Arc<PodView>>::map(pod, |pod| bears(pod));
    if bears(change.old.as_ref()) != bears(change.new.as_ref())
        && let Some(pod) = change.both().find(|pod| is_tainted(pod))
    {
        queue.add(key_of(&pod.metadata));
    }
}

impl Evictions {
    async fn reconcile(&self, key: Key) -> Result<Next> {
        let pod = self.pods.get(&key).filter(|pod| !pod.is_terminating());
        let Some(pod) = pod else {
            self.leaving.lock().0.remove(&key);
            return Ok(Next::Done);
        };
        let (endures, silent) = {
            let tainted = self.tainted.lock();
            let node = pod.node.as_deref();
            let taints = node.and_then(|node| tainted.get(node));
            let is_silent = |taint: &TaintView| &*taint.key == UNREACHABLE;
            let silent = taints.is_some_and(|taints| taints.iter().any(is_silent));
            let endures = taints.map_or(Endures::Always, |taints| {
                pod.spec.tolerations.endure(taints)
            });
            (endures, silent)
        };
        let uid = pod.metadata.uid.as_ref();
        let step = self.leaving.lock().step(&key, uid, endures, Instant::now());
        let about = || events::about("v1", "Pod", &pod.metadata);
        let (namespace, name) = (&key.0, &key.1);
        match step {
            Step::Stay => {}
            Step::Wait(left) => return Ok(Next::After(left)),
            Step::Cancel => {
                let note = format!("Cancelling deletion of Pod {namespace}/{name}");
                self.events
                    .tell(about(), "TaintManagerEviction", "Evicting", note);
            }
            Step::Leave => {
                if silent {
                    ending::delete(&self.client, &key, &pod, How::Gracefully).await?;
                    self.untold.add_after(key.clone(), TOLD_AFTER);
                } else {
                    ending::end(&self.client, &key, &pod, Some(WHY), How::Gracefully).await?;
                }
                self.leaving.lock().0.remove(&key);
                let note = format!("Marking for deletion Pod {namespace}/{name}");
                self.events
                    .tell(about(), "TaintManagerEviction", "Evicting", note);
            }
        }
        Ok(Next::Done)
    }

    /// Says why a pod was deleted that is still there.
    async fn tell(&self, key: Key) -> Result<Next> {
        if let Some(pod) = self.pods.get(&key).filter(|pod| pod.is_terminating()) {
            ending::tell(&self.client, &key, &pod, Some(WHY), How::Gracefully).await?;
        }
        Ok(Next::Done)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_pod_leaves_when_its_time_is_over_however_the_taints_change_meanwhile() {
        let mut leaving = Leaving::default();
        let key: Key = ("default".into(), "p".into());
        let (uid, begin) = ("1".to_owned(), Instant::now());
        let mut step =
            |uid: &String, endures, at| leaving.step(&key, Some(uid), endures, begin + seconds(at));
        let within = |time| Endures::For(seconds(time));
        assert_eq!(step(&uid, Endures::Always, 0), Step::Stay);
        assert_eq!(step(&uid, within(300), 10), Step::Wait(seconds(300)));
        assert_eq!(step(&uid, within(300), 110), Step::Wait(seconds(200)));
        // Another taint leaves it less time, from the same beginning.
        assert_eq!(step(&uid, within(200), 110), Step::Wait(seconds(100)));
        assert_eq!(step(&uid, Endures::Always, 150), Step::Cancel);
        assert_eq!(step(&uid, Endures::Always, 151), Step::Stay);
        assert_eq!(step(&uid, within(10), 200), Step::Wait(seconds(10)));
        // Another pod of the same name has its own time.
        let other = "2".to_owned();
        assert_eq!(step(&other, within(10), 209), Step::Wait(seconds(10)));
        assert_eq!(step(&other, within(10), 219), Step::Leave);
        assert_eq!(step(&other, within(0), 219), Step::Leave);
    }

    #[tokio::test]
    async fn a_pod_that_comes_to_a_tainted_host_is_looked_at() {
        use futures::StreamExt;
        let pod = |node: Option<&str>, tolerations: Value, phase: &str| -> Option<Arc<PodView>> {
            let pod = json!({ "metadata": { "name": "p", "namespace": "d", "uid": "1" },
                "spec": { "nodeName": node, "tolerations": tolerations }, "status": { "phase": phase } });
            Some(Arc::new(serde_json::from_value(pod).unwrap()))
        };
        let taint = json!({ "key": "k", "effect": "NoExecute" });
        let taints: Vec<TaintView> = vec![serde_json::from_value(taint).unwrap()];
        let tainted = Tainted::from([("lost".into(), taints)]);
        let none = || json!([]);
        let all = json!([{ "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 }]);
        for (old, new, expected) in [
            (pod(None, none(), ""), pod(Some("lost"), none(), ""), true),
            (pod(None, none(), ""), pod(Some("well"), none(), ""), false),
            (None, pod(Some("lost"), none(), ""), true),
            (
                pod(Some("lost"), none(), ""),
                pod(Some("lost"), all, ""),
                true,
            ),
            (
                pod(Some("lost"), none(), ""),
                pod(Some("lost"), none(), "Running"),
                false,
            ),
            (pod(Some("lost"), none(), ""), None, true),
        ] {
            let (queue, mut requests) = runner::queue::<Key>();
            let change = Change { old, new };
            came(&change, &tainted, &queue);
            drop(queue);
            assert_eq!(requests.next().await.is_some(), expected, "{change:?}");
        }
    }

    #[test]
    fn only_what_bears_on_taints_is_looked_at() {
        let node = |taints: Value| -> Option<Arc<NodeView>> {
            let node = json!({ "metadata": { "name": "n" }, "spec": { "taints": taints } });
            Some(Arc::new(serde_json::from_value(node).unwrap()))
        };
        let lost = || node(json!([{ "key": "k", "effect": "NoExecute" }]));
        let full = || node(json!([{ "key": "k", "effect": "NoSchedule" }]));
        let mut tainted = Tainted::new();
        let mut changed = |old, new| take_taints(&Change { old, new }, &mut tainted).is_some();
        assert!(!changed(None, full()));
        assert!(changed(full(), lost()));
        assert!(!changed(lost(), lost()));
        assert!(changed(lost(), None));
        assert!(tainted.is_empty());
    }
}
