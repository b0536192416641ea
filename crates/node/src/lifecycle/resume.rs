//! A pod's life as an agent finds it that was not there before.

use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;

use super::{
    Container, Observed, ObservedContainer, ObservedState, Pod, Role, State, Verdict, probes,
    reported::{self, Reported, Status},
    state::{BackOff, ContainerState, Run, Sandbox},
    status::Shown,
};

impl State {
    /// The life of a pod that is bound to this host, from what its object says and from what the runtime has
    /// of it. For a pod that nobody has touched yet, this is [`State::new`].
    pub fn resume(
        pod: &Pod,
        status: Option<&RawValue>,
        observed: &Observed,
        now: Timestamp,
    ) -> Self {
        let mut state = Self::new(pod, now);
        let reported = Reported::read(status);
        if let Some(start_time) = reported.start_time() {
            state.start_time = start_time;
            state.resumed = true;
        }
        state.resumed |= observed.remains;
        // A host that takes up a pod has not told anything of it. What is there is all somebody else's.
        let shown = status.and_then(|status| serde_json::from_str(status.get()).ok());
        state.shown = shown.as_ref().map(Shown::of).unwrap_or_default();
        for condition in reported.conditions.iter().flatten() {
            let since = condition.since().unwrap_or(now);
            let status = &*condition.status == "True";
            state.conditions.note(&condition.ty, status, since);
        }
        if let Some(deletion) = pod.deletion
            && state.resumed
        {
            // The clocks of server and host may differ: the end has begun some time between now and as
            // long ago as it may take.
            let grace = SignedDuration::from_secs(deletion.grace);
            let began = deletion.at.saturating_sub(grace).unwrap_or(now);
            let earliest = now.saturating_sub(grace).unwrap_or(now);
            state.stopping = Some(began.clamp(earliest, now));
        }
        state.resume_sandbox(&reported, observed);
        for (index, container) in pod.spec.containers.iter().enumerate() {
            let Some(own) = state.containers.get_mut(index) else {
                continue;
            };
            let mut all = observed.containers.iter();
            let seen = all.rfind(|seen| seen.container == index);
            resume_container(
                container,
                own,
                reported.container(&container.name),
                seen,
                now,
            );
        }
        state.resume_end(&reported);
        state.resume_initialized(pod, observed, now);
        state
    }

    fn resume_sandbox(&mut self, reported: &Reported, observed: &Observed) {
        self.sandbox = match (&observed.sandbox, observed.remains) {
            (Some(_), _) => Sandbox::Ready,
            (None, true) => Sandbox::Stopped,
            (None, false) => Sandbox::Absent,
        };
        self.addresses = match &observed.sandbox {
            Some(addresses) => addresses.clone().into(),
            None => reported.addresses(),
        };
    }

    fn resume_end(&mut self, reported: &Reported) {
        self.has_run = reported.phase.as_deref() == Some("Running");
        self.ended = reported::ended(reported.phase.as_deref());
        if self.ended.is_none() {
            return;
        }
        // All was told; nothing is to be added.
        self.dirty = false;
        self.told_all = true;
        if let Some(reason) = &reported.reason {
            self.verdict = Some(Box::new(Verdict {
                reason: reason.clone(),
                message: reported.message.clone().unwrap_or_default(),
                grace: None,
                disruption: false,
            }));
        }
    }

    fn resume_initialized(&mut self, pod: &Pod, observed: &Observed, now: Timestamp) {
        if self.ended.is_some() {
            return;
        }
        if observed.sandbox.is_none() {
            // Nothing is left of what ran: it starts over, in a sandbox of its own.
            if self.resumed {
                self.lose_sandbox(pod, now);
            }
            return;
        }
        let mut pairs = pod.spec.containers.iter().zip(&self.containers);
        // A main container that was started tells that all before it was done.
        self.initialized |= pairs.any(|(container, own)| {
            container.role == Role::Main && !matches!(own.run, Run::Waiting)
        });
    }
}

fn resume_container(
    container: &Container,
    own: &mut ContainerState,
    told: Option<&Status>,
    seen: Option<&ObservedContainer>,
    now: Timestamp,
) {
    if let Some(told) = told {
        own.attempt = u32::try_from(told.restart_count).unwrap_or(0);
        own.id = told.container_id.clone().unwrap_or_default();
        own.definition = container.definition();
        own.allocated = Some(told.allocated(&container.resources));
        if let Some(since) = told.running() {
            own.run = Run::Running { since };
            own.actual = told.actual();
        } else if let Some(end) = told.ended() {
            own.run = Run::Exited(Box::new(end));
        } else if let (Some(last), None) = (told.last(), seen) {
            // It waits for its restart: what is told as its last end is the end of this attempt.
            own.run = Run::Exited(Box::new(last));
        }
        own.last = told.last().map(Box::new);
    }
    match seen {
        Some(seen) if seen.attempt >= own.attempt => {
            if seen.attempt > own.attempt
                && let Run::Exited(last) = std::mem::take(&mut own.run)
            {
                own.last = Some(last);
            }
            own.attempt = seen.attempt;
            own.definition = seen.definition;
            own.id = seen.id.clone();
            match &seen.state {
                ObservedState::Exited(end) => own.exit(end.clone()),
                ObservedState::Running { since } => {
                    let since = *since;
                    own.actual = own.actual.take().or_else(|| own.allocated.clone());
                    if container.post_start && !seen.hooked {
                        own.run = Run::Hooked {
                            since,
                            begun: false,
                        };
                        return;
                    }
                    own.run = Run::Running { since };
                    probes::begin(container, own, since);
                    // What was told of it holds until its probes say otherwise.
                    if let Some(told) = told {
                        own.started |= told.started == Some(true);
                        own.ready = own.started && (own.ready || told.ready);
                    }
                }
            }
        }
        _ => own.lose(now),
    }
    if matches!(own.run, Run::Exited(_)) {
        // How often it had crashed is not known.
        own.back_off = BackOff {
            level: 1,
            until: None,
            told: false,
        };
    }
}
