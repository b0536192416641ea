//! What observations change.

use jiff::Timestamp;

use super::{
    Container, Hook, Observation, Pod, Policy, ProbeKind, Settings, State,
    pod::after,
    probes::{self, Consequence},
    restart,
    runtime::StartFailure,
    state::{ContainerState, Image, ImageState, Progress, Run, Sandbox, Why, back_off_until},
    step::Notice,
    stop,
};

impl State {
    /// Takes in what was observed. Observations that are no news (of an attempt that is over, of an action
    /// that was not begun) change nothing. Returns what a person may want to be told.
    pub fn observe(
        &mut self,
        pod: &Pod,
        settings: &Settings,
        observation: Observation,
        now: Timestamp,
    ) -> Option<Notice> {
        match observation {
            Observation::SandboxReady { addresses } => {
                if self.sandbox == Sandbox::Preparing {
                    self.sandbox = Sandbox::Ready;
                    self.sandbox_failures = 0;
                    self.addresses = addresses.into();
                    self.dirty = true;
                }
                None
            }
            Observation::SandboxFailed { message } => self.sandbox_failed(settings, message, now),
            Observation::SandboxLost => {
                if matches!(self.sandbox, Sandbox::Ready | Sandbox::Preparing) {
                    self.lose_sandbox(pod, now);
                }
                None
            }
            Observation::SandboxStopped => {
                if self.sandbox == Sandbox::Stopping {
                    self.sandbox = Sandbox::Stopped;
                }
                None
            }
            Observation::SandboxRemoved => {
                if self.sandbox == Sandbox::Removing {
                    self.sandbox = Sandbox::Removed;
                }
                None
            }
            Observation::Allocated { generation } => {
                self.allocated(pod, generation);
                None
            }
            Observation::NotAllocated {
                generation,
                infeasible,
                message,
            } => {
                self.not_allocated(generation, infeasible, message, now);
                None
            }
            Observation::ImagePresent { container }
            | Observation::ImageFailed { container, .. }
            | Observation::Started { container, .. }
            | Observation::StartFailed { container, .. }
            | Observation::HookEnded { container, .. }
            | Observation::Probed { container, .. }
            | Observation::Exited { container, .. }
            | Observation::Resized { container, .. } => {
                self.observe_container(pod, settings, container, observation, now)
            }
        }
    }

    fn sandbox_failed(
        &mut self,
        settings: &Settings,
        message: Box<str>,
        now: Timestamp,
    ) -> Option<Notice> {
        if self.sandbox != Sandbox::Preparing {
            return None;
        }
        self.sandbox_failures = self.sandbox_failures.saturating_add(1);
        // The first tries come soon: an address may be free again in a moment.
        let retry_at = match self.sandbox_failures {
            1..=3 => after(now, 1),
            more => back_off_until(settings, more - 3, now),
        };
        self.sandbox = Sandbox::Failed { retry_at };
        Some(Notice::warning(
            "FailedCreatePodSandBox",
            format!("The pod's sandbox could not be made: {message}"),
        ))
    }

