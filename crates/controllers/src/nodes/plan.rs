//! What to write about a host, from what holds for it: conditions and taints. Names and reasons are Kubernetes'.

use jiff::Timestamp;
use serde::Serialize;

use super::hearing::{Eviction, Standing};
use crate::views::{NO_EXECUTE, NodeView, TaintView};

const NO_SCHEDULE: &str = "NoSchedule";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The taint of a silent host.
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// The taint of a condition that is bad when it holds.
const BY_CONDITION: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    (
        "NetworkUnavailable",
        "node.kubernetes.io/network-unavailable",
    ),
];
/// The conditions that only the host itself can know.
const OF_THE_HOST: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// What to write about a host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// All its taints, if they are to change.
    pub(super) taints: Option<Vec<TaintView>>,
    /// The conditions that are to change.
    pub(super) conditions: Vec<Condition>,
}

/// A condition that is to change.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) type_: &'static str,
    pub(super) status: &'static str,
    reason: &'static str,
    message: &'static str,
    last_transition_time: Timestamp,
}

/// What to write about a host of which this holds.
pub(super) fn plan(node: &NodeView, standing: Standing, now: Timestamp) -> Plan {
    let silent = matches!(standing, Standing::Silent(_));
    let wanted = wanted_taints(node, standing);
    let taints = taints(&node.spec.taints, &wanted, now);
    Plan {
        taints: (taints != node.spec.taints).then_some(taints),
        conditions: if silent {
            unknown(node, now)
        } else {
            Vec::new()
        },
    }
}

/// The conditions of a host that nobody hears.
fn unknown(node: &NodeView, now: Timestamp) -> Vec<Condition> {
    let conditions = OF_THE_HOST.into_iter().filter_map(|type_| {
        let (reason, message) = match node.says(type_) {
            Some("Unknown") => return None,
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => (
                "NodeStatusNeverUpdated",
                "Kubelet never posted node status.",
            ),
        };
        Some(Condition {
            type_,
            status: "Unknown",
            reason,
            message,
            last_transition_time: now,
        })
    });
    conditions.collect()
}

/// The taints, by key and effect, that a host is to have of those that are this controller's.
fn wanted_taints(node: &NodeView, standing: Standing) -> Vec<(&'static str, &'static str)> {
    let has = |key: &str, effect: &str| {
        let mut taints = node.spec.taints.iter();
        taints.any(|taint| &*taint.key == key && &*taint.effect == effect)
    };
    let silent = matches!(standing, Standing::Silent(_));
    let mut wanted = Vec::new();
    match node.says("Ready") {
        _ if silent => wanted.push((UNREACHABLE, NO_SCHEDULE)),
        Some("True") => {}
        Some("Unknown") => wanted.push((UNREACHABLE, NO_SCHEDULE)),
        Some(_) => wanted.push((NOT_READY, NO_SCHEDULE)),
        // The server gives this to hosts that register themselves, until they say that they are ready.
        None if has(NOT_READY, NO_SCHEDULE) => wanted.push((NOT_READY, NO_SCHEDULE)),
        None => {}
    }
    let begun = has(NOT_READY, NO_EXECUTE) || has(UNREACHABLE, NO_EXECUTE);
    let evicted = |eviction| match eviction {
        Eviction::Go => true,
        Eviction::Wait => begun,
        Eviction::Stop => false,
    };
    match standing {
        Standing::Silent(eviction) if evicted(eviction) => wanted.push((UNREACHABLE, NO_EXECUTE)),
        Standing::NotReady(eviction) if evicted(eviction) => wanted.push((NOT_READY, NO_EXECUTE)),
        Standing::Unclear => {
            for key in [NOT_READY, UNREACHABLE]
                .into_iter()
                .filter(|key| has(key, NO_EXECUTE))
            {
                wanted.push((key, NO_EXECUTE));
            }
        }
        Standing::Heard | Standing::NotReady(_) | Standing::Silent(_) => {}
    }
    for (condition, taint) in BY_CONDITION {
        // What a silent host said of its memory is of no use any more; its network is not for it to say.
        let known = !silent || !OF_THE_HOST.contains(&condition);
        if known && node.says(condition) == Some("True") {
            wanted.push((taint, NO_SCHEDULE));
        }
    }
    if node.spec.unschedulable == Some(true) {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    wanted
}

fn is_ours(taint: &TaintView) -> bool {
    let lost = [NOT_READY, UNREACHABLE].contains(&&*taint.key);
    let pressed = BY_CONDITION.iter().any(|(_, key)| *key == &*taint.key);
    match &*taint.effect {
        NO_SCHEDULE => lost || pressed || &*taint.key == UNSCHEDULABLE,
        NO_EXECUTE => lost,
        _ => false,
    }
}

/// These taints, without those of ours that are not wanted, and with those that are.
fn taints(old: &[TaintView], wanted: &[(&str, &str)], now: Timestamp) -> Vec<TaintView> {
    let is = |taint: &TaintView, (key, effect): (&str, &str)| {
        &*taint.key == key && &*taint.effect == effect
    };
    let stays = |taint: &&TaintView| !is_ours(taint) || wanted.iter().any(|one| is(taint, *one));
    let mut taints: Vec<TaintView> = old.iter().filter(stays).cloned().collect();
    for one in wanted {
        if !taints.iter().any(|taint| is(taint, *one)) {
            taints.push(TaintView {
                key: one.0.into(),
                value: "".into(),
                effect: one.1.into(),
                // Kubernetes' times are whole seconds.
                time_added: Some(format!("{:.0}", now).into()),
            });
        }
    }
    taints
}
