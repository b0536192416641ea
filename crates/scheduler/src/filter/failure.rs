//! Why a host will not do.

use std::{fmt, sync::Arc};

use mosaic_api::quantity::{Format, Quantity};

use crate::model::{HostPort, Taint};

/// What hosts are tested for, in the order in which it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Test {
    /// New pods are taken at all.
    Schedulable,
    /// It is the host that the pod is made for.
    Pin,
    /// Its taints are tolerated.
    Taints,
    /// Node selector and required node affinity.
    NodeAffinity,
    /// Ports of the host are free.
    Ports,
    /// Enough is free of every resource, and one more pod may run.
    Resources,
    /// The pod's volumes can be had there.
    Volumes,
    /// Topology spread constraints.
    Spread,
    /// Pods that must be near are near.
    PodAffinity,
    /// Pods that must be far away are far away.
    PodAntiAffinity,
    /// Pods that are there do not mind.
    ExistingAntiAffinity,
}

/// Why a host will not do. Shown, it says what the host has or is, in words that follow its name.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// It is cordoned.
    Cordoned,
    /// The pod is made for another host.
    NotPinned,
    /// It has a taint that is not tolerated.
    Tainted(Taint),
    /// It does not have the labels, or not the name.
    NodeAffinity,
    /// A port is taken.
    PortTaken(HostPort),
    /// It runs as many pods as it may.
    TooManyPods {
        /// How many it may run.
        most: i64,
    },
    /// It has too little of a resource.
    Insufficient {
        /// The resource's name.
        resource: Arc<str>,
        /// What is free of it (thousandths of a core for `cpu`), which may be below zero.
        free: i64,
        /// What it has in all.
        capacity: i64,
        /// What is needed.
        needed: i64,
    },
    /// A volume cannot be reached from it.
    VolumeElsewhere {
        /// The claim's name.
        claim: Box<str>,
        /// The volume's name.
        volume: Arc<str>,
    },
    /// No volume for a claim can be made or found for it.
    NoVolume {
        /// The claim's name.
        claim: Box<str>,
    },
    /// One more pod would make its domain too full.
    Skewed {
        /// The label whose values are the domains.
        key: Arc<str>,
        /// The domain.
        domain: Box<str>,
        /// How far the domain would be ahead.
        skew: u32,
        /// How far it may be.
        most: u32,
    },
    /// It lacks the label by which pods are spread.
    NoDomain {
        /// The label.
        key: Arc<str>,
    },
    /// No pod that must be near is near.
    NothingNear {
        /// The label whose values say what is near.
        key: Arc<str>,
    },
    /// A pod that must be far away is near.
    TooNear {
        /// The label whose values say what is near.
        key: Arc<str>,
    },
    /// A pod that is near keeps such pods away.
    KeptAway {
        /// The label whose values say what is near.
        key: Arc<str>,
    },
}

impl Failure {
    /// The test that failed.
    pub fn test(&self) -> Test {
        match self {
            Self::Cordoned => Test::Schedulable,
            Self::NotPinned => Test::Pin,
            Self::Tainted(_) => Test::Taints,
            Self::NodeAffinity => Test::NodeAffinity,
            Self::PortTaken(_) => Test::Ports,
            Self::TooManyPods { .. } | Self::Insufficient { .. } => Test::Resources,
            Self::VolumeElsewhere { .. } | Self::NoVolume { .. } => Test::Volumes,
            Self::Skewed { .. } | Self::NoDomain { .. } => Test::Spread,
            Self::NothingNear { .. } => Test::PodAffinity,
            Self::TooNear { .. } => Test::PodAntiAffinity,
            Self::KeptAway { .. } => Test::ExistingAntiAffinity,
        }
    }

    /// How far the host is from passing: 0 is as good as there, 1 and more is out of the question.
    pub(crate) fn distance(&self) -> f64 {
        let share =
            |missing: i64, needed: i64| (missing as f64 / (needed.max(1)) as f64).clamp(0.01, 0.99);
        match self {
            Self::Insufficient {
                free,
                capacity,
                needed,
                ..
            } if capacity >= needed => share(needed.saturating_sub(*free), *needed),
            // However empty it is, it is too small: the largest of those is nearest.
            Self::Insufficient {
                capacity, needed, ..
            } => 0.99 + share(needed.saturating_sub(*capacity), *needed) / 100.0,
            Self::Skewed { skew, most, .. } => {
                share(i64::from(skew.saturating_sub(*most)), i64::from(*skew))
            }
            Self::TooManyPods { .. } => 0.1,
            Self::Cordoned | Self::PortTaken(_) | Self::TooNear { .. } | Self::KeptAway { .. } => {
                0.5
            }
            // However many failures the right host has, another is farther away.
            Self::NotPinned => 100.0,
            _ => 1.0,
        }
    }

