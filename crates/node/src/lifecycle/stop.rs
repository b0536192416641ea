//! How what runs is brought to its end: one container, or the whole pod.

use jiff::Timestamp;

use super::{
    Action, Hook, Pod, ProbeKind, Role, State,
    pod::after,
    state::{ContainerState, Image, Progress, Run, Sandbox, Stop, Why},
    step::{Notice, Step},
};

/// The least that a container gets between the signal and the kill, such as one whose pre-stop hook took all
/// of its time; in seconds, as in Kubernetes.
const LEAST_GRACE: i64 = 2;
/// After so many seconds without an exit a container is killed again.
const KILL_AGAIN: i64 = 10;

/// Begins to stop a container that runs, until a moment at the latest.
pub(super) fn begin(state: &mut ContainerState, why: Why, pre_stop: bool, kill_at: Timestamp) {
    if state.stop.is_some() || !state.is_running() {
        return;
    }
    let hook = pre_stop && matches!(state.run, Run::Running { .. });
    state.stop = Some(Box::new(Stop {
        why,
        told: false,
        kill_at,
        pre_stop: if hook {
            Progress::NotBegun
        } else {
            Progress::Done
        },
        signalled_at: None,
        killed_at: None,
    }));
}

/// Takes each container that is being stopped one step further.
pub(super) fn step_containers(pod: &Pod, state: &mut State, now: Timestamp, step: &mut Step) {
    for (container, own) in state.containers.iter_mut().enumerate() {
        let attempt = own.attempt;
        let Some(stop) = own.stop.as_deref_mut() else {
            continue;
        };
        if !stop.told {
            stop.told = true;
            let name = pod.spec.containers.get(container).map(|spec| &*spec.name);
            let message = killing(name.unwrap_or_default(), stop.why);
            step.notices.push(Notice::normal("Killing", message));
        }
        if stop.pre_stop == Progress::NotBegun && stop.kill_at > now {
            stop.pre_stop = Progress::UnderWay;
            step.actions.push(Action::RunHook {
                container,
                attempt,
                hook: Hook::PreStop,
            });
        }
        if stop.pre_stop == Progress::UnderWay && stop.kill_at > now {
            step.wake(stop.kill_at);
            continue;
        }
        let signalled_at = *stop.signalled_at.get_or_insert_with(|| {
            step.actions.push(Action::Signal { container, attempt });
            now
        });
        let kill_at = match stop.killed_at {
            Some(at) => after(at, KILL_AGAIN),
            None => stop.kill_at.max(after(signalled_at, LEAST_GRACE)),
        };
        if kill_at <= now {
            stop.killed_at = Some(now);
            step.actions.push(Action::Kill { container, attempt });
            step.wake(after(now, KILL_AGAIN));
        } else {
            step.wake(kill_at);
        }
    }
}

/// What people are told of a container that is stopped, in the kubelet's words.
fn killing(name: &str, why: Why) -> String {
    match why {
        Why::Ends => format!("Stopping container {name}"),
        Why::Definition => format!("Container {name} definition changed, will be restarted"),
        Why::Resize => format!("Container {name} resize requires restart"),
        Why::Probe(ProbeKind::Startup) => {
            format!("Container {name} failed startup probe, will be restarted")
        }
        Why::Probe(_) => format!("Container {name} failed liveness probe, will be restarted"),
    }
}

/// How many seconds the pod has for its end, from when that began.
fn grace(pod: &Pod, state: &State) -> i64 {
    match (&pod.deletion, &state.verdict) {
        // Whoever deletes the object by force wants it fast.
        _ if pod.gone => 0,
        (Some(deletion), _) => deletion.grace,
        (None, Some(verdict)) => verdict.grace.unwrap_or(pod.spec.grace).max(0),
        (None, None) => pod.spec.grace,
    }
}

/// Takes the pod one step further towards nothing of it running. Main containers and init containers end at
/// once, then each sidecar after those behind it.
pub(super) fn step(pod: &Pod, state: &mut State, now: Timestamp, step: &mut Step) {
    let since = *state.stopping.get_or_insert(now);
    let kill_at = after(since, grace(pod, state));
    cancel(state, step);
    // Something still runs that has to end first.
    let mut behind = false;
    for role in [Role::Main, Role::Init, Role::Sidecar] {
        for (index, container) in pod.spec.of(role).rev() {
            let Some(own) = state.containers.get_mut(index) else {
                continue;
            };
            if !own.is_running() {
                behind |= own.starting;
                continue;
            }
            if role != Role::Sidecar || !behind || kill_at <= now {
                begin(own, Why::Ends, container.pre_stop, kill_at);
            } else {
                step.wake(kill_at);
            }
            if let Some(stop) = &mut own.stop {
                // A liveness probe may have left it more time, and a second deletion less.
                stop.kill_at = stop.kill_at.min(kill_at);
            }
            behind = true;
        }
    }
    step_containers(pod, state, now, step);
    if !state.is_any_running() && !state.is_any_starting() {
        clear(pod, state, step);
    }
}

/// Lets go of what is under way before a container runs.
fn cancel(state: &mut State, step: &mut Step) {
    for (container, own) in state.containers.iter_mut().enumerate() {
        let pulls = match &own.image {
            Image::Pulling => true,
            Image::Failed(failed) => failed.pulling,
            _ => false,
        };
        let hooked = matches!(own.run, Run::Hooked { begun: true, .. });
        if (pulls || own.starting || hooked) && !own.cancelled {
            own.cancelled = true;
            step.actions.push(Action::Cancel { container });
        }
    }
}

/// Nothing runs any more: the sandbox can go, and all of the pod if nobody will ask for it again.
fn clear(pod: &Pod, state: &mut State, step: &mut Step) {
    let remove = pod.gone || pod.deletion.is_some();
    match state.sandbox {
        Sandbox::Absent | Sandbox::Failed { .. } | Sandbox::Ready | Sandbox::Stopped if remove => {
            state.sandbox = Sandbox::Removing;
            step.actions.push(Action::RemoveSandbox);
        }
        Sandbox::Ready => {
            state.sandbox = Sandbox::Stopping;
            step.actions.push(Action::StopSandbox);
        }
        Sandbox::Absent | Sandbox::Failed { .. } => state.sandbox = Sandbox::Stopped,
        _ => {}
    }
}
