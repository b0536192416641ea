//! Answers from a pod, its events and its place. Pure.

use jiff::Timestamp;
use mosaic_api::{meta, time};
use serde_json::Value;

use super::placement::Placement;

/// What is known besides the pod.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Its events, the latest last.
    pub(super) events: Vec<Value>,
    /// Where it can be.
    pub(super) placement: Placement,
    /// The time.
    pub(super) now: Timestamp,
}

/// Something about a pod, and why it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// `place`, `start`, `restarts`, `readiness`, `resize`, `end` or `deletion`.
    pub(super) about: &'static str,
    /// What is so; continues the pod's name.
    pub(super) what: String,
    /// Why.
    pub(super) because: Vec<String>,
}

/// Everything that is to be said, what matters most first.
pub(super) fn answers(pod: &Value, known: &Known) -> Vec<Answer> {
    let all = [
        deletion(pod, known),
        end(pod),
        restarts(pod, known),
        start(pod, known),
        readiness(pod, known),
        resize(pod),
        Some(place(pod, known)),
    ];
    all.into_iter().flatten().collect()
}

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let items = object.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    list(pod, "/status/conditions").find(|condition| text(condition, "/type") == kind)
}

/// A reason and a message as one text.
pub(super) fn because(object: &Value) -> Option<String> {
    match (text(object, "/reason"), text(object, "/message")) {
        ("", "") => None,
        (one, "") | ("", one) => Some(one.to_owned()),
        (reason, message) => Some(format!("{reason}: {message}")),
    }
}

impl Known {
    /// The latest event with one of these reasons.
    pub(super) fn event(&self, reasons: &[&str]) -> Option<&Value> {
        let mut events = self.events.iter().rev();
        events.find(|event| reasons.contains(&text(event, "/reason")))
    }

    pub(super) fn told(&self, reasons: &[&str]) -> Option<String> {
        let event = self.event(reasons)?;
        let when = crate::commands::events::cells(event, self.now)
            .into_iter()
            .next();
        Some(format!(
            "event {} ({} ago): {}",
            text(event, "/reason"),
            when.unwrap_or_default(),
            text(event, "/message").trim()
        ))
    }
}

/// Containers with what they are told to do, and their states; sidecars and init containers first.
fn containers(pod: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let of = |specs: &'static str, states: &'static str| {
        list(pod, specs).filter_map(move |spec| {
            let name = text(spec, "/name");
            let state = list(pod, states).find(|state| text(state, "/name") == name)?;
            Some((spec, state))
        })
    };
    let init = of("/spec/initContainers", "/status/initContainerStatuses");
    init.chain(of("/spec/containers", "/status/containerStatuses"))
}

fn place(pod: &Value, known: &Known) -> Answer {
    let host = text(pod, "/spec/nodeName");
    let mut because = Vec::new();
    let what = if !host.is_empty() {
        because.extend(known.told(&["Scheduled"]));
        if known.placement.host_exists == Some(false) {
            because.push(format!("there is no host {host}"));
        } else if known.placement.host_is_ready == Some(false) {
            because.push(format!(
                "its host is not ready: `mos describe node/{host}` tells more"
            ));
        }
        because.extend(known.placement.words.clone());
        format!("is on {host}")
    } else {
        waits(pod, known, &mut because);
        "waits for a host".to_owned()
    };
    if because.is_empty() {
        because.push("nothing is told about it".to_owned());
    }
    Answer {
        about: "place",
        what,
        because,
    }
}

/// How the scheduler begins to tell of the host that comes nearest.
const NEAREST: &str = "The nearest:";