    /// Whether Kubernetes' scheduler has the same words for both.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tainted(one), Self::Tainted(other)) => one == other,
            (
                Self::Insufficient { resource, .. },
                Self::Insufficient {
                    resource: other, ..
                },
            ) => resource == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// The words that Kubernetes' scheduler has for it.
    pub fn kubernetes(&self) -> String {
        match self {
            Self::Cordoned => "node(s) were unschedulable".to_owned(),
            Self::NotPinned | Self::NodeAffinity => {
                "node(s) didn't match Pod's node affinity/selector".to_owned()
            }
            Self::Tainted(taint) => format!("node(s) had untolerated taint {taint}"),
            Self::PortTaken(_) => {
                "node(s) didn't have free ports for the requested pod ports".to_owned()
            }
            Self::TooManyPods { .. } => "Too many pods".to_owned(),
            Self::Insufficient { resource, .. } => format!("Insufficient {resource}"),
            Self::VolumeElsewhere { .. } => "node(s) had volume node affinity conflict".to_owned(),
            Self::NoVolume { .. } => {
                "node(s) didn't find available persistent volumes to bind".to_owned()
            }
            Self::Skewed { .. } => {
                "node(s) didn't match pod topology spread constraints".to_owned()
            }
            Self::NoDomain { .. } => {
                "node(s) didn't match pod topology spread constraints (missing required label)"
                    .to_owned()
            }
            Self::NothingNear { .. } => "node(s) didn't match pod affinity rules".to_owned(),
            Self::TooNear { .. } => "node(s) didn't match pod anti-affinity rules".to_owned(),
            Self::KeptAway { .. } => {
                "node(s) didn't satisfy existing pods anti-affinity rules".to_owned()
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cordoned => f.write_str("is cordoned"),
            Self::NotPinned => f.write_str("is not the host that the pod is made for"),
            Self::Tainted(taint) => {
                write!(f, "has the taint {}", taint.key)?;
                if !taint.value.is_empty() {
                    write!(f, "={}", taint.value)?;
                }
                write!(f, ":{:?}, which the pod does not tolerate", taint.effect)
            }
            Self::NodeAffinity => {
                f.write_str("does not match the pod's node selector or node affinity")
            }
            Self::PortTaken(port) => {
                write!(f, "has port {}/{} taken", port.port, port.protocol)?;
                if *port.ip != *HostPort::ANY {
                    write!(f, " at {}", port.ip)?;
                }
                Ok(())
            }
            Self::TooManyPods { most } => write!(f, "runs the {most} pods that it may run"),
            Self::Insufficient {
                resource,
                free,
                capacity,
                needed,
            } => {
                let needed_text = amount(resource, *needed);
                if capacity < needed {
                    let capacity = amount(resource, *capacity);
                    write!(
                        f,
                        "has {capacity} {} in all of {needed_text} needed",
                        noun(resource)
                    )
                } else {
                    let free = amount(resource, (*free).max(0));
                    write!(
                        f,
                        "has {free} {} free of {needed_text} needed",
                        noun(resource)
                    )
                }
            }
            Self::VolumeElsewhere { claim, volume } => {
                write!(f, "cannot reach volume {volume} of claim {claim}")
            }
            Self::NoVolume { claim } => write!(f, "cannot get a volume for claim {claim}"),
            Self::Skewed {
                key,
                domain,
                skew,
                most,
            } => {
                write!(
                    f,
                    "would make {key} {domain} {skew} pods fuller than the emptiest, {most} allowed"
                )
            }
            Self::NoDomain { key } => write!(f, "has no label {key} to spread pods by"),
            Self::NothingNear { key } => {
                write!(
                    f,
                    "has none of the pods near (same {key}) that the pod wants near"
                )
            }
            Self::TooNear { key } => {
                write!(
                    f,
                    "has a pod near (same {key}) that the pod keeps away from"
                )
            }
            Self::KeptAway { key } => {
                write!(f, "has a pod near (same {key}) that keeps such pods away")
            }
        }
    }
}

fn noun(resource: &str) -> &str {
    match resource {
        "cpu" => "CPU",
        other => other,
    }
}

/// An amount as people write it: `1.2`, `1536Mi`.
pub(crate) fn amount(resource: &str, amount: i64) -> String {
    match resource {
        "cpu" => {
            let (whole, rest) = (amount / 1000, (amount % 1000).abs());
            if rest == 0 {
                return whole.to_string();
            }
            let text = format!("{whole}.{rest:03}");
            text.trim_end_matches('0').to_owned()
        }
        "memory" | "ephemeral-storage" => bytes(amount),
        _ => amount.to_string(),
    }
}

fn bytes(amount: i64) -> String {
    let exact = Quantity::from_units(amount, Format::BinarySi).to_string();
    if exact.len() <= 6 {
        return exact;
    }
    // What is no round number is shown to a tenth of the largest unit.
    let units = [("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let unit = units.into_iter().find(|(_, shift)| amount >= 1i64 << shift);
    match unit {
        Some((unit, shift)) => {
            let tenths = amount / ((1i64 << shift) / 10).max(1);
            format!("{}.{}{unit}", tenths / 10, tenths % 10)
        }
        None => exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_like_people_write_them() {
        let amounts = [
            ("cpu", 2000, "2"),
            ("cpu", 1200, "1.2"),
            ("cpu", 50, "0.05"),
            ("memory", 1 << 30, "1Gi"),
            ("memory", 1536 << 20, "1536Mi"),
            ("memory", (1 << 30) + 12345, "1.0Gi"),
            ("nvidia.com/gpu", 3, "3"),
        ];
        for (resource, number, text) in amounts {
            assert_eq!(amount(resource, number), text);
        }
    }
}
