//! What is known of a pod's life: all that a decision looks at besides the pod and the time.

use std::{net::IpAddr, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{
    Pod, ProbeKind, Resources, Role, Termination,
    probes::Probes,
    runtime::{ImageFailure, StartFailure},
    status::{Conditions, Phase, Shown},
};

/// What holds for all pods of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The host's addresses (`hostIP`, `hostIPs`), the first one first.
    pub host_addresses: Vec<IpAddr>,
    /// The wait before the second restart of a container that crashes; it doubles with each further one. The
    /// first restart comes at once, as in Kubernetes.
    pub back_off: SignedDuration,
    /// The longest such wait. A container that ran for twice as long starts over without one.
    pub back_off_max: SignedDuration,
    /// How long a status that only says that a pod is about to start may wait for one that says more, so
    /// that a quick start is one write.
    pub settle: SignedDuration,
}

impl Default for Settings {
    /// As Kubernetes: 10 s doubling to 5 min. A quick start is one that takes less than 1 s.
    fn default() -> Self {
        Self {
            host_addresses: Vec::new(),
            back_off: SignedDuration::from_secs(10),
            back_off_max: SignedDuration::from_secs(300),
            settle: SignedDuration::from_secs(1),
        }
    }
}

/// Why a pod has to end without having been deleted: it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `status.reason`, such as `Evicted`, `DeadlineExceeded` or `OutOfcpu`.
    pub reason: Box<str>,
    /// `status.message`.
    pub message: Box<str>,
    /// How many seconds its containers get; by default the pod's own grace period.
    pub grace: Option<i64>,
    /// Whether the host ends it for reasons of its own, so that its controller may not count it as a failure
    /// of the pod: the condition `DisruptionTarget` says so.
    pub disruption: bool,
}

/// The life of one pod, as far as it is known.
#[derive(Debug, Clone)]
pub struct State {
    pub(super) start_time: Timestamp,
    pub(super) sandbox: Sandbox,
    pub(super) sandbox_failures: u32,
    pub(super) addresses: Box<[IpAddr]>,
    /// The init containers have done their part in this sandbox.
    pub(super) initialized: bool,
    pub(super) containers: Box<[ContainerState]>,
    pub(super) verdict: Option<Box<Verdict>>,
    /// Since when the pod is being stopped.
    pub(super) stopping: Option<Timestamp>,
    /// The phase that it ended in, from which there is no way back.
    pub(super) ended: Option<Phase>,
    pub(super) conditions: Conditions,
    pub(super) resize: Option<Box<Resize>>,
    pub(super) shown: Shown,
    /// Something may differ from what is shown.
    pub(super) dirty: bool,
    /// Somebody else wrote of readiness, and said something else.
    pub(super) contradicted: bool,
    /// An agent before this one knew the pod.
    pub(super) resumed: bool,
    /// All containers have run once: the phase does not go back to `Pending`.
    pub(super) has_run: bool,
    pub(super) writing: bool,
    /// The last status was written.
    pub(super) told_all: bool,
    pub(super) deleting: Progress,
}

/// How far something is that happens once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Progress {
    #[default]
    NotBegun,
    UnderWay,
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sandbox {
    Absent,
    Preparing,
    Failed { retry_at: Timestamp },
    Ready,
    Stopping,
    Stopped,
    Removing,
    Removed,
}

/// A container's life.
#[derive(Debug, Clone, Default)]
pub(super) struct ContainerState {
    /// The attempt that `run` speaks of; the number of restarts.
    pub(super) attempt: u32,
    pub(super) run: Run,
    /// Whether the next attempt is being started.
    pub(super) starting: bool,
    /// What was under way before it ran was told to end early.
    pub(super) cancelled: bool,
    /// It is stopped to be started again, whatever its policy says of its exit.
    pub(super) again: bool,
    pub(super) start_failure: Option<Box<(StartFailure, Box<str>)>>,
    pub(super) image: Image,
    /// How the attempt before this one ended.
    pub(super) last: Option<Box<Termination>>,
    pub(super) back_off: BackOff,
    /// Its startup probe succeeded, or it needs none.
    pub(super) started: bool,
    /// Its readiness probe succeeds, or it has none.
    pub(super) ready: bool,
    pub(super) probes: Option<Box<Probes>>,
    pub(super) stop: Option<Box<Stop>>,
    /// What it was started from.
    pub(super) definition: u64,
    pub(super) id: Box<str>,
    /// What was set aside for it.
    pub(super) allocated: Option<Arc<Resources>>,
    /// What is in force while it runs.
    pub(super) actual: Option<Arc<Resources>>,
    /// The resize that is under way.
    pub(super) resizing: Option<Arc<Resources>>,
    /// The resize that failed, so that it is not tried again and again.
    pub(super) resize_failed: Option<Box<(Arc<Resources>, Box<str>)>>,
}

