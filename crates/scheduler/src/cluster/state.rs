//! What is so, and how it changes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    AssumeError,
    classes::Classes,
    nodes::Nodes,
    pods::{Entry, Pods},
    terms::Terms,
    volumes::Volumes,
};
use crate::{
    memo::Memo,
    model::{Budget, Labels, Node, Pod, PodKey},
    slab::{NodeIndex, PodIndex},
};

#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub nodes: Nodes,
    pub pods: Pods,
    pub classes: Classes,
    pub terms: Terms,
    pub namespaces: HashMap<Arc<str>, Labels>,
    pub volumes: Volumes,
    /// By namespace and name.
    pub budgets: BTreeMap<(Arc<str>, Arc<str>), Budget>,
    /// Changes with whatever may let a pod be placed that could not.
    pub version: u64,
}

impl State {
    pub(super) fn upsert_node(&mut self, node: Node, memo: &mut Memo) -> bool {
        let index = self.slot(&node.name, memo);
        let old = self.nodes.node(index).cloned();
        if old.as_deref() == Some(&node) {
            return false;
        }
        self.version += 1;
        memo.detach(self, index);
        self.nodes.set(index, Some(Arc::new(node)));
        memo.attach(self, index, old.as_deref());
        true
    }

    pub(super) fn remove_node(&mut self, name: &str, memo: &mut Memo) {
        let Some(index) = self.nodes.find(name) else {
            return;
        };
        let Some(old) = self.nodes.node(index).cloned() else {
            return;
        };
        self.version += 1;
        memo.detach(self, index);
        self.nodes.set(index, None);
        memo.attach(self, index, Some(&old));
    }

    pub(super) fn upsert_pod(&mut self, mut pod: Pod, memo: &mut Memo) -> bool {
        if pod.ended {
            return self.remove_pod(&pod.key, memo);
        }
        let mut assumed = None;
        if let Some((index, old)) = self.pods.find(&pod.key) {
            let (class, host) = (old.class, old.node);
            let same = old.pod.uid == pod.uid;
            // A version of the object from before it was bound takes nothing back.
            let stays = same && old.assumed && pod.node.is_none();
            if old.pod == pod && (stays || !old.assumed) {
                return false;
            }
            let named = host
                .and_then(|host| self.nodes.slot(host))
                .map(|slot| &slot.name);
            let in_place = same
                && old.pod.class == pod.class
                && old.pod.leaving == pod.leaving
                && old.pod.nominated == pod.nominated
                && (stays || named == pod.node.as_ref());
            if in_place {
                // Whether it serves matters to nobody's place.
                let aside = Pod {
                    ready: pod.ready,
                    movable: pod.movable,
                    ..old.pod.clone()
                };
                let matters = aside != pod || old.assumed != stays;
                let known = self.classes.get(class).map(|entry| entry.class.clone());
                if let Some(entry) = self.pods.get_mut(index) {
                    pod.class = known.unwrap_or(pod.class);
                    entry.pod = pod;
                    entry.assumed = stays;
                }
                return matters;
            }
            assumed = stays.then(|| named.cloned()).flatten();
            self.take_out(index, memo);
        }
        let (class, shared) = self.classes.enter(&pod.class, &mut self.terms);
        pod.class = shared;
        let host = assumed.as_ref().or(pod.node.as_ref()).cloned();
        let index = self.pods.insert(Entry {
            pod,
            class,
            node: None,
            assumed: assumed.is_some(),
        });
        match host {
            Some(host) => {
                let node = self.slot(&host, memo);
                self.place(index, node, memo);
            }
            None => self.nominate(index),
        }
        true
    }

    /// Returns whether there was such a pod.
    pub(super) fn remove_pod(&mut self, key: &PodKey, memo: &mut Memo) -> bool {
        let index = self.pods.index(key);
        if let Some(index) = index {
            self.take_out(index, memo);
        }
        index.is_some()
    }

    pub(super) fn assume(
        &mut self,
        key: &PodKey,
        host: &str,
        memo: &mut Memo,
    ) -> Result<(), AssumeError> {
        let unknown = || AssumeError::UnknownPod(key.clone());
        let (index, entry) = self.pods.find(key).ok_or_else(unknown)?;
        if let Some(slot) = entry.node.and_then(|node| self.nodes.slot(node)) {
            return Err(AssumeError::Placed {
                pod: key.clone(),
                host: slot.name.clone(),
            });
        }
        let node = self
            .nodes
            .find(host)
            .filter(|node| self.nodes.node(*node).is_some());
        let node = node.ok_or_else(|| AssumeError::UnknownHost(host.into()))?;
        self.denominate(index);
        if let Some(entry) = self.pods.get_mut(index) {
            entry.assumed = true;
        }
        self.place(index, node, memo);
        Ok(())
    }

    pub(super) fn forget(&mut self, key: &PodKey, memo: &mut Memo) {
        let Some((index, entry)) = self.pods.find(key) else {
            return;
        };
        if !entry.assumed {
            return;
        }
        self.displace(index, memo);
        if let Some(entry) = self.pods.get_mut(index) {
            entry.assumed = false;
        }
        self.nominate(index);
    }

