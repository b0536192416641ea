//! The runtime of simulated hosts: containers that are nothing but moments at which something happens.

use std::{net::IpAddr, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use mosaic_node::lifecycle::{
    Action, Container, Hook, ImageFailure, Observation, Observed, ObservedContainer, ObservedState,
    Pod, ProbeKind, Runtime, StartFailure, Termination,
};

use crate::{
    addresses::Block,
    script::{Exit, ImageScript, Script, Stop},
};

/// The exit code of a program that ends by the signal that asks it to.
const TERMINATED: i32 = 143;

/// What a simulated host has of a pod.
#[derive(Debug, Default)]
pub(crate) struct Simulation {
    address: Option<std::net::Ipv4Addr>,
    processes: Vec<Process>,
    effects: Vec<(Timestamp, Effect)>,
    /// When the first pull was asked for.
    first_pull: Option<Timestamp>,
}

#[derive(Debug)]
struct Process {
    container: u16,
    attempt: u32,
    since: Timestamp,
    end: Option<Box<Termination>>,
    definition: u64,
    hooked: bool,
}

/// What happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    SandboxReady,
    SandboxFailed,
    SandboxStopped,
    SandboxRemoved,
    Pulled(usize, bool),
    Started(usize, u32),
    Cancelled(usize, u32),
    Hooked(usize, u32, Hook),
    Probed(usize, u32, ProbeKind, bool),
    Exits(usize, u32, i32, bool),
    Resized(usize, u32),
}

impl Simulation {
    /// The next moment at which something happens.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.effects.iter().map(|(at, _)| *at).min()
    }

    /// The next thing that has happened until now, the earliest first.
    pub(crate) fn due(&mut self, pod: &Pod, now: Timestamp) -> Option<Observation> {
        loop {
            let due = self.effects.iter().enumerate();
            let due = due.filter(|(_, (at, _))| *at <= now);
            let (index, _) = due.min_by_key(|(index, (at, _))| (*at, *index))?;
            let (at, effect) = self.effects.remove(index);
            if self.effects.is_empty() {
                self.effects = Vec::new();
            }
            if let Some(observation) = self.happen(pod, at, effect) {
                return Some(observation);
            }
        }
    }

    fn happen(&mut self, pod: &Pod, at: Timestamp, effect: Effect) -> Option<Observation> {
        let failure = |succeeded: bool, text: &str| (!succeeded).then(|| text.into());
        Some(match effect {
            Effect::SandboxReady => Observation::SandboxReady {
                addresses: self.address.map(IpAddr::V4).into_iter().collect(),
            },
            Effect::SandboxFailed => Observation::SandboxFailed {
                message: "the host has no free address".into(),
            },
            Effect::SandboxStopped => Observation::SandboxStopped,
            Effect::SandboxRemoved => Observation::SandboxRemoved,
            Effect::Pulled(container, true) => Observation::ImagePresent { container },
            Effect::Pulled(container, false) => Observation::ImageFailed {
                container,
                failure: ImageFailure::Pull,
                message: "the simulated registry does not have it".into(),
            },
            Effect::Started(container, attempt) => {
                let process = self.process(container)?;
                Observation::Started {
                    container,
                    attempt,
                    at: process.since,
                    id: id(pod, container, attempt),
                }
            }
            Effect::Cancelled(container, attempt) => Observation::StartFailed {
                container,
                attempt,
                failure: StartFailure::Cancelled,
                message: Box::default(),
            },
            Effect::Hooked(container, attempt, hook) => {
                if hook == Hook::PostStart {
                    self.process(container)?.hooked = true;
                }
                Observation::HookEnded {
                    container,
                    attempt,
                    hook,
                    failure: None,
                }
            }
            Effect::Probed(container, attempt, probe, succeeded) => Observation::Probed {
                container,
                attempt,
                probe,
                failure: failure(succeeded, "the script says so"),
            },
            Effect::Exits(container, attempt, code, oom) => {
                let id = id(pod, container, attempt);
                let process = self.process(container)?;
                if process.attempt != attempt || process.end.is_some() {
                    return None;
                }
                let termination = Termination {
                    started: Some(process.since),
                    finished: Some(at),
                    code,
                    oom,
                    reason: None,
                    message: None,
                    id,
                };
                process.end = Some(Box::new(termination.clone()));
                Observation::Exited {
                    container,
                    attempt,
                    termination,
                }
            }
            Effect::Resized(container, attempt) => Observation::Resized {
                container,
                attempt,
                failure: None,
            },
        })
    }

    fn process(&mut self, container: usize) -> Option<&mut Process> {
        let mut all = self.processes.iter_mut();
        all.find(|process| usize::from(process.container) == container)
    }

    /// What an agent finds that starts anew; it is not told what was under way for the one before.
    pub(crate) fn observed(&mut self, pod: &Pod, now: Timestamp) -> Observed {
        self.processes.retain(|process| process.since <= now);
        self.effects
            .retain(|(_, effect)| matches!(effect, Effect::Exits(..)));
        Observed {
            sandbox: self.address.map(|address| vec![IpAddr::V4(address)]),
            remains: self.address.is_some() || !self.processes.is_empty(),
            containers: self
                .processes
                .iter()
                .map(|process| ObservedContainer {
                    container: process.container.into(),
                    attempt: process.attempt,
                    definition: process.definition,
                    hooked: process.hooked,
                    id: id(pod, process.container.into(), process.attempt),
                    state: match &process.end {
                        Some(end) => ObservedState::Exited((**end).clone()),
                        None => ObservedState::Running {
                            since: process.since,
                        },
                    },
                })
                .collect(),
        }
    }

    /// Forgets all that there is, and gives the address back.
    pub(crate) fn clear(&mut self, addresses: &mut Block) {
        if let Some(address) = self.address.take() {
            addresses.release(address);
        }
        self.processes = Vec::new();
        self.effects = Vec::new();
    }
}

