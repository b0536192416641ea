//! Rows by host that depend on hosts only.

use std::{collections::HashMap, sync::Arc};

use super::Memo;
use crate::{
    bits::Bits,
    cluster::State,
    model::{Effect, Node, NodeAffinity, NodeTerm, Taint, Toleration},
    slab::NodeIndex,
};

/// The domain of a host that does not have the label.
pub(crate) const UNKNOWN: u32 = u32::MAX;
/// The taint that stands for a cordoned host.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// An image below this size is fetched in no time; in bytes, as Kubernetes counts.
const SMALL_IMAGE: f32 = (23u64 << 20) as f32;
/// Beyond this, a container's images count as equally large.
const LARGE_IMAGE: f32 = (1000u64 << 20) as f32;

/// What one set of tolerations makes of each host.
#[derive(Debug, PartialEq)]
pub(crate) struct TolerationRow {
    /// Not cordoned, or that is tolerated.
    pub schedulable: Bits,
    /// No taint keeps pods away that is not tolerated.
    pub tolerated: Bits,
    /// How many taints are not tolerated by which pods should rather stay away.
    pub disliked: Vec<f32>,
    /// On how many hosts there are such taints.
    pub disliking: u32,
}

/// The values that hosts have of one label.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    /// By host: the number of its value.
    domains: Vec<u32>,
    names: Vec<Arc<str>>,
    index: HashMap<Arc<str>, u32>,
    /// How many hosts do not have the label.
    lacking: u32,
}

/// The first taint that keeps away pods with these tolerations.
pub(crate) fn untolerated<'a>(node: &'a Node, tolerations: &[Toleration]) -> Option<&'a Taint> {
    node.taints.iter().find(|taint| {
        taint.effect.keeps_away() && !tolerations.iter().any(|own| own.tolerates(taint))
    })
}

/// Whether a host takes new pods with these tolerations.
pub(crate) fn takes_new_pods(node: &Node, tolerations: &[Toleration]) -> bool {
    !node.unschedulable || {
        let cordon = Taint {
            key: UNSCHEDULABLE.into(),
            value: "".into(),
            effect: Effect::NoSchedule,
        };
        tolerations.iter().any(|own| own.tolerates(&cordon))
    }
}

impl TolerationRow {
    pub(super) fn grow(&mut self, capacity: usize) {
        self.schedulable.grow(capacity);
        self.tolerated.grow(capacity);
        super::grow(&mut self.disliked, capacity);
    }

    pub(super) fn set(&mut self, at: NodeIndex, node: Option<&Node>, tolerations: &[Toleration]) {
        self.schedulable.set(
            at,
            node.is_some_and(|node| takes_new_pods(node, tolerations)),
        );
        self.tolerated.set(
            at,
            node.is_some_and(|node| untolerated(node, tolerations).is_none()),
        );
        let disliked = node.map_or(0, |node| {
            let taints = node
                .taints
                .iter()
                .filter(|taint| !taint.effect.keeps_away());
            taints
                .filter(|taint| !tolerations.iter().any(|own| own.tolerates(taint)))
                .count()
        });
        if let Some(place) = self.disliked.get_mut(at as usize) {
            self.disliking -= u32::from(*place > 0.0);
            *place = disliked.min(1000) as f32;
            self.disliking += u32::from(*place > 0.0);
        }
    }
}

impl Topology {
    /// The number of a host's value, or [`UNKNOWN`].
    pub(crate) fn of(&self, node: NodeIndex) -> u32 {
        self.domains.get(node as usize).copied().unwrap_or(UNKNOWN)
    }

    pub(crate) fn domains(&self) -> &[u32] {
        &self.domains
    }

    /// Whether no host lacks the label.
    pub(crate) fn is_complete(&self) -> bool {
        self.lacking == 0
    }

    /// One more than the highest number of a value.
    pub(crate) fn end(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, domain: u32) -> &str {
        self.names.get(domain as usize).map_or("", |name| name)
    }

    pub(super) fn grow(&mut self, capacity: usize) {
        if self.domains.len() < capacity {
            self.domains.resize(capacity, UNKNOWN);
        }
    }

    /// Counts a host, if it is there.
    pub(super) fn put_in(&mut self, at: NodeIndex, node: Option<&Node>, key: &str) {
        let Some(node) = node else {
            return;
        };
        let Some(value) = node.labels.get(key) else {
            self.lacking += 1;
            return;
        };
        let domain = match self.index.get(value) {
            Some(domain) => *domain,
            None => {
                let domain = self.names.len() as u32;
                let name: Arc<str> = value.into();
                self.names.push(name.clone());
                self.index.insert(name, domain);
                domain
            }
        };
        if let Some(place) = self.domains.get_mut(at as usize) {
            *place = domain;
        }
    }

