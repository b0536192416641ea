//! Who simulates a host: two processes that do would undo each other's work.
//!
//! A process writes who it is beside each lease that it renews. A host whose lease is fresh belongs to who wrote that,
//! unless it is known to be dead: then nobody has to wait for the lease to expire.

use jiff::{SignedDuration, Timestamp};
use mosaic_api::{meta, time};
use serde_json::Value;

use crate::{LabError, objects};

/// The annotation of a lease that names the process which renews it.
pub(crate) const PROCESS: &str = "mosaic/sim-process";

/// How many hosts are named to people.
const NAMED: usize = 3;

/// A process: where it runs, its number, and when it began by its machine's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    machine: String,
    id: u32,
    began: u64,
}

impl Process {
    /// This one.
    pub(crate) fn own() -> Self {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let id = std::process::id();
        Self {
            machine: machine.trim().to_owned(),
            id,
            began: began(id).unwrap_or_default(),
        }
    }

    /// As it is written beside leases.
    pub(crate) fn text(&self) -> String {
        format!("{}/{}/{}", self.machine, self.id, self.began)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, '/');
        let began = parts.next()?.parse().ok()?;
        let id = parts.next()?.parse().ok()?;
        let machine = parts.next()?.to_owned();
        Some(Self { machine, id, began })
    }
}

/// When a process of this machine began, if it runs and that can be known.
fn began(id: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name is in parentheses and may hold anything; the state and 18 numbers follow, and then the beginning.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Who holds a host by this lease, if somebody else does. `runs` tells whether a process of this machine runs.
fn holder(
    lease: &Value,
    own: &Process,
    now: Timestamp,
    runs: impl Fn(&Process) -> bool,
) -> Option<String> {
    let spec = |field: &str| lease.get("spec").and_then(|spec| spec.get(field));
    let renewed = spec("renewTime").and_then(Value::as_str);
    let renewed = renewed.and_then(time::parse)?;
    let seconds = spec("leaseDurationSeconds").and_then(Value::as_i64)?;
    let until = renewed.saturating_add(SignedDuration::from_secs(seconds));
    if until.is_ok_and(|until| until <= now) {
        return None;
    }
    let annotations = lease.pointer("/metadata/annotations");
    let named = annotations.and_then(|all| all.get(PROCESS));
    let Some(process) = named.and_then(Value::as_str).and_then(Process::read) else {
        return Some("an agent that is no simulation".to_owned());
    };
    let is_here = process.machine == own.machine && !own.machine.is_empty();
    if process == *own || (is_here && !runs(&process)) {
        return None;
    }
    Some(format!("process {} on {}", process.id, process.machine))
}

/// Fails if another process simulates one of these hosts. Who may not read leases is not kept from anything.
pub(crate) async fn check(client: &kube::Client, names: &[&str]) -> Result<(), LabError> {
    let request = http::Request::get(objects::LEASES).body(Vec::new());
    let Ok(request) = request else {
        return Ok(());
    };
    let leases = match client.request::<Value>(request).await {
        Ok(leases) => leases,
        Err(error) => {
            tracing::debug!(%error, "whether others simulate these hosts is not known");
            return Ok(());
        }
    };
    let (own, now) = (Process::own(), Timestamp::now());
    let names: std::collections::HashSet<&str> = names.iter().copied().collect();
    let items = leases.get("items").and_then(Value::as_array);
    let held: Vec<(&str, String)> = items
        .into_iter()
        .flatten()
        .filter(|lease| names.contains(meta::name(lease)))
        .filter_map(|lease| {
            let runs = |process: &Process| began(process.id) == Some(process.began);
            Some((meta::name(lease), holder(lease, &own, now, runs)?))
        })
        .collect();
    let Some((_, by)) = held.first() else {
        return Ok(());
    };
    let mut hosts: Vec<String> = held
        .iter()
        .take(NAMED)
        .map(|(name, _)| (*name).to_owned())
        .collect();
    if held.len() > NAMED {
        hosts.push(format!("{} more", held.len() - NAMED));
    }
    Err(LabError::Held {
        hosts: hosts.join(", "),
        by: by.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fresh_lease_of_a_process_that_runs_is_held() {
        let own = Process {
            machine: "here".into(),
            id: 7,
            began: 70,
        };
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let lease = |renewed: &str, process: Option<&str>| {
            json!({ "metadata": { "annotations": { PROCESS: process } },
                "spec": { "renewTime": renewed, "leaseDurationSeconds": 40 } })
        };
        let (fresh, old) = ("2026-01-01T00:00:50.000000Z", "2026-01-01T00:00:10.000000Z");
        for (lease, runs, held) in [
            (lease(fresh, Some("here/8/80")), true, true),
            (lease(fresh, Some("here/8/80")), false, false),
            (lease(old, Some("here/8/80")), true, false),
            (lease(fresh, Some("there/8/80")), false, true),
            (lease(old, Some("there/8/80")), false, false),
            (lease(fresh, Some("here/7/70")), true, false),
            (lease(fresh, None), true, true),
            (lease(fresh, Some("nonsense")), true, true),
            (json!({}), true, false),
        ] {
            assert_eq!(
                holder(&lease, &own, now, |_| runs).is_some(),
                held,
                "{lease} {runs}"
            );
        }
    }

    #[test]
    fn a_process_knows_itself_and_that_it_runs() {
        let own = Process::own();
        assert_eq!(Process::read(&own.text()), Some(own.clone()));
        assert_eq!(began(own.id).unwrap_or_default(), own.began);
        assert_eq!(began(u32::MAX), None);
    }
}
