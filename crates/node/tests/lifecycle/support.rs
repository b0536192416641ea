//! A host without a clock: an object, a runtime that does what it is told after a while, and the log of it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use mosaic_node::lifecycle::{
    Action, Hook, ImageFailure, Notice, Object, Observation, Observed, ObservedContainer,
    ObservedState, Pod, ProbeKind, Runtime, Settings, StartFailure, State, Step, Termination,
};
use serde_json::{Value, json, value::RawValue};

/// How a container behaves.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// Exits by itself after so many seconds, with this code; the first number is of the first attempt, the
    /// last one of all further ones.
    pub exits: Vec<(i64, i32)>,
    /// Is killed by the kernel when it exits.
    pub oom: bool,
    /// Seconds from the signal to the exit; none if the signal is ignored.
    pub stops_after: Option<i64>,
    /// Ignores the kill, too.
    pub hangs: bool,
    /// So many pulls fail.
    pub bad_pulls: u32,
    /// So many starts fail.
    pub bad_starts: u32,
    /// How long a hook takes, in seconds.
    pub hook: i64,
    /// Post-start hooks fail.
    pub bad_hook: bool,
    /// The results of probes by kind, one a run; the last one stays.
    pub probes: BTreeMap<&'static str, Vec<bool>>,
}

#[derive(Debug, Clone)]
pub struct Process {
    pub attempt: u32,
    pub since: Timestamp,
    pub end: Option<Termination>,
    definition: u64,
    hooked: bool,
}

/// The runtime.
#[derive(Debug, Default)]
pub struct Fake {
    pub now: Timestamp,
    pub behaviours: BTreeMap<String, Behaviour>,
    pub sandbox: bool,
    pub sandboxes: u32,
    pub bad_sandboxes: u32,
    pub processes: BTreeMap<usize, Process>,
    pub log: Vec<(i64, String)>,
    pub no_room: bool,
    pending: Vec<(Timestamp, Observation)>,
    probes: BTreeMap<(usize, &'static str), usize>,
    signals: Vec<(Timestamp, usize, u32)>,
    names: Vec<String>,
}

fn after(moment: Timestamp, seconds: i64) -> Timestamp {
    moment + SignedDuration::from_secs(seconds)
}

pub fn kind(probe: ProbeKind) -> &'static str {
    match probe {
        ProbeKind::Startup => "startup",
        ProbeKind::Liveness => "liveness",
        ProbeKind::Readiness => "readiness",
    }
}

impl Fake {
    fn later(&mut self, seconds: i64, observation: Observation) {
        self.pending.push((after(self.now, seconds), observation));
    }

    fn note(&mut self, text: String) {
        self.log.push((self.now.as_second(), text));
    }

    fn behaviour(&self, container: usize) -> Behaviour {
        let name = self.names.get(container).cloned().unwrap_or_default();
        self.behaviours.get(&name).cloned().unwrap_or_default()
    }

    fn name(&self, container: usize) -> String {
        self.names.get(container).cloned().unwrap_or_default()
    }