#[derive(Debug, Clone, Default)]
pub(super) enum Run {
    /// Never started, as far as is known.
    #[default]
    Waiting,
    /// Started, and its post-start hook has not ended.
    Hooked {
        since: Timestamp,
        begun: bool,
    },
    Running {
        since: Timestamp,
    },
    Exited(Box<Termination>),
}

#[derive(Debug, Clone, Default)]
pub(super) enum Image {
    #[default]
    Unknown,
    Pulling,
    Present,
    Failed(Box<ImageState>),
}

#[derive(Debug, Clone)]
pub(super) struct ImageState {
    pub(super) failure: ImageFailure,
    pub(super) message: Box<str>,
    pub(super) failures: u32,
    pub(super) retry_at: Timestamp,
    /// It is being pulled again.
    pub(super) pulling: bool,
    /// People were told that it is waited for.
    pub(super) told: bool,
}

/// How long a container that crashes has to wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BackOff {
    /// How many restarts there were without a good run between them.
    pub(super) level: u32,
    pub(super) until: Option<Timestamp>,
    /// People were told of the wait.
    pub(super) told: bool,
}

/// Why a container is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its pod ends, or its start did not go well.
    Ends,
    /// Its definition is another one.
    Definition,
    /// What it may use is to change, which it has to start anew for.
    Resize,
    /// This probe has failed too often.
    Probe(ProbeKind),
}

/// A container that is being stopped.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    pub(super) why: Why,
    /// People were told of it.
    pub(super) told: bool,
    pub(super) kill_at: Timestamp,
    pub(super) pre_stop: Progress,
    pub(super) signalled_at: Option<Timestamp>,
    pub(super) killed_at: Option<Timestamp>,
}

/// What is asked for and not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resize {
    /// The generation that was last asked for or judged.
    pub(super) generation: i64,
    pub(super) state: ResizeState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResizeState {
    Asked,
    Deferred {
        message: Box<str>,
        retry_at: Timestamp,
    },
    Infeasible {
        message: Box<str>,
    },
}

impl State {
    /// The life of a pod that this host has not seen before.
    pub fn new(pod: &Pod, now: Timestamp) -> Self {
        let containers = pod.spec.containers.iter();
        Self {
            start_time: now,
            sandbox: Sandbox::Absent,
            sandbox_failures: 0,
            addresses: Box::default(),
            initialized: pod.spec.containers.iter().all(|c| c.role == Role::Main),
            containers: containers
                .map(|container| ContainerState {
                    allocated: Some(container.resources.clone()),
                    ..ContainerState::default()
                })
                .collect(),
            verdict: None,
            stopping: None,
            ended: None,
            conditions: Conditions::default(),
            resize: None,
            shown: Shown::default(),
            dirty: true,
            resumed: false,
            has_run: false,
            writing: false,
            contradicted: false,
            told_all: false,
            deleting: Progress::NotBegun,
        }
    }

    /// Ends the pod as failed. The first verdict stays, and one for a pod that has ended says nothing.
    pub fn end(&mut self, verdict: Verdict) {
        if self.ended.is_none() && self.verdict.is_none() {
            self.verdict = Some(Box::new(verdict));
            self.dirty = true;
        }
    }

    /// The pod's object was changed; whatever a status says of it is looked at again.
    pub fn changed(&mut self) {
        self.dirty = true;
    }

