//! The status that a pod shows, and the smallest patch that makes the object's status so.
//!
//! A status is made anew from the state whenever it may have changed, and compared to what the object shows
//! by a hash of each field: a pod costs a few bytes and not a second copy of its status. Fields of others
//! (`qosClass`, `nominatedNodeName`, conditions of other types) are never touched.

mod conditions;
mod containers;

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use serde_json::{Map, Value, json, value::RawValue};

use super::{Pod, Role, Settings, State, reported::Reported, restart, state::Run};

pub(super) use conditions::Conditions;

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not all of its containers have run yet.
    Pending,
    /// All of its containers have run, and not all have ended for good.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended otherwise.
    Failed,
}

impl Phase {
    /// As `status.phase` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// The fields of a status that a host writes, conditions aside.
const FIELDS: [&str; 11] = [
    "phase",
    "reason",
    "message",
    "startTime",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "initContainerStatuses",
    "containerStatuses",
    OBSERVED,
];
const OBSERVED: &str = "observedGeneration";
/// Lists that a strategic merge patch would merge.
const MERGED: [&str; 2] = ["hostIPs", "podIPs"];

/// What the object's status shows, each field as its hash; 0 for what is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shown {
    fields: [u64; FIELDS.len()],
    conditions: [u64; conditions::TYPES.len()],
}

/// A write of a pod's status.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// A strategic merge patch for the subresource `status`. It names the UID, so that it cannot hit a later
    /// pod of the same name.
    pub body: Value,
    shown: Shown,
    is_last: bool,
}

/// A status, as far as a host writes it.
struct Status {
    fields: Map<String, Value>,
    conditions: [Option<Value>; conditions::TYPES.len()],
}

impl Status {
    fn shown(&self) -> Shown {
        let mut shown = Shown::default();
        for (hash, field) in shown.fields.iter_mut().zip(FIELDS) {
            *hash = fingerprint(self.fields.get(field));
        }
        for (hash, condition) in shown.conditions.iter_mut().zip(&self.conditions) {
            *hash = fingerprint(condition.as_ref());
        }
        shown
    }
}

/// A hash of a value, for which an absent field and one that is null are the same.
fn fingerprint(value: Option<&Value>) -> u64 {
    fn add(value: &Value, hasher: &mut DefaultHasher) {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().filter(|(_, v)| !v.is_null()).collect();
                fields.sort_by_key(|(key, _)| *key);
                fields.len().hash(hasher);
                for (key, value) in fields {
                    key.hash(hasher);
                    add(value, hasher);
                }
            }
            Value::Array(items) => {
                items.len().hash(hasher);
                items.iter().for_each(|item| add(item, hasher));
            }
            Value::String(text) => text.hash(hasher),
            other => other.to_string().hash(hasher),
        }
    }
    match value {
        None | Some(Value::Null) => 0,
        Some(value) => {
            let mut hasher = DefaultHasher::new();
            add(value, &mut hasher);
            hasher.finish().max(1)
        }
    }
}

impl Shown {
    /// What a status shows that the API sent.
    pub(super) fn of(status: &Value) -> Self {
        let mut shown = Self::default();
        for (hash, field) in shown.fields.iter_mut().zip(FIELDS) {
            *hash = fingerprint(status.get(field));
        }
        let all = status.get("conditions").and_then(Value::as_array);
        for (hash, ty) in shown.conditions.iter_mut().zip(conditions::TYPES) {
            let mut all = all.into_iter().flatten();
            let condition = all.find(|condition| condition.get("type").is_some_and(|t| t == ty));
            *hash = fingerprint(condition);
        }
        shown
    }
}

impl State {
    /// The write that is needed, if one is. None is given until [`State::written`] or [`State::not_written`]
    /// says what became of the one before.
    pub fn patch(&mut self, pod: &Pod, settings: &Settings, now: Timestamp) -> Option<Patch> {
        if self.writing || pod.gone {
            return None;
        }
        self.dirty = false;
        if self.told_all {
            return None;
        }
        if std::mem::take(&mut self.contradicted) {
            for index in conditions::READINESS {
                // As if nothing stood there: it is written whatever it is.
                if let Some(shown) = self.shown.conditions.get_mut(index) {
                    *shown = 0;
                }
            }
        }
        let mut status = self.status(pod, settings, now);
        let shown = status.shown();
        let mut changed = Map::new();
        let fields = shown.fields.iter().zip(self.shown.fields).zip(FIELDS);
        for ((new, old), field) in fields {
            if *new != old {
                let value = status.fields.remove(field).unwrap_or(Value::Null);
                changed.insert(field.to_owned(), replacing(field, value));
            }
        }
        let mut conditions = Vec::new();
        let hashes = shown.conditions.iter().zip(self.shown.conditions);
        for (((new, old), ty), condition) in hashes.zip(conditions::TYPES).zip(status.conditions) {
            if *new != old {
                let gone = || json!({ "$patch": "delete", "type": ty });
                conditions.push(condition.unwrap_or_else(gone));
            }
        }
        // That a deletion was seen is no reason to write by itself: the last status follows.
        let only_seen = conditions.is_empty() && changed.keys().all(|field| field == OBSERVED);
        if only_seen && (changed.is_empty() || (self.stopping.is_some() && self.ended.is_none())) {
            return None;
        }
        if !conditions.is_empty() {
            changed.insert("conditions".to_owned(), conditions.into());
        }
        self.writing = true;
        let body = json!({ "metadata": { "uid": &*pod.uid }, "status": changed });
        Some(Patch {
            body,
            shown,
            is_last: self.ended.is_some(),
        })
    }

