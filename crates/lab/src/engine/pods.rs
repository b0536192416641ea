//! Pods of simulated hosts: what their watch says, and how their lives go on.

use std::sync::Arc;

use jiff::Timestamp;
use mosaic_api::recorder::Told;
use mosaic_node::lifecycle::{Action, Object, Observation, Observed, Pod, Runtime, State, Verdict};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{EVENTS, Engine, Template, Wake, Work};
use crate::{
    objects,
    resources::{self, Amount},
    script::Script,
    simulation::{Simulation, Simulator},
};

/// A pod on a simulated host.
pub(super) struct SimulatedPod {
    pub(super) host: u32,
    /// Tells it from pods that had its place before.
    pub(super) serial: u64,
    pub(super) pod: Pod,
    template: Arc<Template>,
    pub(super) state: State,
    pub(super) simulation: Simulation,
    /// The watch has told of it since it was opened.
    pub(super) seen: bool,
    /// A write of its status waits.
    pub(super) queued: bool,
    /// The version that its status had when it was written last; 0 before.
    pub(super) written: u64,
    pub(super) failures: u32,
    /// Nothing is written before, as a write failed.
    pub(super) quiet_until: Option<Timestamp>,
    wake: Option<Timestamp>,
    /// What it takes of its host's room.
    taken: Option<Amount>,
    counted: bool,
    /// Why the host would not have it, until that is told.
    refusal: Option<Box<Verdict>>,
}

impl SimulatedPod {
    /// Its path in the API.
    pub(super) fn path(&self) -> String {
        format!(
            "/api/v1/namespaces/{}/pods/{}",
            self.pod.namespace, self.pod.name
        )
    }
}

impl Engine {
    pub(super) fn pod_mut(&mut self, index: u32) -> Option<&mut SimulatedPod> {
        self.pods.get_mut(index as usize)?.as_mut()
    }

