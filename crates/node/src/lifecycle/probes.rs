//! When probes run, and what their results come to.

use jiff::Timestamp;

use super::{
    Action, Container, Pod, Probe, ProbeKind, State, pod::after, state::ContainerState, step::Step,
};

/// What is known of a container's probes while it runs.
#[derive(Debug, Clone)]
pub(super) struct Probes {
    startup: Check,
    liveness: Check,
    readiness: Check,
}

#[derive(Debug, Clone)]
struct Check {
    due: Timestamp,
    under_way: bool,
    /// The last result, and how often it came in a row.
    last: Option<bool>,
    in_a_row: u32,
}

impl Check {
    fn new(probe: Option<&Probe>, since: Timestamp) -> Self {
        let delay = probe.map_or(0, |probe| probe.initial_delay);
        Self {
            due: after(since, delay),
            under_way: false,
            last: None,
            in_a_row: 0,
        }
    }

    /// Counts a result. Says what holds from now on, where that is decided.
    fn count(&mut self, probe: &Probe, succeeded: bool, now: Timestamp) -> Option<bool> {
        self.under_way = false;
        // In step with the clock, unless it fell behind.
        self.due = after(self.due, probe.period).max(now);
        if self.last == Some(succeeded) {
            self.in_a_row = self.in_a_row.saturating_add(1);
        } else {
            self.last = Some(succeeded);
            self.in_a_row = 1;
        }
        let needed = if succeeded {
            probe.successes
        } else {
            probe.failures
        };
        (self.in_a_row >= needed).then_some(succeeded)
    }
}

impl Probes {
    fn check(&mut self, kind: ProbeKind) -> &mut Check {
        match kind {
            ProbeKind::Startup => &mut self.startup,
            ProbeKind::Liveness => &mut self.liveness,
            ProbeKind::Readiness => &mut self.readiness,
        }
    }
}

impl Probes {
    /// A probe runs whose first result may change what is shown.
    pub(super) fn is_first_under_way(&self) -> bool {
        let checks = [&self.startup, &self.readiness];
        checks
            .iter()
            .any(|check| check.under_way && check.last.is_none())
    }
}

impl Container {
    pub(super) fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
        }
    }
}

/// The container runs from now on: its probes begin.
pub(super) fn begin(container: &Container, state: &mut ContainerState, since: Timestamp) {
    state.started = container.startup.is_none();
    state.ready = state.started && container.readiness.is_none();
    state.probes = expected(container, since);
}

/// Probes of a container of which an agent before this one knew more: their counts begin anew.
pub(super) fn expected(container: &Container, since: Timestamp) -> Option<Box<Probes>> {
    let any = container.startup.or(container.liveness);
    any.or(container.readiness).map(|_| {
        Box::new(Probes {
            startup: Check::new(container.startup.as_ref(), since),
            liveness: Check::new(container.liveness.as_ref(), since),
            readiness: Check::new(container.readiness.as_ref(), since),
        })
    })
}

/// Probes that are due, and when the next ones are.
pub(super) fn step(pod: &Pod, state: &mut State, now: Timestamp, step: &mut Step) {
    let stopping = state.stopping.is_some();
    let containers = pod.spec.containers.iter().zip(&mut state.containers);
    for (index, (container, state)) in containers.enumerate() {
        let (started, ending) = (state.started, stopping || state.stop.is_some());
        let Some(probes) = &mut state.probes else {
            continue;
        };
        let kinds: &[ProbeKind] = match (started, ending) {
            (false, false) => &[ProbeKind::Startup],
            (true, false) => &[ProbeKind::Liveness, ProbeKind::Readiness],
            // Who balances traffic wants to know whether what is ending still serves.
            (true, true) => &[ProbeKind::Readiness],
            (false, true) => &[],
        };
        for &probe in kinds {
            let check = probes.check(probe);
            if container.probe(probe).is_none() || check.under_way {
                continue;
            }
            if check.due <= now {
                check.under_way = true;
                step.actions.push(Action::RunProbe {
                    container: index,
                    attempt: state.attempt,
                    probe,
                });
            } else {
                step.wake(check.due);
            }
        }
    }
}

/// What follows from a probe's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consequence {
    /// Nothing that can be seen.
    None,
    /// The container has started, or its readiness is another.
    Shown,
    /// The container has to be restarted.
    Restart,
}

/// Takes a probe's result in.
pub(super) fn probed(
    container: &Container,
    state: &mut ContainerState,
    kind: ProbeKind,
    succeeded: bool,
    now: Timestamp,
) -> Consequence {
    let (Some(probe), Some(probes)) = (container.probe(kind), &mut state.probes) else {
        return Consequence::None;
    };
    let Some(holds) = probes.check(kind).count(probe, succeeded, now) else {
        return Consequence::None;
    };
    match kind {
        ProbeKind::Startup if holds && !state.started => {
            state.started = true;
            state.ready = container.readiness.is_none();
            Consequence::Shown
        }
        ProbeKind::Readiness if state.started && state.ready != holds => {
            state.ready = holds;
            Consequence::Shown
        }
        ProbeKind::Startup | ProbeKind::Liveness if !holds => Consequence::Restart,
        _ => Consequence::None,
    }
}