fn waits(pod: &Value, known: &Known, because: &mut Vec<String>) {
    let gates: Vec<&str> = list(pod, "/spec/schedulingGates")
        .map(|gate| text(gate, "/name"))
        .collect();
    if !gates.is_empty() {
        because.push(format!(
            "nobody decides about it before these gates are taken away: {}",
            gates.join(", ")
        ));
        return;
    }
    let scheduled = condition(pod, "PodScheduled");
    let message = scheduled.map_or("", |condition| text(condition, "/message"));
    let words = known.placement.words.as_deref();
    // Both end with the host that comes nearest, and both say what is wrong with the pod wherever it would be: once is enough.
    let nearest = words.is_some_and(|words| words.contains(NEAREST));
    let told = scheduled.and_then(self::because);
    because.extend(told.map(|told| match told.split_once(NEAREST) {
        Some((told, _)) if nearest => told.trim_end().to_owned(),
        _ => told,
    }));
    let new = |words: &&str| message.is_empty() || !message.contains(words.trim_end_matches('.'));
    because.extend(words.filter(new).map(str::to_owned));
    let nominated = text(pod, "/status/nominatedNodeName");
    if !nominated.is_empty() {
        because.push(format!("room is being made for it on {nominated}"));
    }
    let event = known.event(&["FailedScheduling", "Preempted"]);
    if event.is_none_or(|event| text(event, "/message").trim() != message) {
        because.extend(known.told(&["FailedScheduling", "Preempted"]));
    }
    if scheduled.is_none() && known.event(&["FailedScheduling"]).is_none() {
        let scheduler = text(pod, "/spec/schedulerName");
        because.push(match scheduler {
            "" | "default-scheduler" => "the scheduler has not decided about it yet".to_owned(),
            other => format!("scheduler `{other}` has not decided about it: does it run?"),
        });
    }
    let waits_for_volumes =
        scheduled.is_some_and(|condition| text(condition, "/reason") == "WaitingForVolumes");
    if known.placement.words.is_none() && scheduled.is_some() && !waits_for_volumes {
        because.push("there is a host that would do now: it should come soon".to_owned());
    }
}

fn start(pod: &Value, known: &Known) -> Option<Answer> {
    if text(pod, "/spec/nodeName").is_empty() || has_ended(pod) {
        return None;
    }
    let mut because = Vec::new();
    for (spec, state) in containers(pod) {
        let Some(waiting) = state.pointer("/state/waiting") else {
            continue;
        };
        // What ended before is another matter.
        if text(waiting, "/reason") == "CrashLoopBackOff" {
            continue;
        }
        let why = self::because(waiting).unwrap_or_else(|| "no reason is told".to_owned());
        because.push(format!("container {} waits: {why}", text(spec, "/name")));
    }
    let first = text(pod, "/status/phase") == "Pending";
    if because.is_empty() && first && list(pod, "/status/containerStatuses").next().is_none() {
        because.push("its host has told nothing of its containers yet".to_owned());
    }
    if because.is_empty() {
        return None;
    }
    let troubles = [
        "Failed",
        "FailedMount",
        "FailedAttachVolume",
        "FailedCreatePodSandBox",
        "BackOff",
    ];
    because.extend(known.told(&troubles));
    Some(Answer {
        about: "start",
        what: "has not started completely".to_owned(),
        because,
    })
}

fn restarts(pod: &Value, known: &Known) -> Option<Answer> {
    let mut because = Vec::new();
    for (spec, state) in containers(pod) {
        let count = state
            .pointer("/restartCount")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        let Some(last) = state.pointer("/lastState/terminated").filter(|_| count > 0) else {
            continue;
        };
        let times = if count == 1 {
            "once".to_owned()
        } else {
            format!("{count} times")
        };
        let ago = time::age(last.get("finishedAt").and_then(Value::as_str), known.now);
        let name = text(spec, "/name");
        because.push(match stopped_by(name, last, known) {
            Some(probe) => format!(
                "container {name} restarted {times}; {ago} ago its host stopped it, as its {probe} probe failed (exit code {})",
                last.get("exitCode").and_then(Value::as_i64).unwrap_or(0)
            ),
            None => format!(
                "container {name} restarted {times}; {ago} ago it ended {}",
                ending(spec, last)
            ),
        });
        if text(state, "/state/waiting/reason") == "CrashLoopBackOff" {
            let message = text(state, "/state/waiting/message");
            because.push(format!("it is started again after a pause: {message}"));
        }
    }
    if because.is_empty() {
        return None;
    }
    because.extend(known.told(&["Killing", "Unhealthy"]));
    Some(Answer {
        about: "restarts",
        what: "restarts".to_owned(),
        because,
    })
}

