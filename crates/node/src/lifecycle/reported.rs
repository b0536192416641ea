//! A pod's status as the API has it: what an agent before this one told.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Phase, Resources, Termination,
    pod::{ResourcesObject, quantities},
};

/// A status.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Reported {
    pub(super) phase: Option<Box<str>>,
    pub(super) reason: Option<Box<str>>,
    pub(super) message: Option<Box<str>>,
    start_time: Option<Box<str>>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<Address>>,
    pub(super) conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<Status>>,
    init_container_statuses: Option<Vec<Status>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Address {
    ip: Option<Box<str>>,
}

/// A condition.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) ty: Box<str>,
    pub(super) status: Box<str>,
    last_transition_time: Option<Box<str>>,
}

/// What is told of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    name: Box<str>,
    pub(super) restart_count: i64,
    pub(super) ready: bool,
    pub(super) started: Option<bool>,
    #[serde(rename = "containerID")]
    pub(super) container_id: Option<Box<str>>,
    state: Option<StateObject>,
    last_state: Option<StateObject>,
    #[serde(deserialize_with = "quantities")]
    allocated_resources: BTreeMap<Box<str>, Box<str>>,
    resources: Option<ResourcesObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StateObject {
    running: Option<RunningObject>,
    terminated: Option<TerminatedObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RunningObject {
    started_at: Option<Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TerminatedObject {
    exit_code: i32,
    reason: Option<Box<str>>,
    message: Option<Box<str>>,
    started_at: Option<Box<str>>,
    finished_at: Option<Box<str>>,
    #[serde(rename = "containerID")]
    container_id: Option<Box<str>>,
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    text.and_then(mosaic_api::time::parse)
}

impl Reported {
    /// Reads a status; one that cannot be read tells nothing.
    pub(super) fn read(status: Option<&RawValue>) -> Self {
        status
            .and_then(|status| serde_json::from_str(status.get()).ok())
            .unwrap_or_default()
    }

    pub(super) fn start_time(&self) -> Option<Timestamp> {
        time(self.start_time.as_deref())
    }

    pub(super) fn addresses(&self) -> Box<[IpAddr]> {
        let all = self.pod_ips.iter().flatten();
        all.filter_map(|address| address.ip.as_deref()?.parse().ok())
            .collect()
    }

    pub(super) fn container(&self, name: &str) -> Option<&Status> {
        let init = self.init_container_statuses.iter().flatten();
        let mut all = init.chain(self.container_statuses.iter().flatten());
        all.find(|status| &*status.name == name)
    }
}

impl Condition {
    pub(super) fn since(&self) -> Option<Timestamp> {
        time(self.last_transition_time.as_deref())
    }
}

impl Status {
    /// Since when it runs, if it does.
    pub(super) fn running(&self) -> Option<Timestamp> {
        let running = self.state.as_ref()?.running.as_ref()?;
        Some(time(running.started_at.as_deref()).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// How it ended, if it did and was not started again. A container that waits for its restart ended too.
    pub(super) fn ended(&self) -> Option<Termination> {
        self.state.as_ref()?.terminated.as_ref().map(read)
    }

    /// How it ended before.
    pub(super) fn last(&self) -> Option<Termination> {
        self.last_state.as_ref()?.terminated.as_ref().map(read)
    }

    /// What was set aside for a container that asked for this at first.
    pub(super) fn allocated(&self, spec: &Arc<Resources>) -> Arc<Resources> {
        let told = self.resources.as_ref();
        if self.allocated_resources.is_empty() || self.allocated_resources == spec.requests {
            return spec.clone();
        }
        Arc::new(Resources {
            requests: self.allocated_resources.clone(),
            limits: told.map_or_else(|| spec.limits.clone(), |told| told.limits.clone()),
        })
    }

    /// What is in force.
    pub(super) fn actual(&self) -> Option<Arc<Resources>> {
        self.resources.as_ref().map(|told| {
            Arc::new(Resources {
                requests: told.requests.clone(),
                limits: told.limits.clone(),
            })
        })
    }
}

fn read(object: &TerminatedObject) -> Termination {
    let reason = object.reason.clone();
    let oom = reason.as_deref() == Some("OOMKilled");
    Termination {
        started: time(object.started_at.as_deref()),
        finished: time(object.finished_at.as_deref()),
        code: object.exit_code,
        oom,
        reason: reason.filter(|reason| !matches!(&**reason, "OOMKilled" | "Completed" | "Error")),
        message: object.message.clone(),
        id: object.container_id.clone().unwrap_or_default(),
    }
}

/// The statuses of readiness gates, in their order; none for one that nobody has set.
type Gates = Box<[Option<Box<str>>]>;

/// The phase that a status says the pod ended in.
pub(super) fn ended(phase: Option<&str>) -> Option<Phase> {
    match phase {
        Some("Succeeded") => Some(Phase::Succeeded),
        Some("Failed") => Some(Phase::Failed),
        _ => None,
    }
}

/// What matters of a status each time it changes: whether the pod ended, and the statuses of conditions of
/// some types.
pub(super) fn brief(status: Option<&RawValue>, types: &[Box<str>]) -> (Option<Phase>, Gates) {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Brief {
        phase: Option<Box<str>>,
        conditions: Option<Vec<Condition>>,
    }
    let brief: Brief = status
        .and_then(|status| serde_json::from_str(status.get()).ok())
        .unwrap_or_default();
    let all = brief.conditions.unwrap_or_default();
    let find = |ty: &str| {
        let mut found = all.iter().filter(|condition| &*condition.ty == ty);
        found.next().map(|condition| condition.status.clone())
    };
    let gates = types.iter().map(|ty| find(ty)).collect();
    (ended(brief.phase.as_deref()), gates)
}
