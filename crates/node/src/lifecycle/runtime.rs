//! What carries decisions out: a container engine, or a simulation of one.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{Pod, Termination};

/// Carries out what was decided about pods.
///
/// The outcome of every action comes back as an [`Observation`] with the pod's UID, by a channel that the
/// runtime was made with; so do exits of containers, which nobody asked for. Beginning never blocks, and a
/// pod whose runtime hangs holds up no other.
///
/// Each action may be begun again after the agent was started anew, and then must not be done twice: what is
/// there already is reported as done. A container is known by its pod's UID, its index in the spec's list
/// and its attempt.
pub trait Runtime {
    /// Begins an action, and returns at once.
    ///
    /// Every action ends in exactly one observation, as its variant says; also when it was cancelled.
    fn begin(&mut self, pod: &Pod, action: &Action);
}

/// What is to be done for a pod. Containers are named by their index in [`Spec::containers`](super::Spec).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the namespaces, the network and the volumes, before anything runs.
    /// Ends in [`Observation::SandboxReady`] or [`Observation::SandboxFailed`].
    PrepareSandbox,
    /// Make sure that the container's image is there, as its pull policy says.
    /// Ends in [`Observation::ImagePresent`] or [`Observation::ImageFailed`].
    PullImage {
        /// Which container.
        container: usize,
    },
    /// Create and start a container. Ends in [`Observation::Started`] or [`Observation::StartFailed`].
    StartContainer {
        /// Which container.
        container: usize,
        /// 0 for the first start, and one more for each restart.
        attempt: u32,
    },
    /// Run a hook. Ends in [`Observation::HookEnded`]. That a post-start hook has ended is noted beside the
    /// container.
    RunHook {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
        /// Which hook.
        hook: Hook,
    },
    /// Run a probe once, within its timeout. Ends in [`Observation::Probed`].
    RunProbe {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
        /// Which probe.
        probe: ProbeKind,
    },
    /// Let what is under way before a container runs (the pull, the start, the post-start hook) end early.
    /// The action that was begun ends in its own observation; this one has none.
    Cancel {
        /// Which container.
        container: usize,
    },
    /// Ask the container to stop (SIGTERM, or its own stop signal). Has no observation but the exit.
    Signal {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
    },
    /// Kill the container. Has no observation but the exit; asked again while there is none.
    Kill {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
    },
    /// Set aside the resources that the spec asks for now, if the host has them.
    /// Ends in [`Observation::Allocated`] or [`Observation::NotAllocated`].
    Allocate,
    /// Give a running container the resources that were set aside.
    /// Ends in [`Observation::Resized`].
    Resize {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
    },
    /// Let go of namespaces, network and volumes; logs stay. No container runs any more.
    /// Ends in [`Observation::SandboxStopped`].
    StopSandbox,
    /// Remove all that there is of the pod, logs too; stops the sandbox if that was not done.
    /// Ends in [`Observation::SandboxRemoved`].
    RemoveSandbox,
    /// Delete the object in the API, with grace period 0 and the UID as precondition. This is the driver's to
    /// do and not the runtime's. Ends in
    /// [`State::deleted`](super::State::deleted).
    DeleteObject,
}

/// A hook of a container's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Right after the start; the container counts as running when it has ended.
    PostStart,
    /// Before the container is asked to stop.
    PreStop,
}

/// A probe of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// Until it succeeds no other probe runs.
    Startup,
    /// Where it fails, the container is restarted.
    Liveness,
    /// Where it fails, the pod gets no traffic.
    Readiness,
}

/// Why there is no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFailure {
    /// The pull failed.
    Pull,
    /// The policy is `Never`, and the image is not here.
    NeverPull,
    /// The name is not one of an image.
    InvalidName,
}

/// Why a container did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFailure {
    /// What it refers to (a ConfigMap, a Secret) is missing or wrong.
    Config,
    /// It could not be created.
    Create,
    /// It was created, and its process did not start.
    Run,
    /// The start was cancelled.
    Cancelled,
}

/// What was seen of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The sandbox is there.
    SandboxReady {
        /// The pod's addresses, the first one first; at most one of each family counts.
        addresses: Vec<IpAddr>,
    },
    /// The sandbox could not be made.
    SandboxFailed {
        /// Why.
        message: Box<str>,
    },
    /// The sandbox went away by itself, and with it every container (the host was started anew).
    SandboxLost,
    /// The sandbox is stopped.
    SandboxStopped,
    /// Nothing is left of the pod.
    SandboxRemoved,
    /// The image is there.
    ImagePresent {
        /// Which container.
        container: usize,
    },
    /// The image is not there.
    ImageFailed {
        /// Which container.
        container: usize,
        /// What kind of failure.
        failure: ImageFailure,
        /// Why.
        message: Box<str>,
    },
    /// A container runs.
    Started {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
        /// Since when.
        at: Timestamp,
        /// Its id, such as `mosaic://0123`.
        id: Box<str>,
    },
    /// A container did not start.
    StartFailed {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
        /// What kind of failure.
        failure: StartFailure,
        /// Why.
        message: Box<str>,
    },
    /// A hook ended.
    HookEnded {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
        /// Which hook.
        hook: Hook,
        /// Why it failed, if it did.
        failure: Option<Box<str>>,
    },
    /// A probe ended.
    Probed {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
        /// Which probe.
        probe: ProbeKind,
        /// What it said if it failed.
        failure: Option<Box<str>>,
    },
    /// A container ended.
    Exited {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
        /// How.
        termination: Termination,
    },
    /// The resources that the spec of this generation asks for are set aside.
    Allocated {
        /// `metadata.generation` that was looked at.
        generation: i64,
    },
    /// They are not.
    NotAllocated {
        /// `metadata.generation` that was looked at.
        generation: i64,
        /// Whether the host could ever give them.
        infeasible: bool,
        /// Why.
        message: Box<str>,
    },
    /// A resize of a running container ended.
    Resized {
        /// Which container.
        container: usize,
        /// Which attempt.
        attempt: u32,
        /// Why it failed, if it did.
        failure: Option<Box<str>>,
    },
}

/// What a runtime has of a pod when an agent starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The sandbox's addresses, if there is one that works.
    pub sandbox: Option<Vec<IpAddr>>,
    /// Whether anything at all is left, so that it has to be removed.
    pub remains: bool,
    /// The latest attempt of each container that there is.
    pub containers: Vec<ObservedContainer>,
}

/// What a runtime has of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedContainer {
    /// Its index in the spec's list.
    pub container: usize,
    /// Which attempt it is.
    pub attempt: u32,
    /// [`Container::definition`](super::Container::definition) that it was started from.
    pub definition: u64,
    /// Whether its post-start hook has ended.
    pub hooked: bool,
    /// Its id.
    pub id: Box<str>,
    /// What it does.
    pub state: ObservedState,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedState {
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It ended.
    Exited(Termination),
}
