//! What is started next.

use jiff::Timestamp;

use super::{
    Action, Hook, Pod, Role, State,
    pod::after,
    restart::is_finished,
    runtime::ImageFailure,
    state::{ContainerState, Image, Run, Sandbox, Why},
    step::{Notice, Step},
    stop,
};

/// Takes the pod one step further towards all of its containers running.
pub(super) fn step(pod: &Pod, state: &mut State, now: Timestamp, step: &mut Step) {
    match &state.sandbox {
        Sandbox::Absent => {
            state.sandbox = Sandbox::Preparing;
            step.actions.push(Action::PrepareSandbox);
            return;
        }
        Sandbox::Failed { retry_at } if *retry_at <= now => {
            state.sandbox = Sandbox::Preparing;
            step.actions.push(Action::PrepareSandbox);
            return;
        }
        Sandbox::Failed { retry_at } => {
            step.wake(*retry_at);
            return;
        }
        Sandbox::Ready => {}
        _ => return,
    }
    let spec = &pod.spec;
    if !state.initialized {
        state.initialized = initialize(pod, state, now, step);
        state.dirty |= state.initialized;
    }
    let initialized = state.initialized;
    for (index, container) in spec.containers.iter().enumerate() {
        let Some(own) = state.containers.get_mut(index) else {
            continue;
        };
        let wanted = match container.role {
            Role::Init => false,
            // The first start of a sidecar is the initialization's to decide.
            Role::Sidecar => initialized || !matches!(own.run, Run::Waiting),
            Role::Main => initialized,
        };
        if wanted && !is_finished(spec, container, own) {
            go_on(index, pod, own, now, step);
        }
    }
}

/// Runs init containers and sidecars in their order. Whether all have done their part.
fn initialize(pod: &Pod, state: &mut State, now: Timestamp, step: &mut Step) -> bool {
    for (index, container) in pod.spec.containers.iter().enumerate() {
        let Some(own) = state.containers.get_mut(index) else {
            continue;
        };
        let done = match container.role {
            Role::Main => true,
            Role::Sidecar => own.started,
            Role::Init => {
                is_finished(&pod.spec, container, own)
                    && matches!(&own.run, Run::Exited(end) if end.code == 0)
            }
        };
        if done {
            continue;
        }
        // A sidecar that began is kept running with the others.
        let kept = container.role == Role::Sidecar && !matches!(own.run, Run::Waiting);
        if !kept && !is_finished(&pod.spec, container, own) {
            go_on(index, pod, own, now, step);
        }
        return false;
    }
    true
}

/// Takes one container that is to run one step further.
fn go_on(index: usize, pod: &Pod, state: &mut ContainerState, now: Timestamp, step: &mut Step) {
    let Some(container) = pod.spec.containers.get(index) else {
        return;
    };
    match &mut state.run {
        Run::Hooked { begun, .. } => {
            if !*begun {
                *begun = true;
                step.actions.push(Action::RunHook {
                    container: index,
                    attempt: state.attempt,
                    hook: Hook::PostStart,
                });
            }
            return;
        }
        Run::Running { .. } => {
            if state.stop.is_none() && state.definition != container.definition() {
                state.again = true;
                let kill_at = after(now, pod.spec.grace);
                stop::begin(state, Why::Definition, container.pre_stop, kill_at);
            }
            return;
        }
        Run::Waiting | Run::Exited(_) => {}
    }
    if state.starting {
        return;
    }
    if let Some(until) = state.back_off.until.filter(|until| *until > now) {
        let crashed = matches!(state.run, Run::Exited(_));
        if crashed && !state.back_off.told {
            state.back_off.told = true;
            step.notices.push(Notice::warning(
                "BackOff",
                format!(
                    "Back-off restarting failed container {} in pod {}_{}({})",
                    container.name, pod.name, pod.namespace, pod.uid
                ),
            ));
        }
        step.wake(until);
        return;
    }
    match &mut state.image {
        Image::Present => {
            let attempt = state.next_attempt();
            state.starting = true;
            // What the tag stands for may be another image at the next start.
            state.image = Image::Unknown;
            step.actions.push(Action::StartContainer {
                container: index,
                attempt,
            });
        }
        Image::Pulling => {}
        Image::Failed(failed) if failed.pulling => {}
        Image::Failed(failed) if failed.retry_at > now => {
            if failed.failure == ImageFailure::Pull && !failed.told {
                failed.told = true;
                let message = format!("Back-off pulling image \"{}\"", container.image);
                step.notices.push(Notice::normal("BackOff", message));
            }
            step.wake(failed.retry_at);
        }
        Image::Failed(failed) => {
            failed.pulling = true;
            step.actions.push(Action::PullImage { container: index });
        }
        Image::Unknown => {
            state.image = Image::Pulling;
            step.actions.push(Action::PullImage { container: index });
        }
    }
}
