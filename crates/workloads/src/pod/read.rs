//! Reading pods from JSON.
//!
//! The parts are public for who reads more of a pod in the same pass (see [`Pod::of`]).

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Deserializer};

use super::{DELETION_COST, End, Exit, Phase, Pod};
use crate::job::annotations;

/// The annotations that plans depend on.
const ANNOTATIONS: [&str; 4] = [
    DELETION_COST,
    annotations::COMPLETION_INDEX,
    annotations::INDEX_FAILURES,
    annotations::INDEX_IGNORED_FAILURES,
];

/// Reads metadata without managed fields, and of the annotations only those named.
///
/// # Errors
/// If it is no metadata.
pub fn metadata<'de, D: Deserializer<'de>>(
    deserializer: D,
    kept: &[&str],
) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Read {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        generation: Option<i64>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        deletion_grace_period_seconds: Option<i64>,
        finalizers: Option<Vec<String>>,
        labels: Option<BTreeMap<String, String>>,
        annotations: Option<BTreeMap<String, String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let mut read = Read::deserialize(deserializer)?;
    // A list that is read has room for four, and most have one owner.
    if let Some(owners) = &mut read.owner_references {
        owners.shrink_to_fit();
    }
    let annotations = read.annotations.and_then(|mut all| {
        all.retain(|key, _| kept.contains(&key.as_str()));
        (!all.is_empty()).then_some(all)
    });
    Ok(ObjectMeta {
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        generation: read.generation,
        creation_timestamp: read.creation_timestamp,
        deletion_timestamp: read.deletion_timestamp,
        deletion_grace_period_seconds: read.deletion_grace_period_seconds,
        finalizers: read.finalizers,
        labels: read.labels,
        annotations,
        owner_references: read.owner_references,
        ..ObjectMeta::default()
    })
}

/// What is read of a pod's specification and status.
#[derive(Debug, Default)]
pub struct Parts {
    /// `spec.nodeName`
    pub node: Option<Arc<str>>,
    /// `spec.affinity`
    pub affinity: Option<Affinity>,
    /// `status.phase`
    pub phase: Option<String>,
    /// `status.conditions`
    pub conditions: Vec<Condition>,
    /// `status.containerStatuses`
    pub containers: Vec<Container>,
    /// `status.initContainerStatuses`
    pub init_containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<Arc<str>>,
    affinity: Option<Affinity>,
}

/// `spec.affinity`, as far as it names one host.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    node_affinity: Option<NodeAffinity>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSelector {
    node_selector_terms: Vec<Term>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_fields: Option<Vec<Requirement>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Requirement {
    key: String,
    operator: String,
    values: Vec<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: Option<String>,
    conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<Container>>,
    init_container_statuses: Option<Vec<Container>>,
}

/// A condition of a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Which one.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    last_transition_time: Option<Time>,
}

/// The status of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    name: String,
    restart_count: i64,
    state: Option<State>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    terminated: Option<Terminated>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    exit_code: i32,
    finished_at: Option<Time>,
}

impl NodeSelector {
    /// The one host that a selector of one term asks for by name.
    fn host(self) -> Option<Box<str>> {
        let mut terms = self.node_selector_terms.into_iter();
        let (Some(term), None) = (terms.next(), terms.next()) else {
            return None;
        };
        let mut fields = term.match_fields.into_iter().flatten();
        let field = fields.find(|f| f.key == "metadata.name" && f.operator == "In")?;
        let mut values = field.values.into_iter();
        match (values.next(), values.next()) {
            (Some(host), None) => Some(host),
            _ => None,
        }
    }
}

impl Parts {
    fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers)
    }

    fn end(&self) -> End {
        let ended = || {
            self.all_containers().filter_map(|container| {
                let terminated = container.state.as_ref()?.terminated.as_ref()?;
                Some((container, terminated))
            })
        };
        let at: Option<Timestamp> = ended()
            .filter_map(|(_, end)| end.finished_at.as_ref().map(|time| time.0))
            .max();
        let exits = ended().filter(|(_, end)| end.exit_code != 0);
        let exits = exits.map(|(container, end)| Exit {
            container: container.name.clone(),
            code: end.exit_code,
        });
        let conditions = self.conditions.iter();
        End {
            at,
            exits: exits.collect(),
            conditions: conditions
                .map(|c| (c.type_.clone(), c.status.clone()))
                .collect(),
        }
    }
}