/// The probe for which its host stopped a container, if it ended as one does that is stopped.
fn stopped_by(name: &str, ended: &Value, known: &Known) -> Option<&'static str> {
    let code = ended.get("exitCode").and_then(Value::as_i64);
    if !matches!(code, Some(0 | 137 | 143)) || text(ended, "/reason") == "OOMKilled" {
        return None;
    }
    let said = |probe: &str| format!("Container {name} failed {probe} probe");
    let mut killed = known
        .events
        .iter()
        .rev()
        .filter(|event| text(event, "/reason") == "Killing");
    killed.find_map(|event| {
        let message = text(event, "/message");
        ["liveness", "startup"]
            .into_iter()
            .find(|probe| message.starts_with(&said(probe)))
    })
}

/// How a container ended: `with exit code 137: it used more memory than its limit of 64Mi (OOMKilled)`.
fn ending(spec: &Value, ended: &Value) -> String {
    let code = ended.get("exitCode").and_then(Value::as_i64).unwrap_or(0);
    let reason = text(ended, "/reason");
    let meaning = match (reason, code) {
        ("OOMKilled", _) => match spec
            .pointer("/resources/limits/memory")
            .and_then(Value::as_str)
        {
            Some(limit) => format!(": it used more memory than its limit of {limit}"),
            None => ": its host had no more memory for it".to_owned(),
        },
        (_, 0) => ": its program ended by itself".to_owned(),
        (_, 126) => ": its program cannot be executed".to_owned(),
        (_, 127) => ": its program was not found".to_owned(),
        (_, 129..=192) => format!(": signal {}{}", code - 128, signal(code - 128)),
        _ => ": its program failed".to_owned(),
    };
    let reason = match reason {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    let message = match text(ended, "/message").trim() {
        "" => String::new(),
        message => format!("\n{message}"),
    };
    format!("with exit code {code}{meaning}{reason}{message}")
}

fn signal(number: i64) -> &'static str {
    match number {
        2 => ", interrupted",
        6 => ", aborted by itself",
        7 | 10 => ", wrong memory access",
        9 => ", killed",
        11 => ", wrong memory access",
        15 => ", asked to end",
        _ => "",
    }
}

fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn end(pod: &Value) -> Option<Answer> {
    if !has_ended(pod) {
        return None;
    }
    let mut because: Vec<String> = self::because(field(pod, "status")).into_iter().collect();
    because.extend(disruption(pod));
    for (spec, state) in containers(pod) {
        if let Some(ended) = state.pointer("/state/terminated") {
            because.push(format!(
                "container {} ended {}",
                text(spec, "/name"),
                ending(spec, ended)
            ));
        }
    }
    let phase = text(pod, "/status/phase");
    Some(Answer {
        about: "end",
        what: if phase == "Succeeded" {
            "is done"
        } else {
            "failed"
        }
        .to_owned(),
        because,
    })
}

fn field<'a>(object: &'a Value, key: &str) -> &'a Value {
    object.get(key).unwrap_or(&Value::Null)
}

/// Who decided that the pod has to go.
fn disruption(pod: &Value) -> Option<String> {
    condition(pod, "DisruptionTarget")
        .filter(|condition| text(condition, "/status") == "True")
        .and_then(because)
}

