//! The cluster as changes tell it, and which of the waiting pods each change may help.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use mosaic_scheduler::{Cluster, Event, Pod, PodKey, Profile, could_help};
use tokio::time::Instant;

use super::{
    changes::{Change, Kind, Name, Object},
    queue::Queue,
};

/// More hints than this are as good as one that says that everything may help.
const MAX_HINTS: usize = 64;

/// What happened, kept until the pods that are stuck are looked through.
enum Hint {
    Node(String),
    NodeGone,
    Placed(Pod),
    Removed,
    Volumes,
    Namespace,
}

/// A group of pods: namespace and name.
pub(super) type Group = (String, String);

/// The cluster, and who waits for a host in it.
#[derive(Default)]
pub(super) struct State {
    pub(super) cluster: Cluster,
    pub(super) queue: Queue,
    /// Pods of groups that have no host yet.
    pub(super) groups: BTreeMap<Group, BTreeSet<PodKey>>,
    /// How many pods of each priority have a host.
    placed: BTreeMap<i32, usize>,
    /// Every object that was told of.
    known: HashMap<Kind, HashSet<Name>>,
    /// The objects of a kind that is being listed.
    listing: HashMap<Kind, HashSet<Name>>,
    /// The kinds that were listed once.
    listed: BTreeSet<Kind>,
    hints: Vec<Hint>,
    /// There were too many hints.
    anything: bool,
}

impl State {
    /// Whether all there is was told once: before, nothing is decided.
    pub(super) fn is_complete(&self) -> bool {
        self.listed.len() == Kind::ALL.len()
    }

    /// Takes a change in.
    pub(super) fn take(&mut self, change: Change, now: Instant) {
        match change {
            Change::Listing(kind) => {
                self.listing.insert(kind, HashSet::new());
            }
            Change::Listed(kind) => {
                let listed = self.listing.remove(&kind).unwrap_or_default();
                let known = self.known.entry(kind).or_default();
                let gone: Vec<Name> = known.difference(&listed).cloned().collect();
                for name in gone {
                    self.gone(kind, &name);
                }
                self.listed.insert(kind);
            }
            Change::Seen(kind, name, object) => {
                if let Some(listing) = self.listing.get_mut(&kind) {
                    listing.insert(name.clone());
                }
                self.known.entry(kind).or_default().insert(name.clone());
                self.seen(&name, object, now);
            }
            Change::Gone(kind, name) => self.gone(kind, &name),
        }
    }

    fn seen(&mut self, name: &Name, object: Object, now: Instant) {
        match object {
            Object::Namespace(namespace) => {
                self.cluster.upsert_namespace(namespace);
                self.hint(Hint::Namespace);
            }
            Object::Node(node) => {
                if self.cluster.upsert_node(node) {
                    self.hint(Hint::Node(name.1.clone()));
                }
            }
            Object::Class(class) => {
                self.cluster.upsert_storage_class(class);
                self.hint(Hint::Volumes);
            }
            Object::Volume(volume) => {
                self.cluster.upsert_volume(volume);
                self.hint(Hint::Volumes);
            }
            Object::Claim(claim) => {
                self.cluster.upsert_claim(claim);
                self.hint(Hint::Volumes);
            }
            Object::Budget(budget) => self.cluster.upsert_budget(budget),
            Object::Pod(pod) => self.seen_pod(pod, now),
        }
    }

    fn seen_pod(&mut self, pod: Pod, now: Instant) {
        let key = pod.key.clone();
        let replaced = self.cluster.pod(&key).is_some_and(|old| old.uid != pod.uid);
        if replaced || pod.ended {
            self.gone_pod(&key);
        }
        if pod.ended {
            return;
        }
        let before = self.cluster.pod(&key).cloned();
        self.uncount(&key);
        let matters = self.cluster.upsert_pod(pod.clone());
        self.count(&key);
        let has_host = self.cluster.host_of(&key).is_some();
        if has_host || pod.leaving || !Profile::is_ours(&pod) {
            self.queue.remove(&key);
            self.leave_group(&pod);
            if has_host && matters {
                // What it takes may be less than before, or be about to be given back. That its object has come to say where it
                // is gives nothing back.
                if before.is_some_and(|old| old.node.is_some() || old.class != pod.class) {
                    self.hint(Hint::Removed);
                }
                self.hint(Hint::Placed(pod));
            }
        } else if before.is_none() || matters || before.is_some_and(|old| old.gates != pod.gates) {
            self.join_group(&pod, now);
            self.queue.add(&pod, now);
        }
    }

