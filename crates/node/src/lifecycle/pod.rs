//! A pod as far as its life depends on it: read from its object, without what only a runtime needs.
//!
//! Commands, volumes, environments and the handlers of hooks and probes are the runtime's; here only counts
//! and seconds matter. A [`Spec`] is some hundred bytes, and pods of one template can share it.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

use super::Phase;

/// A pod that is bound to this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.uid`: another pod may get the same name later.
    pub uid: Box<str>,
    /// `metadata.generation`.
    pub generation: i64,
    /// What is to run.
    pub spec: Arc<Spec>,
    /// Set while the pod is being deleted.
    pub deletion: Option<Deletion>,
    /// The phase in which the object says that the pod ended. If that is news to its host, others have given
    /// the pod up, and it is stopped.
    pub ended: Option<Phase>,
    /// The object is gone from the API: what runs is stopped, and nothing is written any more.
    pub gone: bool,
    /// The status of each of the spec's readiness gates, in order; none for one that nobody has set.
    pub gates: Box<[Option<Box<str>>]>,
}

/// That a pod is being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// `metadata.deletionTimestamp`: when the grace period is over, by the server's clock.
    pub at: Timestamp,
    /// `metadata.deletionGracePeriodSeconds`, never negative.
    pub grace: i64,
}

/// What is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Spec {
    /// `restartPolicy`.
    pub restart: Policy,
    /// `terminationGracePeriodSeconds`, never negative.
    pub grace: i64,
    /// `activeDeadlineSeconds`, never negative.
    pub active_deadline: Option<i64>,
    /// `readinessGates`, by the type of their condition.
    pub readiness_gates: Box<[Box<str>]>,
    /// The init containers in order, then the main ones.
    pub containers: Box<[Container]>,
}

/// When a container is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Whenever it exits.
    #[default]
    Always,
    /// When it exits with another code than 0.
    OnFailure,
    /// Never.
    Never,
}

/// Which part a container has in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs to its end before the next starts.
    Init,
    /// An init container with `restartPolicy: Always`: the next starts when it has started, and it runs until
    /// the main containers have ended.
    Sidecar,
    /// One of `containers`.
    Main,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Container {
    /// Its name, unique in the pod.
    pub name: Box<str>,
    /// The image's name, as the spec says it.
    pub image: Box<str>,
    /// Its part.
    pub role: Role,
    /// Its own `restartPolicy`, which beats the pod's.
    pub restart: Option<Policy>,
    /// Its own `restartPolicyRules`: exit codes after which it is started again whatever the policy says.
    pub restart_rules: Box<[RestartRule]>,
    /// `startupProbe`.
    pub startup: Option<Probe>,
    /// `livenessProbe`.
    pub liveness: Option<Probe>,
    /// `readinessProbe`.
    pub readiness: Option<Probe>,
    /// Whether there is a `lifecycle.postStart`.
    pub post_start: bool,
    /// Whether there is a `lifecycle.preStop`.
    pub pre_stop: bool,
    /// `resources`.
    pub resources: Arc<Resources>,
    /// The resources of which a change needs a restart of the container (`resizePolicy`).
    pub restart_on_resize: Box<[Box<str>]>,
}

/// Exit codes after which a container is started again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RestartRule {
    codes: Box<[i32]>,
    inside: bool,
}

impl RestartRule {
    /// Whether the rule speaks of this exit code.
    pub fn matches(&self, code: i32) -> bool {
        self.codes.contains(&code) == self.inside
    }
}

/// When a probe runs, and how often it must succeed or fail to count. All are in seconds and at least what
/// their field allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Probe {
    /// `initialDelaySeconds`, from the container's start.
    pub initial_delay: i64,
    /// `periodSeconds`, at least 1.
    pub period: i64,
    /// `successThreshold`, at least 1.
    pub successes: u32,
    /// `failureThreshold`, at least 1.
    pub failures: u32,
    /// `terminationGracePeriodSeconds` of the probe itself.
    pub grace: Option<i64>,
}