    fn exit(&mut self, container: usize, code: i32, oom: bool) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&container) else {
            return;
        };
        if process.end.is_some() {
            return;
        }
        let end = Termination {
            started: Some(process.since),
            finished: Some(now),
            code,
            oom,
            reason: None,
            message: None,
            id: "fake".into(),
        };
        process.end = Some(end.clone());
        let attempt = process.attempt;
        let text = format!("exit {}#{attempt}", self.name(container));
        self.note(text);
        self.pending.push((
            now,
            Observation::Exited {
                container,
                attempt,
                termination: end,
            },
        ));
    }

    /// The next moment at which something happens by itself.
    pub fn next(&self) -> Option<Timestamp> {
        let pending = self.pending.iter().map(|(at, _)| *at);
        let signals = self.signals.iter().map(|(at, _, _)| *at);
        let exits = self.processes.iter().filter_map(|(container, process)| {
            let exits = self.behaviour(*container).exits;
            let index = (process.attempt as usize).min(exits.len().checked_sub(1)?);
            process
                .end
                .is_none()
                .then(|| after(process.since, exits[index].0))
        });
        pending.chain(signals).chain(exits).min()
    }

    /// What happened until now.
    pub fn due(&mut self) -> Vec<Observation> {
        let now = self.now;
        let running: Vec<(usize, Process)> = self
            .processes
            .iter()
            .map(|(c, p)| (*c, p.clone()))
            .collect();
        for (container, process) in running {
            let behaviour = self.behaviour(container);
            if behaviour.exits.is_empty() || process.end.is_some() {
                continue;
            }
            let index = (process.attempt as usize).min(behaviour.exits.len() - 1);
            let (seconds, code) = behaviour.exits[index];
            if after(process.since, seconds) <= now {
                self.exit(container, code, behaviour.oom);
            }
        }
        let signals = std::mem::take(&mut self.signals);
        let (due, later): (Vec<_>, _) = signals.into_iter().partition(|(at, ..)| *at <= now);
        self.signals = later;
        for (_, container, attempt) in due {
            if self
                .processes
                .get(&container)
                .is_some_and(|p| p.attempt == attempt)
            {
                self.exit(container, 0, false);
            }
        }
        let pending = std::mem::take(&mut self.pending);
        let (due, later): (Vec<_>, _) = pending.into_iter().partition(|(at, _)| *at <= now);
        self.pending = later;
        due.into_iter()
            .map(|(_, observation)| observation)
            .collect()
    }

    /// What an agent that starts anew finds; what was under way for the one before is not told.
    pub fn observed(&mut self) -> Observed {
        self.pending.clear();
        Observed {
            sandbox: self.sandbox.then(|| vec!["10.1.0.5".parse().unwrap()]),
            remains: self.sandbox || !self.processes.is_empty(),
            containers: self
                .processes
                .iter()
                .map(|(container, process)| ObservedContainer {
                    container: *container,
                    attempt: process.attempt,
                    definition: process.definition,
                    hooked: process.hooked,
                    id: "fake".into(),
                    state: match &process.end {
                        Some(end) => ObservedState::Exited(end.clone()),
                        None => ObservedState::Running {
                            since: process.since,
                        },
                    },
                })
                .collect(),
        }
    }

    /// The host loses power.
    pub fn reboot(&mut self) {
        self.sandbox = false;
        self.processes.clear();
        self.pending.clear();
        self.signals.clear();
    }

    pub fn running(&self) -> Vec<String> {
        let running = self.processes.iter().filter(|(_, p)| p.end.is_none());
        running
            .map(|(container, _)| self.name(*container))
            .collect()
    }
}

