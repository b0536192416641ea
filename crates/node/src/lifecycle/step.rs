//! One step of a pod's life.

use jiff::Timestamp;

use super::{
    Action, Pod, Settings, State, Verdict,
    pod::after,
    probes, resize, restart,
    restart::Outcome,
    start,
    state::{Image, Progress, Run, Sandbox},
    status::Phase,
    stop,
};

/// What follows for a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What is to be begun now, in this order.
    pub actions: Vec<Action>,
    /// What a person may want to be told, as events of the pod.
    pub notices: Vec<Notice>,
    /// When to step again, if nothing is observed before.
    pub wake: Option<Timestamp>,
    /// Whether a status is to be written: [`State::patch`] has it.
    pub write: bool,
}

/// What an event of a pod says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether its type is `Warning`, and not `Normal`.
    pub warning: bool,
    /// Its reason, such as `Unhealthy`.
    pub reason: &'static str,
    /// Its message.
    pub message: String,
}

impl Notice {
    pub(super) fn warning(reason: &'static str, message: String) -> Self {
        Self {
            warning: true,
            reason,
            message,
        }
    }

    pub(super) fn normal(reason: &'static str, message: String) -> Self {
        Self {
            warning: false,
            reason,
            message,
        }
    }
}

impl Step {
    /// Asks for a step at a moment, if none is asked for before.
    pub(super) fn wake(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

impl State {
    /// What follows now. The actions count as begun; asking again without a new observation gives none of
    /// them again.
    pub fn step(&mut self, pod: &Pod, settings: &Settings, now: Timestamp) -> Step {
        let mut step = Step::default();
        self.keep_deadline(pod, now, &mut step);
        let ends = pod.gone
            || pod.deletion.is_some()
            || self.verdict.is_some()
            || self.ended.is_some()
            || pod.ended.is_some()
            || restart::outcome(pod, self) != Outcome::Open;
        if ends {
            stop::step(pod, self, now, &mut step);
            self.conclude(pod);
        } else {
            start::step(pod, self, now, &mut step);
            resize::step(pod, self, now, &mut step);
            stop::step_containers(pod, self, now, &mut step);
        }
        if self.ended.is_none() {
            probes::step(pod, self, now, &mut step);
        }
        self.write(pod, settings, now, &mut step);
        self.delete(pod, &mut step);
        step
    }

    fn keep_deadline(&mut self, pod: &Pod, now: Timestamp, step: &mut Step) {
        let Some(seconds) = pod.spec.active_deadline else {
            return;
        };
        if self.ended.is_some() || self.verdict.is_some() || pod.deletion.is_some() || pod.gone {
            return;
        }
        let deadline = after(self.start_time, seconds);
        if deadline > now {
            step.wake(deadline);
            return;
        }
        self.end(Verdict {
            reason: "DeadlineExceeded".into(),
            message: "Pod was active on the node longer than the specified deadline".into(),
            grace: None,
            disruption: false,
        });
    }

    /// Once nothing runs any more, the pod has ended.
    fn conclude(&mut self, pod: &Pod) {
        if self.ended.is_some() || self.is_any_running() || self.is_any_starting() {
            return;
        }
        if self.sandbox == Sandbox::Preparing {
            return;
        }
        let phase = match (&self.verdict, restart::outcome(pod, self)) {
            _ if pod.ended.is_some() => pod.ended.unwrap_or(Phase::Failed),
            (Some(_), _) | (None, Outcome::Failed) => Phase::Failed,
            (None, Outcome::Succeeded) => Phase::Succeeded,
            // Stopped in the middle of its work: well if all of its main containers went well.
            (None, Outcome::Open) => {
                let well = |end: &Run| matches!(end, Run::Exited(end) if end.code == 0);
                let mut main = pod.spec.of(super::Role::Main);
                let all = main
                    .all(|(index, _)| self.containers.get(index).is_some_and(|own| well(&own.run)));
                if all { Phase::Succeeded } else { Phase::Failed }
            }
        };
        self.ended = Some(phase);
        self.dirty = true;
    }

    fn write(&mut self, pod: &Pod, settings: &Settings, now: Timestamp, step: &mut Step) {
        if pod.gone || !self.dirty || self.writing {
            return;
        }
        let due = self
            .start_time
            .saturating_add(settings.settle)
            .unwrap_or(now);
        if due > now && self.is_starting_quietly(pod) {
            step.wake(due);
        } else {
            step.write = true;
        }
    }

    /// Whether all that could be told is that the pod is starting, or more is about to be known.
    fn is_starting_quietly(&self, pod: &Pod) -> bool {
        if self.resumed || self.has_run || self.ended.is_some() || self.verdict.is_some() {
            return false;
        }
        if self.stopping.is_some() || matches!(self.sandbox, Sandbox::Failed { .. }) {
            return false;
        }
        let mut all = pod.spec.containers.iter().zip(&self.containers);
        let trouble = all.clone().any(|(container, own)| {
            let failed = match &own.run {
                Run::Exited(_) => {
                    !restart::is_finished(&pod.spec, container, own)
                        || container.role == super::Role::Main
                }
                _ => false,
            };
            failed || own.start_failure.is_some() || matches!(own.image, Image::Failed(_))
        });
        let pending = all.any(|(container, own)| {
            let first = own
                .probes
                .as_ref()
                .is_some_and(|probes| probes.is_first_under_way());
            first
                || matches!(own.run, Run::Hooked { .. })
                || (matches!(own.run, Run::Waiting) && container.role != super::Role::Init)
        });
        !trouble && pending
    }

    /// Once nothing is left to do and to tell, the object goes.
    fn delete(&mut self, pod: &Pod, step: &mut Step) {
        let told = !self.dirty && !self.writing && self.ended.is_some();
        if pod.deletion.is_some()
            && !pod.gone
            && told
            && self.sandbox == Sandbox::Removed
            && self.deleting == Progress::NotBegun
        {
            self.deleting = Progress::UnderWay;
            step.actions.push(Action::DeleteObject);
        }
    }

    /// The object was deleted by [`Action::DeleteObject`], or was not there any more.
    pub fn deleted(&mut self) {
        self.deleting = Progress::Done;
    }

    /// The object could not be deleted; the next step asks for it again.
    pub fn not_deleted(&mut self) {
        if self.deleting == Progress::UnderWay {
            self.deleting = Progress::NotBegun;
        }
    }
}