    /// The phase that the pod ended in, if it has.
    pub fn ended(&self) -> Option<Phase> {
        self.ended
    }

    /// Whether no agent has told anything of the pod before, so that the host may still refuse it.
    pub fn is_new(&self) -> bool {
        !self.resumed && self.ended.is_none()
    }

    /// Whether all of its containers have run, and it has not ended.
    pub fn is_running(&self) -> bool {
        self.ended.is_none() && self.has_run
    }

    /// Whether the host has nothing of the pod any more and nothing to say: it can be forgotten when its
    /// object is gone.
    pub fn is_over(&self) -> bool {
        self.sandbox == Sandbox::Removed
    }

    /// Whether the pod takes up resources: it has neither ended nor been refused.
    pub fn is_active(&self) -> bool {
        self.ended.is_none() && self.verdict.is_none()
    }

    /// A container that was started and has not exited, if there is one.
    pub(super) fn is_any_running(&self) -> bool {
        self.containers.iter().any(ContainerState::is_running)
    }

    pub(super) fn is_any_starting(&self) -> bool {
        self.containers.iter().any(|container| container.starting)
    }

    /// The sandbox went away with all that ran in it.
    pub(super) fn lose_sandbox(&mut self, pod: &Pod, now: Timestamp) {
        self.sandbox = Sandbox::Absent;
        self.addresses = Box::default();
        for container in &mut self.containers {
            container.lose(now);
        }
        // In a new sandbox everything starts over, so that init containers run again; unless nothing would
        // be started again anyway.
        self.initialized = pod.spec.containers.iter().all(|c| c.role == Role::Main);
        if !self.initialized && super::restart::is_worth_a_sandbox(pod, self) {
            for (container, spec) in self.containers.iter_mut().zip(&pod.spec.containers) {
                if spec.role == Role::Init {
                    container.start_over();
                }
            }
        }
        self.dirty = true;
    }
}

impl ContainerState {
    /// A process is there.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.run, Run::Hooked { .. } | Run::Running { .. })
    }

    /// The attempt that a start would be.
    pub(super) fn next_attempt(&self) -> u32 {
        match self.run {
            Run::Waiting => self.attempt,
            _ => self.attempt.saturating_add(1),
        }
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        match self.run {
            Run::Hooked { since, .. } | Run::Running { since } => Some(since),
            _ => None,
        }
    }

    /// It ended.
    pub(super) fn exit(&mut self, termination: Termination) {
        self.run = Run::Exited(Box::new(termination));
        self.started = false;
        self.ready = false;
        self.probes = None;
        self.stop = None;
        self.actual = None;
        self.resizing = None;
        self.resize_failed = None;
    }

    /// It is not there any more, and nobody saw it end.
    pub(super) fn lose(&mut self, now: Timestamp) {
        self.starting = false;
        if matches!(self.image, Image::Pulling) {
            self.image = Image::Unknown;
        }
        if let Some(started) = self.since() {
            let id = std::mem::take(&mut self.id);
            self.exit(Termination {
                started: Some(started),
                finished: Some(now),
                code: 137,
                oom: false,
                reason: Some("ContainerStatusUnknown".into()),
                message: Some("The container was gone when the host looked for it".into()),
                id,
            });
        }
    }

    /// Counts as not started, whatever it did before.
    fn start_over(&mut self) {
        if let Run::Exited(last) = std::mem::take(&mut self.run) {
            self.attempt = self.attempt.saturating_add(1);
            self.last = Some(last);
        }
        self.back_off = BackOff::default();
    }
}

/// A wait that doubles with each failure: the base after the first one.
fn back_off(settings: &Settings, failures: u32) -> SignedDuration {
    let base = settings.back_off.max(SignedDuration::ZERO);
    let doubled = 2_i32.saturating_pow(failures.saturating_sub(1).min(30));
    base.saturating_mul(doubled)
        .min(settings.back_off_max.max(SignedDuration::ZERO))
}

/// The end of such a wait.
pub(super) fn back_off_until(settings: &Settings, failures: u32, from: Timestamp) -> Timestamp {
    from.saturating_add(back_off(settings, failures))
        .unwrap_or(Timestamp::MAX)
}