/// Requests and limits, by the name of the resource, in the server's canonical form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// `requests`.
    pub requests: BTreeMap<Box<str>, Box<str>>,
    /// `limits`.
    pub limits: BTreeMap<Box<str>, Box<str>>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// When it was started; none if it is not known.
    pub started: Option<Timestamp>,
    /// When it ended; none if it is not known.
    pub finished: Option<Timestamp>,
    /// The exit code; 128 and more for signals, as shells count.
    pub code: i32,
    /// Whether the kernel killed it for its memory.
    pub oom: bool,
    /// A reason other than what code and memory say, such as `ContainerStatusUnknown`.
    pub reason: Option<Box<str>>,
    /// The termination message.
    pub message: Option<Box<str>>,
    /// The container's id.
    pub id: Box<str>,
}

impl Termination {
    /// The reason as statuses show it.
    pub fn reason(&self) -> &str {
        match (&self.reason, self.oom, self.code) {
            (Some(reason), _, _) => reason,
            (None, true, _) => "OOMKilled",
            (None, false, 0) => "Completed",
            (None, false, _) => "Error",
        }
    }
}

impl Container {
    /// Changes with what a running container cannot change in place: a container that was started from
    /// another definition is started anew.
    pub fn definition(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.image.hash(&mut hasher);
        hasher.finish()
    }
}

impl Spec {
    /// The containers of a part, each with its index.
    pub fn of(&self, role: Role) -> impl DoubleEndedIterator<Item = (usize, &Container)> {
        let all = self.containers.iter().enumerate();
        all.filter(move |(_, container)| container.role == role)
    }
}

/// A pod's object as the API sends it, as far as [`Pod`] and [`State::resume`](super::State::resume) need it.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Object<'a> {
    /// `metadata`, the part that matters.
    #[serde(default)]
    pub metadata: Metadata,
    #[serde(default)]
    spec: SpecObject,
    /// `status`, unread.
    #[serde(default, borrow)]
    pub status: Option<&'a RawValue>,
}

