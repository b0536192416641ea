//! What became of each pod that was created, and when.

use std::collections::HashMap;
use std::time::Instant;

use hdrhistogram::Histogram;

use super::follow::Change;
use crate::bench::load;
use crate::failure::Failure;

/// The pods, by number.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pods: Vec<Entry>,
    hosts: HashMap<Box<str>, u32>,
    /// How many pods were seen bound.
    pub(super) bound: usize,
    /// How many pods were seen running.
    pub(super) running: usize,
    /// The first thing that went wrong.
    wrong: Option<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    sent: Option<Instant>,
    bound: Option<Instant>,
    running: Option<Instant>,
    host: Option<u32>,
}

/// The number in a pod's name.
pub(super) fn number(name: &str) -> Option<usize> {
    name.rsplit('-').next()?.parse().ok()
}

impl Ledger {
    /// For pods with numbers below this one.
    pub(super) fn new(pods: usize) -> Self {
        Self {
            pods: vec![Entry::default(); pods],
            ..Self::default()
        }
    }

    /// The creation of a pod is being sent.
    pub(super) fn sent(&mut self, number: usize, now: Instant) {
        if let Some(pod) = self.pods.get_mut(number) {
            pod.sent = Some(now);
        }
    }

    /// The watch shows a pod.
    pub(super) fn seen(&mut self, change: &Change<'_>, now: Instant) {
        let object = &change.object;
        let name = &*object.metadata.name;
        if let Err(wrong) = self.take(change, now) {
            self.wrong.get_or_insert(format!("pod {name} {wrong}"));
        }
    }

    fn take(&mut self, change: &Change<'_>, now: Instant) -> Result<(), String> {
        let object = &change.object;
        let entry = number(&object.metadata.name).and_then(|number| self.pods.get_mut(number));
        let Some(pod) = entry.filter(|pod| pod.sent.is_some()) else {
            return Err("was never created".to_owned());
        };
        if change.kind == "DELETED" {
            return Err("was deleted by somebody".to_owned());
        }
        let host = &*object.spec.node_name;
        if host.is_empty() {
            if pod.host.is_some() {
                return Err("was bound, and is no more".to_owned());
            }
        } else {
            let next = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
            let index = match self.hosts.get(host) {
                Some(index) => *index,
                None => *self.hosts.entry(host.into()).or_insert(next),
            };
            match pod.host {
                Some(before) if before != index => {
                    return Err(format!("was bound twice, the second time to {host}"));
                }
                Some(_) => {}
                None => {
                    pod.host = Some(index);
                    pod.bound = Some(now);
                    self.bound += 1;
                }
            }
        }
        match &*object.status.phase {
            "Running" if pod.running.is_none() => {
                pod.running = Some(now);
                self.running += 1;
            }
            phase @ ("Failed" | "Succeeded") => return Err(format!("is {phase}")),
            _ => {}
        }
        Ok(())
    }

    /// Fails if anything went wrong so far.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &self.wrong {
            Some(wrong) => Err(Failure::new(wrong.clone())),
            None => Ok(()),
        }
    }

    /// Whether the watch showed a pod on this host.
    pub(super) fn is_on(&self, number: usize, host: &str) -> bool {
        let shown = self.pods.get(number).and_then(|pod| pod.host);
        shown.is_some() && shown == self.hosts.get(host).copied()
    }

    /// From the first create of these pods to the last binding, in seconds.
    pub(super) fn bound_within(&self, from: usize) -> f64 {
        let pods = self.pods.iter().skip(from);
        let first = pods.clone().filter_map(|pod| pod.sent).min();
        let last = pods.filter_map(|pod| pod.bound).max();
        match (first, last) {
            (Some(first), Some(last)) => last.saturating_duration_since(first).as_secs_f64(),
            _ => 0.0,
        }
    }

    /// From create to bound, of the pods from this number on.
    pub(super) fn create_to_bound(&self, from: usize) -> Result<Histogram<u64>, Failure> {
        self.latencies(from, |pod| pod.bound)
    }

    /// From create to running, of the pods from this number on.
    pub(super) fn create_to_running(&self, from: usize) -> Result<Histogram<u64>, Failure> {
        self.latencies(from, |pod| pod.running)
    }

    fn latencies(
        &self,
        from: usize,
        end: impl Fn(&Entry) -> Option<Instant>,
    ) -> Result<Histogram<u64>, Failure> {
        let mut latencies = load::histogram()?;
        for pod in self.pods.iter().skip(from) {
            if let (Some(sent), Some(end)) = (pod.sent, end(pod)) {
                load::note(&mut latencies, end.saturating_duration_since(sent));
            }
        }
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn see(ledger: &mut Ledger, kind: &str, number: usize, host: &str, phase: &str, at: Instant) {
        let text = json!({"type": kind, "object": {
            "metadata": {"name": format!("00-000-{number:07}")},
            "spec": {"nodeName": host}, "status": {"phase": phase},
        }})
        .to_string();
        ledger.seen(&serde_json::from_str(&text).unwrap(), at);
    }

    #[test]
    fn times_are_from_sent_to_what_was_seen_first() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut ledger = Ledger::new(2);
        ledger.sent(0, at(0));
        ledger.sent(1, at(10));
        see(&mut ledger, "ADDED", 0, "", "Pending", at(1));
        see(&mut ledger, "MODIFIED", 0, "a", "Pending", at(20));
        see(&mut ledger, "MODIFIED", 0, "a", "Running", at(120));
        see(&mut ledger, "MODIFIED", 0, "a", "Running", at(150));
        see(&mut ledger, "ADDED", 1, "b", "Pending", at(50));
        ledger.check().unwrap();
        assert_eq!((ledger.bound, ledger.running), (2, 1));
        assert!(ledger.is_on(0, "a") && !ledger.is_on(1, "a") && !ledger.is_on(7, "a"));
        assert_eq!(ledger.bound_within(0), 0.05);
        assert_eq!(ledger.bound_within(1), 0.04);
        assert_eq!(ledger.create_to_bound(0).unwrap().len(), 2);
        let running = ledger.create_to_running(0).unwrap();
        assert!(running.max().abs_diff(120_000) < 200, "{}", running.max());
    }

    #[test]
    fn whatever_should_not_happen_to_a_pod_is_told() {
        type Seen<'a> = (&'a str, &'a str, &'a str);
        let cases: [(&[Seen<'_>], &str); 4] = [
            (&[("ADDED", "a", ""), ("MODIFIED", "b", "")], "bound twice"),
            (&[("ADDED", "a", ""), ("MODIFIED", "", "")], "is no more"),
            (&[("ADDED", "a", ""), ("DELETED", "a", "")], "deleted"),
            (&[("ADDED", "a", "Failed")], "is Failed"),
        ];
        for (seen, said) in cases {
            let mut ledger = Ledger::new(1);
            ledger.sent(0, Instant::now());
            for (kind, host, phase) in seen {
                see(&mut ledger, kind, 0, host, phase, Instant::now());
            }
            let failure = ledger.check().unwrap_err().to_string();
            assert!(failure.contains(said), "{failure}");
        }
        let mut ledger = Ledger::new(1);
        see(&mut ledger, "ADDED", 0, "", "", Instant::now());
        assert!(ledger.check().is_err(), "it was never sent");
    }
}