    /// Takes in the status of the pod as somebody else has written it. Who hears nothing of a host says of its pods that
    /// they are not ready; the host, whose word it is, says again what is so. Whether there is anything to say.
    pub fn contradicts(&mut self, status: Option<&RawValue>) -> bool {
        let reported = Reported::read(status);
        let conditions = reported.conditions.iter().flatten();
        let mut others = conditions.filter(|condition| {
            let is_true = &*condition.status == "True";
            self.conditions.contradict(&condition.ty, is_true)
        });
        let contradicted = !self.told_all && others.next().is_some();
        self.contradicted |= contradicted;
        self.dirty |= contradicted;
        contradicted
    }

    /// A patch was carried out.
    pub fn written(&mut self, patch: &Patch) {
        self.shown = patch.shown;
        self.writing = false;
        self.told_all = patch.is_last;
    }

    /// A patch was not carried out; another one will be asked for.
    pub fn not_written(&mut self) {
        self.writing = false;
        self.dirty = true;
    }

    /// Where the pod is in its life.
    pub fn phase(&self) -> Phase {
        match (self.ended, self.has_run) {
            (Some(phase), _) => phase,
            (None, true) => Phase::Running,
            (None, false) => Phase::Pending,
        }
    }

    /// Whether the host would not have the pod, of which nothing has run.
    fn is_refused(&self) -> bool {
        let untouched = |own: &super::state::ContainerState| {
            matches!(own.run, Run::Waiting) && own.last.is_none()
        };
        self.verdict.is_some() && self.ended.is_some() && self.containers.iter().all(untouched)
    }

    fn note_running(&mut self, pod: &Pod) {
        let mut main = pod.spec.of(Role::Main);
        self.has_run |= self.initialized
            && main.all(|(index, _)| self.containers.get(index).is_some_and(|own| own.has_run()));
    }

    fn status(&mut self, pod: &Pod, settings: &Settings, now: Timestamp) -> Status {
        self.note_running(pod);
        let mut fields = Map::new();
        let mut set = |field: &str, value: Value| {
            if !value.is_null() {
                fields.insert(field.to_owned(), value);
            }
        };
        set("phase", self.phase().as_str().into());
        if let Some(verdict) = &self.verdict {
            set("reason", (&*verdict.reason).into());
            set("message", (&*verdict.message).into());
        }
        set("startTime", time(self.start_time));
        let (first, all) = addresses(settings.host_addresses.iter());
        set("hostIP", first);
        set("hostIPs", all);
        let (first, all) = addresses(self.addresses.iter());
        set("podIP", first);
        set("podIPs", all);
        // Of containers that were never to run there is nothing to tell: that they are being created would be a lie.
        if !self.is_refused() {
            for (field, roles) in [
                (
                    "initContainerStatuses",
                    [Role::Init, Role::Sidecar].as_slice(),
                ),
                ("containerStatuses", &[Role::Main]),
            ] {
                set(field, containers::statuses(pod, self, roles));
            }
        }
        if pod.generation > 0 {
            set(OBSERVED, pod.generation.into());
        }
        Status {
            fields,
            conditions: conditions::render(pod, self, now),
        }
    }
}

/// A list that replaces the one that is there.
fn replacing(field: &str, value: Value) -> Value {
    match value {
        Value::Array(mut items) if MERGED.contains(&field) => {
            items.insert(0, json!({ "$patch": "replace" }));
            Value::Array(items)
        }
        value => value,
    }
}

/// The first address, and the list of all.
fn addresses<'a>(all: impl Iterator<Item = &'a std::net::IpAddr>) -> (Value, Value) {
    let all: Vec<Value> = all
        .map(|address| json!({ "ip": address.to_string() }))
        .collect();
    match all.first().and_then(|first| first.get("ip")) {
        Some(first) => (first.clone(), Value::Array(all)),
        None => (Value::Null, Value::Null),
    }
}

fn time(moment: Timestamp) -> Value {
    mosaic_api::time::format(moment).into()
}

impl super::state::ContainerState {
    /// It was started at least once.
    fn has_run(&self) -> bool {
        match self.run {
            Run::Running { .. } | Run::Exited(_) => true,
            Run::Waiting | Run::Hooked { .. } => self.last.is_some(),
        }
    }
}

/// Whether a container waits because it crashes.
fn is_backing_off(pod: &Pod, state: &State, index: usize) -> bool {
    let (Some(container), Some(own)) =
        (pod.spec.containers.get(index), state.containers.get(index))
    else {
        return false;
    };
    match &own.run {
        Run::Exited(end) => {
            state.stopping.is_none()
                && own.back_off.until.is_some()
                && (own.again || restart::restarts(&pod.spec, container, end.code))
        }
        _ => false,
    }
}
