//! Whether a container is started again, and how long it has to wait for it.

use jiff::Timestamp;

use super::{
    Container, Pod, Policy, Role, Settings, Spec, State, Termination,
    state::{BackOff, ContainerState, Run, back_off_until},
};

/// Whether a container that ended like this is started again while its pod goes on.
pub(super) fn restarts(spec: &Spec, container: &Container, code: i32) -> bool {
    // A sidecar has the policy Always, or it were none.
    if container.role != Role::Sidecar
        && container
            .restart_rules
            .iter()
            .any(|rule| rule.matches(code))
    {
        return true;
    }
    match policy(spec, container) {
        Policy::Always => container.role != Role::Init || code != 0,
        Policy::OnFailure => code != 0,
        Policy::Never => false,
    }
}

/// The policy that holds for a container.
pub(super) fn policy(spec: &Spec, container: &Container) -> Policy {
    match (container.role, container.restart) {
        (Role::Sidecar, _) => Policy::Always,
        (_, Some(own)) => own,
        // What an init container does once is done.
        (Role::Init, None) if spec.restart == Policy::Always => Policy::OnFailure,
        (_, None) => spec.restart,
    }
}

/// Whether a container has ended for good.
pub(super) fn is_finished(spec: &Spec, container: &Container, state: &ContainerState) -> bool {
    match &state.run {
        Run::Exited(end) => !state.starting && !state.again && !restarts(spec, container, end.code),
        _ => false,
    }
}

/// What the containers of a pod have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is something left to run.
    Open,
    /// All that was to run ran, and succeeded.
    Succeeded,
    /// All that was to run ran, or never will; something failed.
    Failed,
}

/// What the containers have come to, sidecars aside: those end with their pod.
pub(super) fn outcome(pod: &Pod, state: &State) -> Outcome {
    let spec = &pod.spec;
    let pairs = || spec.containers.iter().zip(&state.containers);
    let failed_init = pairs().any(|(container, state)| {
        container.role == Role::Init
            && is_finished(spec, container, state)
            && matches!(&state.run, Run::Exited(termination) if termination.code != 0)
    });
    if failed_init && !state.initialized {
        return Outcome::Failed;
    }
    let is_main = |container: &Container| container.role == Role::Main;
    if pairs().any(|(container, state)| is_main(container) && !is_finished(spec, container, state))
    {
        return Outcome::Open;
    }
    let failed = pairs().any(|(container, state)| {
        is_main(container)
            && matches!(&state.run, Run::Exited(termination) if termination.code != 0)
    });
    if failed {
        Outcome::Failed
    } else {
        Outcome::Succeeded
    }
}

/// Whether a pod whose sandbox is lost has anything to run in another one.
pub(super) fn is_worth_a_sandbox(pod: &Pod, state: &State) -> bool {
    outcome(pod, state) == Outcome::Open
}

/// The wait before the next start of a container that just ended.
pub(super) fn after_exit(
    settings: &Settings,
    before: BackOff,
    termination: &Termination,
    now: Timestamp,
) -> BackOff {
    let finished = termination.finished.unwrap_or(now);
    let ran = termination
        .started
        .map(|started| finished.duration_since(started));
    let good = settings.back_off_max.saturating_mul(2);
    let level = if ran.is_some_and(|ran| ran >= good) {
        0
    } else {
        before.level
    };
    BackOff {
        level: level.saturating_add(1),
        until: (level > 0).then(|| back_off_until(settings, level, finished)),
        told: false,
    }
}