impl Pod {
    /// The pod with this metadata, of which the rest was read.
    pub fn of(metadata: ObjectMeta, mut parts: Parts) -> Self {
        let phase = match parts.phase.as_deref() {
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            Some("Unknown") => Phase::Unknown,
            _ => Phase::Pending,
        };
        let affinity = parts.affinity.take();
        let pinned = affinity
            .and_then(|affinity| affinity.node_affinity)
            .and_then(|affinity| affinity.required)
            .and_then(NodeSelector::host);
        let ready = parts.conditions.iter().find(|c| c.type_ == "Ready");
        let restarts = |container: &Container| {
            u32::try_from(container.restart_count.max(0)).unwrap_or(u32::MAX)
        };
        let has_ended = matches!(phase, Phase::Succeeded | Phase::Failed);
        Self {
            metadata,
            pinned,
            phase,
            ready: ready.is_some_and(|c| c.status == "True"),
            ready_since: ready.and_then(|c| Some(c.last_transition_time.as_ref()?.0)),
            restarts: parts
                .all_containers()
                .fold(0, |sum: u32, c| sum.saturating_add(restarts(c))),
            most_restarts: parts.all_containers().map(restarts).max().unwrap_or(0),
            end: has_ended.then(|| Box::new(parts.end())),
            node: parts.node.filter(|name| !name.is_empty()),
        }
    }
}

/// Reads the metadata of a pod: without managed fields, and of the annotations only those that plans depend on.
///
/// # Errors
/// If it is no metadata.
pub fn pod_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    metadata(deserializer, &ANNOTATIONS)
}

impl<'de> Deserialize<'de> for Pod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Read {
            #[serde(default, deserialize_with = "pod_metadata")]
            metadata: ObjectMeta,
            spec: Option<Spec>,
            status: Option<Status>,
        }
        let read = Read::deserialize(deserializer)?;
        let spec = read.spec.unwrap_or_default();
        let status = read.status.unwrap_or_default();
        let parts = Parts {
            node: spec.node_name,
            affinity: spec.affinity,
            phase: status.phase,
            conditions: status.conditions.unwrap_or_default(),
            containers: status.container_statuses.unwrap_or_default(),
            init_containers: status.init_container_statuses.unwrap_or_default(),
        };
        Ok(Self::of(read.metadata, parts))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_plans_depend_on_is_read_and_the_rest_is_skipped() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "a", "uid": "1", "labels": {"app": "a"}, "finalizers": ["f"],
                "annotations": {"big": "text", DELETION_COST: "-5"},
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "managedFields": [{"manager": "x", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {
                "nodeName": "n",
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchFields": [
                        {"key": "metadata.name", "operator": "In", "values": ["m"]},
                    ]}],
                }}},
            },
            "status": {
                "phase": "Failed",
                "conditions": [
                    {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:05:00Z"},
                    {"type": "DisruptionTarget", "status": "True"},
                ],
                "initContainerStatuses": [{"name": "i", "restartCount": 3}],
                "containerStatuses": [{
                    "name": "c", "restartCount": 2,
                    "state": {"terminated": {"exitCode": 3, "finishedAt": "2026-01-02T03:04:59Z"}},
                }],
            },
        }))
        .unwrap();
        assert_eq!(
            (pod.name(), pod.uid(), pod.phase),
            ("a", "1", Phase::Failed)
        );
        assert_eq!(
            (pod.node.as_deref(), pod.pinned.as_deref()),
            (Some("n"), Some("m"))
        );
        assert_eq!((pod.deletion_cost(), pod.annotation("big")), (-5, None));
        assert_eq!((pod.restarts, pod.most_restarts), (5, 3));
        assert!(pod.has_finalizer("f") && !pod.ready && pod.has_ended());
        assert_eq!(pod.metadata.managed_fields, None);
        let end = pod.end.as_deref().unwrap();
        assert_eq!(end.at.unwrap().to_string(), "2026-01-02T03:04:59Z");
        assert_eq!(
            end.exits,
            [Exit {
                container: "c".into(),
                code: 3
            }]
        );
        assert_eq!(
            end.conditions[1],
            ("DisruptionTarget".into(), "True".into())
        );
    }

    #[test]
    fn tens_of_thousands_of_pods_fit_into_memory() {
        // Beside this there is only what its few texts take.
        assert!(size_of::<Pod>() <= 640, "{}", size_of::<Pod>());
    }

    #[test]
    fn a_pod_without_anything_is_pending() {
        let pod: Pod =
            serde_json::from_value(json!({"spec": null, "status": {"conditions": null}})).unwrap();
        assert_eq!(pod, Pod::default());
        assert!(pod.is_active() && !pod.is_available(0, Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn a_pod_is_available_when_it_was_ready_long_enough() {
        let now = Timestamp::UNIX_EPOCH;
        let mut pod = Pod {
            ready: true,
            ready_since: Some(now),
            ..Pod::default()
        };
        assert!(pod.is_available(0, now) && !pod.is_available(10, now));
        let then = pod.available_at(10, now).unwrap();
        assert_eq!(then.as_second(), 10);
        assert!(pod.is_available(10, then));
        assert_eq!(pod.available_at(10, then), None);
        pod.ready = false;
        assert!(!pod.is_available(0, now));
    }
}