fn id(pod: &Pod, container: usize, attempt: u32) -> Box<str> {
    format!("mosaic-sim://{}/{container}/{attempt}", pod.uid).into()
}

fn later(now: Timestamp, millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    now.saturating_add(SignedDuration::from_millis(millis))
        .unwrap_or(now)
}

/// A simulated runtime at work on one pod.
pub(crate) struct Simulator<'a> {
    pub(crate) simulation: &'a mut Simulation,
    pub(crate) script: &'a Arc<Script>,
    pub(crate) addresses: &'a mut Block,
    pub(crate) now: Timestamp,
    /// How long a start takes where the script does not say, in milliseconds.
    pub(crate) start: u64,
}

impl Simulator<'_> {
    fn add(&mut self, millis: u64, effect: Effect) {
        self.simulation
            .effects
            .push((later(self.now, millis), effect));
    }

    /// Everything that is under way for a container and is like this happens now.
    fn hasten(&mut self, which: impl Fn(&Effect) -> bool) {
        for (at, effect) in &mut self.simulation.effects {
            if which(effect) {
                *at = self.now;
            }
        }
    }

    fn start(&mut self, container: &Container, index: usize, attempt: u32) {
        let behaviour = self.script.of(container);
        let there = self.simulation.process(index);
        if there.is_some_and(|process| process.attempt == attempt) {
            self.add(0, Effect::Started(index, attempt));
            return;
        }
        let takes = behaviour.start.unwrap_or(self.start);
        let since = later(self.now, takes);
        let process = Process {
            container: u16::try_from(index).unwrap_or(u16::MAX),
            attempt,
            since,
            end: None,
            definition: container.definition(),
            hooked: false,
        };
        match self.simulation.process(index) {
            Some(old) => *old = process,
            None => self.simulation.processes.push(process),
        }
        self.add(takes, Effect::Started(index, attempt));
        if let Some((after, code, oom)) = behaviour.end(attempt) {
            let after = takes.saturating_add(after);
            self.add(after, Effect::Exits(index, attempt, code, oom));
        }
    }
}

