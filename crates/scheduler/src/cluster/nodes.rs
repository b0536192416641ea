//! Hosts, and what is free on them.

use std::{collections::HashMap, sync::Arc};

use mosaic_api::peak::Amounts as _;

use crate::{
    bits::Bits,
    model::{Amounts, HostPort, Image, Node, Pod},
    slab::{NodeIndex, PodIndex},
};

/// Hosts of one block: as many as a word of [`Bits`] has.
pub(crate) const LANES: usize = 64;
/// What is free on a host that is not there.
const NOTHING: i64 = i64::MIN;

/// Numbers of 64 hosts, each kind beside each other, so that one instruction handles several hosts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    pub free_cpu: [i64; LANES],
    pub free_memory: [i64; LANES],
    pub free_ephemeral: [i64; LANES],
    pub free_pods: [i64; LANES],
    /// One divided by what is allocatable; nothing of it counts as full.
    pub cpu_inverse: [f32; LANES],
    pub memory_inverse: [f32; LANES],
    /// The share that is requested.
    pub cpu_used: [f32; LANES],
    pub memory_used: [f32; LANES],
    /// The share that is taken, where pods that request nothing count for something.
    pub cpu_weight: [f32; LANES],
    pub memory_weight: [f32; LANES],
}

impl Default for Block {
    fn default() -> Self {
        Self {
            free_cpu: [NOTHING; LANES],
            free_memory: [NOTHING; LANES],
            free_ephemeral: [NOTHING; LANES],
            free_pods: [NOTHING; LANES],
            cpu_inverse: [0.0; LANES],
            memory_inverse: [0.0; LANES],
            cpu_used: [1.0; LANES],
            memory_used: [1.0; LANES],
            cpu_weight: [1.0; LANES],
            memory_weight: [1.0; LANES],
        }
    }
}

/// A place for a host. It exists as long as there is the host or a pod that names it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    pub name: Arc<str>,
    pub node: Option<Arc<Node>>,
    pub pods: Vec<PodIndex>,
    pub requested: Amounts,
    pub weight: (i64, i64),
    pub ports: Vec<HostPort>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes {
    slots: Vec<Option<Slot>>,
    free: Vec<NodeIndex>,
    index: HashMap<Arc<str>, NodeIndex>,
    blocks: Vec<Block>,
    /// The hosts that are there.
    present: Bits,
    count: usize,
    /// The hosts that have each image, sorted, and its size there in bytes.
    images: HashMap<Arc<str>, Vec<(NodeIndex, i64)>>,
}

impl Nodes {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// One more than the highest index that fits, a multiple of [`LANES`].
    pub(crate) fn capacity(&self) -> usize {
        self.blocks.len() * LANES
    }