impl Runtime for Fake {
    fn begin(&mut self, pod: &Pod, action: &Action) {
        self.names = pod
            .spec
            .containers
            .iter()
            .map(|container| container.name.to_string())
            .collect();
        match *action {
            Action::PrepareSandbox => {
                if self.bad_sandboxes > 0 {
                    self.bad_sandboxes -= 1;
                    self.later(
                        0,
                        Observation::SandboxFailed {
                            message: "no address".into(),
                        },
                    );
                    return;
                }
                if !self.sandbox {
                    self.sandboxes += 1;
                }
                self.sandbox = true;
                let addresses = vec!["10.1.0.5".parse().unwrap()];
                self.later(0, Observation::SandboxReady { addresses });
            }
            Action::PullImage { container } => {
                let name = self.name(container);
                let behaviour = self.behaviours.entry(name).or_default();
                if behaviour.bad_pulls > 0 {
                    behaviour.bad_pulls -= 1;
                    let message = "not found".into();
                    self.later(
                        0,
                        Observation::ImageFailed {
                            container,
                            failure: ImageFailure::Pull,
                            message,
                        },
                    );
                } else {
                    self.later(0, Observation::ImagePresent { container });
                }
            }
            Action::StartContainer { container, attempt } => {
                assert!(self.sandbox, "started without a sandbox");
                let name = self.name(container);
                let behaviour = self.behaviours.entry(name.clone()).or_default();
                if behaviour.bad_starts > 0 {
                    behaviour.bad_starts -= 1;
                    let message = "no such command".into();
                    self.later(
                        0,
                        Observation::StartFailed {
                            container,
                            attempt,
                            failure: StartFailure::Run,
                            message,
                        },
                    );
                    return;
                }
                let there = self.processes.get(&container);
                let (at, new) = match there {
                    Some(process) if process.attempt == attempt => (process.since, false),
                    Some(process) => {
                        assert!(process.end.is_some(), "{name} runs twice");
                        assert!(attempt > process.attempt, "{name} goes back");
                        (self.now, true)
                    }
                    None => (self.now, true),
                };
                if new {
                    self.note(format!("start {name}#{attempt}"));
                    self.processes.insert(
                        container,
                        Process {
                            attempt,
                            since: at,
                            end: None,
                            definition: pod.spec.containers[container].definition(),
                            hooked: false,
                        },
                    );
                }
                self.later(
                    0,
                    Observation::Started {
                        container,
                        attempt,
                        at,
                        id: "fake".into(),
                    },
                );
            }
            Action::RunHook {
                container,
                attempt,
                hook,
            } => {
                let behaviour = self.behaviour(container);
                let text = format!("{hook:?} {}#{attempt}", self.name(container));
                self.note(text);
                if hook == Hook::PostStart
                    && let Some(process) = self.processes.get_mut(&container)
                {
                    process.hooked = behaviour.hook == 0;
                }
                let failure = (behaviour.bad_hook && hook == Hook::PostStart).then(|| "no".into());
                self.later(
                    behaviour.hook,
                    Observation::HookEnded {
                        container,
                        attempt,
                        hook,
                        failure,
                    },
                );
            }
            Action::RunProbe {
                container,
                attempt,
                probe,
            } => {
                let behaviour = self.behaviour(container);
                let results = behaviour.probes.get(kind(probe)).cloned();
                let run = self.probes.entry((container, kind(probe))).or_default();
                let results = results.unwrap_or_else(|| vec![true]);
                let succeeds = results[(*run).min(results.len() - 1)];
                *run += 1;
                let text = format!("{} {}", kind(probe), self.name(container));
                self.note(text);
                let failure = (!succeeds).then(|| "refused".into());
                self.later(
                    0,
                    Observation::Probed {
                        container,
                        attempt,
                        probe,
                        failure,
                    },
                );
            }
            Action::Cancel { container } => {
                let text = format!("cancel {}", self.name(container));
                self.note(text);
            }
            Action::Signal { container, attempt } => {
                let text = format!("signal {}#{attempt}", self.name(container));
                self.note(text);
                if let Some(seconds) = self.behaviour(container).stops_after {
                    self.signals
                        .push((after(self.now, seconds), container, attempt));
                }
            }
            Action::Kill { container, attempt } => {
                let text = format!("kill {}#{attempt}", self.name(container));
                self.note(text);
                if !self.behaviour(container).hangs {
                    self.exit(container, 137, false);
                }
            }
            Action::Allocate => {
                let generation = pod.generation;
                let observation = if self.no_room {
                    Observation::NotAllocated {
                        generation,
                        infeasible: false,
                        message: "not enough cpu".into(),
                    }
                } else {
                    Observation::Allocated { generation }
                };
                self.later(0, observation);
            }
            Action::Resize { container, attempt } => {
                let text = format!("resize {}", self.name(container));
                self.note(text);
                self.later(
                    0,
                    Observation::Resized {
                        container,
                        attempt,
                        failure: None,
                    },
                );
            }
            Action::StopSandbox => {
                self.note("stop sandbox".into());
                assert!(self.running().is_empty(), "the sandbox goes first");
                self.sandbox = false;
                self.later(0, Observation::SandboxStopped);
            }
            Action::RemoveSandbox => {
                self.note("remove sandbox".into());
                assert!(self.running().is_empty(), "the sandbox goes first");
                self.sandbox = false;
                self.processes.clear();
                self.later(0, Observation::SandboxRemoved);
            }
            Action::DeleteObject => {
                self.note("delete object".into());
            }
        }
    }
}