/// `metadata` of a pod, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// `name`.
    pub name: Box<str>,
    /// `namespace`.
    pub namespace: Box<str>,
    /// `uid`.
    pub uid: Box<str>,
    /// `resourceVersion`.
    pub resource_version: Box<str>,
    /// `annotations`.
    pub annotations: BTreeMap<String, String>,
    generation: i64,
    deletion_timestamp: Option<Box<str>>,
    deletion_grace_period_seconds: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SpecObject {
    restart_policy: Box<str>,
    termination_grace_period_seconds: Option<i64>,
    active_deadline_seconds: Option<i64>,
    readiness_gates: Option<Vec<Gate>>,
    init_containers: Option<Vec<ContainerObject>>,
    containers: Option<Vec<ContainerObject>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Gate {
    condition_type: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerObject {
    name: Box<str>,
    image: Option<Box<str>>,
    restart_policy: Option<Box<str>>,
    restart_policy_rules: Option<Vec<RuleObject>>,
    startup_probe: Option<ProbeObject>,
    liveness_probe: Option<ProbeObject>,
    readiness_probe: Option<ProbeObject>,
    lifecycle: Option<HooksObject>,
    resources: Option<ResourcesObject>,
    resize_policy: Option<Vec<ResizeObject>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RuleObject {
    action: Box<str>,
    exit_codes: Option<CodesObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CodesObject {
    operator: Box<str>,
    values: Option<Vec<i32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProbeObject {
    initial_delay_seconds: Option<i64>,
    period_seconds: Option<i64>,
    success_threshold: Option<i64>,
    failure_threshold: Option<i64>,
    termination_grace_period_seconds: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HooksObject {
    post_start: Option<IgnoredAny>,
    pre_stop: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResourcesObject {
    #[serde(deserialize_with = "quantities")]
    pub(super) requests: BTreeMap<Box<str>, Box<str>>,
    #[serde(deserialize_with = "quantities")]
    pub(super) limits: BTreeMap<Box<str>, Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResizeObject {
    resource_name: Box<str>,
    restart_policy: Box<str>,
}

/// Quantities in their canonical form; what is none stays out.
pub(super) fn quantities<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Box<str>, Box<str>>, D::Error> {
    let read = Option::<BTreeMap<Box<str>, serde_json::Value>>::deserialize(deserializer)?;
    let amounts = read.unwrap_or_default().into_iter();
    Ok(amounts
        .filter_map(|(name, amount)| {
            let amount = mosaic_api::quantity::canonical(&amount).ok()?;
            Some((name, amount.into_boxed_str()))
        })
        .collect())
}

impl<'a> Object<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// If it is no JSON, or a field has another type than pods have there.
    pub fn read(json: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    /// What is to run. Fields that are not given have the values that the API would give them.
    pub fn spec(&mut self) -> Spec {
        let spec = std::mem::take(&mut self.spec);
        let init = spec.init_containers.unwrap_or_default().into_iter();
        let main = spec.containers.unwrap_or_default().into_iter();
        let init = init.map(|container| {
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            container.read(if sidecar { Role::Sidecar } else { Role::Init })
        });
        let gates = spec.readiness_gates.unwrap_or_default().into_iter();
        Spec {
            restart: Policy::read(&spec.restart_policy).unwrap_or_default(),
            grace: spec.termination_grace_period_seconds.unwrap_or(30).max(0),
            active_deadline: spec.active_deadline_seconds.map(|seconds| seconds.max(0)),
            readiness_gates: gates.map(|gate| gate.condition_type).collect(),
            containers: init
                .chain(main.map(|container| container.read(Role::Main)))
                .collect(),
        }
    }

    /// The pod, with a spec that may be shared.
    pub fn pod(self, spec: Arc<Spec>) -> Pod {
        let metadata = self.metadata;
        let at = metadata
            .deletion_timestamp
            .as_deref()
            .and_then(mosaic_api::time::parse);
        let (ended, gates) = super::reported::brief(self.status, &spec.readiness_gates);
        Pod {
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            generation: metadata.generation,
            deletion: at.map(|at| Deletion {
                at,
                grace: metadata
                    .deletion_grace_period_seconds
                    .unwrap_or(spec.grace)
                    .max(0),
            }),
            ended,
            gone: false,
            gates,
            spec,
        }
    }
}

impl Policy {
    fn read(text: &str) -> Option<Self> {
        match text {
            "Always" => Some(Self::Always),
            "OnFailure" => Some(Self::OnFailure),
            "Never" => Some(Self::Never),
            _ => None,
        }
    }
}

impl ContainerObject {
    fn read(self, role: Role) -> Container {
        let hooks = self.lifecycle.unwrap_or_default();
        let resources = self.resources.unwrap_or_default();
        let rules = self.restart_policy_rules.unwrap_or_default().into_iter();
        let resize = self.resize_policy.unwrap_or_default().into_iter();
        Container {
            name: self.name,
            image: self.image.unwrap_or_default(),
            role,
            restart: self.restart_policy.as_deref().and_then(Policy::read),
            restart_rules: rules.filter_map(RuleObject::read).collect(),
            startup: self.startup_probe.map(ProbeObject::read),
            liveness: self.liveness_probe.map(ProbeObject::read),
            readiness: self.readiness_probe.map(ProbeObject::read),
            post_start: hooks.post_start.is_some(),
            pre_stop: hooks.pre_stop.is_some(),
            resources: Arc::new(Resources {
                requests: resources.requests,
                limits: resources.limits,
            }),
            restart_on_resize: resize
                .filter(|policy| &*policy.restart_policy == "RestartContainer")
                .map(|policy| policy.resource_name)
                .collect(),
        }
    }
}

impl RuleObject {
    fn read(self) -> Option<RestartRule> {
        let codes = self.exit_codes?;
        let inside = match &*codes.operator {
            "In" => true,
            "NotIn" => false,
            _ => return None,
        };
        let values = codes.values.unwrap_or_default().into();
        (&*self.action == "Restart").then_some(RestartRule {
            codes: values,
            inside,
        })
    }
}

impl ProbeObject {
    fn read(self) -> Probe {
        let count = |value: Option<i64>, default: u32| {
            value
                .filter(|value| *value > 0)
                .map_or(default, |value| u32::try_from(value).unwrap_or(u32::MAX))
        };
        Probe {
            initial_delay: self.initial_delay_seconds.unwrap_or(0).max(0),
            period: self
                .period_seconds
                .filter(|seconds| *seconds > 0)
                .unwrap_or(10),
            successes: count(self.success_threshold, 1),
            failures: count(self.failure_threshold, 3),
            grace: self
                .termination_grace_period_seconds
                .map(|seconds| seconds.max(0)),
        }
    }
}

/// A moment so many seconds after another, or the last that there is.
pub(super) fn after(moment: Timestamp, seconds: i64) -> Timestamp {
    moment
        .saturating_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}
