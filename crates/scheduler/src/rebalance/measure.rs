//! How well pods lie on their hosts.

use mosaic_api::quantity::{Format, Quantity};
use serde_json::{Value, json};

use super::{movable::is_bound_to_host, simulation::is_violation};
use crate::{
    bits::Bits,
    cluster::{Cluster, Slot},
    filter::{Change, Failure, one},
    model::{Node, Pod},
    slab::PodIndex,
};

/// How well pods lie on hosts. What is being deleted counts as gone; of hosts that take no new pods, nothing counts
/// as free.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measure {
    /// How many hosts there are.
    pub hosts: usize,
    /// How many of them have no pods that could be elsewhere.
    pub empty_hosts: usize,
    /// How much of what is free lies on hosts that are in use (0 to 1), as the mean of processor and memory: 0 if all of it
    /// is whole hosts, 1 if all of it is scraps.
    pub stranded: f32,
    /// How far hosts are from their average in what is requested of them (standard deviation, 0 to 1).
    pub imbalance: f32,
    /// How many pods would not be allowed where they are.
    pub misplaced: usize,
    /// Free on the host that has most of it: thousandths of a core, and bytes.
    pub largest_free: (i64, i64),
}

impl Measure {
    /// As the status of a `Rebalance` shows it.
    pub fn to_json(&self) -> Value {
        let percent = |share: f32| (share * 100.0).round() as i64;
        let (cpu, memory) = self.largest_free;
        let cpu = Quantity::from_millis(cpu, Format::DecimalSi).to_string();
        let memory = Quantity::from_units(memory, Format::BinarySi).to_string();
        json!({
            "hosts": self.hosts,
            "emptyHosts": self.empty_hosts,
            "strandedPercent": percent(self.stranded),
            "imbalancePercent": percent(self.imbalance),
            "misplacedPods": self.misplaced,
            "largestFree": { "cpu": cpu, "memory": memory },
        })
    }
}

/// Measures the hosts of a pool.
pub(super) fn measure(cluster: &Cluster, pool: &Bits) -> Measure {
    let mut measure = Measure::default();
    let (mut free, mut stranded) = ([0.0_f64; 2], [0.0_f64; 2]);
    let mut shares = Vec::new();
    let mut largest = 0.0;
    for index in pool.iter() {
        let (Some(slot), Some(node)) = (
            cluster.state.nodes.slot(index),
            cluster.state.nodes.node(index),
        ) else {
            continue;
        };
        measure.hosts += 1;
        let occupied = is_occupied(cluster, slot);
        measure.empty_hosts += usize::from(!occupied);
        measure.misplaced += slot
            .pods
            .iter()
            .filter(|pod| violation(cluster, **pod).is_some())
            .count();
        if node.unschedulable {
            continue;
        }
        let (cpu, memory) = requested(cluster, slot);
        let left = [
            (node.allocatable.cpu_millis - cpu).max(0),
            (node.allocatable.memory - memory).max(0),
        ];
        for (kind, left) in left.iter().enumerate() {
            let sums = [
                free.get_mut(kind),
                occupied.then(|| stranded.get_mut(kind)).flatten(),
            ];
            for sum in sums.into_iter().flatten() {
                *sum += *left as f64;
            }
        }
        let share = share(cluster, slot, None);
        shares.push(share);
        if 1.0 - share > largest {
            largest = 1.0 - share;
            measure.largest_free = left.into();
        }
    }
    let of = |stranded: f64, free: f64| if free > 0.0 { stranded / free } else { 0.0 };
    let parts = stranded.iter().zip(&free);
    measure.stranded = (parts
        .map(|(stranded, free)| of(*stranded, *free))
        .sum::<f64>()
        / 2.0) as f32;
    measure.imbalance = deviation(&shares);
    measure
}

/// The average; 0 of nothing.
pub(super) fn mean(shares: &[f32]) -> f32 {
    shares.iter().sum::<f32>() / shares.len().max(1) as f32
}

fn deviation(shares: &[f32]) -> f32 {
    let mean = mean(shares);
    let squares = shares
        .iter()
        .map(|share| (share - mean).powi(2))
        .sum::<f32>();
    (squares / shares.len().max(1) as f32).sqrt()
}

/// Whether pods are on it that could be elsewhere.
pub(super) fn is_occupied(cluster: &Cluster, slot: &Slot) -> bool {
    staying(cluster, slot).any(|pod| !is_bound_to_host(pod))
}

/// The pods of a host that are not being deleted.
pub(super) fn staying<'a>(cluster: &'a Cluster, slot: &'a Slot) -> impl Iterator<Item = &'a Pod> {
    let pods = slot
        .pods
        .iter()
        .filter_map(|pod| cluster.state.pods.get(*pod));
    pods.map(|entry| &entry.pod).filter(|pod| !pod.leaving)
}

/// Processor and memory that those who stay request.
fn requested(cluster: &Cluster, slot: &Slot) -> (i64, i64) {
    staying(cluster, slot).fold((0, 0), |(cpu, memory), pod| {
        let requests = &pod.class.template.requests;
        (
            cpu.saturating_add(requests.cpu_millis),
            memory.saturating_add(requests.memory),
        )
    })
}

/// The larger of the shares of processor and memory that those who stay request, with one more pod or with one less.
pub(super) fn share(cluster: &Cluster, slot: &Slot, change: Option<(&Pod, i64)>) -> f32 {
    let Some(node) = &slot.node else {
        return 1.0;
    };
    let (mut cpu, mut memory) = requested(cluster, slot);
    if let Some((pod, times)) = change {
        let requests = &pod.class.template.requests;
        cpu = cpu.saturating_add(requests.cpu_millis.saturating_mul(times));
        memory = memory.saturating_add(requests.memory.saturating_mul(times));
    }
    let Node { allocatable, .. } = &**node;
    let of = |used: i64, have: i64| {
        if have > 0 {
            used as f32 / have as f32
        } else {
            0.0
        }
    };
    of(cpu, allocatable.cpu_millis).max(of(memory, allocatable.memory))
}

/// Why a pod would not be allowed where it is, if it would not.
pub(super) fn violation(cluster: &Cluster, index: PodIndex) -> Option<Failure> {
    let entry = cluster.state.pods.get(index)?;
    let pod = &entry.pod;
    if pod.leaving || is_bound_to_host(pod) {
        return None;
    }
    let change = Change {
        removed: &[index],
        added: &[],
    };
    let node = entry
        .node
        .filter(|node| cluster.state.nodes.node(*node).is_some())?;
    cluster.with(pod, |context| {
        let failures = one::failures(context, node, &change);
        failures.into_iter().find(is_violation)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_as_people_write_them() {
        let told = |cpu, memory| {
            let measure = Measure {
                largest_free: (cpu, memory),
                stranded: 0.336,
                ..Measure::default()
            };
            assert_eq!(measure.to_json()["strandedPercent"], 34);
            measure.to_json()["largestFree"].clone()
        };
        assert_eq!(
            told(1500, 3 << 30),
            json!({ "cpu": "1500m", "memory": "3Gi" })
        );
        assert_eq!(
            told(4000, 1536 << 20),
            json!({ "cpu": "4", "memory": "1536Mi" })
        );
    }

    #[test]
    fn nothing_has_no_deviation() {
        assert_eq!((mean(&[]), deviation(&[])), (0.0, 0.0));
        assert_eq!((mean(&[0.25, 0.75]), deviation(&[0.25, 0.75])), (0.5, 0.25));
    }
}