    fn observe_container(
        &mut self,
        pod: &Pod,
        settings: &Settings,
        index: usize,
        observation: Observation,
        now: Timestamp,
    ) -> Option<Notice> {
        let spec = pod.spec.containers.get(index)?;
        let container = self.containers.get_mut(index)?;
        match observation {
            Observation::ImagePresent { .. } => {
                container.image = Image::Present;
                None
            }
            Observation::ImageFailed {
                failure, message, ..
            } => {
                let failures = match &container.image {
                    Image::Failed(before) => before.failures.saturating_add(1),
                    _ => 1,
                };
                let notice = Notice::warning(
                    "Failed",
                    format!("Failed to pull image \"{}\": {message}", spec.image),
                );
                container.image = Image::Failed(Box::new(ImageState {
                    failure,
                    message,
                    failures,
                    retry_at: back_off_until(settings, failures, now),
                    pulling: false,
                    told: false,
                }));
                self.dirty = true;
                Some(notice)
            }
            Observation::Started {
                attempt, at, id, ..
            } => {
                if !container.starting || attempt != container.next_attempt() {
                    return None;
                }
                container.started_as(spec.definition(), attempt, at, id, spec.post_start);
                if !spec.post_start {
                    probes::begin(spec, container, at);
                }
                self.dirty = true;
                None
            }
            Observation::StartFailed {
                attempt,
                failure,
                message,
                ..
            } => {
                if !container.starting || attempt != container.next_attempt() {
                    return None;
                }
                container.starting = false;
                if failure == StartFailure::Cancelled {
                    return None;
                }
                container.back_off.level = container.back_off.level.saturating_add(1);
                let until = back_off_until(settings, container.back_off.level, now);
                container.back_off.until = Some(until);
                let notice = Notice::warning("Failed", format!("Error: {message}"));
                container.start_failure = Some(Box::new((failure, message)));
                self.dirty = true;
                Some(notice)
            }
            Observation::HookEnded {
                attempt,
                hook,
                failure,
                ..
            } if attempt == container.attempt => match hook {
                Hook::PostStart => {
                    let Run::Hooked { since, begun: true } = container.run else {
                        return None;
                    };
                    self.dirty = true;
                    container.run = Run::Running { since };
                    let Some(message) = failure else {
                        probes::begin(spec, container, since);
                        return None;
                    };
                    container.again = restarts_killed(pod, spec);
                    stop::begin(container, Why::Ends, false, after(now, pod.spec.grace));
                    Some(Notice::warning(
                        "FailedPostStartHook",
                        format!("PostStartHook failed: {message}"),
                    ))
                }
                Hook::PreStop => {
                    if let Some(stop) = &mut container.stop {
                        stop.pre_stop = Progress::Done;
                    }
                    failure.map(|message| {
                        let text = format!("PreStopHook failed: {message}");
                        Notice::warning("FailedPreStopHook", text)
                    })
                }
            },
            Observation::Probed {
                attempt,
                probe,
                failure,
                ..
            } if attempt == container.attempt => {
                let consequence = probes::probed(spec, container, probe, failure.is_none(), now);
                self.dirty |= consequence == Consequence::Shown;
                let ending = self.stopping.is_some() || container.stop.is_some();
                if consequence == Consequence::Restart && !ending {
                    let own = spec.probe(probe).and_then(|probe| probe.grace);
                    let grace = own.unwrap_or(pod.spec.grace);
                    container.again = restarts_killed(pod, spec);
                    let why = Why::Probe(probe);
                    stop::begin(container, why, spec.pre_stop, after(now, grace));
                }
                failure.map(|message| unhealthy(probe, &message))
            }
            Observation::Exited {
                attempt,
                termination,
                ..
            } => {
                // An exit may overtake the news of the start.
                if container.starting && attempt == container.next_attempt() {
                    let at = termination.started.unwrap_or(now);
                    let id = termination.id.clone();
                    container.started_as(spec.definition(), attempt, at, id, false);
                }
                if attempt != container.attempt || !container.is_running() {
                    return None;
                }
                container.back_off =
                    restart::after_exit(settings, container.back_off, &termination, now);
                container.exit(termination);
                self.dirty = true;
                None
            }
            Observation::Resized {
                attempt, failure, ..
            } if attempt == container.attempt && container.resizing.is_some() => {
                self.resized(index, failure);
                None
            }
            _ => None,
        }
    }
}

/// Whether a container is started again that its host stopped because it is not well: unless it never is,
/// whatever code it exits with.
fn restarts_killed(pod: &Pod, container: &Container) -> bool {
    restart::policy(&pod.spec, container) != Policy::Never
}

fn unhealthy(probe: ProbeKind, message: &str) -> Notice {
    let kind = match probe {
        ProbeKind::Startup => "Startup",
        ProbeKind::Liveness => "Liveness",
        ProbeKind::Readiness => "Readiness",
    };
    Notice::warning("Unhealthy", format!("{kind} probe failed: {message}"))
}

impl ContainerState {
    fn started_as(
        &mut self,
        definition: u64,
        attempt: u32,
        since: Timestamp,
        id: Box<str>,
        hooked: bool,
    ) {
        if let Run::Exited(last) = std::mem::take(&mut self.run) {
            self.last = Some(last);
        }
        self.attempt = attempt;
        self.starting = false;
        self.again = false;
        self.start_failure = None;
        self.definition = definition;
        self.id = id;
        self.actual = self.allocated.clone();
        self.run = if hooked {
            Run::Hooked {
                since,
                begun: false,
            }
        } else {
            Run::Running { since }
        };
    }
}