    /// The disruption budgets that an eviction of a pod counts on now.
    pub(crate) fn budgets_of(&self, pod: &Pod) -> impl Iterator<Item = &Budget> {
        let first: (Arc<str>, Arc<str>) = (pod.namespace().clone(), "".into());
        let namespace = pod.namespace().clone();
        let budgets = self.budgets.range(first..).map(|(_, budget)| budget);
        let (labels, name) = (pod.class.labels.clone(), pod.key.clone());
        budgets
            .take_while(move |budget| budget.namespace == namespace)
            .filter(move |budget| {
                budget.pods.matches(&labels)
                    && !budget.disrupted.iter().any(|known| **known == *name.name())
            })
    }

    /// The place of a host, made if there is none.
    fn slot(&mut self, name: &Arc<str>, memo: &mut Memo) -> NodeIndex {
        let capacity = self.nodes.capacity();
        let index = self.nodes.place(name);
        // Every row is as long as there is room for hosts.
        if self.nodes.capacity() > capacity {
            memo.clear();
        }
        index
    }

    fn nominate(&mut self, index: PodIndex) {
        self.version += u64::from(self.pods.nominate(index));
    }

    fn denominate(&mut self, index: PodIndex) {
        self.version += u64::from(self.pods.denominate(index));
    }

    fn take_out(&mut self, index: PodIndex, memo: &mut Memo) {
        self.displace(index, memo);
        self.denominate(index);
        if let Some(entry) = self.pods.remove(index)
            && self.classes.leave(entry.class, &mut self.terms)
        {
            self.version += 1;
            memo.forget_class(entry.class);
        }
    }

    fn place(&mut self, index: PodIndex, node: NodeIndex, memo: &mut Memo) {
        let Some(entry) = self.pods.get_mut(index) else {
            return;
        };
        entry.node = Some(node);
        self.version += 1;
        let (class, leaving) = (entry.class, entry.pod.leaving);
        self.nodes.add(node, index, &entry.pod);
        self.classes.count(class, node, leaving, true);
        memo.count(self, class, node, leaving, true);
    }

    fn displace(&mut self, index: PodIndex, memo: &mut Memo) {
        let Some(entry) = self.pods.get_mut(index) else {
            return;
        };
        let Some(node) = entry.node.take() else {
            return;
        };
        self.version += 1;
        let (class, leaving) = (entry.class, entry.pod.leaving);
        self.nodes.remove(node, index, &entry.pod);
        self.classes.count(class, node, leaving, false);
        memo.count(self, class, node, leaving, false);
    }

    /// Whether all sums are what the pods say.
    pub(super) fn verify(&self) -> Result<(), String> {
        self.nodes.verify()?;
        let mut fresh = Self::default();
        let mut memo = Memo::default();
        for (_, _, node) in self.nodes.iter() {
            fresh.upsert_node(Node::clone(node), &mut memo);
        }
        for (_, entry) in self.pods.iter() {
            let mut pod = entry.pod.clone();
            let slot = entry.node.and_then(|node| self.nodes.slot(node));
            pod.node = slot.map(|slot| slot.name.clone());
            fresh.upsert_pod(pod, &mut memo);
        }
        if (self.nodes.len(), self.pods.len()) != (fresh.nodes.len(), fresh.pods.len()) {
            return Err("hosts or pods are not as many as there should be".to_owned());
        }
        for (_, slot) in self.nodes.slots() {
            let other = fresh
                .nodes
                .find(&slot.name)
                .and_then(|index| fresh.nodes.slot(index));
            let other = other.ok_or_else(|| format!("{} should not be there", slot.name))?;
            let sorted = |ports: &[crate::model::HostPort]| {
                let mut ports: Vec<String> = ports.iter().map(|port| format!("{port:?}")).collect();
                ports.sort();
                ports
            };
            if slot.requested != other.requested
                || slot.weight != other.weight
                || slot.pods.len() != other.pods.len()
                || sorted(&slot.ports) != sorted(&other.ports)
            {
                return Err(format!(
                    "{} has {slot:?} and should have {other:?}",
                    slot.name
                ));
            }
        }
        for (_, entry) in self.classes.iter() {
            let other = fresh
                .classes
                .find(&entry.class)
                .and_then(|index| fresh.classes.get(index));
            let other = other.ok_or_else(|| format!("a class without a pod: {:?}", entry.class))?;
            let named = |state: &Self, counts: &crate::bits::Counts| -> BTreeMap<Arc<str>, u32> {
                let hosts = counts.iter();
                hosts
                    .filter_map(|(node, count)| Some((state.nodes.slot(node)?.name.clone(), count)))
                    .collect()
            };
            if named(self, &entry.staying) != named(&fresh, &other.staying)
                || named(self, &entry.leaving) != named(&fresh, &other.leaving)
            {
                return Err(format!("{:?} is counted wrong", entry.class));
            }
        }
        if self.classes.iter().count() != fresh.classes.iter().count()
            || self.classes.templates() != fresh.classes.templates()
            || self.terms.iter().count() != fresh.terms.iter().count()
        {
            return Err("there are too many classes, templates or terms, or too few".to_owned());
        }
        let nominated = |state: &Self| -> BTreeMap<Arc<str>, usize> {
            state
                .pods
                .nominated()
                .map(|(host, pods)| (host.clone(), pods.len()))
                .collect()
        };
        if nominated(self) != nominated(&fresh) {
            return Err("nominated pods are counted wrong".to_owned());
        }
        Ok(())
    }
}
