//! One decision's view.

use std::sync::Arc;

use super::{Memo, Plan, UNKNOWN};
use crate::{
    bits::at_mut,
    cluster::{Role, State},
    filter::VolumeNeeds,
    model::{Class, Pod},
    slab::{NodeIndex, PodIndex, TermIndex},
};

/// How much the required affinity of a placed pod draws others of its kind near, as in Kubernetes.
const NEAR_WEIGHT: f32 = 1.0;

/// Everything that a decision about a pod looks at.
pub(crate) struct Context<'a> {
    pub state: &'a State,
    pub memo: &'a Memo,
    pub pod: &'a Pod,
    /// The pod's own index, if the cluster knows it.
    pub index: Option<PodIndex>,
    pub plan: Arc<Plan>,
    /// Terms by which placed pods keep this one away: by domain, how many do.
    pub blocked: Vec<Foreign<u32>>,
    /// By topology and domain, how much placed pods want this one near.
    pub wanted: Vec<(u32, Vec<f32>)>,
    pub volumes: VolumeNeeds,
}

/// A term of placed pods that matches the pod.
pub(crate) struct Foreign<T> {
    pub term: TermIndex,
    pub topology: u32,
    pub by_domain: Vec<T>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        state: &'a State,
        memo: &'a Memo,
        pod: &'a Pod,
        plan: Arc<Plan>,
        foreign: &[TermIndex],
    ) -> Self {
        let mut context = Self {
            state,
            memo,
            pod,
            index: state.pods.index(&pod.key),
            plan,
            blocked: Vec::new(),
            wanted: Vec::new(),
            volumes: VolumeNeeds::new(state, pod),
        };
        for term in foreign {
            context.add_foreign(*term);
        }
        context
    }

    pub(crate) fn class(&self) -> &'a Class {
        &self.pod.class
    }

    /// Waiting pods, at least as important as this one, for which room is made on a host.
    pub(crate) fn nominated_on(&self, host: &str) -> Vec<PodIndex> {
        let pods = self.state.pods.nominated_on(host).iter().copied();
        pods.filter(|pod| self.respects(*pod)).collect()
    }

    pub(crate) fn respects(&self, nominated: PodIndex) -> bool {
        Some(nominated) != self.index
            && self
                .state
                .pods
                .get(nominated)
                .is_some_and(|entry| entry.pod.priority() >= self.pod.priority())
    }

    fn add_foreign(&mut self, index: TermIndex) {
        let Some(entry) = self.state.terms.get(index) else {
            return;
        };
        let Some(row) = self.memo.topologies.find(&entry.term.topology_key) else {
            return;
        };
        let Some(topology) = self.memo.topologies.get(row) else {
            return;
        };
        let mut blocked: Vec<u32> = Vec::new();
        let mut wanted: Vec<f32> = Vec::new();
        for (class, role) in &entry.owners {
            let Some(owner) = self.state.classes.get(*class) else {
                continue;
            };
            for (node, pods) in owner.staying.iter().chain(owner.leaving.iter()) {
                let domain = topology.of(node);
                if domain == UNKNOWN {
                    continue;
                }
                let weight = match role {
                    Role::Far => {
                        if blocked.is_empty() {
                            blocked.resize(topology.end(), 0);
                        }
                        if let Some(count) = at_mut(&mut blocked, domain) {
                            *count += pods;
                        }
                        continue;
                    }
                    Role::Near => NEAR_WEIGHT,
                    Role::Preferred(weight) => *weight as f32,
                };
                if wanted.is_empty() {
                    wanted.resize(topology.end(), 0.0);
                }
                if let Some(sum) = wanted.get_mut(domain as usize) {
                    *sum += weight * pods as f32;
                }
            }
        }
        if !blocked.is_empty() {
            self.blocked.push(Foreign {
                term: index,
                topology: row,
                by_domain: blocked,
            });
        }
        if !wanted.is_empty() {
            self.wanted.push((row, wanted));
        }
    }

    /// Whether a pod has a term by which it keeps others away.
    pub(crate) fn keeps_away(&self, pod: PodIndex, term: TermIndex) -> u32 {
        let class = self.state.pods.get(pod).map(|entry| entry.class);
        let owners = self
            .state
            .terms
            .get(term)
            .map(|entry| entry.owners.as_slice());
        let owners = owners.unwrap_or_default().iter();
        owners
            .filter(|(owner, role)| Some(*owner) == class && *role == Role::Far)
            .count() as u32
    }

    /// The domain of a host in a topology, or [`UNKNOWN`].
    pub(crate) fn domain(&self, topology: u32, node: NodeIndex) -> u32 {
        self.memo
            .topologies
            .get(topology)
            .map_or(UNKNOWN, |topology| topology.of(node))
    }
}