    /// A line of a host's watch.
    pub(super) fn line(&mut self, host: u32, line: &[u8]) {
        #[derive(Deserialize)]
        struct Line<'a> {
            #[serde(rename = "type", borrow)]
            ty: &'a str,
            #[serde(borrow)]
            object: &'a RawValue,
        }
        let Ok(Line { ty, object }) = serde_json::from_slice::<Line<'_>>(line) else {
            tracing::warn!("a line of a watch cannot be read");
            return;
        };
        let text = object.get().as_bytes();
        match ty {
            "ADDED" | "MODIFIED" | "DELETED" => match Object::read(text) {
                Ok(object) => self.object(host, object, ty == "DELETED"),
                Err(error) => tracing::warn!(%error, "a pod cannot be read"),
            },
            "BOOKMARK" => self.bookmark(host, text),
            _ => {
                // The version to go on from is not known any more; the watch ends, and begins anew.
                if let Some(host) = self.host_mut(host) {
                    host.version = Box::default();
                }
            }
        }
    }

    fn bookmark(&mut self, index: u32, object: &[u8]) {
        let Ok(object) = Object::read(object) else {
            return;
        };
        let metadata = object.metadata;
        if let Some(host) = self.host_mut(index) {
            host.version = metadata.resource_version;
            host.watch_failures = 0;
        }
        if metadata
            .annotations
            .contains_key("k8s.io/initial-events-end")
        {
            self.synced(index);
        }
    }

    fn object(&mut self, host_index: u32, mut object: Object<'_>, deleted: bool) {
        let Some(host) = self.hosts.get_mut(host_index as usize) else {
            return;
        };
        // Until all were told, there is no version to go on from.
        if host.synced {
            host.version = object.metadata.resource_version.clone();
        }
        let known = host.pods.iter().copied().find(|index| {
            let pod = self.pods.get(*index as usize).and_then(Option::as_ref);
            pod.is_some_and(|pod| pod.pod.uid == object.metadata.uid)
        });
        if deleted {
            if let Some(pod) = known.and_then(|index| self.pod_mut(index)) {
                pod.pod.gone = true;
                let index = known.unwrap_or_default();
                self.advance(index);
            }
            return;
        }
        let spec = object.spec();
        let (script, wrong) = Script::read(&object.metadata.annotations, &spec.containers);
        let template = self.intern(Template {
            spec: Arc::new(spec),
            script: Arc::new(script),
        });
        let status = object.status;
        let version = object.metadata.resource_version.parse().unwrap_or(0);
        let pod = object.pod(template.spec.clone());
        if let Some(index) = known {
            let Some(known) = self.pod_mut(index) else {
                return;
            };
            known.seen = true;
            let mut changed = known.pod != pod;
            known.template = template;
            if changed {
                known.pod = pod;
                known.state.changed();
            }
            // What was written before is no answer to it.
            changed |= version > known.written && known.state.contradicts(status);
            if changed {
                self.advance(index);
            }
            return;
        }
        let index = self.add_pod(host_index, pod, template, status);
        if let Some(refusal) = self.pod_mut(index).and_then(|pod| pod.refusal.take()) {
            self.tell_of(index, true, &refusal.reason, &refusal.message);
        }
        for text in wrong {
            self.tell_of(index, true, "SimulationScript", &text);
        }
        self.advance(index);
    }

    /// One copy of what many pods have in common.
    fn intern(&mut self, template: Template) -> Arc<Template> {
        if let Some(known) = self.templates.get(&template) {
            return known.clone();
        }
        if self.templates.len() > 2 * self.templates_kept + 64 {
            self.templates.retain(|known| Arc::strong_count(known) > 1);
            self.templates_kept = self.templates.len();
        }
        let template = Arc::new(template);
        self.templates.insert(template.clone());
        template
    }

    fn add_pod(
        &mut self,
        host_index: u32,
        pod: Pod,
        template: Arc<Template>,
        status: Option<&RawValue>,
    ) -> u32 {
        let now = self.clock.now();
        let capacity = self.capacity();
        let most = self.options.pods;
        let mut simulation = Simulation::default();
        let mut observed = Observed::default();
        let mut state = None;
        let mut taken = None;
        let mut refused = None;
        if let Some(host) = self.hosts.get_mut(host_index as usize) {
            let mut leftovers = host.leftovers.iter();
            if let Some(found) = leftovers.position(|(uid, _)| *uid == pod.uid) {
                (_, simulation) = host.leftovers.swap_remove(found);
                observed = simulation.observed(&pod, now);
            }
            let mut new = State::resume(&pod, status, &observed, now);
            if new.ended().is_none() {
                let asks = resources::requests(&template.spec);
                let lacking = if host.taken >= most {
                    Some("pods")
                } else {
                    asks.lacking(capacity.minus(host.used))
                };
                match lacking {
                    Some(lacking) if new.is_new() && pod.deletion.is_none() => {
                        let why = refusal(lacking);
                        new.end(why.clone());
                        refused = Some(Box::new(why));
                        self.progress.refused += 1;
                    }
                    _ => {
                        host.used = host.used.plus(asks);
                        host.taken += 1;
                        taken = Some(asks);
                    }
                }
            }
            state = Some(new);
        }
        self.serial += 1;
        self.progress.pods += 1;
        let pod = SimulatedPod {
            host: host_index,
            serial: self.serial,
            state: state.unwrap_or_else(|| State::new(&pod, now)),
            pod,
            template,
            simulation,
            seen: true,
            queued: false,
            written: 0,
            failures: 0,
            quiet_until: None,
            wake: None,
            taken,
            counted: false,
            refusal: refused,
        };
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(place) = self.pods.get_mut(index as usize) {
                    *place = Some(pod);
                }
                index
            }
            None => {
                self.pods.push(Some(pod));
                u32::try_from(self.pods.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(host) = self.hosts.get_mut(host_index as usize) {
            host.pods.push(index);
        }
        index
    }

    /// Takes a pod out; its host's list is the caller's to mend.
    pub(super) fn take_pod(&mut self, index: u32) -> Option<SimulatedPod> {
        let pod = self.pods.get_mut(index as usize)?.take()?;
        self.free.push(index);
        self.progress.pods -= 1;
        self.progress.running -= u32::from(pod.counted);
        if let (Some(taken), Some(host)) = (pod.taken, self.hosts.get_mut(pod.host as usize)) {
            host.used = host.used.minus(taken);
            host.taken = host.taken.saturating_sub(1);
        }
        Some(pod)
    }

    /// Wakes a pod at a moment, if it is not woken before.
    pub(super) fn wake_pod(&mut self, index: u32, at: Timestamp) {
        if let Some(pod) = self.pod_mut(index)
            && pod.wake.is_none_or(|wake| at < wake)
        {
            pod.wake = Some(at);
            self.timers.add(at, Wake::Pod(index));
        }
    }

    /// A pod's timer is due; one that was overtaken means nothing.
    pub(super) fn pod_wakes(&mut self, index: u32, at: Timestamp) {
        if let Some(pod) = self.pod_mut(index)
            && pod.wake == Some(at)
        {
            pod.wake = None;
            self.advance(index);
        }
    }

    /// Looks at all pods of a host.
    pub(super) fn advance_all(&mut self, host: u32) {
        let pods = self.host(host).map(|host| host.pods.clone());
        for pod in pods.unwrap_or_default() {
            self.advance(pod);
        }
    }

    /// Takes a pod as far as it goes now.
    pub(super) fn advance(&mut self, index: u32) {
        let now = self.clock.now();
        let capacity = self.capacity();
        let start = u64::try_from(self.options.start.as_millis()).unwrap_or(u64::MAX);
        let Some(Some(pod)) = self.pods.get_mut(index as usize) else {
            return;
        };
        let Some(host) = self.hosts.get_mut(pod.host as usize) else {
            return;
        };
        let mut notices = Vec::new();
        let mut write = false;
        let mut delete = false;
        let wake = loop {
            while let Some(observation) = pod.simulation.due(&pod.pod, now) {
                notices.extend(
                    pod.state
                        .observe(&pod.pod, &host.settings, observation, now),
                );
            }
            let step = pod.state.step(&pod.pod, &host.settings, now);
            write |= step.write;
            notices.extend(step.notices);
            if step.actions.is_empty() {
                break step.wake;
            }
            for action in &step.actions {
                match action {
                    Action::DeleteObject => delete = true,
                    Action::Allocate => {
                        let room = capacity.minus(host.used);
                        let observation = allocate(&pod.pod, &mut pod.taken, capacity, room);
                        host.used = capacity.minus(observation.1);
                        pod.state
                            .observe(&pod.pod, &host.settings, observation.0, now);
                    }
                    action => Simulator {
                        simulation: &mut pod.simulation,
                        script: &pod.template.script,
                        addresses: &mut host.block,
                        now,
                        start,
                    }
                    .begin(&pod.pod, action),
                }
            }
        };
        let wakes = [wake, pod.simulation.next()].into_iter().flatten().min();
        let quiet = pod.quiet_until.filter(|until| *until > now);
        let connected = host.is_connected();
        if write && connected && !pod.queued && quiet.is_none() {
            pod.queued = true;
            self.waiting.push_back(Work::Status(index));
        }
        if delete && connected {
            self.waiting.push_back(Work::Delete(index));
        } else if delete {
            pod.state.not_deleted();
        }
        self.account(index, now);
        for at in [wakes, quiet.filter(|_| write)].into_iter().flatten() {
            self.wake_pod(index, at);
        }
        for notice in notices {
            self.tell_of(index, notice.warning, notice.reason, &notice.message);
        }
        self.forget(index);
    }

    /// Counts a pod that began to run, and gives its room back once it has ended.
    fn account(&mut self, index: u32, now: Timestamp) {
        let Some(Some(pod)) = self.pods.get_mut(index as usize) else {
            return;
        };
        let running = pod.state.is_running();
        if running && !pod.counted {
            self.progress.started += 1;
        }
        self.progress.running += u32::from(running);
        self.progress.running -= u32::from(pod.counted);
        pod.counted = running;
        if pod.state.ended().is_none() {
            return;
        }
        let Some(taken) = pod.taken.take() else {
            return;
        };
        let index = pod.host;
        let Some(host) = self.hosts.get_mut(index as usize) else {
            return;
        };
        host.used = host.used.minus(taken);
        host.taken = host.taken.saturating_sub(1);
        for other in &host.pods {
            let waits = match self.pods.get_mut(*other as usize) {
                Some(Some(pod)) => pod.state.retry_resize(now),
                _ => false,
            };
            if waits && let Some(Some(pod)) = self.pods.get_mut(*other as usize) {
                pod.wake = Some(now);
                self.timers.add(now, Wake::Pod(*other));
            }
        }
    }

    /// Forgets a pod of which nothing is left, neither here nor in the API.
    fn forget(&mut self, index: u32) {
        let over = |pod: &mut SimulatedPod| pod.pod.gone && pod.state.is_over();
        if !self.pod_mut(index).is_some_and(over) {
            return;
        }
        if let Some(mut pod) = self.take_pod(index)
            && let Some(host) = self.hosts.get_mut(pod.host as usize)
        {
            pod.simulation.clear(&mut host.block);
            host.pods.retain(|other| *other != index);
        }
    }

    /// Writes an event of a pod, unless too many wait. That a container started or was pulled is in the status; writing it
    /// down twice for each of 30,000 pods helps nobody, and so no notice says it.
    fn tell_of(&mut self, index: u32, is_warning: bool, reason: &str, message: &str) {
        if self.events.len() >= EVENTS {
            return;
        }
        let Some(Some(pod)) = self.pods.get(index as usize) else {
            return;
        };
        let told = Told {
            about: objects::reference(&pod.pod),
            is_warning,
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Told::default()
        };
        let told = Work::Event(pod.host, Box::new(told));
        self.events.push_back(told);
    }
}

fn refusal(lacking: &str) -> Verdict {
    Verdict {
        reason: format!("OutOf{lacking}").into(),
        message: format!("Node didn't have enough resource: {lacking}").into(),
        grace: Some(0),
        disruption: false,
    }
}

/// Sets aside what a pod asks for now, if there is room. Returns also the room that is left.
fn allocate(
    pod: &Pod,
    taken: &mut Option<Amount>,
    capacity: Amount,
    room: Amount,
) -> (Observation, Amount) {
    let generation = pod.generation;
    let asks = resources::requests(&pod.spec);
    let room_without = room.plus(taken.unwrap_or_default());
    let refuse = |infeasible, lacking: &str| Observation::NotAllocated {
        generation,
        infeasible,
        message: format!("Node didn't have enough resource: {lacking}").into(),
    };
    if let Some(lacking) = asks.lacking(capacity) {
        return (refuse(true, lacking), room);
    }
    if let Some(lacking) = asks.lacking(room_without) {
        return (refuse(false, lacking), room);
    }
    *taken = Some(asks);
    (
        Observation::Allocated { generation },
        room_without.minus(asks),
    )
}