impl Runtime for Simulator<'_> {
    fn begin(&mut self, pod: &Pod, action: &Action) {
        let behaviour = |container: usize| {
            let container = pod.spec.containers.get(container);
            container.map(|container| self.script.of(container))
        };
        match *action {
            Action::PrepareSandbox => {
                if self.simulation.address.is_none() {
                    self.simulation.address = self.addresses.take();
                }
                let effect = match self.simulation.address {
                    Some(_) => Effect::SandboxReady,
                    None => Effect::SandboxFailed,
                };
                self.add(0, effect);
            }
            Action::PullImage { container } => {
                let first = *self.simulation.first_pull.get_or_insert(self.now);
                let image = behaviour(container).map(|b| b.image).unwrap_or_default();
                let effect = |succeeds| Effect::Pulled(container, succeeds);
                match image {
                    ImageScript::Takes(millis) => self.add(millis, effect(true)),
                    ImageScript::Fails => self.add(0, effect(false)),
                    ImageScript::FailsFor(millis) => {
                        self.add(0, effect(self.now >= later(first, millis)));
                    }
                }
            }
            Action::StartContainer { container, attempt } => {
                if let Some(spec) = pod.spec.containers.get(container) {
                    self.start(spec, container, attempt);
                }
            }
            Action::RunHook {
                container,
                attempt,
                hook,
            } => {
                let millis = behaviour(container).map_or(0, |behaviour| behaviour.hook);
                self.add(millis, Effect::Hooked(container, attempt, hook));
            }
            Action::RunProbe {
                container,
                attempt,
                probe,
            } => {
                let behaviour = behaviour(container);
                let since = self.simulation.process(container).map(|p| p.since);
                let age = self.now.duration_since(since.unwrap_or(self.now));
                let age = u64::try_from(age.as_millis()).unwrap_or(0);
                let succeeds = behaviour.is_none_or(|behaviour| behaviour.probe(probe, age));
                self.add(0, Effect::Probed(container, attempt, probe, succeeds));
            }
            Action::Cancel { container } => self.cancel(container),
            Action::Signal { container, attempt } => {
                let behaviour = behaviour(container).unwrap_or_default();
                let exit = match behaviour.stop {
                    Stop::Exits(exit) => exit,
                    Stop::Plain => Exit {
                        after: 0,
                        // A program that has not come to the end that its script has for it has not done its work.
                        code: behaviour.end(attempt).map_or(0, |_| TERMINATED),
                    },
                    Stop::IgnoresTerm | Stop::IgnoresKill => return,
                };
                let effect = Effect::Exits(container, attempt, exit.code, false);
                self.add(exit.after, effect);
            }
            Action::Kill { container, attempt } => {
                // Once nobody knows of the pod any more, nobody could see what it still takes of the host's room.
                let ignored = behaviour(container).is_some_and(|b| b.stop == Stop::IgnoresKill);
                if !ignored || pod.gone {
                    self.add(0, Effect::Exits(container, attempt, 137, false));
                }
            }
            Action::Resize { container, attempt } => {
                self.add(0, Effect::Resized(container, attempt));
            }
            Action::StopSandbox => {
                if let Some(address) = self.simulation.address.take() {
                    self.addresses.release(address);
                }
                self.add(0, Effect::SandboxStopped);
            }
            Action::RemoveSandbox => {
                self.simulation.clear(self.addresses);
                self.add(0, Effect::SandboxRemoved);
            }
            // The host's to answer, who knows of all pods; and the API's.
            Action::Allocate | Action::DeleteObject => {}
        }
    }
}

impl Simulator<'_> {
    fn cancel(&mut self, container: usize) {
        let now = self.now;
        let starting = self
            .simulation
            .process(container)
            .filter(|process| process.since > now)
            .map(|process| process.attempt);
        if let Some(attempt) = starting {
            self.simulation
                .processes
                .retain(|process| usize::from(process.container) != container);
            self.simulation.effects.retain(|(_, effect)| {
                !matches!(effect, Effect::Started(of, _) | Effect::Exits(of, ..) if *of == container)
            });
            self.add(0, Effect::Cancelled(container, attempt));
        }
        self.hasten(|effect| {
            matches!(effect, Effect::Pulled(of, _) | Effect::Hooked(of, _, Hook::PostStart) if *of == container)
        });
    }
}
