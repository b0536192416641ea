//! One pod a host.

use std::sync::Arc;

use super::Planner;
use crate::{
    plan::Event,
    pod::{Phase, Pod},
};

impl<'a> Planner<'a> {
    /// Decides where a pod is missing, and which are too many, whatever their template.
    pub(super) fn manage(&mut self) {
        let surges = self.bounds().0 > 0;
        for index in 0..self.hosts.len() {
            let Some(host) = self.hosts.get(index) else {
                break;
            };
            let (name, meant, pods) = (host.name, host.meant, host.pods.clone());
            let staying = |pod: &&&'a Arc<Pod>| !pod.is_terminating();
            if !meant.stay {
                let leaving: Vec<_> = pods.iter().filter(staying).collect();
                for pod in leaving {
                    self.delete.push((pod, "its host is not meant for it"));
                }
                continue;
            }
            if meant.run && pods.is_empty() {
                self.create.push(name);
                continue;
            }
            let (ended, running): (Vec<_>, Vec<_>) = pods
                .iter()
                .copied()
                .filter(|pod| staying(&pod))
                .partition(|pod| pod.has_ended());
            for pod in ended {
                self.replace(name, pod);
            }
            self.thin_out(&running, surges);
        }
    }

    /// Deletes a pod that has ended, once enough time has passed since the last one did on its host.
    fn replace(&mut self, host: &str, pod: &'a Arc<Pod>) {
        if pod.phase == Phase::Failed {
            let until = self.snapshot.backoff.until(host);
            if until > self.snapshot.now {
                self.plan.look_again(Some(until));
                return;
            }
        }
        let namespace = self.owner.metadata.namespace.as_deref().unwrap_or_default();
        let (reason, state, why) = match pod.phase {
            Phase::Failed => ("FailedDaemonPod", "failed", "it failed"),
            _ => ("SucceededDaemonPod", "succeeded", "it ended"),
        };
        let message = format!(
            "Found {state} daemon pod {namespace}/{} on node {host}, will try to kill it",
            pod.name()
        );
        self.plan.event(if pod.phase == Phase::Failed {
            Event::warning(reason, message)
        } else {
            Event::normal(reason, message)
        });
        self.delete.push((pod, why));
    }

    /// Keeps the oldest pod of a host; while updates surge, the oldest of the present template and the oldest
    /// of another one.
    fn thin_out(&mut self, running: &[&'a Arc<Pod>], surges: bool) {
        let groups: [Vec<&'a Arc<Pod>>; 2] = if surges {
            let (new, old) = running.iter().partition(|pod| self.is_updated(pod));
            [new, old]
        } else {
            [running.to_vec(), Vec::new()]
        };
        for group in groups {
            for pod in group.into_iter().skip(1) {
                self.delete.push((pod, "its host has another one"));
            }
        }
    }
}