    fn gone(&mut self, kind: Kind, name: &Name) {
        if let Some(known) = self.known.get_mut(&kind) {
            known.remove(name);
        }
        match kind {
            Kind::Namespace => self.cluster.remove_namespace(&name.1),
            Kind::Node => {
                self.cluster.remove_node(&name.1);
                self.hint(Hint::NodeGone);
            }
            Kind::Class => self.cluster.remove_storage_class(&name.1),
            Kind::Volume => self.cluster.remove_volume(&name.1),
            Kind::Claim => self.cluster.remove_claim(&name.0, &name.1),
            Kind::Budget => self.cluster.remove_budget(&name.0, &name.1),
            Kind::Pod => self.gone_pod(&PodKey::new(&name.0, &name.1)),
        }
    }

    fn gone_pod(&mut self, key: &PodKey) {
        let Some(pod) = self.cluster.pod(key).cloned() else {
            return;
        };
        self.uncount(key);
        self.queue.remove(key);
        self.leave_group(&pod);
        self.cluster.remove_pod(key);
        self.hint(Hint::Removed);
    }

    /// Counts a pod as placed, before its object says so. False if it cannot be.
    pub(super) fn assume(&mut self, key: &PodKey, host: &str) -> bool {
        if let Err(error) = self.cluster.assume(key, host) {
            tracing::warn!(%error, "not placed");
            return false;
        }
        self.count(key);
        if let Some(pod) = self.cluster.pod(key).cloned() {
            self.leave_group(&pod);
            self.no_more_nominated(&pod, host);
            self.hint(Hint::Placed(pod));
        }
        true
    }

    /// Room is kept for a pod on a host.
    pub(super) fn nominate(&mut self, pod: &Pod, host: &Arc<str>) {
        self.no_more_nominated(pod, host);
        self.cluster.upsert_pod(Pod {
            nominated: Some(host.clone()),
            ..pod.clone()
        });
    }

    /// Room that was kept for a pod elsewhere than on this host is there for others.
    fn no_more_nominated(&mut self, pod: &Pod, host: &str) {
        if pod.nominated.as_ref().is_some_and(|kept| **kept != *host) {
            self.hint(Hint::Removed);
        }
    }

    /// Takes back that a pod was placed, and lets it wait for another try.
    pub(super) fn forget(&mut self, key: &PodKey, now: Instant) {
        self.uncount(key);
        self.cluster.forget(key);
        self.count(key);
        let Some(pod) = self.cluster.pod(key).cloned() else {
            return;
        };
        if self.cluster.host_of(key).is_none() {
            self.join_group(&pod, now);
            self.queue.failed(key.clone(), now);
            self.hint(Hint::Removed);
        }
    }

    /// Whether some pod with a host is less important.
    pub(super) fn could_preempt(&self, pod: &Pod) -> bool {
        let lowest = self.placed.first_key_value();
        lowest.is_some_and(|(priority, _)| *priority < pod.priority())
    }

    /// Lets those that are stuck try again, once their back-off is over, if what happened may help them.
    pub(super) fn wake(&mut self, now: Instant) {
        let hints = std::mem::take(&mut self.hints);
        let anything = std::mem::take(&mut self.anything);
        if hints.is_empty() && !anything {
            return;
        }
        let events: Vec<Event<'_>> = hints
            .iter()
            .filter_map(|hint| {
                Some(match hint {
                    Hint::Node(name) => Event::NodeChanged(self.cluster.node(name)?),
                    Hint::NodeGone => Event::NodeRemoved,
                    Hint::Placed(pod) => Event::PodPlaced(pod),
                    Hint::Removed => Event::PodRemoved,
                    Hint::Volumes => Event::VolumesChanged,
                    Hint::Namespace => Event::NamespaceChanged,
                })
            })
            .collect();
        let helped: Vec<Pod> = self
            .queue
            .all_unhelped()
            .filter_map(|(key, why)| Some((self.cluster.pod(key)?, why)))
            .filter(|(pod, why)| anything || events.iter().any(|event| could_help(event, pod, why)))
            .map(|(pod, _)| pod.clone())
            .collect();
        for pod in helped {
            self.queue.add(&pod, now);
        }
    }

    /// Lets those try again whose wait is over.
    pub(super) fn retry(&mut self, now: Instant) {
        for key in self.queue.due(now) {
            if let Some(pod) = self.cluster.pod(&key) {
                self.queue.add(pod, now);
            }
        }
    }

