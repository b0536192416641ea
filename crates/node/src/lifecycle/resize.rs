//! Resources that change while a container runs.
//!
//! ```text
//!   spec.resources ──Allocate──▶ allocated ──Resize, or a restart──▶ actual
//!                      (has the host the room?)      (is it in force?)
//! ```

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Action, Container, Pod, Resources, State,
    pod::after,
    state::{Resize, ResizeState, Run, Sandbox, Why},
    step::Step,
    stop,
};

/// How long a host that has no room is left alone, in seconds.
const ASK_AGAIN: i64 = 30;

/// Takes a resize one step further, if there is one.
pub(super) fn step(pod: &Pod, state: &mut State, now: Timestamp, step: &mut Step) {
    if state.sandbox != Sandbox::Ready {
        return;
    }
    allocate(pod, state, now, step);
    let containers = pod.spec.containers.iter().zip(&mut state.containers);
    for (index, (container, own)) in containers.enumerate() {
        let (Some(allocated), Some(actual)) = (&own.allocated, &own.actual) else {
            continue;
        };
        let failed = own.resize_failed.as_ref();
        if allocated == actual
            || own.resizing.is_some()
            || own.stop.is_some()
            || !matches!(own.run, Run::Running { .. })
            || failed.is_some_and(|failed| failed.0 == *allocated)
        {
            continue;
        }
        if needs_restart(container, actual, allocated) {
            own.again = true;
            stop::begin(
                own,
                Why::Resize,
                container.pre_stop,
                after(now, pod.spec.grace),
            );
        } else {
            own.resizing = Some(Arc::clone(allocated));
            step.actions.push(Action::Resize {
                container: index,
                attempt: own.attempt,
            });
        }
        state.dirty = true;
    }
}

/// Asks the host for what the spec asks for and the pod has not got.
fn allocate(pod: &Pod, state: &mut State, now: Timestamp, step: &mut Step) {
    let mut pairs = pod.spec.containers.iter().zip(&state.containers);
    let differs = pairs.any(|(container, own)| {
        own.allocated
            .as_ref()
            .is_some_and(|allocated| *allocated != container.resources)
    });
    if !differs {
        if state.resize.take().is_some() {
            state.dirty = true;
        }
        return;
    }
    match &state.resize {
        Some(resize) if resize.generation == pod.generation => match &resize.state {
            ResizeState::Asked | ResizeState::Infeasible { .. } => return,
            ResizeState::Deferred { retry_at, .. } if *retry_at > now => {
                step.wake(*retry_at);
                return;
            }
            ResizeState::Deferred { .. } => {}
        },
        _ => {}
    }
    state.resize = Some(Box::new(Resize {
        generation: pod.generation,
        state: ResizeState::Asked,
    }));
    step.actions.push(Action::Allocate);
}

fn needs_restart(container: &Container, from: &Resources, to: &Resources) -> bool {
    let changed = |name: &str| {
        from.requests.get(name) != to.requests.get(name)
            || from.limits.get(name) != to.limits.get(name)
    };
    container.restart_on_resize.iter().any(|name| changed(name))
}

impl State {
    /// There may be room for a resize that had to wait: the next step asks for it. Whether there is one.
    pub fn retry_resize(&mut self, now: Timestamp) -> bool {
        let resize = self.resize.as_mut().map(|resize| &mut resize.state);
        let Some(ResizeState::Deferred { retry_at, .. }) = resize else {
            return false;
        };
        *retry_at = now;
        true
    }

    pub(super) fn allocated(&mut self, pod: &Pod, generation: i64) {
        let Some(resize) = &mut self.resize else {
            return;
        };
        // The spec has changed since: the host is asked again.
        if resize.generation != generation || pod.generation != generation {
            resize.generation = -1;
            return;
        }
        self.resize = None;
        for (own, container) in self.containers.iter_mut().zip(&pod.spec.containers) {
            own.allocated = Some(container.resources.clone());
        }
        self.dirty = true;
    }

    pub(super) fn not_allocated(
        &mut self,
        generation: i64,
        infeasible: bool,
        message: Box<str>,
        now: Timestamp,
    ) {
        let Some(resize) = &mut self.resize else {
            return;
        };
        if resize.generation != generation {
            return;
        }
        resize.state = if infeasible {
            ResizeState::Infeasible { message }
        } else {
            ResizeState::Deferred {
                message,
                retry_at: after(now, ASK_AGAIN),
            }
        };
        self.dirty = true;
    }

    pub(super) fn resized(&mut self, index: usize, failure: Option<Box<str>>) {
        let Some(own) = self.containers.get_mut(index) else {
            return;
        };
        let Some(target) = own.resizing.take() else {
            return;
        };
        match failure {
            None => {
                own.actual = Some(target);
                own.resize_failed = None;
            }
            Some(message) => own.resize_failed = Some(Box::new((target, message))),
        }
        self.dirty = true;
    }

    /// Whether what was set aside is not yet in force, and why if that failed.
    pub(super) fn resize_in_progress(&self) -> Option<Option<&str>> {
        let mut pending = self
            .containers
            .iter()
            .filter(|own| own.is_running() && own.actual.is_some() && own.allocated != own.actual);
        let first = pending.next()?;
        Some(first.resize_failed.as_ref().map(|failed| &*failed.1))
    }
}
