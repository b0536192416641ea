//! How hosts that would do are compared.

use crate::model::Pod;

/// The scheduler name that Kubernetes gives to pods that name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// Whether pods are spread over hosts or packed onto few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Hosts with much free are better, and those whose processor and memory are used alike. Pods of one
    /// controller are spread over zones and hosts. As Kubernetes does by default.
    Spreading,
    /// Hosts with little free are better, so that others stay empty.
    Packing,
}

/// How much each part of a score counts. Each part is 0 to 100; the weights are Kubernetes' defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// What is free.
    pub resources: f32,
    /// Processor and memory used alike.
    pub balance: f32,
    /// Preferred node affinity.
    pub node_affinity: f32,
    /// Taints by which pods should rather stay away.
    pub taints: f32,
    /// Images that are there already.
    pub images: f32,
    /// Topology spread.
    pub spread: f32,
    /// Preferred pods near, or far away.
    pub pod_affinity: f32,
}

/// A way to choose among hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name, as the annotation `mosaic/profile` gives it, or `spec.schedulerName` behind `mosaic-`.
    pub name: &'static str,
    /// Spread or pack.
    pub strategy: Strategy,
    /// How much processor counts beside memory where what is free is compared; at least 0.
    pub cpu: f32,
    /// How much memory counts; at least 0.
    pub memory: f32,
    /// How much each part counts.
    pub weights: Weights,
}

impl Profile {
    const WEIGHTS: Weights = Weights {
        resources: 1.0,
        balance: 1.0,
        node_affinity: 2.0,
        taints: 3.0,
        images: 1.0,
        spread: 2.0,
        pod_affinity: 2.0,
    };

    /// As Kubernetes does by default.
    pub const SPREADING: Self = Self {
        name: "spreading",
        strategy: Strategy::Spreading,
        cpu: 1.0,
        memory: 1.0,
        weights: Self::WEIGHTS,
    };

    /// Onto as few hosts as will do.
    pub const PACKING: Self = Self {
        name: "packing",
        strategy: Strategy::Packing,
        weights: Weights {
            balance: 0.0,
            ..Self::WEIGHTS
        },
        ..Self::SPREADING
    };

    /// Onto as few hosts as will do by memory: for services that hold much of it, on hosts of their own.
    pub const PACKING_MEMORY: Self = Self {
        name: "packing-memory",
        cpu: 0.0,
        ..Self::PACKING
    };

    /// All profiles.
    pub const ALL: [&'static Self; 3] = [&Self::SPREADING, &Self::PACKING, &Self::PACKING_MEMORY];

    /// The profile of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// The profile of a pod: what its annotation `mosaic/profile` names, else what its scheduler name
    /// names (`mosaic-packing`), else spreading.
    pub fn of(pod: &Pod) -> &'static Self {
        let template = &pod.class.template;
        let annotated = template.profile.as_deref().and_then(Self::named);
        let scheduler = || {
            template
                .scheduler
                .strip_prefix("mosaic-")
                .and_then(Self::named)
        };
        annotated.or_else(scheduler).unwrap_or(&Self::SPREADING)
    }

    /// What the pod's annotation `mosaic/profile` says that no profile is called, which somebody should be
    /// told of.
    pub fn unknown(pod: &Pod) -> Option<&str> {
        let annotated = pod.class.template.profile.as_deref()?;
        Self::named(annotated).is_none().then_some(annotated)
    }

    /// Whether this scheduler is who the pod's `spec.schedulerName` asks for. Others' pods are left alone.
    pub fn is_ours(pod: &Pod) -> bool {
        let name = &*pod.class.template.scheduler;
        name == DEFAULT_SCHEDULER || name.strip_prefix("mosaic-").and_then(Self::named).is_some()
    }
}