/// A pod on its host.
pub struct World {
    pub object: Value,
    pub pod: Pod,
    pub state: State,
    pub settings: Settings,
    pub runtime: Fake,
    pub writes: Vec<Value>,
    pub notices: Vec<Notice>,
    pub object_deleted: bool,
    start: Timestamp,
}

/// Reads an object as the API sends it.
pub fn read(object: &Value) -> Pod {
    let text = object.to_string();
    let mut object = Object::read(text.as_bytes()).unwrap();
    let spec = Arc::new(object.spec());
    object.pod(spec)
}

/// A pod of some containers, with a spec to add to.
pub fn pod(containers: Value, more: Value) -> Value {
    let mut spec = json!({ "containers": containers, "nodeName": "host-1" });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({
        "metadata": { "name": "p", "namespace": "default", "uid": "u", "generation": 1 },
        "spec": spec,
        "status": { "phase": "Pending", "qosClass": "BestEffort",
            "conditions": [{ "type": "PodScheduled", "status": "True" }] },
    })
}

impl World {
    pub fn new(object: Value) -> Self {
        let start = Timestamp::from_second(1_000_000).unwrap();
        let pod = read(&object);
        let state = State::new(&pod, start);
        let settings = Settings {
            host_addresses: vec!["172.16.0.1".parse().unwrap()],
            ..Settings::default()
        };
        Self {
            object,
            state,
            pod,
            settings,
            runtime: Fake {
                now: start,
                ..Fake::default()
            },
            writes: Vec::new(),
            notices: Vec::new(),
            object_deleted: false,
            start,
        }
    }

    pub fn behave(mut self, name: &str, behaviour: Behaviour) -> Self {
        self.runtime.behaviours.insert(name.to_owned(), behaviour);
        self
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> i64 {
        self.runtime.now.duration_since(self.start).as_secs()
    }

    /// One step, with all that follows at once.
    pub fn step(&mut self) -> Step {
        for observation in self.runtime.due() {
            let notice =
                self.state
                    .observe(&self.pod, &self.settings, observation, self.runtime.now);
            self.notices.extend(notice);
        }
        let step = self.state.step(&self.pod, &self.settings, self.runtime.now);
        let again = self.state.step(&self.pod, &self.settings, self.runtime.now);
        assert_eq!(again.actions, [], "stepping twice is as good as once");
        for action in &step.actions {
            if *action == Action::DeleteObject {
                self.object_deleted = true;
                self.state.deleted();
            }
            self.runtime.begin(&self.pod, action);
        }
        self.notices.extend(step.notices.iter().cloned());
        if step.write
            && let Some(patch) = self
                .state
                .patch(&self.pod, &self.settings, self.runtime.now)
        {
            assert_eq!(patch.body["metadata"]["uid"], "u");
            self.apply(&patch.body["status"]);
            self.writes.push(patch.body["status"].clone());
            self.state.written(&patch);
            self.reread();
        }
        step
    }

    fn reread(&mut self) {
        let gone = self.pod.gone;
        self.pod = Pod {
            gone,
            ..read(&self.object)
        };
    }

    /// As a server carries out a strategic merge patch.
    fn apply(&mut self, patch: &Value) {
        for (field, value) in patch.as_object().unwrap() {
            let status = self.object["status"].as_object_mut().unwrap();
            if field == "conditions" {
                let mut all = status[field].as_array().unwrap().clone();
                for condition in value.as_array().unwrap() {
                    all.retain(|old| old["type"] != condition["type"]);
                    if condition.get("$patch").is_none() {
                        all.push(condition.clone());
                    }
                }
                status[field] = all.into();
            } else if value.is_null() {
                status.remove(field);
            } else {
                let mut value = value.clone();
                if let Some(items) = value.as_array_mut() {
                    items.retain(|item| item.get("$patch").is_none());
                }
                status.insert(field.clone(), value);
            }
        }
    }

    /// Lets time pass, as long as anything happens.
    pub fn run(&mut self, seconds: i64) {
        let end = after(self.runtime.now, seconds);
        for _ in 0..10_000 {
            let step = self.step();
            if !step.actions.is_empty() || step.write {
                continue;
            }
            let next = [step.wake, self.runtime.next()];
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.runtime.now = end;
                return;
            };
            self.runtime.now = next.max(self.runtime.now);
        }
        panic!("it goes on and on: {:?}", self.runtime.log);
    }