    pub(crate) fn present(&self) -> &Bits {
        &self.present
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(crate) fn find(&self, name: &str) -> Option<NodeIndex> {
        self.index.get(name).copied()
    }

    pub(crate) fn slot(&self, index: NodeIndex) -> Option<&Slot> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub(crate) fn node(&self, index: NodeIndex) -> Option<&Arc<Node>> {
        self.slot(index)?.node.as_ref()
    }

    /// Hosts that are there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeIndex, &Slot, &Arc<Node>)> {
        let slots = (0u32..).zip(&self.slots);
        slots.filter_map(|(index, slot)| {
            let slot = slot.as_ref()?;
            Some((index, slot, slot.node.as_ref()?))
        })
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = (NodeIndex, &Slot)> {
        let slots = (0u32..).zip(&self.slots);
        slots.filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }

    /// The hosts that have an image, and its size there in bytes.
    pub(crate) fn hosts_with_image(&self, name: &str) -> &[(NodeIndex, i64)] {
        self.images.get(name).map_or(&[], Vec::as_slice)
    }

    /// The place of a host of this name, made if there is none.
    pub(super) fn place(&mut self, name: &Arc<str>) -> NodeIndex {
        if let Some(index) = self.find(name) {
            return index;
        }
        let slot = Slot {
            name: name.clone(),
            node: None,
            pods: Vec::new(),
            requested: Amounts::default(),
            weight: (0, 0),
            ports: Vec::new(),
        };
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(None);
                self.slots.len() as u32 - 1
            }
        };
        if let Some(place) = self.slots.get_mut(index as usize) {
            *place = Some(slot);
        }
        self.index.insert(name.clone(), index);
        if self.slots.len() > self.capacity() {
            self.blocks.push(Block::default());
            self.present.grow(self.blocks.len() * LANES);
        }
        index
    }

    /// Puts a host into its place, or takes it out.
    pub(super) fn set(&mut self, index: NodeIndex, node: Option<Arc<Node>>) {
        let Some(Some(slot)) = self.slots.get_mut(index as usize) else {
            return;
        };
        let old = std::mem::replace(&mut slot.node, node);
        let new = slot.node.clone();
        if images(old.as_deref()) != images(new.as_deref()) {
            self.forget_images(index, images(old.as_deref()));
            self.note_images(index, images(new.as_deref()));
        }
        self.count = self.count + usize::from(new.is_some()) - usize::from(old.is_some());
        self.present.set(index, new.is_some());
        self.refresh(index);
        self.release(index);
    }

    fn forget_images(&mut self, index: NodeIndex, images: &[Image]) {
        for name in images.iter().flat_map(|image| &image.names) {
            let Some(hosts) = self.images.get_mut(name) else {
                continue;
            };
            if let Ok(at) = hosts.binary_search_by_key(&index, |(host, _)| *host) {
                hosts.remove(at);
            }
            if hosts.is_empty() {
                self.images.remove(name);
            }
        }
    }

    fn note_images(&mut self, index: NodeIndex, images: &[Image]) {
        for image in images {
            for name in &image.names {
                let hosts = self.images.entry(name.clone()).or_default();
                if let Err(at) = hosts.binary_search_by_key(&index, |(host, _)| *host) {
                    hosts.insert(at, (index, image.size));
                }
            }
        }
    }

    pub(super) fn add(&mut self, index: NodeIndex, id: PodIndex, pod: &Pod) {
        let Some(Some(slot)) = self.slots.get_mut(index as usize) else {
            return;
        };
        let template = &pod.class.template;
        slot.pods.push(id);
        slot.requested.add(&template.requests);
        slot.weight.0 = slot.weight.0.wrapping_add(template.weight.0);
        slot.weight.1 = slot.weight.1.wrapping_add(template.weight.1);
        slot.ports.extend(template.ports.iter().cloned());
        self.refresh(index);
    }

    pub(super) fn remove(&mut self, index: NodeIndex, id: PodIndex, pod: &Pod) {
        let Some(Some(slot)) = self.slots.get_mut(index as usize) else {
            return;
        };
        let template = &pod.class.template;
        if let Some(at) = slot.pods.iter().position(|known| *known == id) {
            slot.pods.swap_remove(at);
        }
        slot.requested.sub(&template.requests);
        slot.weight.0 = slot.weight.0.wrapping_sub(template.weight.0);
        slot.weight.1 = slot.weight.1.wrapping_sub(template.weight.1);
        for port in &template.ports {
            if let Some(at) = slot.ports.iter().position(|known| known == port) {
                slot.ports.swap_remove(at);
            }
        }
        self.refresh(index);
        self.release(index);
    }

    /// Gives a place back that nobody names any more.
    fn release(&mut self, index: NodeIndex) {
        let Some(place) = self.slots.get_mut(index as usize) else {
            return;
        };
        if place
            .as_ref()
            .is_some_and(|slot| slot.node.is_none() && slot.pods.is_empty())
            && let Some(slot) = place.take()
        {
            self.index.remove(&slot.name);
            self.free.push(index);
        }
    }

    fn refresh(&mut self, index: NodeIndex) {
        let Some(Some(slot)) = self.slots.get(index as usize) else {
            return;
        };
        let lane = index as usize % LANES;
        if let Some(block) = self.blocks.get_mut(index as usize / LANES) {
            fill(block, lane, slot);
        }
    }

    /// Whether the blocks are what the places say.
    pub(super) fn verify(&self) -> Result<(), String> {
        let mut blocks = vec![Block::default(); self.blocks.len()];
        for (index, slot) in self.slots() {
            if let Some(block) = blocks.get_mut(index as usize / LANES) {
                fill(block, index as usize % LANES, slot);
            }
        }
        for (index, (block, expected)) in self.blocks.iter().zip(&blocks).enumerate() {
            if block != expected {
                return Err(format!("block {index} is {block:?} and not {expected:?}"));
            }
        }
        Ok(())
    }
}

pub(crate) fn images(node: Option<&Node>) -> &[Image] {
    node.map_or(&[], |node| &node.images)
}

impl Slot {
    /// How much of a resource other than processor, memory and local disk is free.
    pub(crate) fn free_extended(&self, name: &str) -> i64 {
        let have = self
            .node
            .as_ref()
            .map_or(0, |node| node.allocatable.extended(name));
        have.wrapping_sub(self.requested.extended(name))
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "a lane is a remainder of the arrays' length"
)]
#[expect(
    clippy::cast_precision_loss,
    reason = "shares are compared, never summed up"
)]
fn fill(block: &mut Block, lane: usize, slot: &Slot) {
    let lane = lane % LANES;
    let Some(node) = &slot.node else {
        block.free_cpu[lane] = NOTHING;
        block.free_memory[lane] = NOTHING;
        block.free_ephemeral[lane] = NOTHING;
        block.free_pods[lane] = NOTHING;
        block.cpu_inverse[lane] = 0.0;
        block.memory_inverse[lane] = 0.0;
        block.cpu_used[lane] = 1.0;
        block.memory_used[lane] = 1.0;
        block.cpu_weight[lane] = 1.0;
        block.memory_weight[lane] = 1.0;
        return;
    };
    let have = &node.allocatable;
    let used = &slot.requested;
    block.free_cpu[lane] = have.cpu_millis.wrapping_sub(used.cpu_millis);
    block.free_memory[lane] = have.memory.wrapping_sub(used.memory);
    block.free_ephemeral[lane] = have.ephemeral.wrapping_sub(used.ephemeral);
    block.free_pods[lane] = node.pods.saturating_sub_unsigned(slot.pods.len() as u64);
    let inverse = |have: i64| if have > 0 { 1.0 / have as f32 } else { 0.0 };
    let share = |used: i64, have: i64| {
        if have > 0 {
            used as f32 / have as f32
        } else {
            1.0
        }
    };
    block.cpu_inverse[lane] = inverse(have.cpu_millis);
    block.memory_inverse[lane] = inverse(have.memory);
    block.cpu_used[lane] = share(used.cpu_millis, have.cpu_millis);
    block.memory_used[lane] = share(used.memory, have.memory);
    block.cpu_weight[lane] = share(slot.weight.0, have.cpu_millis);
    block.memory_weight[lane] = share(slot.weight.1, have.memory);
}
