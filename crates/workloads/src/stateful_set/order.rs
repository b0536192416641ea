//! Filling ordinals upwards, and taking away downwards those that are not desired.

use std::sync::Arc;

use super::{
    GoesOn, Planner,
    identity::{POD_INDEX, POD_NAME},
    is_ready,
};
use crate::{
    plan::{Action, BURST, Change, Event, Kind, Object, Propagation, Target},
    pod::{Phase, Pod},
};

impl<'a> Planner<'a> {
    /// Makes sure that each desired ordinal has a pod.
    pub(super) fn fill(&mut self) -> GoesOn {
        let ordered = self.is_ordered();
        let mut changes = 0;
        for ordinal in self.start()..self.end() {
            if changes >= BURST {
                self.plan.look_again(Some(self.snapshot.now));
                return false;
            }
            let is_well = match self.pods.get(&ordinal).copied() {
                None => {
                    if !self.has_claim_on_its_way_out(ordinal) {
                        self.create(ordinal);
                        changes += 1;
                    }
                    false
                }
                Some(pod) if pod.is_terminating() => false,
                Some(pod) if pod.has_ended() => {
                    self.recreate(pod);
                    changes += 1;
                    false
                }
                Some(pod) => {
                    self.keep_identity(ordinal, pod);
                    if pod.phase == Phase::Pending {
                        self.create_claims(ordinal);
                    }
                    self.is_available(pod)
                }
            };
            if ordered && !is_well {
                return false;
            }
        }
        true
    }

    /// Takes away the pods of ordinals that are not desired, the highest first.
    pub(super) fn shrink(&mut self) -> GoesOn {
        let condemned: Vec<&'a Arc<Pod>> = self
            .pods
            .iter()
            .rev()
            .filter(|(ordinal, _)| !self.is_desired(**ordinal))
            .map(|(_, pod)| *pod)
            .collect();
        let mut deleted = 0;
        for (index, pod) in condemned.iter().enumerate() {
            if self.is_ordered() {
                // One that is not well may only be waiting for one below it that is not well either.
                let below = condemned.get(index + 1..).unwrap_or_default();
                let must_wait = !is_ready(pod) && below.iter().any(|pod| !is_ready(pod));
                if pod.is_terminating() || (must_wait && !pod.has_ended()) {
                    return false;
                }
            }
            if pod.is_terminating() {
                continue;
            }
            self.delete(pod, "its ordinal is not desired");
            deleted += 1;
            if self.is_ordered() {
                return false;
            }
            if deleted >= BURST {
                self.plan.look_again(Some(self.snapshot.now));
                return false;
            }
        }
        true
    }

    fn create(&mut self, ordinal: i32) {
        self.create_claims(ordinal);
        let pod = self.new_pod(ordinal);
        let message = format!(
            "create Pod {} in StatefulSet {} successful",
            self.pod_name(ordinal),
            self.owner.name()
        );
        self.plan.actions.push(Action::Create {
            object: Object::Pod(Box::new(pod)),
            event: Some(Event::normal("SuccessfulCreate", message)),
        });
    }

    /// Deletes a pod that has ended, so that a new one can take its name.
    fn recreate(&mut self, pod: &Pod) {
        let (reason, state) = match pod.phase {
            Phase::Failed => ("RecreatingFailedPod", "failed"),
            _ => ("RecreatingTerminatedPod", "terminated"),
        };
        let message = format!(
            "StatefulSet {}/{} is recreating {state} Pod {}",
            self.owner.metadata.namespace.as_deref().unwrap_or_default(),
            self.owner.name(),
            pod.name()
        );
        self.plan.event(Event::warning(reason, message));
        self.delete(pod, "it has ended");
    }

    pub(super) fn delete(&mut self, pod: &Pod, why: &'static str) {
        let message = format!(
            "delete Pod {} in StatefulSet {} successful",
            pod.name(),
            self.owner.name()
        );
        self.plan.actions.push(Action::Delete {
            target: Target::any_version(Kind::Pod, &pod.metadata),
            propagation: Propagation::Background,
            why,
            event: Some(Event::normal("SuccessfulDelete", message)),
        });
    }

    /// Gives an adopted pod the labels that tell who it is.
    fn keep_identity(&mut self, ordinal: i32, pod: &Pod) {
        let index = ordinal.to_string();
        let labels = [(POD_NAME, pod.name()), (POD_INDEX, index.as_str())];
        if labels
            .iter()
            .any(|(key, value)| pod.label(key) != Some(value))
        {
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let target = Target::any_version(Kind::Pod, &pod.metadata);
            let change = Change::SetLabels(labels.into());
            self.plan.actions.push(Action::patch(target, change));
        }
    }
}