    /// Changes the object.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.object);
        self.reread();
        self.state.changed();
    }

    /// Somebody deletes the object.
    pub fn delete(&mut self, grace: i64) {
        let at = mosaic_api::time::format(after(self.runtime.now, grace));
        self.change(|object| {
            object["metadata"]["deletionTimestamp"] = at.into();
            object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            object["metadata"]["generation"] = 2.into();
        });
    }

    /// The agent hears what the object's status says. Whether there is anything to say to it.
    pub fn hears(&mut self) -> bool {
        let text = self.object["status"].to_string();
        let status: Box<RawValue> = serde_json::from_str(&text).unwrap();
        self.state.contradicts(Some(&status))
    }

    /// The agent dies, and another one takes its place.
    pub fn restart_agent(&mut self) {
        let text = self.object["status"].to_string();
        let status: Box<RawValue> = serde_json::from_str(&text).unwrap();
        let observed = self.runtime.observed();
        self.state = State::resume(&self.pod, Some(&status), &observed, self.runtime.now);
    }

    pub fn status(&self) -> &Value {
        &self.object["status"]
    }

    pub fn phase(&self) -> &str {
        self.status()["phase"].as_str().unwrap()
    }

    pub fn condition(&self, ty: &str) -> Value {
        let all = self.status()["conditions"].as_array().unwrap();
        let found = all.iter().find(|condition| condition["type"] == ty);
        found.cloned().unwrap_or_default()
    }

    pub fn is(&self, ty: &str) -> bool {
        self.condition(ty)["status"] == "True"
    }

    pub fn container(&self, name: &str) -> Value {
        let lists = ["initContainerStatuses", "containerStatuses"];
        let all = lists
            .iter()
            .filter_map(|list| self.status()[list].as_array());
        let found = all.flatten().find(|status| status["name"] == name);
        found.cloned().unwrap_or_default()
    }

    /// What happened, without when.
    pub fn log(&self) -> Vec<&str> {
        self.runtime.log.iter().map(|(_, text)| &**text).collect()
    }

    /// When something happened first, in seconds from the beginning.
    pub fn when(&self, text: &str) -> Option<i64> {
        let mut all = self.runtime.log.iter();
        let found = all.find(|(_, noted)| noted == text)?;
        Some(found.0 - self.start.as_second())
    }

    /// All moments at which something happened.
    pub fn whens(&self, text: &str) -> Vec<i64> {
        let all = self.runtime.log.iter().filter(|(_, noted)| noted == text);
        all.map(|(at, _)| at - self.start.as_second()).collect()
    }
}

pub fn exits(all: &[(i64, i32)]) -> Behaviour {
    Behaviour {
        exits: all.to_vec(),
        stops_after: Some(0),
        ..Behaviour::default()
    }
}

pub fn stops_after(seconds: i64) -> Behaviour {
    Behaviour {
        stops_after: Some(seconds),
        ..Behaviour::default()
    }
}