    /// The pods of a group that have no host yet.
    pub(super) fn members(&self, group: &Group) -> Vec<Pod> {
        let keys = self.groups.get(group).into_iter().flatten();
        keys.filter_map(|key| self.cluster.pod(key))
            .cloned()
            .collect()
    }

    fn hint(&mut self, hint: Hint) {
        // Without anybody who is stuck there is nobody to help.
        if !self.queue.is_anything_stuck() || self.anything {
            return;
        }
        if self.hints.len() >= MAX_HINTS {
            self.hints.clear();
            self.anything = true;
            return;
        }
        self.hints.push(hint);
    }

    fn count(&mut self, key: &PodKey) {
        if let (Some(_), Some(pod)) = (self.cluster.host_of(key), self.cluster.pod(key)) {
            *self.placed.entry(pod.priority()).or_insert(0) += 1;
        }
    }

    fn uncount(&mut self, key: &PodKey) {
        let (Some(_), Some(pod)) = (self.cluster.host_of(key), self.cluster.pod(key)) else {
            return;
        };
        let priority = pod.priority();
        if let Some(count) = self.placed.get_mut(&priority) {
            *count -= 1;
            if *count == 0 {
                self.placed.remove(&priority);
            }
        }
    }

    fn join_group(&mut self, pod: &Pod, now: Instant) {
        let Some(group) = group_of(pod) else { return };
        let members = self.groups.entry(group).or_default();
        members.insert(pod.key.clone());
        // With one more, the others' chances are others.
        let others: Vec<PodKey> = members
            .iter()
            .filter(|key| **key != pod.key)
            .cloned()
            .collect();
        for key in others {
            if self.queue.why_stuck(&key).is_some()
                && let Some(other) = self.cluster.pod(&key)
            {
                self.queue.add(other, now);
            }
        }
    }

    fn leave_group(&mut self, pod: &Pod) {
        let Some(group) = group_of(pod) else { return };
        if let Some(members) = self.groups.get_mut(&group) {
            members.remove(&pod.key);
            if members.is_empty() {
                self.groups.remove(&group);
            }
        }
    }
}

/// The group that a pod belongs to.
pub(super) fn group_of(pod: &Pod) -> Option<Group> {
    let group = pod.group.as_ref()?;
    Some((pod.namespace().to_string(), group.name.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mosaic_scheduler::{Decision, decide, model::Node};
    use serde_json::{Value, json};

    use super::*;

    fn node(state: &mut State, name: &str, cpu: u32) {
        let json = json!({ "metadata": { "name": name }, "spec": {},
            "status": { "allocatable": { "cpu": cpu.to_string(), "memory": "8Gi", "pods": "9" } } });
        let node = Node::from_json(json.to_string().as_bytes()).unwrap();
        let name = (String::new(), name.to_owned());
        state.take(
            Change::Seen(Kind::Node, name, Object::Node(node)),
            Instant::now(),
        );
    }

    fn pod(state: &mut State, name: &str, cpu: u32, priority: i32, status: &Value) -> Pod {
        let json = json!({
            "metadata": { "name": name, "namespace": "ns", "uid": name },
            "spec": { "priority": priority, "schedulerName": "default-scheduler", "containers": [
                { "name": "c", "resources": { "requests": { "cpu": cpu.to_string() } } }] },
            "status": status,
        });
        let pod = Pod::from_json(json.to_string().as_bytes()).unwrap();
        let name = ("ns".to_owned(), name.to_owned());
        state.take(
            Change::Seen(Kind::Pod, name, Object::Pod(pod.clone())),
            Instant::now(),
        );
        pod
    }

    #[test]
    fn room_that_was_kept_for_a_pod_that_went_elsewhere_helps_others() {
        let (mut state, now) = (State::default(), Instant::now());
        node(&mut state, "large", 2);
        node(&mut state, "small", 1);
        let kept = json!({ "nominatedNodeName": "large" });
        let nominated = pod(&mut state, "nominated", 1, 10, &kept);
        let large = pod(&mut state, "large", 2, 0, &json!({}));
        state.queue.remove(&nominated.key);
        state.wake(now);
        let Decision::Unschedulable(why) = decide(&state.cluster, &large, Profile::of(&large))
        else {
            panic!("the room is kept");
        };
        state.queue.stuck(large.key.clone(), why, now);
        assert!(state.assume(&nominated.key, "small"));
        state.wake(now + Duration::from_secs(1));
        assert_eq!(state.queue.next(), Some(large.key));
    }
}