    /// Counts a host no more, if it was there.
    pub(super) fn take_out(&mut self, at: NodeIndex, node: Option<&Node>) {
        if let Some(place) = self.domains.get_mut(at as usize)
            && node.is_some()
        {
            self.lacking -= u32::from(*place == UNKNOWN);
            *place = UNKNOWN;
        }
    }
}

pub(super) fn set_preference(
    row: &mut [f32],
    at: NodeIndex,
    node: Option<&Node>,
    terms: &[(i32, NodeTerm)],
) {
    let weight = node.map_or(0, |node| {
        let matching = terms.iter().filter(|(_, term)| term.matches(node));
        matching.map(|(weight, _)| i64::from(*weight)).sum()
    });
    if let Some(place) = row.get_mut(at as usize) {
        *place = weight as f32;
    }
}

/// How much of a pod's images each host has, 0 to 100. An image that many hosts have counts for more, so
/// that pods do not all go to the one host that happens to have it.
pub(super) fn images(state: &State, names: &[Box<str>]) -> Vec<f32> {
    let mut row = vec![0.0; state.nodes.capacity()];
    let hosts = state.nodes.len().max(1) as f32;
    let spread: Vec<f32> = names
        .iter()
        .map(|name| state.nodes.hosts_with_image(name) as f32 / hosts)
        .collect();
    if spread.iter().all(|share| *share == 0.0) {
        return row;
    }
    let most = LARGE_IMAGE * names.len().max(1) as f32;
    for (index, _, node) in state.nodes.iter() {
        let sizes = names
            .iter()
            .zip(&spread)
            .filter(|(_, share)| **share > 0.0)
            .map(|(name, share)| {
                let image = node
                    .images
                    .iter()
                    .find(|image| image.names.iter().any(|own| **own == **name));
                image.map_or(0.0, |image| image.size as f32 * share)
            });
        let sum = sizes.sum::<f32>().clamp(SMALL_IMAGE, most);
        if let Some(place) = row.get_mut(index as usize) {
            *place = 100.0 * (sum - SMALL_IMAGE) / (most - SMALL_IMAGE);
        }
    }
    row
}

impl Memo {
    pub(super) fn affinity(&mut self, state: &State, affinity: &Arc<NodeAffinity>) -> u32 {
        if let Some(row) = self.affinities.find(affinity) {
            return row;
        }
        let mut bits = Bits::new(state.nodes.capacity());
        for (index, _, node) in state.nodes.iter() {
            bits.set(index, affinity.matches(node));
        }
        self.bytes += state.nodes.capacity() / 8 + 512;
        self.affinities.push(affinity.clone(), bits)
    }

    pub(super) fn toleration(&mut self, state: &State, tolerations: &Arc<[Toleration]>) -> u32 {
        if let Some(row) = self.tolerations.find(tolerations) {
            return row;
        }
        let capacity = state.nodes.capacity();
        let mut row = TolerationRow {
            schedulable: Bits::new(capacity),
            tolerated: Bits::new(capacity),
            disliked: vec![0.0; capacity],
            disliking: 0,
        };
        for (index, _, node) in state.nodes.iter() {
            row.set(index, Some(node), tolerations);
        }
        self.bytes += capacity * 5 + 512;
        self.tolerations.push(tolerations.clone(), row)
    }

    pub(super) fn preference(&mut self, state: &State, terms: &Arc<[(i32, NodeTerm)]>) -> u32 {
        if let Some(row) = self.preferences.find(terms) {
            return row;
        }
        let mut row = vec![0.0; state.nodes.capacity()];
        for (index, _, node) in state.nodes.iter() {
            set_preference(&mut row, index, Some(node), terms);
        }
        self.bytes += row.len() * 4 + 512;
        self.preferences.push(terms.clone(), row)
    }

    pub(super) fn image(&mut self, state: &State, names: &Arc<[Box<str>]>) -> u32 {
        if let Some(row) = self.images.find(names) {
            return row;
        }
        let row = images(state, names);
        self.bytes += row.len() * 4 + 512;
        self.images.push(names.clone(), row)
    }

    pub(crate) fn topology(&mut self, state: &State, key: &Arc<str>) -> u32 {
        if let Some(row) = self.topologies.find(key) {
            return row;
        }
        let mut topology = Topology::default();
        topology.grow(state.nodes.capacity());
        for (index, _, node) in state.nodes.iter() {
            topology.put_in(index, Some(node), key);
        }
        self.bytes += state.nodes.capacity() * 4 + topology.names.len() * 96 + 512;
        self.topologies.push(key.clone(), topology)
    }
}
