//! The conditions that a host keeps.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::time;
use crate::lifecycle::{
    Phase, Pod, Role, State, restart,
    state::{ResizeState, Run, Sandbox},
};

/// The types of the conditions that a host writes.
pub(super) const TYPES: [&str; 7] = [
    "PodReadyToStartContainers",
    "Initialized",
    "ContainersReady",
    "Ready",
    "DisruptionTarget",
    "PodResizePending",
    "PodResizeInProgress",
];

/// Those of [`TYPES`] that others write too: of a pod on a host that they do not hear, they say that it is not ready.
pub(super) const READINESS: std::ops::RangeInclusive<usize> = 2..=3;

/// Since when each condition has the status that it has, in the order of their types.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::lifecycle) struct Conditions([Option<(bool, Timestamp)>; TYPES.len()]);

impl Conditions {
    /// Notes what the object shows of a condition.
    pub(in crate::lifecycle) fn note(&mut self, ty: &str, status: bool, since: Timestamp) {
        let slots = self.0.iter_mut().zip(TYPES);
        for (slot, _) in slots.filter(|(_, known)| *known == ty) {
            *slot = Some((status, since));
        }
    }
}

impl Conditions {
    /// Whether a condition about readiness was written that has another status than was said last.
    pub(in crate::lifecycle) fn contradict(&self, ty: &str, status: bool) -> bool {
        let known = self.0.iter().zip(TYPES).enumerate();
        known
            .filter(|(index, (_, known))| READINESS.contains(index) && *known == ty)
            .any(|(_, (said, _))| said.is_some_and(|(said, _)| said != status))
    }
}

/// What is to be shown of one condition.
struct Verdict {
    status: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    const TRUE: Self = Self {
        status: true,
        reason: None,
        message: None,
    };

    fn not(reason: &'static str) -> Self {
        Self {
            status: false,
            reason: Some(reason),
            message: None,
        }
    }

    fn saying(mut self, message: impl Into<String>) -> Self {
        let message = message.into();
        self.message = (!message.is_empty()).then_some(message);
        self
    }
}

/// The conditions as they are to be shown. Those that changed have changed now.
pub(super) fn render(pod: &Pod, state: &mut State, now: Timestamp) -> [Option<Value>; TYPES.len()] {
    let containers_ready = containers_ready(pod, state);
    let ready = ready(pod, state, &containers_ready);
    let verdicts = [
        Some(Verdict {
            status: state.sandbox == Sandbox::Ready,
            reason: None,
            message: None,
        }),
        Some(initialized(pod, state)),
        Some(containers_ready),
        Some(ready),
        disruption(state),
        resize_pending(state),
        resize_in_progress(state),
    ];
    let mut shown: [Option<Value>; TYPES.len()] = Default::default();
    let slots = shown.iter_mut().zip(&mut state.conditions.0);
    for (((shown, known), verdict), ty) in slots.zip(verdicts).zip(TYPES) {
        let Some(verdict) = verdict else {
            *known = None;
            continue;
        };
        let since = match *known {
            Some((status, since)) if status == verdict.status => since,
            _ => now,
        };
        *known = Some((verdict.status, since));
        *shown = Some(condition(ty, &verdict, since));
    }
    shown
}

fn condition(ty: &str, verdict: &Verdict, since: Timestamp) -> Value {
    // What is null takes away what stood there before.
    json!({
        "type": ty,
        "status": if verdict.status { "True" } else { "False" },
        "lastTransitionTime": time(since),
        "reason": verdict.reason,
        "message": verdict.message,
    })
}

/// The names of some containers, for a message.
fn names(pod: &Pod, which: impl Fn(usize) -> bool) -> String {
    let all = pod.spec.containers.iter().enumerate();
    let names: Vec<&str> = all
        .filter(|(index, _)| which(*index))
        .map(|(_, container)| &*container.name)
        .collect();
    names.join(" ")
}

fn initialized(pod: &Pod, state: &State) -> Verdict {
    if state.initialized {
        let mut verdict = Verdict::TRUE;
        verdict.reason = (state.ended == Some(Phase::Succeeded)).then_some("PodCompleted");
        return verdict;
    }
    let open = names(pod, |index| {
        let pair = pod
            .spec
            .containers
            .get(index)
            .zip(state.containers.get(index));
        pair.is_some_and(|(container, own)| match container.role {
            Role::Main => false,
            Role::Sidecar => !own.started,
            Role::Init => {
                !(restart::is_finished(&pod.spec, container, own)
                    && matches!(&own.run, Run::Exited(end) if end.code == 0))
            }
        })
    });
    Verdict::not("ContainersNotInitialized")
        .saying(format!("containers with incomplete status: [{open}]"))
}

fn ended(state: &State) -> Option<Verdict> {
    match state.ended? {
        Phase::Succeeded => Some(Verdict::not("PodCompleted")),
        _ => Some(Verdict::not("PodFailed")),
    }
}

fn containers_ready(pod: &Pod, state: &State) -> Verdict {
    if let Some(verdict) = ended(state) {
        return verdict;
    }
    let unready = names(pod, |index| {
        let pair = pod
            .spec
            .containers
            .get(index)
            .zip(state.containers.get(index));
        pair.is_some_and(|(container, own)| {
            container.role != Role::Init
                && !(matches!(own.run, Run::Running { .. }) && own.started && own.ready)
        })
    });
    if unready.is_empty() {
        return Verdict::TRUE;
    }
    Verdict::not("ContainersNotReady")
        .saying(format!("containers with unready status: [{unready}]"))
}

fn ready(pod: &Pod, state: &State, containers: &Verdict) -> Verdict {
    if let Some(verdict) = ended(state) {
        return verdict;
    }
    if !containers.status {
        return Verdict {
            status: false,
            reason: containers.reason,
            message: containers.message.clone(),
        };
    }
    let gates = pod.spec.readiness_gates.iter();
    let missing: Vec<String> = gates
        .enumerate()
        .filter_map(
            |(index, ty)| match pod.gates.get(index).and_then(Option::as_deref) {
                Some("True") => None,
                Some(status) => Some(format!(
                    "the status of pod readiness gate \"{ty}\" is not \"True\", but {status}"
                )),
                None => Some(format!(
                    "corresponding condition of pod readiness gate \"{ty}\" does not exist."
                )),
            },
        )
        .collect();
    if missing.is_empty() {
        return Verdict::TRUE;
    }
    Verdict::not("ReadinessGatesNotReady").saying(missing.join(", "))
}

fn disruption(state: &State) -> Option<Verdict> {
    let verdict = state
        .verdict
        .as_ref()
        .filter(|verdict| verdict.disruption)?;
    Some(Verdict {
        status: true,
        reason: Some("TerminationByKubelet"),
        message: Some(verdict.message.to_string()),
    })
}

fn resize_pending(state: &State) -> Option<Verdict> {
    if state.ended.is_some() {
        return None;
    }
    let (reason, message) = match &state.resize.as_ref()?.state {
        ResizeState::Asked => return None,
        ResizeState::Deferred { message, .. } => ("Deferred", message),
        ResizeState::Infeasible { message } => ("Infeasible", message),
    };
    Some(Verdict {
        status: true,
        reason: Some(reason),
        message: Some(message.to_string()),
    })
}

fn resize_in_progress(state: &State) -> Option<Verdict> {
    let failure = state.resize_in_progress()?;
    Some(Verdict {
        status: true,
        reason: failure.map(|_| "Error"),
        message: failure.map(str::to_owned),
    })
}