fn readiness(pod: &Value, known: &Known) -> Option<Answer> {
    let ready = condition(pod, "Ready");
    let is_ready = ready.is_some_and(|ready| text(ready, "/status") == "True");
    if is_ready || has_ended(pod) || text(pod, "/spec/nodeName").is_empty() {
        return None;
    }
    let mut because = Vec::new();
    for (spec, state) in containers(pod) {
        let runs = state.pointer("/state/running").is_some();
        let is = |key: &str| state.get(key) == Some(&Value::Bool(true));
        let name = text(spec, "/name");
        if runs && !is("started") && spec.get("startupProbe").is_some() {
            because.push(format!(
                "container {name} runs, but its startup probe has not passed yet"
            ));
        } else if runs && !is("ready") && spec.get("readinessProbe").is_some() {
            because.push(format!(
                "container {name} runs, but its readiness probe fails"
            ));
        } else if runs && !is("ready") {
            because.push(format!(
                "container {name} runs, but does not count as ready yet"
            ));
        }
    }
    for gate in list(pod, "/spec/readinessGates") {
        let gate = text(gate, "/conditionType");
        let found = condition(pod, gate);
        match found.map(|condition| text(condition, "/status")) {
            Some("True") => {}
            Some(_) => {
                let why = found.and_then(self::because);
                let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
                because.push(format!("its readiness gate {gate} is closed{why}"));
            }
            None => because.push(format!("nobody has opened its readiness gate {gate}")),
        }
    }
    if because.is_empty() {
        because.extend(ready.and_then(self::because));
    }
    if because.is_empty() {
        return None;
    }
    because.extend(known.told(&["Unhealthy", "ProbeWarning"]));
    Some(Answer {
        about: "readiness",
        what: "is not ready".to_owned(),
        because,
    })
}

/// A resize that waits, or will not be.
fn resize(pod: &Value) -> Option<Answer> {
    let waits = condition(pod, "PodResizePending")
        .filter(|condition| text(condition, "/status") == "True")?;
    let what = match text(waits, "/reason") {
        "Infeasible" => "cannot be resized on its host",
        _ => "waits to be resized",
    };
    Some(Answer {
        about: "resize",
        what: what.to_owned(),
        because: because(waits).into_iter().collect(),
    })
}

fn deletion(pod: &Value, known: &Known) -> Option<Answer> {
    let until = meta::deletion_timestamp(pod)?;
    let mut because = Vec::new();
    let grace = meta::deletion_grace_period_seconds(pod).unwrap_or(0);
    because.push(format!(
        "somebody deleted it; its containers have {grace} s to end"
    ));
    because.extend(disruption(pod));
    let finalizers: Vec<&str> = meta::finalizers(pod).collect();
    if !finalizers.is_empty() {
        because.push(format!(
            "it stays until whoever set these finalizers takes them away: {}",
            finalizers.join(", ")
        ));
    }
    let is_late = time::parse(until).is_some_and(|until| until < known.now);
    if is_late {
        let age = time::age(Some(until), known.now);
        let host = text(pod, "/spec/nodeName");
        because.push(
            match (known.placement.host_exists, known.placement.host_is_ready) {
                _ if !finalizers.is_empty() => format!("its time was up {age} ago"),
                (Some(false), _) => {
                    format!("its time was up {age} ago, but its host {host} is gone")
                }
                (_, Some(false)) => {
                    format!("its time was up {age} ago, but its host {host} does not answer")
                }
                _ => {
                    format!("its time was up {age} ago: its host {host} has not told that it ended")
                }
            },
        );
    }
    let host = text(pod, "/spec/nodeName");
    if known.placement.host_is_ready == Some(false) {
        because.push(format!(
            "only its host can tell that it ended; if {host} does not come back, `mos delete node/{host}` lets go of all \
             its pods, and `kubectl delete pod {} --force --grace-period=0` of this one",
            meta::name(pod)
        ));
    }
    because.extend(known.told(&[
        "Killing",
        "FailedKillPod",
        "Evicted",
        "TaintManagerEviction",
    ]));
    Some(Answer {
        about: "deletion",
        what: "is terminating".to_owned(),
        because,
    })
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
